//! What a client or an upstream may not do, and what each such reply says about its cause.

use std::time::{Duration, Instant};

use gateway_tests::{Answer, Gate, Gateway, Origin, RefusingAddress, Request, Setup, pause};

const LISTENER: &str = "
listeners:
  - name: web
    bind: 127.0.0.1:0
    limits: {head: 8KiB, headers: 10, uri: 256B, headRead: 300ms, idle: 300ms}
";
/// Far more than the timeouts above, far less than the defaults.
const SOON: Duration = Duration::from_secs(5);

/// A gateway to an origin, with tight limits.
fn tight(origin: &Origin) -> Gateway {
    Gateway::with(&format!(
        "{LISTENER}\nroutes: [{{to: origin, timeout: 300ms}}]\nupstreams: {{origin: 'ORIGIN'}}"
    ))
    .set("ORIGIN", origin.address())
    .start()
}

fn to_address(address: impl ToString) -> Setup {
    Gateway::with("routes: [{to: origin, timeout: 300ms}]\nupstreams: {origin: 'ORIGIN'}")
        .set("ORIGIN", address.to_string())
}

/// The only reply so far is counted and logged under this reason.
fn assert_reason(gateway: &Gateway, status: u16, reason: &str) {
    gateway.await_replies(reason, 1);
    let lines = gateway.await_access_lines(1);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["response_code_details"], reason);
    assert_eq!(lines[0]["response_code"], status);
}

#[test]
fn a_head_that_is_too_large_gets_431() {
    let origin = Origin::answering("ok");
    let gateway = tight(&origin);
    let response = gateway.send(&Request::get("/").header("x-large", &"x".repeat(20_000)));
    assert_eq!(response.status, 431);
    assert_reason(&gateway, 431, "head_too_large");
    assert!(origin.received().is_empty());
}

#[test]
fn too_many_headers_get_431() {
    let origin = Origin::answering("ok");
    let gateway = tight(&origin);
    let fits = (0..9).fold(Request::get("/"), |request, n| request.header(&format!("x-{n}"), "v"));
    assert_eq!(gateway.send(&fits).status, 200, "host and nine more");
    let over = fits.header("x-10", "v");
    assert_eq!(gateway.send(&over).status, 431);
    gateway.await_replies("head_too_large", 1);
    assert_eq!(gateway.await_access_lines(2)[1]["response_code_details"], "head_too_large");
    assert_eq!(origin.received().len(), 1);
}

#[test]
fn a_target_that_is_too_long_gets_414() {
    let origin = Origin::answering("ok");
    let gateway = tight(&origin);
    assert_eq!(gateway.get(&format!("/{}", "x".repeat(256))).status, 414);
    assert_reason(&gateway, 414, "uri_too_long");
    assert_eq!(gateway.get(&format!("/{}", "x".repeat(255))).status, 200);
}

#[test]
fn a_head_that_takes_too_long_gets_408() {
    let origin = Origin::answering("ok");
    let gateway = tight(&origin);
    let mut client = gateway.connect();
    client.write("GET / HTTP/1.1\r\nhost: a\r\nx-slo");
    let started = Instant::now();
    assert_eq!(client.read("GET").status, 408);
    assert!(client.is_closed());
    assert!(started.elapsed() < SOON);
    assert_reason(&gateway, 408, "head_timeout");
}

#[test]
fn a_second_head_that_takes_too_long_gets_408_too() {
    let origin = Origin::answering("ok");
    let gateway = tight(&origin);
    let mut client = gateway.connect();
    assert_eq!(client.get("/").status, 200);
    client.write("GET / HTT");
    assert_eq!(client.read("GET").status, 408);
    gateway.await_replies("head_timeout", 1);
}

#[test]
fn a_connection_without_requests_is_closed() {
    let origin = Origin::answering("ok");
    let gateway = tight(&origin);
    let started = Instant::now();
    let mut used = gateway.connect();
    let mut silent = gateway.connect();
    assert_eq!(used.get("/").status, 200);
    assert!(used.is_closed(), "after idling");
    assert!(silent.is_closed(), "without a byte");
    assert!(started.elapsed() < SOON);
}

#[test]
fn a_malformed_request_gets_400() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).start();
    let mut client = gateway.connect();
    client.write("NOT HTTP\r\n\r\n");
    assert_eq!(client.read("GET").status, 400);
    assert_reason(&gateway, 400, "request_line");
    assert!(origin.received().is_empty());
}

#[test]
fn two_hosts_get_400() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).start();
    assert_eq!(gateway.send(&Request::get("/").header("host", "other.example")).status, 400);
    assert_reason(&gateway, 400, "host_repeated");
}

#[test]
fn a_refused_connection_gets_502() {
    let nobody = RefusingAddress::new();
    let gateway = to_address(nobody.address()).start();
    assert_eq!(gateway.get("/").status, 502);
    assert_reason(&gateway, 502, "connect_failed");
}

#[test]
fn a_silent_upstream_gets_504() {
    let gate = Gate::closed();
    let origin = {
        let gate = gate.clone();
        Origin::start(move |_| Answer::text("late").behind(&gate))
    };
    let gateway = to_address(origin.address()).start();
    let started = Instant::now();
    assert_eq!(gateway.get("/").status, 504);
    assert!(started.elapsed() < SOON);
    assert_reason(&gateway, 504, "route_timeout");
    gate.open();
}

#[test]
fn a_body_that_stalls_gets_408() {
    let origin = Origin::echoing();
    let gateway = tight(&origin);
    let mut client = gateway.connect();
    client.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n123");
    let started = Instant::now();
    assert_eq!(client.read("POST").status, 408);
    assert!(started.elapsed() < SOON);
    assert_reason(&gateway, 408, "body_timeout");
    assert!(origin.received().is_empty());
}

#[test]
fn an_upload_that_goes_on_may_outlast_the_route_timeout() {
    const PIECES: usize = 30;
    let origin = Origin::echoing();
    let config = "routes: [{to: origin, timeout: 500ms}]\nupstreams: {origin: 'ORIGIN'}";
    let gateway = Gateway::with(config).set("ORIGIN", origin.address()).start();
    let mut client = gateway.connect();
    client.write(format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {PIECES}\r\n\r\n"));
    for _ in 0..PIECES {
        pause(Duration::from_millis(50));
        client.write("x");
    }
    assert_eq!(client.read("POST").text(), "x".repeat(PIECES));
}

#[test]
fn an_upstream_that_closes_without_an_answer_gets_502() {
    let origin = Origin::start(|_| Answer::close());
    let gateway = to_address(origin.address()).start();
    assert_eq!(gateway.send(&Request::post("/", "x")).status, 502);
    assert_reason(&gateway, 502, "upstream_reset");
    assert_eq!(origin.received().len(), 1, "a new connection that fails means what it says");
}

#[test]
fn an_upstream_that_does_not_speak_http_gets_502() {
    let origin = Origin::start(|_| Answer::raw("this is not HTTP\r\n\r\n"));
    let gateway = to_address(origin.address()).start();
    assert_eq!(gateway.get("/").status, 502);
    assert_reason(&gateway, 502, "upstream_status_line");
}

#[test]
fn a_request_without_a_route_gets_404() {
    let gateway = Gateway::with("routes: [{hosts: [other.example], respond: {status: 200}}]").start();
    assert_eq!(gateway.get("/").status, 404);
    assert_reason(&gateway, 404, "no_route");
}

#[test]
fn a_client_that_goes_away_is_logged() {
    let gate = Gate::closed();
    let origin = {
        let gate = gate.clone();
        Origin::start(move |_| Answer::text("late").behind(&gate))
    };
    let gateway = Gateway::to(&origin).start();
    let mut client = gateway.connect();
    client.write(Request::get("/").bytes());
    origin.await_requests(1);
    drop(client);
    // Whether a closed client is noticed before the answer is written is not decided by HTTP; that it ends is.
    gate.open();
    assert_eq!(gateway.await_access_lines(1).len(), 1);
}
