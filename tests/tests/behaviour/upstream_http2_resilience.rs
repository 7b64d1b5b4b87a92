//! Retries, limits and records of endpoints where HTTP/2 is spoken to upstreams.

use std::time::Duration;

use gateway_tests::{Call, Caller, FrameOrigin, Gateway, Http2Origin, Manner, Request, eventually, noise};

/// One worker, one upstream of HTTP/2 with these settings, whose route has this policy.
const ROUTE: &str = "workers: WORKERS\nroutes: [{to: origin, retry: POLICY}]\n\
                     upstreams: {origin: {endpoints: ['ORIGIN'], protocol: http2, SETTINGS}}";

const TWICE: &str =
    "{on: [5xx], attempts: 2, methods: [GET, POST], replayBody: 128KiB, backoff: {base: 1ms}}";

fn gateway(origin: impl ToString, policy: &str, settings: &str) -> Gateway {
    Gateway::with(ROUTE)
        .set("ORIGIN", origin)
        .set("POLICY", policy)
        .set("SETTINGS", settings)
        .set("WORKERS", 1)
        .start()
}

/// A call whose response has begun, and that goes on.
fn under_way(caller: &Caller) -> Call {
    let mut call = caller.begin("/echo", &[]);
    call.send("first");
    assert_eq!(call.head().expect("a response").0, 200);
    assert_eq!(call.receive().expect("an echo").as_deref(), Some("first"));
    call
}

fn end(mut call: Call) {
    call.finish(&[]);
    assert_eq!(call.receive().expect("an end"), None);
}

fn counted(gateway: &Gateway, name: &str) -> f64 {
    gateway.metrics().sum(&format!("envoy_cluster_upstream_{name}"), &[])
}

#[test]
fn a_failing_answer_is_asked_for_again_with_the_whole_body() {
    let origin = Http2Origin::start();
    let gateway = gateway(origin.address(), TWICE, "idle: 60s");
    // More than what is kept of every body for streams that are given back.
    let response = gateway.send(&Request::post("/busy", noise(100_000)));
    assert_eq!(response.status, 200);
    assert!(response.body == noise(100_000), "the third try brought all of the body");
    assert_eq!((origin.heads().len(), origin.connections()), (3, 1));
    assert!((counted(&gateway, "rq_retry_success") - 1.0).abs() < 0.1);
    assert_eq!(gateway.await_access_lines(1)[0]["upstream_request_attempt_count"], 3);
}

#[test]
fn a_body_over_the_limit_is_sent_once() {
    let origin = Http2Origin::start();
    let gateway = gateway(origin.address(), TWICE, "idle: 60s");
    assert_eq!(gateway.send(&Request::post("/busy", noise(200_000))).status, 503);
    assert_eq!(origin.heads().len(), 1);
}

#[test]
fn streams_of_a_route_with_retries_flow_both_ways() {
    let origin = Http2Origin::start();
    let policy = "{on: [5xx], attempts: 2, methods: [POST], replayBody: 1KiB}";
    let gateway = gateway(origin.address(), policy, "idle: 60s");
    let caller = Caller::connect(gateway.address());
    let mut call = under_way(&caller);
    let piece = "x".repeat(700);
    for _ in 0..10 {
        call.send(&piece);
        assert_eq!(call.receive().expect("an echo").as_deref(), Some(&*piece));
    }
    end(call);
    assert_eq!(origin.heads().len(), 1);
}

#[test]
fn a_policy_goes_on_where_resending_ends() {
    // Four streams are refused to the first try, which is as many as one tries.
    let origin = FrameOrigin::start(Manner::RefusesAllBut(5));
    let gateway = gateway(
        origin.address(),
        "{on: [refused-stream], attempts: 1, backoff: {base: 1ms}}",
        "outlier: {consecutiveFailures: 2, baseEjection: 60s}, panicThreshold: 0",
    );
    assert_eq!(gateway.send(&Request::post("/", "order")).status, 200);
    assert_eq!((origin.bodies(), origin.unanswered()), (vec!["order".to_owned()], 4));
    assert_eq!(gateway.await_access_lines(1)[0]["upstream_request_attempt_count"], 2);
    // What was resent counts as one failure, and that was made good.
    assert!(counted(&gateway, "rq_retry") > 3.5);
    assert_eq!(gateway.metrics().sum("envoy_cluster_outlier_detection_ejections_enforced_total", &[]), 0.0);
}

#[test]
fn answers_over_http2_are_on_the_record_of_their_endpoint() {
    let origin = Http2Origin::start();
    let settings = "outlier: {consecutiveFailures: 2, baseEjection: 60s}, panicThreshold: 0";
    let gateway = gateway(origin.address(), "{on: [connect-failure]}", settings);
    assert_eq!([(); 2].map(|()| gateway.get("/busy").status), [503, 503]);
    assert_eq!(gateway.get("/").status, 503);
    gateway.await_replies("no_healthy_endpoint", 1);
    assert_eq!(origin.heads().len(), 2);
}

#[test]
fn streams_count_as_requests() {
    let origin = Http2Origin::start();
    let gateway = gateway(origin.address(), TWICE, "limits: {requests: 3}");
    let caller = Caller::connect(gateway.address());
    let mut calls: Vec<_> = (0..3).map(|_| under_way(&caller)).collect();
    assert_eq!([(); 2].map(|()| gateway.get("/").status), [503, 503]);
    gateway.await_replies("upstream_overflow", 2);
    end(calls.remove(0));
    eventually("room for one more", || gateway.get("/").status == 200);
    calls.push(under_way(&caller));
    assert_eq!(gateway.get("/").status, 503);
    assert_eq!(origin.connections(), 1);
}

#[test]
fn whoever_may_not_open_a_connection_gets_the_next_stream() {
    let origin = Http2Origin::with_streams(Some(2));
    let gateway = gateway(origin.address(), TWICE, "connectTimeout: 10s, limits: {connections: 1}");
    let caller = Caller::connect(gateway.address());
    let mut calls: Vec<_> = (0..2).map(|_| under_way(&caller)).collect();
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let mut client = gateway.connect();
            std::thread::spawn(move || client.send(&Request::get("/")).status)
        })
        .collect();
    eventually("requests that wait", || counted(&gateway, "cx_overflow") > 0.5);
    assert_eq!(origin.heads().len(), 2);
    end(calls.remove(0));
    assert!(waiting.into_iter().all(|waiting| waiting.join().expect("an answer") == 200));
    assert_eq!((origin.heads().len(), origin.connections()), (5, 1));
}

#[test]
fn nobody_waits_for_a_stream_without_end() {
    let origin = Http2Origin::with_streams(Some(1));
    let gateway = gateway(origin.address(), TWICE, "connectTimeout: 200ms, limits: {connections: 1}");
    let caller = Caller::connect(gateway.address());
    let call = under_way(&caller);
    assert_eq!(gateway.get("/").status, 503);
    gateway.await_replies("upstream_overflow", 1);
    end(call);
    assert_eq!((gateway.get("/").status, origin.connections()), (200, 1));
}

#[test]
fn workers_hand_the_only_connection_on_to_each_other() {
    const CLIENTS: usize = 8;
    const EACH: usize = 60;
    let origin = Http2Origin::start();
    let gateway = Gateway::with(ROUTE)
        .set("ORIGIN", origin.address())
        .set("POLICY", TWICE)
        .set("SETTINGS", "connectTimeout: 20s, limits: {connections: 1}")
        .set("WORKERS", 2)
        .start();
    let clients = [(); CLIENTS].map(|()| {
        let mut client = gateway.connect();
        std::thread::spawn(move || {
            (0..EACH).filter(|_| client.send(&Request::get("/")).status == 200).count()
        })
    });
    let served: usize = clients.into_iter().map(|client| client.join().expect("a client that ends")).sum();
    assert_eq!((served, origin.heads().len()), (CLIENTS * EACH, CLIENTS * EACH));
    assert!(counted(&gateway, "cx_active") < 1.5);
}

#[test]
fn an_unused_connection_makes_room_for_another_endpoint() {
    let origins = [(); 2].map(|()| Http2Origin::start());
    let gateway = Gateway::with(
        "workers: 1\nroutes: [{to: up}]\n\
         upstreams: {up: {endpoints: ['ONE', 'TWO'], protocol: http2, limits: {connections: 1}}}",
    )
    .set("ONE", origins[0].address())
    .set("TWO", origins[1].address())
    .start();
    let mut client = gateway.connect();
    let begun = std::time::Instant::now();
    assert!((0..6).all(|_| client.send(&Request::get("/")).status == 200));
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(origins.map(|origin| origin.heads().len()), [3, 3]);
}
