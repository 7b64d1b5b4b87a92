//! The end: no request under way is lost, no new one begins, the log is whole.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use gateway_tests::{Answer, Client, Gate, Gateway, Http2, Origin, Request, Setup, eventually, pause};

const SLOW_REQUESTS: usize = 5;

fn slow_origin(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::start(move |request| match request.target.as_str() {
        "/slow" => Answer::text("slow but whole").behind(&gate),
        _ => Answer::text("ok"),
    })
}

#[test]
fn requests_under_way_finish_and_new_connections_are_refused() {
    let gate = Gate::closed();
    let origin = slow_origin(&gate);
    let gateway = Gateway::to(&origin).start();
    let address = gateway.address();
    assert_eq!(gateway.get("/quick").status, 200);
    let mut waiting: Vec<_> = (0..SLOW_REQUESTS).map(|_| gateway.connect()).collect();
    for client in &mut waiting {
        client.write(Request::get("/slow").bytes());
    }
    origin.await_requests(1 + SLOW_REQUESTS);

    gateway.begin_stop();
    eventually("new connections refused", || Client::try_connect(address).is_err());
    // Far longer than it takes to cut them.
    pause(Duration::from_millis(200));
    gate.open();
    for client in &mut waiting {
        let response = client.read("GET");
        assert_eq!((response.status, response.text().as_str()), (200, "slow but whole"));
        assert_eq!(response.header("connection"), Some("close"));
        assert!(client.is_closed());
    }
    let lines = gateway.ended();
    assert_eq!(lines.len(), 1 + SLOW_REQUESTS, "one line per request");
    assert!(lines.iter().all(|line| line["response_code"] == 200));
}

#[test]
fn readiness_turns_red_while_requests_finish() {
    let gate = Gate::closed();
    let origin = slow_origin(&gate);
    let gateway = Gateway::to(&origin).start();
    let mut waiting = gateway.connect();
    waiting.write(Request::get("/slow").bytes());
    origin.await_requests(1);
    assert_eq!(gateway.admin_get("/ready").status, 200);
    gateway.begin_stop();
    let red = gateway.try_admin_get("/ready");
    gate.open();
    assert_eq!(waiting.read("GET").status, 200);
    assert_eq!(red.expect("an answer while draining").status, 503);
    assert_eq!(gateway.ended().len(), 1);
}

#[test]
fn an_idle_connection_does_not_hold_up_the_end() {
    let gateway = answering().start();
    let mut idle = gateway.connect();
    assert_eq!(idle.get("/").status, 200);
    assert_ends_soon(gateway);
    assert!(idle.is_closed());
}

#[test]
fn an_idle_http_2_connection_does_not_hold_up_the_end() {
    let gateway = answering().start();
    let idle = Http2::connect(gateway.address());
    assert_eq!(idle.send(&Request::get("/")).status, 200);
    assert_ends_soon(gateway);
}

#[test]
fn a_silent_connection_does_not_hold_up_the_end() {
    let gateway = answering().start();
    let mut silent = gateway.connect();
    assert_eq!(gateway.get("/").status, 200);
    assert_ends_soon(gateway);
    assert!(silent.is_closed());
}

fn answering() -> Setup {
    Gateway::with("routes: [{respond: {status: 200}}]")
}

/// Far sooner than the drain time, and with the line of its only request.
fn assert_ends_soon(gateway: Gateway) {
    let started = Instant::now();
    assert_eq!(gateway.stop().len(), 1);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn a_request_that_outlasts_the_drain_time_is_cut() {
    let gate = Gate::closed();
    let origin = slow_origin(&gate);
    let config = "drain: 300ms\nroutes: [{to: origin}]\nupstreams: {origin: 'ORIGIN'}";
    let gateway = Gateway::with(config).set("ORIGIN", origin.address()).start();
    let mut waiting = gateway.connect();
    waiting.write(Request::get("/slow").bytes());
    origin.await_requests(1);
    let started = Instant::now();
    let lines = gateway.stop();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(waiting.response_to("GET").is_err());
    assert_eq!(lines.len(), 1, "it is logged all the same");
    gate.open();
}

#[test]
fn a_load_that_is_stopped_midway_leaves_one_line_per_answered_request() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).start();
    let address = gateway.address();
    let (answered, lines) = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(move || answered_until_closed(address))).collect();
        origin.await_requests(200);
        let lines = gateway.stop();
        (clients.into_iter().map(|client| client.join().expect("a client")).sum::<usize>(), lines)
    });
    assert!(answered >= 200);
    assert_eq!(lines.len(), answered);
    assert_eq!(origin.received().len(), answered);
}

/// Sends requests until the gateway closes the connection: announced with an answer, or between two requests.
fn answered_until_closed(address: SocketAddr) -> usize {
    let mut client = Client::connect(address);
    let mut answered = 0;
    while let Ok(response) = client.try_send(&Request::get("/")) {
        assert_eq!(response.status, 200);
        answered += 1;
        if response.header("connection") == Some("close") {
            break;
        }
    }
    answered
}
