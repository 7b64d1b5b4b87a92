//! Every byte and every name that could break out of its line, in every place where a guest may write one.

use proxy_wasm_host::{HeaderList, Made, Status};

use super::{Part, host, line, list, method, status};

/// None of these may stand in a name, a method, a path or a host; the first four in no value either.
const BAD_BYTES: [u8; 9] = [b'\r', b'\n', 0, 0x7f, b' ', b'\t', 0x01, b'(', 0x80];

fn with(bytes: &[u8], byte: u8) -> [Vec<u8>; 3] {
    [[bytes, &[byte]].concat(), [&[byte], bytes].concat(), [&bytes[..1], &[byte], &bytes[1..]].concat()]
}

fn call(changed: &[u8], value: &[u8]) -> HeaderList {
    let mut list: HeaderList =
        [(&b":method"[..], &b"GET"[..]), (b":path", b"/x"), (b":authority", b"a.example"), (b"x-a", b"1")]
            .map(|(name, value)| (name.to_vec(), value.to_vec()))
            .to_vec();
    match list.iter_mut().find(|(name, _)| name == changed) {
        Some(entry) => entry.1 = value.to_vec(),
        None => list.push((changed.to_vec(), value.to_vec())),
    }
    list
}

#[test]
fn no_byte_breaks_out_of_its_line() {
    let refused = Err(Status::BadArgument);
    for byte in BAD_BYTES {
        for name in with(b"x-name", byte) {
            for part in [Part::Head, Part::Trailers] {
                assert_eq!(line(part, &name, b"v").map(drop), refused, "{name:?}");
            }
            for made in [Made::ReplyHeaders, Made::CallHeaders, Made::CallTrailers] {
                assert_eq!(list(made, &call(&name, b"v")), refused, "{made:?} {name:?}");
            }
        }
        for text in with(b"GET", byte) {
            assert_eq!(method(&text).map(drop), refused, "{text:?}");
            assert_eq!(list(Made::CallHeaders, &call(b":method", &text)), refused, "{text:?}");
        }
        for text in with(b"a.b", byte).iter().filter(|_| byte != b'(') {
            assert_eq!(host(text).map(drop), refused, "{text:?}");
            assert_eq!(list(Made::CallHeaders, &call(b":authority", text)), refused, "{text:?}");
        }
        for text in with(b"200", byte) {
            assert_eq!(status(&text).map(drop), refused, "{text:?}");
        }
        let in_paths = byte <= b' ' || byte == 0x7f;
        for text in with(b"/x", byte).iter().filter(|_| in_paths) {
            assert_eq!(list(Made::CallHeaders, &call(b":path", text)), refused, "{text:?}");
        }
    }
    for byte in &BAD_BYTES[..4] {
        for value in with(b"value", *byte) {
            for part in [Part::Head, Part::Trailers] {
                assert_eq!(line(part, b"x-a", &value).map(drop), refused, "{value:?}");
            }
            assert_eq!(
                list(Made::ReplyHeaders, &vec![(b"x-a".to_vec(), value.clone())]),
                refused,
                "{value:?}"
            );
            assert_eq!(list(Made::CallHeaders, &call(b"x-a", &value)), refused, "{value:?}");
            assert_eq!(
                list(Made::CallTrailers, &vec![(b"x-a".to_vec(), value.clone())]),
                refused,
                "{value:?}"
            );
        }
    }
}

#[test]
fn framing_is_not_a_guests_to_write() {
    let one = |name: &[u8], value: &[u8]| vec![(name.to_vec(), value.to_vec())];
    for name in [
        "connection",
        "transfer-encoding",
        "upgrade",
        "te",
        "keep-alive",
        "proxy-connection",
        "expect",
        "host",
    ] {
        let name = name.as_bytes();
        assert!(
            line(Part::Head, name, b"x").is_err() && line(Part::Trailers, name, b"x").is_err(),
            "{name:?}"
        );
        assert!(list(Made::ReplyHeaders, &one(name, b"x")).is_err(), "{name:?}");
        assert!(list(Made::CallHeaders, &call(name, b"x")).is_err(), "{name:?}");
        assert!(list(Made::CallTrailers, &one(name, b"x")).is_err(), "{name:?}");
    }
    for name in
        ["content-length", "authorization", "set-cookie", "content-type", "x-forwarded-for", "trailer"]
    {
        assert!(line(Part::Trailers, name.as_bytes(), b"1").is_err(), "{name}");
        assert!(list(Made::CallTrailers, &one(name.as_bytes(), b"1")).is_err(), "{name}");
        assert!(line(Part::Head, name.as_bytes(), b"1").is_ok(), "{name}");
    }
    for value in ["", "-1", "+1", "1,1", "0x1", "1 ", "99999999999999999999"] {
        assert!(line(Part::Head, b"content-length", value.as_bytes()).is_err(), "{value}");
    }
    let two = vec![(b"content-length".to_vec(), b"1".to_vec()); 2];
    assert_eq!(list(Made::ReplyHeaders, &two), Err(Status::BadArgument));
}

#[test]
fn a_call_is_one_request_that_can_be_made() {
    for (name, value) in [
        ("x-a", "v"),
        (":scheme", "https"),
        ("te", "trailers"),
        ("host", "a.example"),
        ("content-length", "5"),
        (":path", "/a/../b?c"),
        (":authority", "[::1]:80"),
        (":method", "PURGE"),
    ] {
        assert_eq!(
            list(Made::CallHeaders, &call(name.as_bytes(), value.as_bytes())),
            Ok(()),
            "{name}: {value}"
        );
    }
    for (name, value) in [
        (":method", "CONNECT"),
        (":method", ""),
        (":path", "x"),
        (":path", ""),
        (":path", "*"),
        (":authority", "user@a"),
        (":authority", ""),
        (":scheme", "ftp"),
        (":status", "200"),
        (":protocol", "websocket"),
        ("host", "b.example"),
    ] {
        let refused = list(Made::CallHeaders, &call(name.as_bytes(), value.as_bytes()));
        assert_eq!(refused, Err(Status::BadArgument), "{name}: {value}");
    }
    let mut twice = call(b"x-a", b"1");
    twice.push((b":path".to_vec(), b"/y".to_vec()));
    assert_eq!(list(Made::CallHeaders, &twice), Err(Status::BadArgument));
}
