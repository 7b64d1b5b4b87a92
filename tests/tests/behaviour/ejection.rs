//! Endpoints that fail again and again get no requests for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use gateway_tests::{Answer, Gateway, Origin, RefusingAddress, Request, Setup, eventually};
use serde_json::Value;

const CONFIG: &str = "workers: 2\nroutes: [{to: up}]\nupstreams: {up: {endpoints: [ADDRESSES], SETTINGS}}";

fn with(settings: &str, addresses: &[String]) -> Setup {
    let addresses: Vec<_> = addresses.iter().map(|address| format!("'{address}'")).collect();
    Gateway::with(CONFIG).set("ADDRESSES", addresses.join(", ")).set("SETTINGS", settings)
}

fn address(origin: &Origin) -> String {
    origin.address().to_string()
}

/// Answers with a status that can be changed.
fn changing(status: u16) -> (Origin, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(status));
    let shared = status.clone();
    (Origin::start(move |_| Answer::text("").status(shared.load(Ordering::SeqCst))), status)
}

/// Statuses of requests one after the other, each over a connection of its own, so that all workers have their share.
fn ask(gateway: &Gateway, times: usize) -> Vec<u16> {
    (0..times).map(|_| gateway.get("/").status).collect()
}

fn count(statuses: &[u16], status: u16) -> usize {
    statuses.iter().filter(|other| **other == status).count()
}

fn counted(gateway: &Gateway, name: &str) -> f64 {
    gateway.metrics().sum(&format!("envoy_cluster_{name}"), &[("envoy_cluster_name", "up")])
}

fn endpoints(gateway: &Gateway) -> Vec<Value> {
    let answer: Value = serde_json::from_slice(&gateway.admin_get("/upstreams").body).expect("JSON");
    answer["upstreams"][0]["endpoints"].as_array().expect("endpoints").clone()
}

#[test]
fn an_endpoint_is_ejected_after_so_many_failures_in_a_row_on_all_workers_together() {
    let ((bad, _), (good, _)) = (changing(503), changing(200));
    let gateway = with("outlier: {consecutiveFailures: 5}", &[address(&bad), address(&good)]).start();
    let statuses = ask(&gateway, 60);
    assert_eq!((count(&statuses, 503), count(&statuses, 200)), (5, 55));
    assert_eq!((bad.received().len(), good.received().len()), (5, 55));
    assert!((counted(&gateway, "outlier_detection_ejections_enforced_total") - 1.0).abs() < 0.1);
    assert!((counted(&gateway, "outlier_detection_ejections_active") - 1.0).abs() < 0.1);
    assert!((counted(&gateway, "membership_healthy") - 1.0).abs() < 0.1);
    assert!((counted(&gateway, "membership_total") - 2.0).abs() < 0.1);
    let shown = endpoints(&gateway);
    let ejected: Vec<_> = shown.iter().map(|endpoint| endpoint["ejectedUntil"].is_string()).collect();
    assert_eq!(ejected, [true, false]);
    assert_eq!(shown[0]["address"], address(&bad));
}

#[test]
fn an_endpoint_comes_back_after_its_time() {
    let ((bad, status), (good, _)) = (changing(503), changing(200));
    let settings = "outlier: {consecutiveFailures: 2, baseEjection: 700ms}";
    let gateway = with(settings, &[address(&bad), address(&good)]).start();
    assert_eq!(count(&ask(&gateway, 20), 503), 2);
    let ejected = Instant::now();
    status.store(200, Ordering::SeqCst);
    eventually("the endpoint gets requests again", || {
        assert_eq!(gateway.get("/").status, 200);
        bad.received().len() > 2
    });
    assert!(ejected.elapsed() > Duration::from_millis(500), "after {:?}", ejected.elapsed());
    assert!((counted(&gateway, "membership_healthy") - 2.0).abs() < 0.1);
}

#[test]
fn a_success_ends_a_row_of_failures() {
    let turn = AtomicU16::new(0);
    let origin = Origin::start(move |_| {
        let good = turn.fetch_add(1, Ordering::SeqCst) % 3 == 2;
        Answer::text("").status(if good { 200 } else { 500 })
    });
    let gateway = with("panicThreshold: 0, outlier: {consecutiveFailures: 3}", &[address(&origin)]).start();
    let statuses = ask(&gateway, 30);
    assert_eq!((count(&statuses, 500), count(&statuses, 200)), (20, 10));
}

#[test]
fn what_the_client_did_wrong_is_no_failure() {
    let (origin, _) = changing(404);
    let gateway = with("panicThreshold: 0, outlier: {consecutiveFailures: 1}", &[address(&origin)]).start();
    assert_eq!(count(&ask(&gateway, 10), 404), 10);
    let mut client = gateway.connect();
    client.write(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf");
    client.finish_writing();
    drop(client);
    gateway.await_replies("client_closed", 1);
    assert_eq!(gateway.get("/").status, 404);
}

#[test]
fn connections_that_fail_and_requests_without_an_answer_count() {
    let refusing = RefusingAddress::new();
    let good = Origin::answering("ok");
    let settings = "outlier: {consecutiveFailures: 3}";
    let gateway = with(settings, &[refusing.address().to_string(), address(&good)]).start();
    assert_eq!(count(&ask(&gateway, 40), 200), 40);
    assert!((counted(&gateway, "upstream_cx_connect_fail") - 3.0).abs() < 0.1);

    let closing = Origin::start(|_| Answer::close());
    let gateway = with(settings, &[address(&closing), address(&good)]).start();
    let statuses = ask(&gateway, 40);
    assert_eq!((count(&statuses, 502), count(&statuses, 200)), (3, 37));
}

#[test]
fn a_kept_connection_that_was_closed_is_no_failure() {
    // Each connection serves one request; the next one meets the closing.
    let origin = Origin::start(|request| match request.nth {
        0 => Answer::text("ok"),
        _ => Answer::close(),
    });
    let gateway = Gateway::with(
        "routes: [{to: up}]\n\
         upstreams: {up: {endpoints: ['ORIGIN'], panicThreshold: 0, outlier: {consecutiveFailures: 1}}}",
    )
    .set("ORIGIN", origin.address())
    .start();
    let mut client = gateway.connect();
    let statuses: Vec<_> = (0..10).map(|_| client.send(&Request::post("/", "order")).status).collect();
    assert_eq!((count(&statuses, 200), count(&statuses, 502)), (5, 5), "{statuses:?}");
    assert_eq!(origin.received().len(), 10);
}

#[test]
fn an_endpoint_that_takes_too_long_is_ejected() {
    let slow = Origin::start(|_| Answer::text("").after(Duration::from_secs(1)));
    let good = Origin::answering("ok");
    let gateway = Gateway::with(
        "routes: [{to: up, timeout: 100ms}]\n\
         upstreams: {up: {endpoints: ['SLOW', 'GOOD'], outlier: {consecutiveFailures: 2}}}",
    )
    .set("SLOW", slow.address())
    .set("GOOD", good.address())
    .start();
    let statuses = ask(&gateway, 20);
    assert_eq!((count(&statuses, 504), count(&statuses, 200)), (2, 18));
}

#[test]
fn no_more_are_ejected_than_may_be() {
    let origins = [changing(503), changing(503), changing(200), changing(200)];
    let addresses = origins.each_ref().map(|(origin, _)| address(origin));
    for (percent, ejected) in [(10, 1.0), (50, 2.0)] {
        let settings = format!("outlier: {{consecutiveFailures: 2, maxEjectedPercent: {percent}}}");
        let gateway = with(&settings, &addresses).start();
        let statuses = ask(&gateway, 60);
        assert!((counted(&gateway, "outlier_detection_ejections_active") - ejected).abs() < 0.1);
        let overflow = counted(&gateway, "outlier_detection_ejections_overflow");
        assert_eq!(overflow > 0.0, percent == 10, "{overflow}");
        assert_eq!(count(&statuses, 503) == 4, percent == 50, "{statuses:?}");
    }
}

#[test]
fn when_too_many_are_ejected_all_are_used() {
    let (origin, _) = changing(503);
    let gateway = with("outlier: {consecutiveFailures: 2}", &[address(&origin)]).start();
    assert_eq!(count(&ask(&gateway, 10), 503), 10);
    assert_eq!(origin.received().len(), 10);
    assert!((counted(&gateway, "lb_healthy_panic") - 8.0).abs() < 0.1);

    let (origin, _) = changing(503);
    let never = "panicThreshold: 0, outlier: {consecutiveFailures: 2}";
    let gateway = with(never, &[address(&origin)]).start();
    assert_eq!(count(&ask(&gateway, 10), 503), 10);
    assert_eq!(origin.received().len(), 2);
    gateway.await_replies("no_healthy_endpoint", 8);
}

#[test]
fn a_reload_lets_nobody_in_who_is_ejected() {
    let ((bad, _), (good, _)) = (changing(503), changing(200));
    let settings = "outlier: {consecutiveFailures: 2}";
    let gateway = with(settings, &[address(&bad), address(&good)]).start();
    assert_eq!(count(&ask(&gateway, 20), 503), 2);
    let changed = CONFIG
        .replace("ADDRESSES", &format!("'{}', '{}'", address(&bad), address(&good)))
        .replace("SETTINGS", "outlier: {consecutiveFailures: 3}, connectTimeout: 2s");
    gateway.configure(&changed);
    eventually("the new configuration", || {
        gateway.metrics().sum("gateway_config_reloads_total", &[("result", "success")]) > 0.5
    });
    assert_eq!(count(&ask(&gateway, 20), 503), 0);
    assert_eq!(bad.received().len(), 2);
}

#[test]
fn requests_under_way_are_shown() {
    let gate = gateway_tests::Gate::closed();
    let held = gate.clone();
    let origin = Origin::start(move |_| Answer::text("").behind(&held));
    let gateway = with("balancer: round-robin", &[address(&origin)]).start();
    let asked = [(); 3].map(|()| {
        let mut client = gateway.connect();
        std::thread::spawn(move || client.send(&Request::get("/")).status)
    });
    origin.await_requests(3);
    assert_eq!(endpoints(&gateway)[0]["requestsActive"], 3);
    gate.open();
    assert!(asked.into_iter().all(|asked| asked.join().expect("an answer") == 200));
    eventually("nothing under way", || endpoints(&gateway)[0]["requestsActive"] == 0);
}
