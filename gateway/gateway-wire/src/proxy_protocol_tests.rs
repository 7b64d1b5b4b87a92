//! Headers of both versions: whole, in pieces, and wrong.

use super::*;

fn from(source: &str, destination: &str) -> Proxied {
    Proxied::From { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
}

/// A header of version 2 with these four bytes after its signature (the length is worked out) and this body.
fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&V2_SIGNATURE[..], &[command, family], &length, body].concat()
}

const V4_BODY: [u8; 12] = [192, 0, 2, 1, 192, 0, 2, 2, 0x0f, 0xa0, 0, 80];

fn check(header: &[u8], expected: Proxied) {
    let with_more = [header, b"GET / HTTP/1.1\r\n"].concat();
    assert_eq!(read(&with_more), Ok(Progress::Complete(expected, header.len())), "{header:?}");
    for length in 0..header.len() {
        assert_eq!(read(&header[..length]), Ok(Progress::Incomplete), "{length} of {header:?}");
    }
}

#[test]
fn whole_headers_are_read_and_pieces_are_waited_for() {
    check(b"PROXY TCP4 192.0.2.1 192.0.2.2 4000 80\r\n", from("192.0.2.1:4000", "192.0.2.2:80"));
    check(b"PROXY TCP6 2001:db8::1 ::2 65535 0\r\n", from("[2001:db8::1]:65535", "[::2]:0"));
    check(b"PROXY UNKNOWN\r\n", Proxied::Local);
    check(b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", Proxied::Local);
    check(&v2(0x21, 0x11, &V4_BODY), from("192.0.2.1:4000", "192.0.2.2:80"));
    let v6 = [&[0x20; 15][..], &[1], &[0x30; 16], &[0, 1, 0, 2]].concat();
    check(
        &v2(0x21, 0x21, &v6),
        from("[2020:2020:2020:2020:2020:2020:2020:2001]:1", "[3030:3030:3030:3030:3030:3030:3030:3030]:2"),
    );
    check(&v2(0x21, 0x31, &[0; 216]), Proxied::Local);
    check(&v2(0x21, 0x00, b"whatever"), Proxied::Local);
    check(&v2(0x20, 0x00, &[]), Proxied::Local);
    check(&v2(0x20, 0x77, &[1, 2, 3]), Proxied::Local);
    // Further fields: an unknown one, an empty one.
    let fields = [&V4_BODY[..], &[0xee, 0, 2, 1, 2, 0x04, 0, 0]].concat();
    check(&v2(0x21, 0x11, &fields), from("192.0.2.1:4000", "192.0.2.2:80"));
}

#[test]
fn a_checksum_has_to_be_right() {
    // RFC 3720, appendix B.4.
    assert_eq!(crc32c([0; 32].into_iter()), 0x8a91_36aa);
    assert_eq!(crc32c(0..32), 0x46dd_794e);
    let body = [&V4_BODY[..], &[TYPE_CRC32C, 0, 4, 0, 0, 0, 0]].concat();
    let mut header = v2(0x21, 0x11, &body);
    let crc = crc32c(header.iter().copied()).to_be_bytes();
    let at = header.len() - 4;
    header[at..].copy_from_slice(&crc);
    check(&header, from("192.0.2.1:4000", "192.0.2.2:80"));
    header[at] ^= 1;
    assert_eq!(read(&header), Err(Refusal::BadChecksum));
    let short = [&V4_BODY[..], &[TYPE_CRC32C, 0, 2, 0, 0]].concat();
    assert_eq!(read(&v2(0x21, 0x11, &short)), Err(Refusal::BadLength));
}

#[test]
fn what_is_no_header_is_refused_as_soon_as_that_is_clear() {
    let long_line = format!("PROXY UNKNOWN {}\r\n", "x".repeat(MAX_V1_BYTES));
    let long_body = vec![0; MAX_BYTES];
    for (bytes, refusal) in [
        (&b"GET / HTTP/1.1\r\n"[..], Refusal::NoHeader),
        (b"PROXYTCP4", Refusal::NoHeader),
        (b"\x16\x03\x01", Refusal::NoHeader),
        (b"\r\n\r\n\0\r\nQUIX", Refusal::NoHeader),
        (long_line.as_bytes(), Refusal::TooLong),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 4000 80\n", Refusal::BadLine),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 4000\r\n", Refusal::BadLine),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 4000 80 1\r\n", Refusal::BadLine),
        (b"PROXY TCP4  192.0.2.1 192.0.2.2 4000 80\r\n", Refusal::BadLine),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 4000 080\r\n", Refusal::BadLine),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 4000 +80\r\n", Refusal::BadLine),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 4000 65536\r\n", Refusal::BadLine),
        (b"PROXY TCP4 192.0.2.01 192.0.2.2 4000 80\r\n", Refusal::BadLine),
        (b"PROXY TCP4 ::1 ::2 4000 80\r\n", Refusal::BadLine),
        (b"PROXY TCP6 192.0.2.1 192.0.2.2 4000 80\r\n", Refusal::BadLine),
        (b"PROXY UDP4 192.0.2.1 192.0.2.2 4000 80\r\n", Refusal::BadLine),
        (b"PROXY \r\n", Refusal::BadLine),
        (b"PROXY UNKNOWN\xff\r\n", Refusal::BadLine),
        (&v2(0x11, 0x11, &V4_BODY), Refusal::UnknownCommand),
        (&v2(0x22, 0x11, &V4_BODY), Refusal::UnknownCommand),
        (&v2(0x21, 0x12, &V4_BODY), Refusal::UnknownFamily),
        (&v2(0x21, 0x41, &V4_BODY), Refusal::UnknownFamily),
        (&v2(0x21, 0x11, &V4_BODY[..11]), Refusal::BadLength),
        (&v2(0x21, 0x21, &V4_BODY), Refusal::BadLength),
        (&v2(0x21, 0x11, &[&V4_BODY[..], &[0xee, 0]].concat()), Refusal::BadLength),
        (&v2(0x21, 0x11, &[&V4_BODY[..], &[0xee, 0, 9, 1]].concat()), Refusal::BadLength),
        (&v2(0x21, 0x11, &long_body), Refusal::TooLong),
    ] {
        assert_eq!(read(bytes), Err(refusal), "{bytes:?}");
    }
}

#[test]
fn what_is_written_is_read_again() {
    for version in [Version::V1, Version::V2] {
        for (proxied, expected) in [
            (Proxied::Local, Proxied::Local),
            (from("192.0.2.1:1", "192.0.2.2:2"), from("192.0.2.1:1", "192.0.2.2:2")),
            (from("[::1]:1", "[::2]:2"), from("[::1]:1", "[::2]:2")),
            (from("192.0.2.1:1", "[::2]:2"), from("[::ffff:192.0.2.1]:1", "[::2]:2")),
            (from("[::ffff:192.0.2.1]:1", "192.0.2.2:2"), from("192.0.2.1:1", "192.0.2.2:2")),
        ] {
            let mut header = Vec::new();
            write(version, proxied, &mut header);
            assert_eq!(read(&header), Ok(Progress::Complete(expected, header.len())), "{version:?}");
        }
    }
}
