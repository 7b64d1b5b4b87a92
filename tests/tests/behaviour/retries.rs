//! Retries: what is sent again, to whom, how often, and what never is.

use std::time::{Duration, Instant};

use gateway_tests::{Answer, Gate, Gateway, Origin, Received, RefusingAddress, Request, Setup, noise, wasm};

/// One route with this policy, to these origins in turn.
fn with(policy: &str, origins: &[&Origin]) -> Setup {
    let addresses: Vec<_> = origins.iter().map(|origin| format!("'{}'", origin.address())).collect();
    Gateway::with("routes: [{name: all, to: up, retry: POLICY}]\nupstreams: {up: {endpoints: [ADDRESSES]}}")
        .set("POLICY", policy)
        .set("ADDRESSES", addresses.join(", "))
}

/// 503 to the first `times` requests of each target.
fn failing(times: usize) -> Origin {
    let seen = std::sync::Mutex::new(std::collections::HashMap::new());
    Origin::start(move |request| {
        let mut seen = seen.lock().expect("nobody panics");
        let count = seen.entry(request.target.clone()).or_insert(0);
        *count += 1;
        Answer::text("answer").status(if *count > times { 200 } else { 503 })
    })
}

fn counted(gateway: &Gateway, name: &str) -> f64 {
    gateway.metrics().sum(&format!("envoy_cluster_upstream_rq_{name}"), &[])
}

const FAST: &str = "{on: [5xx], attempts: 3, backoff: {base: 1ms}}";

#[test]
fn a_failing_answer_is_asked_for_again_until_it_is_good() {
    let origin = failing(2);
    let gateway = with(FAST, &[&origin]).start();
    let response = gateway.get("/a");
    assert_eq!((response.status, response.text().as_str()), (200, "answer"));
    assert_eq!(origin.count("/a"), 3);
    assert!((counted(&gateway, "retry") - 2.0).abs() < 0.1);
    assert!((counted(&gateway, "retry_success") - 1.0).abs() < 0.1);
    let line = gateway.await_access_lines(1).remove(0);
    assert_eq!(line["upstream_request_attempt_count"], 3);
    assert_eq!(line["response_flags"], "-");
}

#[test]
fn when_all_retries_fail_the_last_answer_is_given_and_marked() {
    let origin = failing(10);
    let gateway = with(FAST, &[&origin]).start();
    assert_eq!(gateway.get("/a").status, 503);
    assert_eq!(origin.count("/a"), 4, "the first try and three retries");
    assert!((counted(&gateway, "retry_limit_exceeded") - 1.0).abs() < 0.1);
    let line = gateway.await_access_lines(1).remove(0);
    assert_eq!(
        (&line["response_flags"], &line["upstream_request_attempt_count"]),
        (&"URX".into(), &4.into())
    );
}

#[test]
fn without_a_policy_nothing_that_was_answered_is_sent_again() {
    let origin = failing(1);
    let gateway = Gateway::to(&origin).start();
    assert_eq!(gateway.get("/a").status, 503);
    assert_eq!(origin.count("/a"), 1);
}

#[test]
fn only_what_the_conditions_name_is_sent_again() {
    let origin = Origin::start(|request: &Received| {
        Answer::text("").status(request.target.trim_start_matches('/').parse().unwrap())
    });
    let gateway =
        with("{on: [retriable-4xx, '429', gateway-error], attempts: 1, backoff: {base: 1ms}}", &[&origin])
            .start();
    for (status, times) in
        [(200, 1), (404, 1), (409, 2), (429, 2), (500, 1), (501, 1), (502, 2), (503, 2), (504, 2)]
    {
        let target = format!("/{status}");
        assert_eq!(gateway.get(&target).status, status);
        assert_eq!(origin.count(&target), times, "{status}");
    }
}

#[test]
fn a_post_is_seen_at_most_once() {
    let failing = failing(10);
    let closing = Origin::start(|_| Answer::close());
    for (origin, status) in [(failing, 503), (closing, 502)] {
        let gateway = with(FAST, &[&origin]).start();
        let mut client = gateway.connect();
        for n in 0..20 {
            let target = format!("/{n}");
            let request =
                if n % 2 == 0 { Request::post(&target, "payment") } else { Request::new("POST", &target) };
            assert_eq!(client.send(&request).status, status);
            assert_eq!(origin.count(&target), 1);
        }
    }
}

#[test]
fn a_post_is_sent_again_where_the_route_allows_it() {
    let origin = failing(1);
    let gateway = with("{on: 503, methods: [POST], backoff: {base: 1ms}}", &[&origin]).start();
    assert_eq!(gateway.send(&Request::post("/a", "order")).status, 200);
    assert_eq!(gateway.get("/b").status, 503, "GET is not in the list");
    let bodies: Vec<_> = origin.received().iter().map(Received::text).collect();
    assert_eq!(bodies, ["order", "order", ""]);
}

#[test]
fn bodies_are_sent_again_byte_for_byte_up_to_the_limit() {
    let origin = failing(2);
    let gateway = with("{on: 503, replayBody: 64KiB, backoff: {base: 1ms}}", &[&origin]).start();
    let small = noise(64 << 10);
    let parts: Vec<_> = small.chunks(5_000).collect();
    let trailers =
        Request::new("PUT", "/chunked").chunked(parts).header("trailer", "x-sum").trailer("x-sum", "1");
    assert_eq!(gateway.send(&Request::new("PUT", "/sized").body(&small)).status, 200);
    assert_eq!(gateway.send(&trailers).status, 200);
    let large = noise((64 << 10) + 1);
    assert_eq!(gateway.send(&Request::new("PUT", "/large").body(&large)).status, 503);
    assert_eq!((origin.count("/sized"), origin.count("/chunked"), origin.count("/large")), (3, 3, 1));
    for request in origin.received() {
        let whole = if request.target == "/large" { &large } else { &small };
        assert!(request.body == *whole, "{} differs", request.target);
        let sum = request.trailers.get("x-sum");
        assert_eq!(sum, (request.target == "/chunked").then_some("1"));
    }
    let lines = gateway.await_access_lines(3);
    let received: Vec<_> = lines.iter().map(|line| line["bytes_received"].as_u64().unwrap()).collect();
    assert_eq!(received, [64 << 10, 64 << 10, (64 << 10) + 1], "what a client sent is counted once");
}

#[test]
fn a_body_is_sent_again_as_a_filter_made_it() {
    let origin = failing(2);
    let gateway = with("{on: 503, backoff: {base: 1ms}}", &[&origin])
        .filter("replace", &wasm::guest("body-replace"), "")
        .start();
    let response = gateway.send(&Request::new("PUT", "/a").body("document"));
    assert_eq!((response.status, response.text().as_str()), (200, "answer|suffix"));
    let bodies: Vec<_> = origin.received().iter().map(Received::text).collect();
    assert_eq!(bodies, ["DOCUMENT"; 3]);
}

#[test]
fn a_body_of_any_size_goes_to_another_endpoint_when_there_is_no_connection() {
    let refusing = RefusingAddress::new();
    let origin = Origin::echoing();
    let gateway = Gateway::with("routes: [{to: up}]\nupstreams: {up: {endpoints: ['DOWN', 'UP']}}")
        .set("DOWN", refusing.address())
        .set("UP", origin.address())
        .start();
    let body = noise(1 << 20);
    for n in 0..4 {
        let response = gateway.send(&Request::post(&format!("/{n}"), &body));
        assert!(response.status == 200 && response.body == body);
        assert_eq!(origin.count(&format!("/{n}")), 1);
    }
}

#[test]
fn an_endpoint_that_comes_back_in_time_is_waited_for() {
    let address = RefusingAddress::new().address();
    let gateway = Gateway::with("routes: [{to: up, retry: RETRY}]\nupstreams: {up: 'ADDRESS'}")
        .set("RETRY", "{on: connect-failure, attempts: 10, backoff: {base: 200ms, max: 400ms}}")
        .set("ADDRESS", address)
        .start();
    let started = std::thread::spawn(move || {
        gateway_tests::pause(Duration::from_millis(150));
        std::net::TcpListener::bind(address).map(|listener| {
            use std::io::{Read, Write};
            let (mut stream, _) = listener.accept().unwrap();
            let read = stream.read(&mut [0; 4096]).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
            read
        })
    });
    let response = gateway.send(&Request::post("/a", "payment"));
    assert!(started.join().unwrap().unwrap() > 0);
    assert_eq!(response.status, 200);
}

#[test]
fn a_retry_goes_to_another_endpoint() {
    let (bad, good) = (failing(usize::MAX), Origin::answering("ok"));
    let gateway = with(FAST, &[&bad, &good]).start();
    let statuses: Vec<_> = (0..20).map(|n| gateway.get(&format!("/{n}")).status).collect();
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    for n in 0..20 {
        assert!(bad.count(&format!("/{n}")) <= 1 && good.count(&format!("/{n}")) == 1);
    }
    assert!(bad.received().len() >= 5, "it had its turns");
}

#[test]
fn a_try_that_takes_too_long_is_given_up() {
    let gate = Gate::closed();
    let held = gate.clone();
    let slow = Origin::start(move |_| Answer::text("late").behind(&held));
    let quick = Origin::answering("quick");
    let policy = "{on: reset, attempts: 1, perTryTimeout: 200ms, backoff: {base: 1ms}}";
    let gateway = with(policy, &[&slow, &quick]).start();
    let begun = Instant::now();
    let answers: Vec<_> = (0..2).map(|_| gateway.get("/").text()).collect();
    assert_eq!(answers, ["quick", "quick"]);
    assert!(begun.elapsed() >= Duration::from_millis(200), "one of them waited for the slow one");
    assert!((counted(&gateway, "per_try_timeout") - 1.0).abs() < 0.1);

    let alone = with(policy, &[&slow]).start();
    assert_eq!(alone.get("/").status, 504);
    let line = alone.await_access_lines(1).remove(0);
    assert_eq!(line["response_code_details"], "per_try_timeout");
    assert_eq!(line["response_flags"], "UT,URX");
    gate.open();
}

#[test]
fn the_timeout_of_the_route_covers_all_tries() {
    let origin = failing(usize::MAX);
    let gateway = Gateway::with(
        "routes: [{to: up, timeout: 300ms, retry: {on: 503, attempts: 10, backoff: {base: 5s, max: 5s}}}]\n\
         upstreams: {up: 'ADDRESS'}",
    )
    .set("ADDRESS", origin.address())
    .start();
    let begun = Instant::now();
    let status = gateway.get("/").status;
    // A random wait may be short; ten of them are not.
    assert_eq!(status, 504);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_response_that_began_is_never_replaced() {
    let origin = Origin::start(|_| Answer::cut(noise(100_000), 50_000));
    let gateway = with(FAST, &[&origin]).start();
    let mut client = gateway.connect();
    assert!(client.try_send(&Request::get("/")).is_err(), "the client sees that it is cut");
    assert_eq!(origin.received().len(), 1);
}

#[test]
fn the_budget_bounds_the_load_of_a_dying_upstream() {
    const CLIENTS: usize = 40;
    const EACH: usize = 10;
    let origin = Origin::start(|_| Answer::text("").status(503).after(Duration::from_millis(5)));
    let gateway = Gateway::with(
        "workers: 2\nroutes: [{to: up, retry: {on: 503, attempts: 10, backoff: {base: 1ms}}}]\n\
         upstreams: {up: {endpoints: ['ADDRESS'], retryBudget: {percent: 20, minConcurrency: 1}}}",
    )
    .set("ADDRESS", origin.address())
    .start();
    let clients = (0..CLIENTS).map(|_| {
        let mut client = gateway.connect();
        std::thread::spawn(move || {
            (0..EACH).map(|_| client.send(&Request::get("/")).status).collect::<Vec<_>>()
        })
    });
    let clients: Vec<_> = clients.collect();
    for client in clients {
        assert!(client.join().unwrap().iter().all(|status| *status == 503));
    }
    let tries = origin.received().len();
    let requests = CLIENTS * EACH;
    // Eleven times as many without a budget.
    assert!(tries > requests && tries < requests * 3 / 2, "{tries} tries of {requests} requests");
    assert!(counted(&gateway, "retry_overflow") > 0.0);

    let none = Gateway::with(
        "routes: [{to: up, retry: {on: 503, backoff: {base: 1ms}}}]\n\
         upstreams: {up: {endpoints: ['ADDRESS'], retryBudget: {percent: 0, minConcurrency: 0}}}",
    )
    .set("ADDRESS", origin.address())
    .start();
    assert_eq!(none.get("/none").status, 503);
    assert_eq!(origin.count("/none"), 1);
}
