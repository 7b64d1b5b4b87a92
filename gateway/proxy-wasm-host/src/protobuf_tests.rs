//! The wire format, whole and damaged.

use super::{Malformed, Value, read, write_bool, write_bytes};

fn fields(bytes: &[u8]) -> Result<Vec<(u64, Value<'_>)>, Malformed> {
    let mut seen = Vec::new();
    read(bytes, |field, value| seen.push((field, value))).map(|()| seen)
}

#[test]
fn what_is_written_is_read_again() {
    let long = vec![7; 300];
    let mut bytes = Vec::new();
    write_bool(&mut bytes, 1, true);
    write_bool(&mut bytes, 1, false);
    write_bytes(&mut bytes, 2, b"");
    write_bytes(&mut bytes, 3, &long);
    assert_eq!(fields(&bytes), Ok(vec![(1, Value::Number(1)), (3, Value::Bytes(&long))]));
}

#[test]
fn fixed_widths_are_skipped() {
    let bytes = [0x09, 1, 2, 3, 4, 5, 6, 7, 8, 0x15, 1, 2, 3, 4, 0x18, 0x96, 0x01];
    assert_eq!(fields(&bytes), Ok(vec![(1, Value::Fixed), (2, Value::Fixed), (3, Value::Number(150))]));
}

#[test]
fn damage_is_told() {
    let damaged: [&[u8]; 7] =
        [&[0x0A], &[0x0A, 5, 1], &[0x09, 1], &[0x15, 1], &[0x0B, 1], &[0x00, 1], &[0xFF; 11]];
    for bytes in damaged {
        assert_eq!(fields(bytes), Err(Malformed), "{bytes:?}");
    }
}
