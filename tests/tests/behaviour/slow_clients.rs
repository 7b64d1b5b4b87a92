//! Clients that send or take too slowly are ended within their time, and nobody else notices.

use std::io::Write;
use std::time::{Duration, Instant};

use gateway_tests::{
    Answer, Authority, Gateway, Origin, Request, TlsClient, eventually, pause, raw_frames, wasm,
};
use raw_frames::{RawHttp2, block, flag, frame, kind, request};

const CONFIG: &str = "
listeners:
  - name: web
    bind: 127.0.0.1:0
    limits: {headRead: 300ms, bodyRate: 1000B, bodyGrace: 300ms, writeStall: 300ms}
routes: [{to: origin, timeout: 0s}]
upstreams: {origin: 'ORIGIN'}
";
/// Far more than the times above, far less than the defaults.
const SOON: Duration = Duration::from_secs(5);
/// Larger than what sockets hold.
const LARGE_BYTES: u64 = 64 << 20;

fn gateway(origin: &Origin) -> Gateway {
    Gateway::with(CONFIG).set("ORIGIN", origin.address()).start()
}

/// Writes a byte at a time, until the other end has had enough.
fn trickle(mut send: impl FnMut(&[u8]) -> std::io::Result<()>, mut is_over: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_over() && Instant::now() < deadline && send(b"x").is_ok() {
        pause(Duration::from_millis(50));
    }
    assert!(Instant::now() < deadline, "still going on");
}

fn cut(gateway: &Gateway, reason: &str) -> f64 {
    gateway.metrics().sum("gateway_listener_connections_cut_total", &[("reason", reason)])
}

#[test]
fn a_body_that_trickles_gets_408_and_its_connection_ends() {
    let origin = Origin::echoing();
    let gateway = gateway(&origin);
    let mut client = gateway.connect();
    client.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n");
    let mut socket = client.socket();
    trickle(|byte| socket.write_all(byte), || gateway.metrics().replies("body_timeout") > 0.0);
    assert_eq!(client.read("POST").status, 408);
    assert_eq!(gateway.await_access_lines(1)[0]["response_code_details"], "body_timeout");
    assert!(origin.received().is_empty());
    assert_eq!(gateway.get("/next").status, 200);
}

#[test]
fn a_body_that_keeps_its_rate_may_take_as_long_as_it_needs() {
    const PIECES: usize = 15;
    let origin = Origin::echoing();
    let gateway = gateway(&origin);
    let mut client = gateway.connect();
    client.write(format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", PIECES * 400));
    for _ in 0..PIECES {
        pause(Duration::from_millis(100));
        client.write("x".repeat(400));
    }
    assert_eq!(client.read("POST").body.len(), PIECES * 400);
}

#[test]
fn a_body_that_a_filter_waits_for_is_no_exception() {
    let origin = Origin::echoing();
    let gateway = Gateway::with(CONFIG).set("ORIGIN", origin.address()).filter(
        "replace",
        &wasm::guest("body-replace"),
        "",
    );
    let gateway = gateway.start();
    let mut client = gateway.connect();
    client.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n123");
    assert_eq!(client.read("POST").status, 408);
    gateway.await_replies("body_timeout", 1);
}

#[test]
fn a_stream_whose_body_trickles_ends_and_the_others_of_its_connection_do_not() {
    let origin = Origin::echoing();
    let gateway = gateway(&origin);
    let mut client = RawHttp2::connect(gateway.address(), &[]);
    client.send(&frame(kind::HEADERS, flag::END_HEADERS, 1, &block(&request("POST", "/slow")))).unwrap();
    let slow = |byte: &[u8]| client.send(&frame(kind::DATA, flag::NONE, 1, byte));
    trickle(slow, || gateway.metrics().replies("body_timeout") > 0.0);
    client.await_end(1);
    client.ask(3, &request("GET", "/")).unwrap();
    client.await_end(3);
    assert_eq!(origin.received().len(), 1);
}

#[test]
fn the_messages_of_a_call_come_when_they_come() {
    let origin = Origin::echoing();
    let gateway = gateway(&origin);
    let mut client = RawHttp2::connect(gateway.address(), &[]);
    let mut fields = request("POST", "/call");
    fields.push(("content-type", "application/grpc"));
    client.send(&frame(kind::HEADERS, flag::END_HEADERS, 1, &block(&fields))).unwrap();
    // Three times what another body would be given.
    pause(Duration::from_millis(1000));
    client.send(&frame(kind::DATA, flag::END_STREAM, 1, b"late")).unwrap();
    client.await_end(1);
    assert_eq!(origin.only_request().text(), "late");
}

#[test]
fn a_client_that_takes_nothing_of_its_response_is_cut() {
    let origin = Origin::start(|_| Answer::zeros(LARGE_BYTES));
    let gateway = gateway(&origin);
    let mut client = gateway.connect();
    client.write(Request::get("/").bytes());
    gateway.await_replies("write_timeout", 1);
    let line = &gateway.await_access_lines(1)[0];
    assert_eq!(line["response_code_details"], "write_timeout", "{line}");
    assert!((cut(&gateway, "write_timeout") - 1.0).abs() < 0.5);
    assert!(client.try_send(&Request::get("/")).is_err(), "the response has no end");
}

#[test]
fn a_client_that_takes_its_response_slowly_but_steadily_gets_all_of_it() {
    const BYTES: usize = 8 << 20;
    let origin = Origin::start(|_| Answer::zeros(BYTES as u64));
    let gateway = gateway(&origin);
    let mut client = gateway.connect();
    client.write(Request::get("/").bytes());
    assert_eq!(client.read_head().0, 200);
    let started = Instant::now();
    for _ in 0..16 {
        pause(Duration::from_millis(60));
        assert_eq!(client.read_bytes(BYTES / 16).len(), BYTES / 16);
    }
    assert!(started.elapsed() > Duration::from_millis(900), "longer than the time for a stall");
    assert!(cut(&gateway, "write_timeout") < 0.5);
}

#[test]
fn a_stream_of_which_nothing_is_taken_is_reset_and_the_others_are_not() {
    let origin = Origin::start(|request| match request.target.as_str() {
        "/large" => Answer::zeros(LARGE_BYTES),
        _ => Answer::text("small"),
    });
    let gateway = gateway(&origin);
    // Windows of 64 KiB for each stream, and much for the connection.
    let mut client = RawHttp2::connect(gateway.address(), &[]);
    client.send(&frame(kind::WINDOW_UPDATE, flag::NONE, 0, &0x00ff_ffff_u32.to_be_bytes())).unwrap();
    client.ask(1, &request("GET", "/large")).unwrap();
    assert_eq!(client.await_reset(1), 8, "CANCEL");
    assert_eq!(client.data(1), 65_535);
    client.ask(3, &request("GET", "/small")).unwrap();
    client.await_end(3);
    let lines = gateway.await_access_lines(2);
    assert_eq!(lines[0]["response_code_details"], "write_timeout", "{lines:?}");
    assert!(lines[1]["response_code_details"].is_null(), "{lines:?}");
    assert!(cut(&gateway, "write_timeout") < 0.5, "the connection goes on");
}

#[test]
fn a_head_over_http_2_that_is_never_ended_ends_its_connection() {
    let origin = Origin::answering("ok");
    let gateway = gateway(&origin);
    let mut client = RawHttp2::connect(gateway.address(), &[]);
    client.ask(1, &request("GET", "/")).unwrap();
    client.await_end(1);
    let started = Instant::now();
    client.send(&frame(kind::HEADERS, flag::NONE, 3, &block(&request("GET", "/")))).unwrap();
    let _ = client.await_end_of_all();
    assert!(started.elapsed() < SOON);
    eventually("it is counted", || cut(&gateway, "head_timeout") > 0.5);
    assert_eq!(gateway.await_access_lines(2)[1]["response_code_details"], "head_timeout");
}

#[test]
fn a_first_letter_that_could_begin_either_protocol_is_no_way_around() {
    let origin = Origin::answering("ok");
    let gateway = gateway(&origin);
    let mut client = gateway.connect();
    client.write("P");
    assert_eq!(client.read("POST").status, 408);
    gateway.await_replies("head_timeout", 1);
}

#[test]
fn nor_is_it_one_over_tls() {
    let authority = Authority::new("test");
    let gateway = Gateway::with(
        "listeners: [{name: web, bind: '127.0.0.1:0', limits: {headRead: 300ms}, tls: {certificates: [{cert: a.pem, key: a.key}]}}]\n\
         routes: [{respond: {status: 200}}]",
    )
    .certificate("a", &authority.issue(&["a.example"]))
    .start();
    let tunnel =
        TlsClient::trusting(&authority).connect(gateway.address(), "a.example").expect("a handshake");
    let mut client = tunnel.client();
    client.write("P");
    assert_eq!(client.read("POST").status, 408);
    gateway.await_replies("head_timeout", 1);
}
