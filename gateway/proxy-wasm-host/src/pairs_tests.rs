use super::*;

const PAIRS: usize = 64;
const BYTES: usize = 4096;

fn encoded(entries: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out, entries.iter().copied());
    out
}

#[test]
fn the_wire_format_is_the_documented_one() {
    let bytes = encoded(&[(b"a", b"xyz"), (b"bc", b"")]);
    let expected = [
        2_u32.to_le_bytes(),
        1_u32.to_le_bytes(),
        3_u32.to_le_bytes(),
        2_u32.to_le_bytes(),
        0_u32.to_le_bytes(),
    ]
    .concat();
    assert_eq!(bytes, [expected.as_slice(), b"a\0xyz\0bc\0\0"].concat());
    assert_eq!(decode(&bytes, PAIRS, BYTES), Ok(vec![(&b"a"[..], &b"xyz"[..]), (b"bc", b"")]));
}

#[test]
fn lists_are_maps_with_empty_values() {
    let mut list = Vec::new();
    encode_list(&mut list, [&b"one"[..], b"two"].into_iter());
    assert_eq!(list, encoded(&[(b"one", b""), (b"two", b"")]));
}

#[test]
fn the_three_spellings_of_an_empty_map() {
    for bytes in [&b""[..], &[0], &[0, 0, 0, 0]] {
        assert_eq!(decode(bytes, PAIRS, BYTES), Ok(Vec::new()), "{bytes:?}");
    }
}

#[test]
fn malformed_maps_are_refused_as_a_whole() {
    let good = encoded(&[(b"name", b"value"), (b"other", b"x")]);
    for cut in 2..good.len() {
        assert_eq!(decode(&good[..cut], PAIRS, BYTES), Err(MalformedMap::Format), "cut at {cut}");
    }
    assert_eq!(decode(&[&good[..], b"x"].concat(), PAIRS, BYTES), Err(MalformedMap::Format));
    let mut without_nul = good.clone();
    *without_nul.last_mut().unwrap() = b'x';
    assert_eq!(decode(&without_nul, PAIRS, BYTES), Err(MalformedMap::Format));
    assert_eq!(decode(&good, 1, BYTES), Err(MalformedMap::TooLarge));
    assert_eq!(decode(&good, PAIRS, good.len() - 1), Err(MalformedMap::TooLarge));
    assert_eq!(decode(&[0xFF; 64], usize::MAX, BYTES), Err(MalformedMap::Format));
}

/// Random damage to a good map: never a panic, and whatever is accepted encodes to the same bytes again.
#[test]
fn random_damage_never_panics() {
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let good = encoded(&[(b":path", b"/"), (b"x-long-name", b"some value"), (b"", b"")]);
    let mut accepted = 0;
    for _ in 0..20_000 {
        let mut bytes = good.clone();
        for _ in 0..next() % 4 {
            let at = next() as usize % bytes.len();
            bytes[at] = next() as u8;
        }
        bytes.truncate(bytes.len() - (next() % 8 / 7) as usize);
        if let Ok(entries) = decode(&bytes, PAIRS, BYTES) {
            accepted += 1;
            assert_eq!(encoded(&entries), bytes);
        }
    }
    assert!(accepted > 1000, "the loop must see accepted maps too, saw {accepted}");
}
