//! Filters made with the SDK: what their tests promise natively holds in the gateway, on several workers.

use std::time::Duration;

use gateway_tests::{Answer, Gateway, Origin, Request, Setup, eventually, wasm};

/// Requests of each thread in a test with load.
const REQUESTS_PER_THREAD: usize = 25;
const THREADS: usize = 8;

fn two_workers(origin: &Origin) -> Setup {
    Gateway::with("workers: 2\nroutes: [{to: origin}]\nupstreams: {origin: 'ORIGIN'}\n")
        .set("ORIGIN", origin.address())
}

/// Statuses of requests over connections of their own, so that both workers get some.
fn load(gateway: &Gateway, header: (&'static str, &'static str)) -> Vec<u16> {
    let send = || {
        let request = Request::get("/").header(header.0, header.1);
        (0..REQUESTS_PER_THREAD).map(|_| gateway.connect().send(&request).status).collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(send)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("the load goes on")).collect()
    })
}

#[test]
fn one_call_after_another_decides_within_its_time() {
    let config = "
routes: [{to: origin}]
upstreams: {origin: 'ORIGIN', accounts: 'ACCOUNTS', plans: 'PLANS'}
";
    let origin = Origin::answering("ok");
    let accounts = Origin::answering(r#"{"id": 7}"#);
    let plans = Origin::start(|received| Answer::text(format!("plan {}", received.text())));
    let slow = Origin::start(|_| Answer::text("late").after(Duration::from_secs(2)));
    for (plans, status) in [(&plans, 200), (&slow, 503)] {
        let gateway = Gateway::with(config)
            .set("ORIGIN", origin.address())
            .set("ACCOUNTS", accounts.address())
            .set("PLANS", plans.address())
            .filter("enrich", &wasm::guest("enrich"), "capabilities: {callouts: [accounts, plans]}")
            .start();
        assert_eq!(gateway.get("/").status, status);
    }
    assert_eq!(origin.only_request().header("x-plan"), Some("plan 7"));
    assert_eq!(slow.last_request().text(), "7");
}

#[test]
fn a_rate_limit_admits_exactly_its_burst_on_all_workers_together() {
    let origin = Origin::answering("ok");
    let manifest = "config: {limits: [{key: {header: x-key}, requests: 50, per: 24h}]}";
    let gateway = two_workers(&origin).filter("rate-limit", &wasm::shipped("rate-limit"), manifest).start();
    let statuses = load(&gateway, ("x-key", "a"));
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 50);
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), THREADS * REQUESTS_PER_THREAD - 50);
    assert_eq!(origin.received().len(), 50);
}

#[test]
fn a_quota_admits_exactly_its_limit_on_all_workers_together() {
    let origin = Origin::answering("ok");
    let gateway = two_workers(&origin)
        .filter("quota", &wasm::shipped("quota"), "config: {limit: 60, window: 24h}")
        .start();
    let statuses = load(&gateway, ("x-consumer", "acme"));
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 60);
    assert_eq!(origin.received().len(), 60);
}

#[test]
fn request_stats_have_the_names_and_labels_of_istio() {
    let origin = Origin::start(|received| {
        Answer::text("x").status(if received.target == "/missing" { 404 } else { 200 })
    });
    let gateway =
        two_workers(&origin).filter("request-stats", &wasm::shipped("request-stats"), "phase: stats").start();
    for target in ["/", "/", "/missing"] {
        assert!(gateway.get(target).status >= 200);
    }
    let requests = |code: &str| {
        let labels = [("reporter", "destination"), ("response_code", code), ("source_workload", "unknown")];
        gateway.metrics().sum("istio_requests_total", &labels)
    };
    eventually("two requests with 200", || requests("200") == 2.0);
    eventually("one request with 404", || requests("404") == 1.0);
    let durations = || gateway.metrics().sum("istio_request_duration_milliseconds_count", &[]);
    eventually("three durations", || durations() == 3.0);
}

#[test]
fn a_token_is_checked_with_keys_that_are_fetched() {
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../../../filters/jwt-auth/vectors/vectors.json")).expect("JSON");
    let keys = Origin::answering(&vectors["jwks"].to_string());
    let origin = Origin::answering("ok");
    let manifest = "
capabilities: {callouts: [keys]}
config: {issuers: [{issuer: 'https://issuer.test', jwks: {remote: {upstream: keys, path: /jwks.json}},
  claimsToHeaders: [{claim: sub, header: x-user}]}]}
";
    let gateway = Gateway::with("routes: [{to: origin}]\nupstreams: {origin: 'ORIGIN', keys: 'KEYS'}\n")
        .set("ORIGIN", origin.address())
        .set("KEYS", keys.address())
        .filter("jwt-auth", &wasm::shipped("jwt-auth"), manifest)
        .start();
    for name in ["RS512 with 4096 bits", "PS256", "ES384", "EdDSA"] {
        let token = vectors["tokens"][name].as_str().expect("a token");
        let request = Request::get("/").header("authorization", &format!("Bearer {token}"));
        assert_eq!(gateway.send(&request).status, 200, "{name}");
        assert_eq!(origin.last_request().header("x-user"), Some("ann"));
        assert_eq!(origin.last_request().header("authorization"), None);
    }
    assert_eq!(gateway.get("/").status, 401);
    assert_eq!(origin.received().len(), 4);
}

#[test]
fn the_whole_body_decides_with_the_head_held_and_events_are_rewritten_in_pieces() {
    let origin = Origin::answering("id: 1\ndata: one\n\ndata: two\n\n");
    let gateway =
        Gateway::to(&origin).filter("approve", &wasm::guest("approve"), "bodyWhilePaused: true").start();
    let order =
        |amount: u32, padding: usize| format!(r#"{{"amount":{amount},"pad":"{}"}}"#, "x".repeat(padding));
    for padding in [0, 200_000] {
        let response = gateway.send(&Request::post("/", order(70, padding)));
        assert_eq!((response.status, response.text().as_str()), (200, "id: 1\ndata: ONE\n\ndata: TWO\n\n"));
        let seen = origin.last_request();
        assert_eq!(seen.header("x-approved"), Some("yes"));
        assert!(seen.text().contains(r#""approved":true"#) && seen.body.len() > padding);
    }
    assert_eq!(gateway.send(&Request::post("/", order(101, 0))).status, 402);
    assert_eq!(gateway.send(&Request::post("/", "no JSON")).status, 400);
    assert_eq!(origin.received().len(), 2, "what is refused goes nowhere");
    assert!(origin.malformed().is_empty());
}
