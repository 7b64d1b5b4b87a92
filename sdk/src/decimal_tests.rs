use super::*;

#[test]
fn numbers_of_all_lengths_are_written_out() {
    for number in [0, 1, 10, 99, 12_345, u64::MAX] {
        let decimal = decimal(number);
        assert_eq!(AsRef::<str>::as_ref(&decimal), number.to_string());
        assert_eq!(AsRef::<[u8]>::as_ref(&decimal), number.to_string().as_bytes());
    }
}
