//! What HTTP/2 can say and HTTP/1 cannot.

use super::{Pseudo, check};
use crate::Refusal;

const PSEUDO: Pseudo<'_> =
    Pseudo { method: b"POST", scheme: b"http", path: b"/a?b", authority: Some(b"a.example") };

fn of(fields: &[(&str, &str)]) -> Result<(), Refusal> {
    with(PSEUDO, fields)
}

fn with(pseudo: Pseudo<'_>, fields: &[(&str, &str)]) -> Result<(), Refusal> {
    check(&pseudo, || fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
}

#[test]
fn an_ordinary_request_passes() {
    let fields =
        [("host", "A.example"), ("content-length", "5"), ("te", "trailers"), ("x_y", "1 2"), ("x", "")];
    assert_eq!(of(&fields), Ok(()));
    assert_eq!(with(Pseudo { authority: None, ..PSEUDO }, &[("host", "a:80")]), Ok(()));
    assert_eq!(with(Pseudo { method: b"OPTIONS", path: b"*", ..PSEUDO }, &[]), Ok(()));
}

#[test]
fn fields_that_would_be_something_else() {
    for (field, refusal) in [
        (("x", "1\r\ny: 2"), Refusal::ControlByte),
        (("x", "1\n"), Refusal::ControlByte),
        (("x", "\0"), Refusal::ControlByte),
        (("x", " 1"), Refusal::HeaderValue),
        (("x", "1\t"), Refusal::HeaderValue),
        (("x:y", "1"), Refusal::HeaderName),
        (("x ", "1"), Refusal::HeaderName),
        (("x\r\ny", "1"), Refusal::HeaderName),
        (("", "1"), Refusal::HeaderName),
        (("X", "1"), Refusal::HeaderName),
        ((":x", "1"), Refusal::HeaderName),
        (("transfer-encoding", "chunked"), Refusal::TransferEncoding),
        (("transfer_encoding", "chunked"), Refusal::UnderscoreName),
        (("content_length", "5"), Refusal::UnderscoreName),
        (("connection", "x"), Refusal::ConnectionHeader),
        (("upgrade", "x"), Refusal::ConnectionHeader),
        (("te", "gzip"), Refusal::ConnectionHeader),
        (("content-length", "+5"), Refusal::ContentLength),
        (("content-length", "5, 5"), Refusal::ContentLength),
        (("host", "b.example"), Refusal::HostMismatch),
    ] {
        assert_eq!(of(&[field]), Err(refusal), "{field:?}");
    }
    assert_eq!(of(&[("content-length", "5"), ("content-length", "5")]), Err(Refusal::ContentLength));
    assert_eq!(of(&[("host", "a.example"), ("host", "a.example")]), Err(Refusal::HostRepeated));
    assert_eq!(of(&[("x-a_b", "1"), ("x_a-b", "1")]), Err(Refusal::UnderscoreName));
}

#[test]
fn pseudo_fields_that_would_be_something_else() {
    for path in [
        &b""[..],
        b"/`",
        b"a",
        b"/a b",
        b"/a HTTP/1.1\r\nx: ",
        b"/\0",
        b"/#a",
        b"*",
        b"?a",
        b"http://b/",
        b"/\xc3\xa4",
    ] {
        assert_eq!(with(Pseudo { path, ..PSEUDO }, &[]), Err(Refusal::Target), "{path:?}");
    }
    for scheme in [&b""[..], b"ftp", b"http\r\n", b"http://a/"] {
        assert_eq!(with(Pseudo { scheme, ..PSEUDO }, &[]), Err(Refusal::Target), "{scheme:?}");
    }
    for method in [&b""[..], b"GET /x", b"G\nT"] {
        assert_eq!(with(Pseudo { method, ..PSEUDO }, &[]), Err(Refusal::RequestLine), "{method:?}");
    }
    for authority in [&b""[..], b"u@a", b"a/b", b"a b", b"a:x"] {
        let pseudo = Pseudo { authority: Some(authority), ..PSEUDO };
        assert_eq!(with(pseudo, &[]), Err(Refusal::Host), "{authority:?}");
    }
    assert_eq!(with(Pseudo { authority: None, ..PSEUDO }, &[]), Err(Refusal::HostMissing));
}
