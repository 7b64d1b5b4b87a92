//! How much of an upstream is in use at a time, over all workers, and how long its connections are used.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use gateway_tests::{Answer, Gate, Gateway, Origin, Request, eventually, pause};

/// Two workers, one upstream with these settings.
const TWO_WORKERS: &str =
    "workers: 2\nroutes: [{to: up}]\nupstreams: {up: {endpoints: ['ORIGIN'], SETTINGS}}";

fn gateway(origin: &Origin, settings: &str) -> Gateway {
    Gateway::with(TWO_WORKERS).set("ORIGIN", origin.address()).set("SETTINGS", settings).start()
}

/// A request over a connection of its own, in a thread of its own; its status.
fn ask(gateway: &Gateway) -> JoinHandle<u16> {
    let mut client = gateway.connect();
    std::thread::spawn(move || client.send(&Request::get("/")).status)
}

fn statuses(asked: Vec<JoinHandle<u16>>) -> Vec<u16> {
    let mut statuses: Vec<_> = asked.into_iter().map(|asked| asked.join().expect("an answer")).collect();
    statuses.sort_unstable();
    statuses
}

fn counted(gateway: &Gateway, name: &str) -> f64 {
    gateway.metrics().sum(&format!("envoy_cluster_upstream_{name}"), &[])
}

#[test]
fn requests_are_limited_exactly_over_all_workers() {
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = Origin::start(move |_| Answer::text("").behind(&held));
    let gateway = gateway(&origin, "limits: {requests: 7}");
    let asked: Vec<_> = (0..40).map(|_| ask(&gateway)).collect();
    gateway.await_replies("upstream_overflow", 33);
    origin.await_requests(7);
    gate.open();
    let statuses = statuses(asked);
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 7);
    assert_eq!(statuses.iter().filter(|status| **status == 503).count(), 33);
    assert_eq!(origin.received().len(), 7);
    assert!((counted(&gateway, "rq_pending_overflow") - 33.0).abs() < 0.1);
    let lines = gateway.await_access_lines(40);
    assert_eq!(lines.iter().filter(|line| line["response_flags"] == "UO").count(), 33);
    assert_eq!(gateway.get("/").status, 200, "what was in use is free again");
}

#[test]
fn a_request_that_is_refused_costs_no_connection() {
    let gate = Gate::closed();
    let held = gate.clone();
    let origins = [(); 2].map(|()| {
        let held = held.clone();
        Origin::start(move |request| match request.target.as_str() {
            "/held" => Answer::text("").behind(&held),
            _ => Answer::text(""),
        })
    });
    let gateway = Gateway::with(
        "routes: [{to: up}]\nupstreams: {up: {endpoints: ['ONE', 'TWO'], limits: {requests: 1}}}",
    )
    .set("ONE", origins[0].address())
    .set("TWO", origins[1].address())
    .start();
    let statuses = || (0..2).map(|_| gateway.get("/").status).collect::<Vec<_>>();
    assert_eq!(statuses(), [200, 200]);
    let mut client = gateway.connect();
    let under_way = std::thread::spawn(move || client.send(&Request::get("/held")).status);
    eventually("a request under way", || origins.iter().any(|origin| origin.count("/held") == 1));
    assert_eq!(statuses(), [503, 503]);
    gate.open();
    assert_eq!(under_way.join().expect("an answer"), 200);
    assert_eq!(statuses(), [200, 200]);
    assert_eq!(origins.map(|origin| origin.connections()), [1, 1]);
}

#[test]
fn requests_under_way_count_over_a_reload() {
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = Origin::start(move |_| Answer::text("").behind(&held));
    let gateway = gateway(&origin, "limits: {requests: 2}");
    let asked = vec![ask(&gateway), ask(&gateway)];
    origin.await_requests(2);
    let changed = TWO_WORKERS
        .replace("ORIGIN", &origin.address().to_string())
        .replace("SETTINGS", "limits: {requests: 3}, balancer: least-request");
    gateway.configure(&changed);
    eventually("the new configuration", || {
        gateway.metrics().sum("gateway_config_reloads_total", &[("result", "success")]) > 0.5
    });
    let third = ask(&gateway);
    origin.await_requests(3);
    assert_eq!(gateway.get("/").status, 503);
    gate.open();
    assert_eq!(statuses(asked), [200, 200]);
    assert_eq!(third.join().expect("an answer"), 200);
}

#[test]
fn connections_are_limited_exactly_and_requests_wait_for_one() {
    const CLIENTS: usize = 16;
    const EACH: usize = 10;
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let origin = {
        let (now, most) = (now.clone(), most.clone());
        Origin::start(move |_| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            pause(Duration::from_millis(5));
            now.fetch_sub(1, Ordering::SeqCst);
            Answer::text("")
        })
    };
    let gateway = gateway(&origin, "connectTimeout: 10s, limits: {connections: 3}");
    let clients = [(); CLIENTS].map(|()| {
        let mut client = gateway.connect();
        std::thread::spawn(move || {
            (0..EACH).filter(|_| client.send(&Request::get("/")).status == 200).count()
        })
    });
    let served: usize = clients.into_iter().map(|client| client.join().expect("a client that ends")).sum();
    assert_eq!(served, CLIENTS * EACH);
    assert_eq!(origin.received().len(), CLIENTS * EACH);
    assert_eq!(most.load(Ordering::SeqCst), 3, "requests at the origin at a time");
    assert!(counted(&gateway, "cx_overflow") > 0.0);
    assert!(counted(&gateway, "cx_active") <= 3.0);
}

#[test]
fn those_who_wait_for_a_connection_are_limited_too() {
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = Origin::start(move |_| Answer::text("").behind(&held));
    let gateway = gateway(&origin, "connectTimeout: 10s, limits: {connections: 1, pendingRequests: 2}");
    let mut asked = vec![ask(&gateway)];
    origin.await_requests(1);
    asked.extend((0..9).map(|_| ask(&gateway)));
    gateway.await_replies("upstream_overflow", 7);
    gate.open();
    let statuses = statuses(asked);
    assert_eq!(statuses, [[200; 3].as_slice(), &[503; 7]].concat());
    assert_eq!(origin.received().len(), 3);
}

#[test]
fn nobody_waits_for_a_connection_without_end() {
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = Origin::start(move |_| Answer::text("").behind(&held));
    let gateway = gateway(&origin, "connectTimeout: 200ms, limits: {connections: 1}");
    let first = ask(&gateway);
    origin.await_requests(1);
    let response = gateway.get("/");
    assert_eq!(
        (response.status, response.text().as_str()),
        (503, "the upstream has enough to do: try again later\n")
    );
    gate.open();
    assert_eq!(first.join().expect("an answer"), 200);
}

#[test]
fn an_unused_connection_makes_room_for_another_endpoint() {
    let origins = [(); 2].map(|()| Origin::answering("ok"));
    let gateway = Gateway::with(
        "routes: [{to: up}]\nupstreams: {up: {endpoints: ['ONE', 'TWO'], limits: {connections: 1}}}",
    )
    .set("ONE", origins[0].address())
    .set("TWO", origins[1].address())
    .start();
    let mut client = gateway.connect();
    assert!((0..6).all(|_| client.send(&Request::get("/")).status == 200));
    assert_eq!(origins.map(|origin| origin.received().len()), [3, 3]);
}

#[test]
fn retries_are_limited_beside_the_budget() {
    let origin = Origin::start(|_| Answer::text("").status(503));
    let gateway = Gateway::with(
        "routes: [{to: up, retry: {on: 503, backoff: {base: 1ms}}}]\n\
         upstreams: {up: {endpoints: ['ORIGIN'], limits: {retries: 0}}}",
    )
    .set("ORIGIN", origin.address())
    .start();
    assert_eq!(gateway.get("/").status, 503);
    assert_eq!(origin.received().len(), 1);
    assert!((counted(&gateway, "rq_retry_overflow") - 1.0).abs() < 0.1);
}

/// Connections that the origin saw for six requests, one after the other, with a pause in the middle.
fn connections_with(settings: &str, paused: Duration) -> usize {
    let origin = Origin::answering("ok");
    let gateway = Gateway::with("routes: [{to: up}]\nupstreams: {up: {endpoints: ['ORIGIN'], SETTINGS}}")
        .set("ORIGIN", origin.address())
        .set("SETTINGS", settings)
        .start();
    let mut client = gateway.connect();
    for n in 0..6 {
        if n == 3 {
            pause(paused);
        }
        assert_eq!(client.send(&Request::get("/")).status, 200);
    }
    origin.connections()
}

#[test]
fn connections_are_used_as_long_as_the_pool_says() {
    let short = Duration::ZERO;
    assert_eq!(connections_with("pool: {}", short), 1);
    assert_eq!(connections_with("pool: {maxRequestsPerConnection: 2}", short), 3);
    assert_eq!(connections_with("pool: {maxIdle: 0}", short), 6);
    let long = Duration::from_millis(700);
    assert_eq!(connections_with("pool: {maxAge: 500ms}", long), 2);
    assert_eq!(connections_with("idle: 300ms", long), 2);
    assert_eq!(connections_with("pool: {maxAge: 1h}", long), 1);
}

/// Which timer the system runs for the gateway's connection to `origin`; 2 is that of keepalive (proc(5)).
fn timer_towards(origin: SocketAddr) -> Option<u8> {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux");
    let remote = format!("{:08X}:{:04X}", u32::from_le_bytes([127, 0, 0, 1]), origin.port());
    let established = "01";
    table.lines().find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let is_it = fields.get(2) == Some(&&*remote) && fields.get(3) == Some(&established);
        fields.get(5).filter(|_| is_it)?.split(':').next()?.parse().ok()
    })
}

#[test]
fn the_system_probes_connections_where_that_is_asked_for() {
    for (settings, timer) in [("tcpKeepalive: {idle: 30s}", 2), ("balancer: round-robin", 0)] {
        let origin = Origin::answering("ok");
        let gateway = gateway(&origin, settings);
        assert_eq!(gateway.get("/").status, 200);
        eventually("the timer of an idle connection", || timer_towards(origin.address()) == Some(timer));
    }
}
