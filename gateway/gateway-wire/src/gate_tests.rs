//! Tables of what passes and what does not, each in one piece and byte by byte.

use super::{Expected, Limits, Next, RequestGate, ResponseGate, Scan};
use crate::Refusal;

const LIMITS: Limits = Limits { head_bytes: 65536, headers: 100 };

/// Shows bytes to a gate in pieces of `size`, and with each what had to wait: what passed, and the refusal if there is one.
fn in_pieces(bytes: &[u8], size: usize, mut scan: impl FnMut(&[u8]) -> Scan) -> (usize, Option<Refusal>) {
    let (mut passed, mut shown) = (0, 0);
    while shown < bytes.len() {
        shown = (shown + size).min(bytes.len());
        let scan = scan(&bytes[passed..shown]);
        passed += scan.passed;
        match scan.next {
            Next::Refused(refusal) => return (passed, Some(refusal)),
            Next::Hold => return (passed, None),
            Next::More => {}
        }
    }
    (passed, None)
}

/// What the gate makes of a client's bytes, however they arrive: what passed, and the refusal.
fn request(bytes: &[u8]) -> (usize, Option<Refusal>) {
    let whole = in_pieces(bytes, bytes.len(), |bytes| RequestGate::new(LIMITS).scan(bytes));
    for size in [1, 2, 3, 7] {
        let mut gate = RequestGate::new(LIMITS);
        let pieces = in_pieces(bytes, size, |bytes| gate.scan(bytes));
        assert_eq!(pieces, whole, "in pieces of {size}: {:?}", String::from_utf8_lossy(bytes));
    }
    whole
}

fn response(bytes: &[u8], expected: Expected) -> (usize, Option<Refusal>) {
    let gate = || {
        let mut gate = ResponseGate::new(LIMITS);
        gate.expect(expected);
        gate
    };
    let whole = in_pieces(bytes, bytes.len(), |bytes| gate().scan(bytes));
    for size in [1, 2, 3, 7] {
        let mut gate = gate();
        let pieces = in_pieces(bytes, size, |bytes| gate.scan(bytes));
        assert_eq!(pieces, whole, "in pieces of {size}: {:?}", String::from_utf8_lossy(bytes));
    }
    whole
}

fn with(fields: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n\r\n").into_bytes()
}

#[test]
fn what_has_one_meaning_passes_whole() {
    for message in [
        "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET http://b.example:80/x?y HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nhost: [::1]:80\r\n\r\n",
        "GET / HTTP/1.1\r\nhost:\ta \r\nx:\r\nx_y: \u{e4}\t1\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nhost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: \tCHUNKED \r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nA;x=\"y\"\r\n0123456789\r\n00\r\nx: y\r\n\r\n\
         POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
    ] {
        assert_eq!(request(message.as_bytes()), (message.len(), None), "{message:?}");
    }
}

#[test]
fn header_lines_with_two_readings_are_refused() {
    use Refusal::{
        BareCr, BareLf, CodingInHttp10, ContentLength, ControlByte, FoldedLine, HeaderName, Host,
        HostMissing, HostRepeated, LengthAndCoding, SpaceBeforeColon, TransferCoding, TransferEncoding,
        UnderscoreName,
    };
    for (fields, refusal) in [
        ("content-length: 5\r\ntransfer-encoding: chunked", LengthAndCoding),
        ("transfer-encoding: chunked\r\ncontent-length: 5", LengthAndCoding),
        ("content-length: 5\r\ncontent-length: 5", ContentLength),
        ("content-length: 5\r\ncontent-length: 6", ContentLength),
        ("content-length: 5, 5", ContentLength),
        ("content-length: +5", ContentLength),
        ("content-length: -1", ContentLength),
        ("content-length: 0x5", ContentLength),
        ("content-length: 05", ContentLength),
        ("content-length:", ContentLength),
        ("content-length: 5 5", ContentLength),
        ("content-length: 18446744073709551617", ContentLength),
        ("transfer-encoding: gzip, chunked", TransferCoding),
        ("transfer-encoding: identity", TransferCoding),
        ("transfer-encoding: chunked;q=1, gzip", TransferCoding),
        ("transfer-encoding: chunked, chunked", TransferEncoding),
        ("transfer-encoding: chunked\r\ntransfer-encoding: chunked", TransferEncoding),
        ("transfer-encoding: ,chunked", TransferEncoding),
        ("transfer-encoding: chunked,", TransferEncoding),
        ("transfer-encoding: \"chunked\"", TransferEncoding),
        ("transfer-encoding:", TransferEncoding),
        ("transfer-encoding: \u{b}chunked", TransferEncoding),
        ("x: \u{b}y", ControlByte),
        ("x: \0", ControlByte),
        ("x: \u{7f}", ControlByte),
        ("x\0y: z", HeaderName),
        ("x: y\n z: 1", BareLf),
        ("x: y\nz: 1", BareLf),
        ("x: y\rz: 1", BareCr),
        ("x: y\r\r\nz: 1", BareCr),
        ("x: y\r\n z", FoldedLine),
        ("x: y\r\n\tz", FoldedLine),
        ("x : y", SpaceBeforeColon),
        ("transfer-encoding : chunked", SpaceBeforeColon),
        ("x\t: y", SpaceBeforeColon),
        ("x y: z", HeaderName),
        (": y", HeaderName),
        ("no colon", HeaderName),
        ("(x): y", HeaderName),
        ("\u{e4}: y", HeaderName),
        ("host: b", HostRepeated),
        ("Host: a", HostRepeated),
        ("content_length: 5", UnderscoreName),
        ("Transfer_Encoding: chunked", UnderscoreName),
        ("x-y: 1\r\nX_y: 2", UnderscoreName),
        ("x_y: 1\r\nx-Y: 2", UnderscoreName),
    ] {
        let bytes = with(fields);
        assert_eq!(request(&bytes), (0, Some(refusal)), "{fields:?}");
    }
    for host in ["", "a b", "u@a", "a/b", "a,b", "a:b", "a:99999"] {
        let bytes = format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n");
        assert_eq!(request(bytes.as_bytes()), (0, Some(Host)), "{host:?}");
    }
    assert_eq!(request(b"GET / HTTP/1.1\r\nx: y\r\n\r\n"), (0, Some(HostMissing)));
    assert_eq!(request(b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n"), (0, Some(CodingInHttp10)));
    // The same names twice are a list, not a collision.
    assert_eq!(request(&with("x_y: 1\r\nX_y: 2")).1, None);
}

#[test]
fn first_lines_with_two_readings_are_refused() {
    use Refusal::{BareLf, Connect, RequestLine, Target, Version};
    for (line, refusal) in [
        ("GET  / HTTP/1.1", RequestLine),
        ("GET /", RequestLine),
        ("GET", RequestLine),
        (" GET / HTTP/1.1", RequestLine),
        ("GET / HTTP/1.1 ", RequestLine),
        ("GET\t/ HTTP/1.1", RequestLine),
        ("GET / x HTTP/1.1", RequestLine),
        ("G(T / HTTP/1.1", RequestLine),
        ("GET / http/1.1", RequestLine),
        ("GET / HTTP/0.9", Version),
        ("GET / HTTP/1.2", Version),
        ("GET / HTTP/2.0", Version),
        ("GET / HTTP/1.10", Version),
        ("GET / HTTP/01.1", Version),
        ("CONNECT a:443 HTTP/1.1", Connect),
        ("GET a HTTP/1.1", Target),
        ("GET * HTTP/1.1", Target),
        ("GET /a#b HTTP/1.1", Target),
        ("GET /\u{e4} HTTP/1.1", Target),
        ("GET /\0 HTTP/1.1", Target),
        ("GET ftp://a/ HTTP/1.1", Target),
        ("GET http:///x HTTP/1.1", Target),
        ("GET http://u@a/ HTTP/1.1", Target),
        ("GET http://a:x/ HTTP/1.1", Target),
        ("GET //<a> HTTP/1.1", Target),
        ("GET / HTTP/1.1\nx: y", BareLf),
        ("\n", BareLf),
        ("\r\n\r\nGET / HTTP/1.1", RequestLine),
    ] {
        let bytes = format!("{line}\r\nhost: a\r\n\r\n");
        assert_eq!(request(bytes.as_bytes()), (0, Some(refusal)), "{line:?}");
    }
}

#[test]
fn chunks_that_end_elsewhere_for_others_are_refused() {
    use Refusal::{
        BareCr, BareLf, ChunkEnd, ChunkSize, ControlByte, FoldedLine, HeaderName, SpaceBeforeColon,
    };
    let head = with("transfer-encoding: chunked");
    for (body, before, refusal) in [
        ("0x5\r\n", 1, ChunkSize),
        ("+5\r\n", 0, ChunkSize),
        ("-1\r\n", 0, ChunkSize),
        (" 5\r\n", 0, ChunkSize),
        ("5 \r\n", 1, ChunkSize),
        ("5\t;x\r\n", 1, ChunkSize),
        ("1_0\r\n", 1, ChunkSize),
        ("\r\n", 0, ChunkSize),
        (";x\r\n", 0, ChunkSize),
        ("g\r\n", 0, ChunkSize),
        ("fffffffffffffffff\r\n", 15, ChunkSize),
        ("0000000000000005\r\n", 15, ChunkSize),
        ("5\nhello\r\n", 1, BareLf),
        ("5\rhello\r\n", 2, BareCr),
        ("5;x\nhello\r\n", 3, BareLf),
        ("5;x\ry\r\n", 4, BareCr),
        ("5;\0\r\n", 2, ControlByte),
        ("5\r\nhello5\r\n", 8, ChunkEnd),
        ("5\r\nhello\n", 8, ChunkEnd),
        ("5\r\nhello\rx", 9, ChunkEnd),
        ("5\r\nhello!\r\n", 8, ChunkEnd),
        ("0\r\nx: y\n\r\n", 7, BareLf),
        ("0\r\nx: y\rz", 8, BareCr),
        ("0\r\nx\r\n", 5, HeaderName),
        ("0\r\nx : y\r\n", 9, SpaceBeforeColon),
        ("0\r\nx: y\r\n z\r\n", 12, FoldedLine),
        ("0\r\nx: \0\r\n", 8, ControlByte),
    ] {
        let bytes = [&head, body.as_bytes()].concat();
        assert_eq!(request(&bytes), (head.len() + before, Some(refusal)), "{body:?}");
    }
}

#[test]
fn limits_are_exact() {
    let small = Limits { head_bytes: 64, headers: 2 };
    let scan = |bytes: &str| {
        let mut gate = RequestGate::new(small);
        in_pieces(bytes.as_bytes(), 5, |bytes| gate.scan(bytes)).1
    };
    let of = |length: usize| format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(length));
    let room = 64 - of(0).len();
    assert_eq!(scan(&of(room)), None);
    assert_eq!(scan(&of(room + 1)), Some(Refusal::HeadTooLarge));
    assert_eq!(scan("GET / HTTP/1.1\r\nhost: a\r\nx: 1\r\n\r\n"), None);
    assert_eq!(scan("GET / HTTP/1.1\r\nhost: a\r\nx: 1\r\ny: 1\r\n\r\n"), Some(Refusal::TooManyHeaders));

    let head = with("transfer-encoding: chunked");
    let chunked = |body: String| request(&[&head, body.as_bytes()].concat()).1;
    let extension = |length: usize| format!("0;{}\r\n\r\n", "x".repeat(length - 1));
    assert_eq!(chunked(extension(super::MAX_EXTENSION_BYTES)), None);
    assert_eq!(chunked(extension(super::MAX_EXTENSION_BYTES + 1)), Some(Refusal::ChunkExtensions));
    // Many small ones are as bad as a large one.
    assert_eq!(chunked("1;x\r\ny\r\n".repeat(2049)), Some(Refusal::ChunkExtensions));
    let trailers = |number: usize| format!("0\r\n{}\r\n", "x: y\r\n".repeat(number));
    assert_eq!(chunked(trailers(super::MAX_TRAILERS)), None);
    assert_eq!(chunked(trailers(super::MAX_TRAILERS + 1)), Some(Refusal::Trailers));
    let trailer = |length: usize| format!("0\r\nx: {}\r\n\r\n", "y".repeat(length - 5));
    assert_eq!(chunked(trailer(super::MAX_TRAILER_BYTES)), None);
    assert_eq!(chunked(trailer(super::MAX_TRAILER_BYTES + 1)), Some(Refusal::Trailers));
}

#[test]
fn what_follows_a_request_for_another_protocol_waits() {
    let ask = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\r\n";
    let next = b"GET /next HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut gate = RequestGate::new(LIMITS);
    let bytes = [&ask[..], next].concat();
    assert_eq!(gate.scan(&bytes), Scan { passed: ask.len(), next: Next::Hold });
    assert_eq!(gate.scan(next), Scan { passed: 0, next: Next::Hold });
    gate.stays();
    assert_eq!(gate.scan(next), Scan { passed: next.len(), next: Next::More });
    assert_eq!(gate.heads(), 2);

    let mut gate = RequestGate::new(LIMITS);
    assert_eq!(gate.scan(ask).passed, ask.len());
    gate.open();
    assert_eq!(gate.scan(b"\n\0"), Scan { passed: 2, next: Next::More });
}

#[test]
fn nothing_passes_after_a_refusal() {
    let mut gate = RequestGate::new(LIMITS);
    assert_eq!(gate.scan(b"GET / HTTP/1.1\n").next, Next::Refused(Refusal::BareLf));
    assert_eq!(
        gate.scan(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"),
        Scan { passed: 0, next: Next::Refused(Refusal::BareLf) }
    );
    let mut gate = RequestGate::new(LIMITS);
    let head = with("transfer-encoding: chunked");
    assert_eq!(gate.scan(&[&head, &b"x"[..]].concat()).passed, head.len());
    assert_eq!(gate.scan(b"0\r\n\r\n"), Scan { passed: 0, next: Next::Refused(Refusal::ChunkSize) });
}

#[test]
fn responses_with_one_meaning_pass_whole() {
    for (message, expected) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", Expected::Any),
        ("HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n", Expected::Any),
        ("HTTP/1.0 200 \r\n\r\nuntil the end\n\0", Expected::Any),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", Expected::Any),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", Expected::NoBody),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", Expected::NoBody),
        ("HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", Expected::Any),
        ("HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", Expected::Any),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\n\r\nHTTP/1.1 599 X\r\ncontent-length: 0\r\n\r\n",
            Expected::Any,
        ),
        ("HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n\0\n whatever", Expected::Switch),
        ("HTTP/1.1 426 No\r\ncontent-length: 1\r\n\r\nx", Expected::Switch),
    ] {
        assert_eq!(response(message.as_bytes(), expected), (message.len(), None), "{message:?}");
    }
}

#[test]
fn responses_with_two_readings_are_refused() {
    use Refusal::{
        BareLf, BodyNotAllowed, CodingInHttp10, ContentLength, ControlByte, FoldedLine, LengthAndCoding,
        Status, StatusLine, TransferCoding, UnaskedSwitch, Version,
    };
    for (message, refusal) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n", LengthAndCoding),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\n", ContentLength),
        ("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", ContentLength),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n", TransferCoding),
        ("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", CodingInHttp10),
        ("HTTP/1.1 200 OK\r\nx: y\r\n z\r\n\r\n", FoldedLine),
        ("HTTP/1.1 200 OK\r\nx: \0\r\n\r\n", ControlByte),
        ("HTTP/1.1 200 O\0K\r\n\r\n", ControlByte),
        ("HTTP/1.1 200 OK\n\n", BareLf),
        ("HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n", BodyNotAllowed),
        ("HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n", BodyNotAllowed),
        ("HTTP/1.1 103 Early\r\ncontent-length: 5\r\n\r\n", BodyNotAllowed),
        ("HTTP/1.1 000 Zero\r\n\r\n", Status),
        ("HTTP/1.1 999 Much\r\n\r\n", Status),
        ("HTTP/1.1 99 Few\r\n\r\n", StatusLine),
        ("HTTP/1.1 2000 Many\r\n\r\n", StatusLine),
        ("HTTP/1.1 2x0 OK\r\n\r\n", StatusLine),
        ("HTTP/1.1 banana\r\n\r\n", StatusLine),
        ("HTTP/2.0 200 OK\r\n\r\n", Version),
        ("ICY 200 OK\r\n\r\n", StatusLine),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", StatusLine),
        ("HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n", UnaskedSwitch),
    ] {
        assert_eq!(response(message.as_bytes(), Expected::Any), (0, Some(refusal)), "{message:?}");
    }
}

#[test]
fn what_belongs_to_no_response_is_refused() {
    let message = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let twice = [&message[..], message].concat();
    assert_eq!(response(&twice, Expected::Any), (message.len(), Some(Refusal::Surplus)));
    assert_eq!(response(b"HTTP/1.1 304 X\r\n\r\nx", Expected::Any), (18, Some(Refusal::Surplus)));
    let mut gate = ResponseGate::new(LIMITS);
    assert!(gate.is_idle());
    assert_eq!(gate.scan(message), Scan { passed: 0, next: Next::Refused(Refusal::Surplus) });
    assert!(!gate.is_idle());
}

#[test]
fn interim_responses_are_counted_for_each_request() {
    let interim = "HTTP/1.1 103 Early Hints\r\n\r\n";
    let mut gate = ResponseGate::new(LIMITS);
    for _ in 0..2 {
        gate.expect(Expected::Any);
        let eight = interim.repeat(super::MAX_INTERIM_RESPONSES);
        assert_eq!(gate.scan(eight.as_bytes()), Scan { passed: eight.len(), next: Next::More });
        assert_eq!(gate.scan(b"HTTP/1.1 204 X\r\n\r\n").passed, 18);
        assert!(gate.is_idle());
    }
    let nine = interim.repeat(super::MAX_INTERIM_RESPONSES + 1);
    assert_eq!(response(nine.as_bytes(), Expected::Any).1, Some(Refusal::TooManyInterim));
}
