//! What guests may read and write, and what is refused.

use std::rc::Rc;
use std::time::SystemTime;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode, Version};
use proxy_wasm_host::{Status, StreamAccess, StreamBuffer, StreamMap};

use super::{StreamFacts, StreamState, Writable};
use crate::worker::WorkerState;

fn stream() -> StreamState {
    let facts = StreamFacts {
        state: Rc::new(WorkerState::empty()),
        started: SystemTime::UNIX_EPOCH,
        version: Version::HTTP_11,
        client: "192.0.2.1:4000".parse().unwrap(),
        scheme: gateway_config::Scheme::Http,
        local: "192.0.2.2:80".parse().unwrap(),
        connection_id: 7,
        listener: "web".into(),
        paths: gateway_config::PathPolicy::STRICT,
        tls: None,
    };
    let mut headers = HeaderMap::new();
    headers.insert("host", "shop.example".parse().unwrap());
    headers.append("x-a", "1".parse().unwrap());
    headers.append("x-a", "2".parse().unwrap());
    let mut stream = StreamState::new(facts, Method::GET, PathAndQuery::from_static("/p?q=1"), headers);
    stream.writable = Writable { request_head: true, ..Writable::default() };
    stream
}

fn all(stream: &StreamState, map: StreamMap) -> Vec<(String, String)> {
    let mut seen = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    stream.visit_headers(map, &mut |name, value| seen.push((text(name), text(value)))).unwrap();
    seen
}

fn property(stream: &StreamState, path: &str) -> Result<Vec<u8>, Status> {
    let path: Vec<&[u8]> = path.split('.').map(str::as_bytes).collect();
    let mut out = Vec::new();
    stream.property(&path, &mut out).map(|()| out)
}

#[test]
fn pseudo_headers_come_first_and_host_is_one_of_them() {
    let stream = stream();
    let names: Vec<_> = all(&stream, StreamMap::RequestHeaders).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, [":authority", ":path", ":method", ":scheme", "x-a", "x-a"]);
    let read = |name: &str| stream.header(StreamMap::RequestHeaders, name.as_bytes()).unwrap();
    assert_eq!(read("host"), Some(&b"shop.example"[..]));
    assert_eq!(read(":authority"), Some(&b"shop.example"[..]));
    assert_eq!(read("x-a"), Some(&b"1"[..]), "the first value only, as Envoy");
    assert_eq!(read("not a header name"), None);
}

#[test]
fn illegal_names_and_values_are_refused_and_change_nothing() {
    let mut stream = stream();
    let before = all(&stream, StreamMap::RequestHeaders);
    for (name, value) in [
        ("x-b", "a\rb"),
        ("x-b", "a\nb"),
        ("x-b", "a\0b"),
        ("x b", "v"),
        ("", "v"),
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        (":path", "no-slash"),
        (":path", "/a b"),
        (":method", "G T"),
        (":authority", "a\r\nb"),
        (":unknown", "v"),
    ] {
        let (name, value) = (name.as_bytes(), value.as_bytes());
        for outcome in [
            stream.add_header(StreamMap::RequestHeaders, name, value),
            stream.replace_header(StreamMap::RequestHeaders, name, value),
            stream.set_headers(StreamMap::RequestHeaders, &[(b"x-ok", b"1"), (name, value)]),
        ] {
            assert_eq!(outcome, Err(Status::BadArgument), "{name:?}: {value:?}");
        }
        assert_eq!(all(&stream, StreamMap::RequestHeaders), before);
    }
    for name in [":path", ":method", ":authority", "host"] {
        let removed = stream.remove_header(StreamMap::RequestHeaders, name.as_bytes());
        assert_eq!(removed, Err(Status::BadArgument), "{name}");
    }
}

#[test]
fn writes_need_the_right_phase_and_reads_do_not() {
    let mut stream = stream();
    stream.writable = Writable::default();
    assert_eq!(stream.add_header(StreamMap::RequestHeaders, b"x-b", b"1"), Err(Status::BadArgument));
    assert_eq!(stream.header(StreamMap::RequestHeaders, b"x-a"), Ok(Some(&b"1"[..])));
    assert_eq!(stream.header(StreamMap::ResponseHeaders, b":status"), Err(Status::BadArgument));
    assert_eq!(stream.header(StreamMap::RequestTrailers, b"x"), Err(Status::BadArgument));

    stream.status = Some(StatusCode::OK);
    stream.writable.response_head = true;
    assert_eq!(
        stream.replace_header(StreamMap::ResponseHeaders, b":status", b"99"),
        Err(Status::BadArgument)
    );
    assert_eq!(stream.replace_header(StreamMap::ResponseHeaders, b":status", b"418"), Ok(()));
    assert_eq!(stream.header(StreamMap::ResponseHeaders, b":status"), Ok(Some(&b"418"[..])));

    stream.writable.response_trailers = true;
    assert_eq!(stream.add_header(StreamMap::ResponseTrailers, b"x-t", b"1"), Ok(()));
    assert_eq!(
        stream.add_header(StreamMap::ResponseTrailers, b"content-length", b"1"),
        Err(Status::BadArgument)
    );
}

#[test]
fn replacing_the_map_keeps_what_a_request_cannot_be_without() {
    let mut stream = stream();
    stream.set_headers(StreamMap::RequestHeaders, &[(b"x-b", b"1"), (b":path", b"/new")]).unwrap();
    let expected = [
        (":authority", "shop.example"),
        (":path", "/new"),
        (":method", "GET"),
        (":scheme", "http"),
        ("x-b", "1"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(all(&stream, StreamMap::RequestHeaders), expected);
    assert!(stream.routing_changed);
}

#[test]
fn body_edits_need_a_body_callback() {
    let mut stream = stream();
    assert_eq!(stream.splice_body(StreamBuffer::RequestBody, 0..0, b"x"), Err(Status::BadArgument));
    stream.request_body.open(Bytes::from_static(b"hello"));
    stream.splice_body(StreamBuffer::RequestBody, 1..3, b"EY").unwrap();
    stream.splice_body(StreamBuffer::RequestBody, 5..5, b"!").unwrap();
    assert_eq!(stream.splice_body(StreamBuffer::RequestBody, 3..9, b""), Err(Status::BadArgument));
    assert_eq!(stream.body(StreamBuffer::RequestBody), b"hEYlo!");
    assert_eq!(stream.request_body.close(), (Bytes::from_static(b"hEYlo!"), true));

    stream.request_body.open(Bytes::from_static(b"untouched"));
    assert_eq!(stream.request_body.close(), (Bytes::from_static(b"untouched"), false));
}

#[test]
fn properties_have_envoys_wire_forms() {
    let mut stream = stream();
    stream.route_name = Some("reviews".into());
    let integer = |value: u64| Ok(value.to_le_bytes().to_vec());
    let text = |value: &str| Ok(value.as_bytes().to_vec());
    for (path, expected) in [
        ("request.path", text("/p?q=1")),
        ("request.url_path", text("/p")),
        ("request.query", text("q=1")),
        ("request.method", text("GET")),
        ("request.host", text("shop.example")),
        ("request.headers.x-a", text("1")),
        ("request.protocol", text("HTTP/1.1")),
        ("request.time", integer(0)),
        ("request", Err(Status::SerializationFailure)),
        ("request.nothing", Err(Status::NotFound)),
        ("response.code", Err(Status::NotFound)),
        ("source.address", text("192.0.2.1:4000")),
        ("source.port", integer(4000)),
        ("destination.port", integer(80)),
        ("connection.id", integer(7)),
        ("connection.mtls", Ok(vec![0])),
        ("route_name", text("reviews")),
        ("xds.route_name", text("reviews")),
        ("cluster_name", Err(Status::NotFound)),
        ("upstream.address", Err(Status::NotFound)),
        ("nothing", Err(Status::NotFound)),
    ] {
        assert_eq!(property(&stream, path), expected, "{path}");
    }
    stream.status = Some(StatusCode::NOT_FOUND);
    assert_eq!(property(&stream, "response.code"), integer(404));
}

#[test]
fn stored_properties_are_bounded_and_never_shadow() {
    let mut stream = stream();
    stream.set_property(&[b"mine", b"x"], b"v").unwrap();
    assert_eq!(property(&stream, "mine.x"), Ok(b"v".to_vec()));
    stream.set_property(&[b"request", b"path"], b"/other").unwrap();
    assert_eq!(property(&stream, "request.path"), Ok(b"/p?q=1".to_vec()));
    let big = vec![0; super::MAX_STORED_PROPERTY_BYTES];
    assert_eq!(stream.set_property(&[b"big"], &big), Err(Status::InternalFailure));
    for _ in 0..10 {
        stream.set_property(&[b"same"], &big[..40_000]).unwrap();
    }
}

#[test]
fn an_upgrade_can_be_left_out_and_not_be_changed() {
    let mut stream = stream();
    stream.request_headers.insert("upgrade", "websocket".parse().unwrap());
    stream.request_headers.insert("connection", "upgrade".parse().unwrap());
    let map = StreamMap::RequestHeaders;
    let same = [(&b"connection"[..], &b"upgrade"[..]), (b"upgrade", b"websocket"), (b"x-a", b"1")];
    assert_eq!(stream.set_headers(map, &same), Ok(()));
    assert_eq!(stream.header(map, b"upgrade"), Ok(Some(&b"websocket"[..])));
    let other = [(&b"connection"[..], &b"upgrade"[..]), (b"upgrade", b"h2c")];
    assert_eq!(stream.set_headers(map, &other), Err(Status::BadArgument));
    assert_eq!(stream.replace_header(map, b"upgrade", b"h2c"), Err(Status::BadArgument));
    assert_eq!(stream.set_headers(map, &[(b"x-a", b"1")]), Ok(()));
    assert_eq!(stream.header(map, b"upgrade"), Ok(None));
    assert_eq!(stream.set_headers(map, &same), Err(Status::BadArgument), "nobody can bring one along");
}
