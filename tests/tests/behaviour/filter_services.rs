//! What a filter gets beyond its own request: callouts, ticks, shared data, metrics.

use std::time::Duration;

use gateway_tests::{Answer, Gateway, Origin, RefusingAddress, Request, Setup, eventually, noise, wasm};

const MANIFEST: &str = "config: auth 300\ncapabilities: {callouts: [auth]}";

fn with_auth(origin: &Origin, auth: impl ToString) -> Setup {
    let config = "
routes: [{to: origin}]
upstreams: {origin: 'ORIGIN', auth: 'AUTH'}
";
    Gateway::with(config).set("ORIGIN", origin.address()).set("AUTH", auth)
}

#[test]
fn a_request_waits_for_the_answer_of_another_upstream() {
    let origin = Origin::echoing();
    let auth = Origin::answering("alice");
    let gateway =
        with_auth(&origin, auth.address()).filter("callout", &wasm::guest("callout"), MANIFEST).start();
    let body = noise(100_000);
    let response = gateway.send(&Request::post("/", &body));
    assert_eq!(response.status, 200);
    assert!(response.body == body);
    let call = auth.only_request();
    assert_eq!(
        (call.method.as_str(), call.target.as_str(), call.header("host")),
        ("GET", "/check", Some("check.example"))
    );
    let seen = origin.only_request();
    assert_eq!(seen.header("x-checked"), Some("alice"));
    assert!(seen.body == body);
}

#[test]
fn a_refusal_a_dead_a_broken_and_a_slow_upstream_all_deny() {
    let origin = Origin::answering("ok");
    let refusing = Origin::start(|_| Answer::text("no").status(403));
    let slow = Origin::start(|_| Answer::text("late").after(Duration::from_secs(2)));
    let nobody = RefusingAddress::new();
    let cut = Origin::start(|_| Answer::cut("yes, but", 3));
    for (auth, expected) in [
        (refusing.address(), "403"),
        (nobody.address(), "503"),
        (cut.address(), "503"),
        (slow.address(), "504"),
    ] {
        let gateway = with_auth(&origin, auth).filter("callout", &wasm::guest("callout"), MANIFEST).start();
        let response = gateway.get("/");
        assert_eq!(response.status, 403);
        assert!(response.text().starts_with(&format!("check answered {expected}")), "{}", response.text());
    }
    assert!(origin.received().is_empty());
}

#[test]
fn a_filter_without_the_capability_cannot_call() {
    let origin = Origin::answering("ok");
    let auth = Origin::answering("alice");
    let setup = with_auth(&origin, auth.address());
    let gateway = setup.filter("callout", &wasm::guest("callout"), "config: auth 300").start();
    let response = gateway.get("/");
    assert_eq!(response.status, 403);
    assert!(response.text().starts_with("check refused"), "{}", response.text());
    assert!(auth.received().is_empty() && origin.received().is_empty());
}

#[test]
fn a_tick_lets_waiting_requests_go_on() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).filter("tick", &wasm::guest("tick"), "").start();
    assert_eq!(gateway.get("/").status, 200);
    assert_eq!(origin.only_request().header("x-ticked"), None);
    assert_eq!(gateway.send(&Request::get("/").header("x-wait", "tick")).status, 200);
    assert_eq!(origin.last_request().header("x-ticked"), Some("1"));
    eventually("the filter's own metric", || gateway.metrics().sum("ticks", &[]) >= 2.0);
}

#[test]
fn shared_data_of_one_filter_is_not_that_of_another() {
    let origin = Origin::answering("ok");
    let shared = wasm::guest("shared");
    let gateway = Gateway::to(&origin).filter("one", &shared, "").filter("two", &shared, "").start();
    for count in ["1", "2", "3"] {
        assert_eq!(gateway.get("/").headers.all("x-shared-count"), [count; 2]);
    }
}

#[test]
fn shared_data_is_one_across_workers() {
    const REQUESTS: usize = 60;
    let origin = Origin::answering("ok");
    let config = "workers: 2\nroutes: [{to: origin}]\nupstreams: {origin: 'ORIGIN'}";
    let setup = Gateway::with(config).set("ORIGIN", origin.address());
    let gateway = setup.filter("shared", &wasm::guest("shared"), "").start();
    let ask = || {
        let answers = (0..REQUESTS / 2).map(|_| gateway.get("/"));
        answers
            .map(|answer| answer.header("x-shared-count").and_then(|n| n.parse().ok()).unwrap_or(0))
            .collect::<Vec<usize>>()
    };
    // The first value has nothing to be compared with: two that write it at once both succeed.
    assert_eq!(gateway.get("/").header("x-shared-count"), Some("1"));
    let mut counts = std::thread::scope(|scope| {
        let other = scope.spawn(ask);
        [ask(), other.join().expect("a client")].concat()
    });
    counts.sort_unstable();
    assert_eq!(counts, (2..=REQUESTS + 1).collect::<Vec<_>>());
    assert!(origin.connections() >= 2, "each worker has connections of its own");
}

#[test]
fn a_replaced_version_finishes_its_work_first() {
    // Asked to end, it goes on ticking: the second tick counts, and says that it is done.
    let imports = r#"
        (import "env" "proxy_set_tick_period_milliseconds" (func $tick (param i32) (result i32)))
        (import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_increment_metric" (func $increment (param i32 i64) (result i32)))
        (import "env" "proxy_done" (func $done (result i32)))"#;
    let parts = r#"
        (data (i32.const 16) "finished_workended")
        (func $count (param i32 i32)
          (drop (call $define (i32.const 0) (local.get 0) (local.get 1) (i32.const 96)))
          (drop (call $increment (i32.load (i32.const 96)) (i64.const 1))))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))
        (func (export "proxy_on_done") (param i32) (result i32)
          (if (i32.ne (local.get 0) (i32.const 1)) (then (return (i32.const 1))))
          (drop (call $tick (i32.const 20)))
          (i32.const 0))
        (func (export "proxy_on_tick") (param i32)
          (i32.store (i32.const 64) (i32.add (i32.load (i32.const 64)) (i32.const 1)))
          (if (i32.lt_u (i32.load (i32.const 64)) (i32.const 2)) (then (return)))
          (drop (call $tick (i32.const 0)))
          (call $count (i32.const 16) (i32.const 13))
          (if (call $done) (then unreachable)))
        (func (export "proxy_on_delete") (param i32)
          (if (i32.eq (local.get 0) (i32.const 1)) (then (call $count (i32.const 29) (i32.const 5)))))"#;
    let origin = Origin::answering("hello");
    let module = wasm::small(imports, parts);
    let gateway = Gateway::to(&origin).filter("worker", &module, "").start();
    assert_eq!(gateway.get("/").status, 200);
    let finished = || gateway.metrics().sum("finished_work", &[]) >= 1.0;
    assert!(!finished());
    gateway.drop_filter("worker", &wasm::annotated(&module, "next"), "");
    eventually("the work is done", finished);
    eventually("its end", || gateway.metrics().sum("ended", &[]) >= 1.0);
}
