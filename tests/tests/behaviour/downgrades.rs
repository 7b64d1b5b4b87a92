//! Requests of HTTP/2 that HTTP/1 cannot say, or would be read as something else in it: none reaches the upstream, which
//! speaks HTTP/1. Sent as bytes: no library would.

use gateway_tests::{Gateway, Http2Raw, Origin, Outcome};

type Field<'a> = (&'a [u8], &'a [u8]);

const GET: [Field<'_>; 4] =
    [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/a"), (b":authority", b"a.example")];

/// The request that all others are made of, with one field replaced or added.
fn with<'a>(field: Field<'a>) -> Vec<Field<'a>> {
    let mut fields: Vec<Field<'a>> = GET.to_vec();
    match fields.iter_mut().find(|(name, _)| *name == field.0) {
        Some(place) => *place = field,
        None => fields.push(field),
    }
    fields
}

/// None of these is answered with anything but 400, and the origin hears of none.
fn refused(requests: &[(Vec<Field<'_>>, Option<&[u8]>)]) -> usize {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).start();
    let mut answered = 0;
    for (fields, body) in requests {
        let outcome = Http2Raw::connect(gateway.address()).send(fields, *body);
        let shown: Vec<_> = fields.iter().map(|(name, value)| [name, &b"="[..], value].concat()).collect();
        let shown: Vec<_> = shown.iter().map(|field| String::from_utf8_lossy(field)).collect();
        assert!(
            matches!(outcome, Outcome::Answered(400) | Outcome::Reset(1) | Outcome::GoAway(1)),
            "{outcome:?} to {shown:?}"
        );
        answered += usize::from(outcome == Outcome::Answered(400));
    }
    assert!(origin.received().is_empty(), "{:#?}", origin.received());
    assert!(origin.malformed().is_empty(), "{:#?}", origin.malformed());
    assert_eq!(origin.connections(), 0, "the upstream heard of it");
    // The others were reset before there was a request.
    let lines = gateway.await_access_lines(answered);
    assert_eq!(lines.len(), answered, "{lines:#?}");
    for line in &lines {
        assert_eq!(line["response_flags"], "DPE", "{line}");
        assert_ne!(line["response_code_details"], "bad_request", "{line}");
    }
    answered
}

#[test]
fn an_ordinary_request_reaches_the_upstream() {
    let origin = Origin::echoing();
    let gateway = Gateway::to(&origin).start();
    let mut client = Http2Raw::connect(gateway.address());
    assert_eq!(client.send(&GET, None), Outcome::Answered(200));
    let fields =
        [with((b"content-length", b"5")), vec![(b"host", b"A.example"), (b"te", b"trailers")]].concat();
    assert_eq!(client.send(&fields, Some(b"hello")), Outcome::Answered(200));
    let request = origin.last_request();
    assert_eq!((request.text().as_str(), request.header("host")), ("hello", Some("a.example")));
    assert!(origin.malformed().is_empty());
}

#[test]
fn fields_that_would_be_lines_of_their_own_are_refused() {
    let values: [&[u8]; 8] = [
        b"1\r\ny: 2",
        b"1\ny: 2",
        b"1\ry",
        b"\0",
        b"1\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a",
        b" 1",
        b"1 ",
        b"\t1",
    ];
    let names: [&[u8]; 10] = [
        b"x:",
        b"x: y",
        b"x y",
        b"x\r\ny",
        b"x\ny",
        b"\0",
        b"",
        b"X",
        b":x",
        b"transfer-encoding: chunked\r\nx",
    ];
    let mut requests: Vec<_> = values.iter().map(|value| (with((b"x", value)), None)).collect();
    requests.extend(names.iter().map(|name| (with((name, b"1")), None)));
    assert!(refused(&requests) >= 3, "the gateway's own");
}

#[test]
fn pseudo_fields_that_would_be_more_than_one_word_are_refused() {
    let fields: Vec<Field<'_>> = vec![
        (b":method", b"GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\nGET"),
        (b":method", b"GET /smuggled"),
        (b":method", b"G\0T"),
        (b":method", b""),
        (b":path", b"/a b"),
        (b":path", b"/a HTTP/1.1\r\nhost: b\r\n\r\n"),
        (b":path", b"/\0"),
        (b":path", b""),
        (b":path", b"a"),
        (b":path", b"?a"),
        (b":path", b"*"),
        (b":path", b"http://b.example/"),
        (b":path", b"/\xc3\xa4"),
        (b":path", b"/\xff"),
        (b":scheme", b"http://b.example/?"),
        (b":scheme", b"http\r\nx: y"),
        (b":scheme", b"ftp"),
        (b":authority", b"u@a.example"),
        (b":authority", b"a.example/x"),
        (b":authority", b"a.example x"),
        (b":authority", b"a.example\r\nx: y"),
        (b":authority", b"a:b"),
        (b":authority", b"a,b"),
        (b":authority", b""),
    ];
    let requests: Vec<_> = fields.into_iter().map(|field| (with(field), None)).collect();
    refused(&requests);
}

#[test]
fn two_lengths_and_two_hosts_are_refused() {
    let add = |fields: &[Field<'static>]| [&GET[..], fields].concat();
    let refused = |requests: &[(Vec<Field<'_>>, Option<&[u8]>)]| refused(requests);
    refused(&[
        (add(&[(b"transfer-encoding", b"chunked")]), Some(b"0\r\n\r\n")),
        (add(&[(b"transfer_encoding", b"chunked")]), Some(b"0\r\n\r\n")),
        (add(&[(b"content_length", b"5")]), Some(b"hello")),
        (add(&[(b"content-length", b"1")]), None),
        (add(&[(b"content-length", b"5"), (b"content-length", b"5")]), Some(b"hello")),
        (add(&[(b"content-length", b"5"), (b"content-length", b"6")]), Some(b"hello")),
        (add(&[(b"content-length", b"+5")]), Some(b"hello")),
        (add(&[(b"content-length", b"5, 5")]), Some(b"hello")),
        (add(&[(b"connection", b"x")]), None),
        (add(&[(b"keep-alive", b"1")]), None),
        (add(&[(b"proxy-connection", b"close")]), None),
        (add(&[(b"upgrade", b"h2c")]), None),
        (add(&[(b"te", b"gzip")]), None),
        (add(&[(b"host", b"b.example")]), None),
        (add(&[(b"host", b"a.example"), (b"host", b"a.example")]), None),
        (add(&[(b":authority", b"b.example")]), None),
        (add(&[(b":path", b"/b")]), None),
        (add(&[(b"x-user", b"1"), (b"x_user", b"2")]), None),
        (GET[..3].to_vec(), None),
    ]);
}

#[test]
fn a_length_that_the_body_does_not_have_never_makes_a_whole_request() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).start();
    for length in [&b"0"[..], b"4", b"6", b"500"] {
        let fields = with((b"content-length", length));
        for pings in [0, 50] {
            let mut client = Http2Raw::connect(gateway.address());
            let outcome = client.send_in_steps(&fields, Some(b"hello"), pings);
            assert_eq!(outcome, Outcome::Reset(1), "{length:?}");
        }
    }
    // The heads of some are there, and connections that ended in their bodies.
    assert!(origin.received().is_empty(), "{:#?}", origin.received());
    assert!(origin.malformed().is_empty(), "{:#?}", origin.malformed());
    let fields = with((b"content-length", b"0"));
    let outcome = Http2Raw::connect(gateway.address()).send_in_steps(&fields, Some(b""), 50);
    assert_eq!(outcome, Outcome::Answered(200), "a body of no bytes has the length 0");
}
