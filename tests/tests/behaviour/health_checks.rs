//! Requests of the gateway's own that find out which endpoints work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use gateway_tests::{
    Answer, Authority, Gate, Gateway, Origin, Received, RefusingAddress, Setup, TlsFront, eventually,
};
use serde_json::Value;

const CONFIG: &str = "workers: 2\nroutes: [{to: up}]\nupstreams: {up: {endpoints: [ADDRESSES], SETTINGS}}";
const FAST: &str = "healthCheck: {http: /healthz, interval: 50ms, timeout: 200ms, healthy: 2, unhealthy: 3}";

fn with(settings: &str, addresses: &[String]) -> Setup {
    let addresses: Vec<_> = addresses.iter().map(|address| format!("'{address}'")).collect();
    Gateway::with(CONFIG).set("ADDRESSES", addresses.join(", ")).set("SETTINGS", settings)
}

fn address(origin: &Origin) -> String {
    origin.address().to_string()
}

/// Answers requests, and checks with a status that can be changed.
fn checked(status: u16) -> (Origin, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(status));
    let shared = status.clone();
    let script = move |request: &Received| match request.target.as_str() {
        "/healthz" => Answer::text("").status(shared.load(Ordering::SeqCst)),
        _ => Answer::text("ok"),
    };
    (Origin::start(script), status)
}

fn health(gateway: &Gateway) -> Vec<String> {
    let answer: Value = serde_json::from_slice(&gateway.admin_get("/upstreams").body).expect("JSON");
    let endpoints = answer["upstreams"][0]["endpoints"].as_array().expect("endpoints").clone();
    endpoints.iter().map(|endpoint| endpoint["health"].as_str().expect("a word").to_owned()).collect()
}

fn await_health(gateway: &Gateway, expected: &[&str]) {
    eventually(&format!("{expected:?}"), || health(gateway) == expected);
}

fn counted(gateway: &Gateway, name: &str) -> f64 {
    gateway.metrics().sum(&format!("envoy_cluster_{name}"), &[("envoy_cluster_name", "up")])
}

#[test]
fn an_endpoint_that_fails_its_checks_gets_no_requests_until_it_passes_them() {
    let ((bad, status), (good, _)) = (checked(503), checked(200));
    let gateway = with(FAST, &[address(&bad), address(&good)]).start();
    await_health(&gateway, &["unhealthy", "healthy"]);
    let before = bad.count("/");
    for _ in 0..20 {
        assert_eq!(gateway.get("/").text(), "ok");
    }
    assert_eq!((bad.count("/"), good.count("/")), (before, 20 - before));
    assert!((counted(&gateway, "membership_healthy") - 1.0).abs() < 0.1);
    assert!((counted(&gateway, "membership_total") - 2.0).abs() < 0.1);
    assert!(counted(&gateway, "health_check_failure") > 0.5);
    status.store(200, Ordering::SeqCst);
    await_health(&gateway, &["healthy", "healthy"]);
    for _ in 0..20 {
        assert_eq!(gateway.get("/").status, 200);
    }
    assert!(bad.count("/") >= before + 8, "it has its turns again");
}

#[test]
fn a_failing_check_alone_changes_nothing() {
    let turn = AtomicU16::new(0);
    let flapping = Origin::start(move |request: &Received| match request.target.as_str() {
        "/healthz" if !turn.fetch_add(1, Ordering::SeqCst).is_multiple_of(3) => Answer::text("").status(503),
        _ => Answer::text("ok"),
    });
    let gateway = with(&format!("panicThreshold: 0, {FAST}"), &[address(&flapping)]).start();
    await_health(&gateway, &["healthy"]);
    eventually("ten checks", || {
        assert_eq!(health(&gateway), ["healthy"]);
        flapping.count("/healthz") >= 10
    });
    assert_eq!(gateway.get("/").status, 200);
}

#[test]
fn endpoints_get_requests_until_the_first_check_says_otherwise() {
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = Origin::start(move |request: &Received| match request.target.as_str() {
        "/healthz" => Answer::text("").status(503).behind(&held),
        _ => Answer::text("ok"),
    });
    let settings = "panicThreshold: 0, healthCheck: {http: /healthz, interval: 50ms, timeout: 10s}";
    let gateway = with(settings, &[address(&origin)]).start();
    eventually("a check under way", || origin.count("/healthz") == 1);
    assert_eq!((gateway.get("/").status, health(&gateway)), (200, vec!["unchecked".to_owned()]));
    gate.open();
    await_health(&gateway, &["unhealthy"]);
    assert_eq!(gateway.get("/").status, 503);
    gateway.await_replies("no_healthy_endpoint", 1);
    let lines = gateway.await_access_lines(2);
    assert!(lines.iter().any(|line| line["response_flags"] == "UH"), "{lines:#?}");
}

#[test]
fn no_answer_in_time_and_no_connection_are_failures() {
    let slow = Origin::start(|_| Answer::text("").after(Duration::from_secs(2)));
    let refusing = RefusingAddress::new();
    let (good, _) = checked(204);
    let addresses = [address(&slow), refusing.address().to_string(), address(&good)];
    let gateway = with(FAST, &addresses).start();
    await_health(&gateway, &["unhealthy", "unhealthy", "healthy"]);
}

#[test]
fn a_check_asks_as_configured() {
    let (origin, _) = checked(418);
    let http = "{path: /healthz, host: up.internal, expect: [200, 410-420]}";
    let gateway =
        with(&format!("healthCheck: {{http: {http}, interval: 50ms}}"), &[address(&origin)]).start();
    await_health(&gateway, &["healthy"]);
    let check = origin.received().remove(0);
    assert_eq!((check.method.as_str(), check.target.as_str()), ("GET", "/healthz"));
    assert_eq!(check.header("host"), Some("up.internal"));
    assert_eq!(check.header("user-agent"), Some("gateway-health-check"));
    assert_eq!(gateway.access_lines().len(), 0, "checks are no requests of clients");

    let (origin, _) = checked(418);
    let gateway = with(FAST, &[address(&origin)]).start();
    await_health(&gateway, &["unhealthy"]);
    let own = address(&origin);
    assert_eq!(origin.received()[0].header("host"), Some(own.as_str()));
}

#[test]
fn a_process_checks_once_for_all_workers() {
    let (origin, _) = checked(200);
    let settings = "healthCheck: {http: /healthz, interval: 200ms}";
    let gateway = with(settings, &[address(&origin)]).start();
    eventually("the first check", || origin.count("/healthz") == 1);
    let begun = Instant::now();
    eventually("five more checks", || origin.count("/healthz") >= 6);
    assert!(begun.elapsed() >= Duration::from_millis(5 * 180), "after {:?}", begun.elapsed());
    assert!(counted(&gateway, "health_check_attempt") >= 6.0);
}

#[test]
fn when_all_fail_all_get_requests() {
    let (origin, _) = checked(500);
    let gateway = with(FAST, &[address(&origin)]).start();
    await_health(&gateway, &["unhealthy"]);
    assert_eq!(gateway.get("/").status, 200);
    assert!((counted(&gateway, "lb_healthy_panic") - 1.0).abs() < 0.1);
}

#[test]
fn a_reload_keeps_what_is_known_and_ends_checks_that_are_gone() {
    let ((bad, _), (good, _)) = (checked(503), checked(200));
    let addresses = [address(&bad), address(&good)];
    let gateway = with(FAST, &addresses).start();
    await_health(&gateway, &["unhealthy", "healthy"]);
    let written = format!("'{}', '{}'", addresses[0], addresses[1]);
    let config = CONFIG.replace("ADDRESSES", &written);
    let reloads = |number: f64| {
        eventually("the new configuration", || {
            gateway.metrics().sum("gateway_config_reloads_total", &[("result", "success")]) > number - 0.5
        });
    };
    gateway.configure(&config.replace("SETTINGS", &format!("connectTimeout: 2s, {FAST}")));
    reloads(1.0);
    assert_eq!(health(&gateway), ["unhealthy", "healthy"]);
    gateway.configure(&config.replace("SETTINGS", "connectTimeout: 2s"));
    reloads(2.0);
    assert_eq!(health(&gateway), ["unchecked", "unchecked"]);
    let (checks, before) = (bad.count("/healthz"), bad.count("/"));
    for _ in 0..10 {
        assert_eq!(gateway.get("/").status, 200);
    }
    assert!(bad.count("/") > before);
    // A check that was under way when its task ended may still have arrived.
    assert!(bad.count("/healthz") <= checks + 1);
}

#[test]
fn checks_speak_tls_as_the_upstream_does() {
    let (authority, stranger) = (Authority::new("private"), Authority::new("stranger"));
    let (origin, _) = checked(200);
    for (issuer, expected) in [(&authority, "healthy"), (&stranger, "unhealthy")] {
        let front = TlsFront::before(origin.address(), &issuer.issue(&["up.internal"]), None);
        let settings = format!("tls: {{ca: ca.pem, sni: up.internal}}, {FAST}");
        let gateway =
            with(&settings, &[front.address().to_string()]).file("ca.pem", &authority.pem()).start();
        await_health(&gateway, &[expected]);
    }
}
