use super::*;

fn sample() -> Pairs {
    vec![
        (b":path".to_vec(), b"/a".to_vec()),
        (b"x".to_vec(), b"".to_vec()),
        (b"y".to_vec(), vec![0xff, 0, b'z']),
    ]
}

#[test]
fn the_byte_form_is_the_one_of_the_abi() {
    let bytes = encode(&[("ab", "c")]);
    assert_eq!(bytes, b"\x01\0\0\0\x02\0\0\0\x01\0\0\0ab\0c\0");
}

#[test]
fn maps_survive_the_round_trip() {
    assert_eq!(decode(&encode(&sample())), Some(sample()));
    assert_eq!(decode(&encode::<&str, &str>(&[])), Some(vec![]));
    assert_eq!(decode(b""), Some(vec![]));
    assert_eq!(decode(b"\0"), Some(vec![]));
}

#[test]
fn anything_else_is_refused() {
    let whole = encode(&sample());
    for len in 2..whole.len() {
        assert_eq!(decode(&whole[..len]), None, "cut at {len}");
    }
    assert_eq!(decode(&[&whole[..], b"x"].concat()), None, "a byte too many");
    assert_eq!(decode(b"\xff\xff\xff\xff"), None, "a count without entries");
    let mut no_zero = encode(&[("ab", "c")]);
    no_zero[14] = b'x';
    assert_eq!(decode(&no_zero), None, "no zero after the name");
}
