use super::decode;

/// RFC 4648, section 10, in the URL alphabet and without padding.
#[test]
fn texts_are_decoded_strictly() {
    let cases: [(&str, &[u8]); 7] = [
        ("", b""),
        ("Zg", b"f"),
        ("Zm8", b"fo"),
        ("Zm9v", b"foo"),
        ("Zm9vYg", b"foob"),
        ("Zm9vYmE", b"fooba"),
        ("-_-_", &[0xfb, 0xff, 0xbf]),
    ];
    for (text, bytes) in cases {
        assert_eq!(decode(text.as_bytes()).as_deref(), Some(bytes), "{text}");
    }
    for bad in ["Z", "Zh", "Zm9", "Zg==", "Zm+v", "Zm/v", "Zm 9v", "Zm9vY\n"] {
        assert_eq!(decode(bad.as_bytes()), None, "{bad}");
    }
}
