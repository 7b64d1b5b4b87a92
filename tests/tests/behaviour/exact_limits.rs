//! Limits on what a client sends, each at exactly what it allows and at one more, over HTTP/1.1 and over HTTP/2.

use gateway_tests::{Gateway, Http2, Origin, Request, raw_frames};
use raw_frames::{RawHttp2, block, flag, frame, kind, remembered, request};

const HEAD: usize = 8192;
const HEADERS: usize = 10;
const URI: usize = 256;
const BODY: usize = 1000;
const CONFIG: &str = "
listeners: [{name: web, bind: '127.0.0.1:0', limits: {head: 8KiB, headers: 10, uri: 256B}}]
routes: [{to: origin, maxBody: 1000B}]
upstreams: {origin: 'ORIGIN'}
";

struct Case {
    fits: Request,
    over: Request,
    status: u16,
    reason: &'static str,
}

fn origin_and_gateway() -> (Origin, Gateway) {
    let origin = Origin::echoing();
    let gateway = Gateway::with(CONFIG).set("ORIGIN", origin.address()).start();
    (origin, gateway)
}

/// What is allowed passes, one more is refused and logged, and neither ever spoils the next.
fn assert_exact(cases: &[Case], mut send: impl FnMut(&Gateway, &Request) -> u16) {
    for Case { fits, over, status, reason } in cases {
        let (origin, gateway) = origin_and_gateway();
        assert_eq!(send(&gateway, fits), 200, "{fits:?}");
        assert_eq!(send(&gateway, over), *status, "one more than {fits:?}");
        assert_eq!(send(&gateway, fits), 200, "once more: {fits:?}");
        gateway.await_replies(reason, 1);
        let lines = gateway.await_access_lines(3);
        let refused = lines.iter().find(|line| line["response_code_details"] == *reason);
        assert_eq!(refused.expect("a line")["response_code"], *status, "{lines:?}");
        assert_eq!(origin.received().len(), 2, "what is refused goes nowhere");
    }
}

fn with_headers(number: usize) -> Request {
    (0..number).fold(Request::get("/"), |request, index| request.header(&format!("x-{index}"), "v"))
}

fn with_target(length: usize) -> Request {
    Request::get(&format!("/{}", "x".repeat(length - 1)))
}

#[test]
fn over_http_1_each_limit_holds_to_the_byte() {
    let with_head = |length: usize| {
        let empty = Request::get("/").header("x-pad", "").bytes().len();
        Request::get("/").header("x-pad", &"x".repeat(length - empty))
    };
    let body = |length: usize| "x".repeat(length);
    let chunks = |length: usize| Request::new("POST", "/").chunked(body(length).as_bytes().chunks(300));
    // `host` is a header line, too.
    let cases = [
        (with_head(HEAD), with_head(HEAD + 1), 431, "head_too_large"),
        (with_headers(HEADERS - 1), with_headers(HEADERS), 431, "head_too_large"),
        (with_target(URI), with_target(URI + 1), 414, "uri_too_long"),
        (Request::post("/", body(BODY)), Request::post("/", body(BODY + 1)), 413, "body_too_large"),
        (chunks(BODY), chunks(BODY + 1), 413, "body_too_large"),
    ]
    .map(|(fits, over, status, reason)| Case { fits, over, status, reason });
    assert_exact(&cases, |gateway, request| gateway.send(request).status);
}

#[test]
fn over_http_2_each_limit_holds_to_the_byte() {
    const FIELD: usize = 32;
    let size = |fields: &[(&str, &str)]| -> usize {
        fields.iter().map(|(name, value)| name.len() + value.len() + FIELD).sum()
    };
    let rest = size(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "test.example"),
        (":path", "/"),
        ("x-pad", ""),
    ]);
    let with_head = |length: usize| Request::get("/").header("x-pad", &"x".repeat(length - rest));
    let body = |length: usize| "x".repeat(length);
    let cases = [
        (with_head(HEAD), with_head(HEAD + 1), 431, "head_too_large"),
        (with_headers(HEADERS), with_headers(HEADERS + 1), 431, "head_too_large"),
        (with_target(URI), with_target(URI + 1), 414, "uri_too_long"),
        (Request::post("/", body(BODY)), Request::post("/", body(BODY + 1)), 413, "body_too_large"),
    ]
    .map(|(fits, over, status, reason)| Case { fits, over, status, reason });
    assert_exact(&cases, |gateway, request| Http2::connect(gateway.address()).send(request).status);
}

#[test]
fn a_body_of_no_declared_length_over_http_2_is_stopped_at_the_limit() {
    let (origin, gateway) = origin_and_gateway();
    let mut client = RawHttp2::connect(gateway.address(), &[]);
    for (stream, length) in [(1, BODY), (3, BODY + 1)] {
        let head = frame(kind::HEADERS, flag::END_HEADERS, stream, &block(&request("POST", "/")));
        client.send(&head).unwrap();
        client.send(&frame(kind::DATA, flag::END_STREAM, stream, &vec![b'x'; length])).unwrap();
        client.await_end(stream);
    }
    gateway.await_replies("body_too_large", 1);
    assert_eq!(origin.only_request().body.len(), BODY);
}

#[test]
fn the_parts_of_a_cookie_count_one_by_one_in_bytes_and_once_in_number() {
    let (origin, gateway) = origin_and_gateway();
    let client = Http2::connect(gateway.address());
    let with_crumbs = |number: usize, length: usize| {
        (0..number).fold(Request::get("/"), |request, _| request.header("cookie", &"c".repeat(length)))
    };
    // 50 parts are one header; 8192 bytes are reached by what they have together.
    assert_eq!(client.send(&with_crumbs(50, 10)).status, 200);
    assert_eq!(origin.only_request().headers.all("cookie").len(), 1);
    assert_eq!(client.send(&with_crumbs(50, 200)).status, 431);
    gateway.await_replies("head_too_large", 1);
}

#[test]
fn a_few_bytes_that_stand_for_many_cookies_are_counted_as_many() {
    let (origin, gateway) = origin_and_gateway();
    let mut client = RawHttp2::connect(gateway.address(), &[]);
    let cookie = "c".repeat(3000);
    for stream in (1..400).step_by(2) {
        // Each 0xbe is the cookie once more: four are 12 KiB.
        let mut head = block(&request("GET", "/"));
        match stream {
            1 => head.extend(remembered("cookie", &cookie)),
            _ => head.push(0xbe),
        }
        head.extend([0xbe; 3]);
        client.send(&frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, stream, &head)).unwrap();
        client.await_end(stream);
    }
    gateway.await_replies("head_too_large", 200);
    // Far beyond the limit there is no answer: the connection ends.
    let mut bomb = block(&request("GET", "/"));
    bomb.extend([0xbe; 1000]);
    client.send(&frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 401, &bomb)).unwrap();
    assert_eq!(client.await_end_of_all().map(|farewell| farewell.code), Some(11));
    assert!(origin.received().is_empty());
}
