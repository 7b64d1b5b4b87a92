//! Machines of filters: configured once and copied, one for each worker or one for each request, and what becomes of
//! other requests when one of them fails.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use gateway_tests::{Answer, Client, Gateway, Origin, Request, Setup, eventually, wasm};

const CONFIG: &str = "workers: WORKERS
listeners: [{name: web, bind: '127.0.0.1:0'}]
routes: [{to: origin}]
upstreams: {origin: 'ORIGIN'}";

/// Tells the origin how often it was configured in this process (`x-configured`), how many requests its machine has seen
/// (`x-count`), and the letter that the request before left behind (`x-before`). `x-do: t` traps, `h` holds the request for
/// ever, any other letter is kept. `more` is part of the module.
fn guest(on_configure: &str, more: &str) -> Vec<u8> {
    let imports = r#"
        (import "env" "proxy_get_shared_data" (func $shared (param i32 i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_set_shared_data" (func $set_shared (param i32 i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_set_tick_period_milliseconds" (func $tick (param i32) (result i32)))
        (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))"#;
    let parts = format!(
        r#"
        (data (i32.const 16) "x-countx-configuredx-beforex-dok")
        (global $count (mut i32) (i32.const 48))
        (func $bump (param $key i32)
          (i32.store8 (i32.const 200) (i32.const 48))
          (if (i32.eqz (call $shared (local.get $key) (i32.const 1) (i32.const 64) (i32.const 68) (i32.const 72)))
            (then (i32.store8 (i32.const 200) (i32.load8_u (i32.load (i32.const 64))))))
          (i32.store8 (i32.const 200) (i32.add (i32.load8_u (i32.const 200)) (i32.const 1)))
          (drop (call $set_shared (local.get $key) (i32.const 1) (i32.const 200) (i32.const 1) (i32.const 0))))
        (func (export "proxy_on_configure") (param i32 i32) (result i32)
          (call $bump (i32.const 47)) {on_configure} (i32.const 1))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
          (global.set $count (i32.add (global.get $count) (i32.const 1)))
          (i32.store8 (i32.const 80) (global.get $count))
          (drop (call $add (i32.const 0) (i32.const 16) (i32.const 7) (i32.const 80) (i32.const 1)))
          (if (i32.load8_u (i32.const 100)) (then
            (drop (call $add (i32.const 0) (i32.const 35) (i32.const 8) (i32.const 100) (i32.const 1)))))
          (if (i32.eqz (call $shared (i32.const 47) (i32.const 1) (i32.const 64) (i32.const 68) (i32.const 72))) (then
            (drop (call $add (i32.const 0) (i32.const 23) (i32.const 12) (i32.load (i32.const 64)) (i32.const 1)))))
          (if (call $get (i32.const 0) (i32.const 43) (i32.const 4) (i32.const 64) (i32.const 68))
            (then (return (i32.const 0))))
          (i32.store8 (i32.const 100) (i32.load8_u (i32.load (i32.const 64))))
          (if (i32.eq (i32.load8_u (i32.const 100)) (i32.const 116)) (then unreachable))
          (i32.eq (i32.load8_u (i32.const 100)) (i32.const 104)))
        {more}"#
    );
    wasm::small(imports, &parts)
}

fn plain() -> Vec<u8> {
    guest("", "")
}

/// Draws before it could be copied.
fn drawing() -> Vec<u8> {
    guest("(drop (call $random (i32.const 300) (i32.const 4)))", "")
}

fn setup(origin: &Origin, workers: usize, module: &[u8], manifest: &str) -> Setup {
    let setup = Gateway::with(CONFIG).set("WORKERS", workers).set("ORIGIN", origin.address());
    // Failures are what these tests make.
    setup.filter("it", module, &format!("{manifest}\nquarantine: {{enabled: false}}\n"))
}

fn doing(letter: &str) -> Request {
    Request::get("/").header("x-do", letter)
}

fn told(origin: &Origin, name: &str) -> Option<String> {
    origin.last_request().header(name).map(ToString::to_string)
}

fn held(gateway: &Gateway) -> Client {
    let mut client = gateway.connect();
    client.write(Request::get("/held").header("x-do", "h").bytes());
    client
}

/// How often the filter was configured in this process until now; the gates may have looked more than once.
fn configured(gateway: &Gateway, origin: &Origin) -> u8 {
    assert_eq!(gateway.get("/").status, 200);
    let told = told(origin, "x-configured").unwrap_or_default();
    told.bytes().next().unwrap_or_default()
}

fn metric(gateway: &Gateway, name: &str) -> f64 {
    gateway.metrics().sum(name, &[("filter", "it")])
}

/// Machines that requests have; each worker has one besides.
fn instances(gateway: &Gateway) -> f64 {
    metric(gateway, "gateway_filter_instances") - 1.0
}

fn is(value: f64, expected: f64) -> bool {
    (value - expected).abs() < 0.5
}

#[test]
fn a_filter_is_configured_once_and_every_worker_has_a_copy() {
    let origin = Origin::answering("ok");
    let gateway = setup(&origin, 2, &plain(), "").start();
    let before = configured(&gateway, &origin);
    for _ in 0..10 {
        assert_eq!(gateway.send(&doing("t")).status, 503);
        assert_eq!(configured(&gateway, &origin), before, "and a new machine is one more copy");
    }
    eventually("every machine is a copy", || is(metric(&gateway, "gateway_filter_copies_total"), 12.0));
}

#[test]
fn what_draws_random_numbers_first_is_started_again_for_each_machine() {
    let origin = Origin::answering("ok");
    let gateway = setup(&origin, 1, &drawing(), "limits: {instanceWait: 30s}").start();
    let before = configured(&gateway, &origin);
    assert_eq!(gateway.send(&doing("t")).status, 503);
    eventually("another one was started for the next failure", || configured(&gateway, &origin) > before);
    assert!(is(metric(&gateway, "gateway_filter_copies_total"), 0.0));

    let accepted = setup(&origin, 1, &drawing(), "image: {sharedRandomness: accept}").start();
    let before = configured(&accepted, &origin);
    assert_eq!(accepted.send(&doing("t")).status, 503);
    assert_eq!(configured(&accepted, &origin), before);
}

fn a_trap_costs_one_request_and_the_next_finds_a_new_machine(module: &[u8], manifest: &str) {
    let origin = Origin::answering("ok");
    let gateway = setup(&origin, 1, module, manifest).start();
    for trap in 1..=5 {
        assert_eq!(gateway.get("/").status, 200);
        assert_eq!(told(&origin, "x-count").as_deref(), Some("1"), "a machine that has seen nothing");
        assert_eq!(gateway.send(&doing("k")).status, 200);
        assert_eq!(told(&origin, "x-count").as_deref(), Some("2"));
        assert_eq!(gateway.send(&doing("t")).status, 503);
        assert_eq!(gateway.get("/").status, 200, "after trap {trap}");
        assert_eq!(told(&origin, "x-count").as_deref(), Some("1"));
        assert_eq!(told(&origin, "x-before"), None);
        assert_eq!(gateway.send(&doing("t")).status, 503);
    }
    assert!(is(metric(&gateway, "gateway_filter_traps_total"), 10.0));
    assert_eq!(origin.received().len(), 15);
}

#[test]
fn a_trap_costs_one_request_where_machines_are_copied() {
    a_trap_costs_one_request_and_the_next_finds_a_new_machine(&plain(), "");
}

#[test]
fn a_trap_costs_one_request_where_machines_are_started() {
    a_trap_costs_one_request_and_the_next_finds_a_new_machine(&drawing(), "limits: {instanceWait: 30s}");
}

#[test]
fn without_a_machine_in_reserve_requests_wait_no_longer_than_they_may() {
    let origin = Origin::answering("ok");
    // Half a second of work to start, each time.
    let slow = guest(
        "(drop (call $random (i32.const 300) (i32.const 4)))
         (loop $more (global.set $work (i32.add (global.get $work) (i32.const 1)))
           (br_if $more (i32.lt_u (global.get $work) (i32.const 800000000))))",
        "(global $work (mut i32) (i32.const 0))",
    );
    let gateway = setup(&origin, 1, &slow, "limits: {instanceWait: 0s}").start();
    eventually("a reserve takes the place of a failed machine", || {
        assert_eq!(gateway.send(&doing("t")).status, 503);
        gateway.get("/").status == 200
    });
    assert_eq!(gateway.send(&doing("t")).status, 503);
    assert_eq!(gateway.get("/").status, 503, "there is no other yet");
    eventually("it is told", || gateway.metrics().replies("filter_not_live") >= 1.0);
    eventually("the next one was started", || gateway.get("/").status == 200);
}

#[test]
fn requests_that_the_filter_is_through_with_survive_its_machine() {
    let origin = Origin::start(|request| {
        let answer = Answer::text("ok");
        if request.target == "/slow" { answer.after(Duration::from_millis(300)) } else { answer }
    });
    let gateway = setup(&origin, 1, &plain(), "").start();
    let mut slow = gateway.connect();
    slow.write(Request::get("/slow").bytes());
    origin.await_requests(1);
    let mut waiting = held(&gateway);
    eventually("it is held", || metric(&gateway, "gateway_filter_calls_total") >= 4.0);
    assert_eq!(gateway.send(&doing("t")).status, 503);
    assert_eq!(waiting.read("GET").status, 503, "its filter will never say what becomes of it");
    assert_eq!(slow.read("GET").status, 200, "it has passed the filter, which sees no responses");
}

#[test]
fn with_isolation_stream_requests_see_nothing_of_each_other() {
    let origin = Origin::answering("ok");
    let shared = setup(&origin, 1, &plain(), "isolation: worker").start();
    assert_eq!(shared.send(&doing("s")).status, 200);
    assert_eq!(shared.get("/").status, 200);
    assert_eq!(told(&origin, "x-before").as_deref(), Some("s"), "with worker they do");

    let gateway = setup(&origin, 1, &plain(), "isolation: stream").start();
    let before = configured(&gateway, &origin);
    for _ in 0..50 {
        assert_eq!(gateway.send(&doing("s")).status, 200);
        assert_eq!(told(&origin, "x-before"), None);
        assert_eq!(told(&origin, "x-count").as_deref(), Some("1"));
    }
    assert_eq!(configured(&gateway, &origin), before);
    assert!(is(metric(&gateway, "gateway_filter_copies_total"), 53.0), "and one for ticks and queues");
    assert!(is(instances(&gateway), 0.0));
}

#[test]
fn with_isolation_stream_a_trap_is_noticed_by_nobody_else() {
    let origin = Origin::answering("ok");
    let more =
        r#"(func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (i32.const 0))"#;
    let gateway = setup(&origin, 1, &guest("", more), "isolation: stream").start();
    let origin_waits = held(&gateway);
    eventually("it is held", || is(instances(&gateway), 1.0));
    for _ in 0..10 {
        assert_eq!(gateway.send(&doing("t")).status, 503);
        assert_eq!(gateway.get("/").status, 200);
    }
    assert!(is(metric(&gateway, "gateway_filter_traps_total"), 10.0));
    assert!(is(instances(&gateway), 1.0), "the one that waits has its machine");
    drop(origin_waits);
    eventually("its machine is given back", || is(instances(&gateway), 0.0));
}

#[test]
fn machines_of_requests_are_bounded_and_further_ones_wait() {
    let origin = Origin::answering("ok");
    let manifest = "isolation: stream\nlimits: {instances: 2, instanceWait: 200ms}";
    let gateway = setup(&origin, 1, &plain(), manifest).start();
    let first = held(&gateway);
    let _second = held(&gateway);
    eventually("both are held", || is(instances(&gateway), 2.0));
    let began = Instant::now();
    assert_eq!(gateway.get("/").status, 503);
    assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
    gateway.await_replies("filter_busy", 1);
    drop(first);
    eventually("one is given back", || is(instances(&gateway), 1.0));
    assert_eq!(gateway.get("/").status, 200);

    let open = setup(&origin, 1, &plain(), &format!("{manifest}\nonFailure: open")).start();
    let (_first, _second) = (held(&open), held(&open));
    eventually("both are held", || is(instances(&open), 2.0));
    assert_eq!(open.get("/").status, 200);
    assert_eq!(told(&origin, "x-count"), None, "the filter was not asked");
}

#[test]
fn a_request_that_waits_gets_the_machine_that_is_given_back() {
    let origin = Origin::answering("ok");
    let manifest = "isolation: stream\nlimits: {instances: 1, instanceWait: 60s}";
    let gateway = setup(&origin, 1, &plain(), manifest).start();
    let first = held(&gateway);
    eventually("it is held", || is(instances(&gateway), 1.0));
    let mut second = gateway.connect();
    second.write(Request::get("/second").bytes());
    let mut third = gateway.connect();
    third.write(Request::get("/third").bytes());
    drop(first);
    assert_eq!((second.read("GET").status, third.read("GET").status), (200, 200));
    assert_eq!(origin.received().len(), 2);
}

#[test]
fn with_isolation_stream_ticks_are_one_machines_and_seen_through_shared_data() {
    let origin = Origin::answering("ok");
    // Each tick counts where requests read how often it was configured; a request cannot set another period.
    let more = r#"(func (export "proxy_on_tick") (param i32)
        (if (i32.lt_u (global.get $ticks) (i32.const 70)) (then
          (global.set $ticks (i32.add (global.get $ticks) (i32.const 1)))
          (call $bump (i32.const 47)))))
      (global $ticks (mut i32) (i32.const 0))
      (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) (call $tick (i32.const 0)))"#;
    let ticking = guest("(drop (call $tick (i32.const 10)))", more);
    let gateway = setup(&origin, 1, &ticking, "isolation: stream").start();
    let first = configured(&gateway, &origin);
    eventually("it ticks", || {
        assert_eq!(gateway.send(&Request::post("/", "x")).status, 200);
        told(&origin, "x-configured").is_some_and(|told| told.as_bytes()[0] > first)
    });
    assert_eq!(told(&origin, "x-count").as_deref(), Some("1"));
}

#[test]
fn with_isolation_stream_a_request_may_have_ticks_of_its_own() {
    let origin = Origin::answering("ok");
    let waits = wasm::small(
        r#"(import "env" "proxy_set_tick_period_milliseconds" (func $tick (param i32) (result i32)))
           (import "env" "proxy_set_effective_context" (func $context (param i32) (result i32)))
           (import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))"#,
        r#"(global $waiting (mut i32) (i32.const 0))
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (global.set $waiting (local.get 0)) (call $tick (i32.const 10)) drop (i32.const 1))
           (func (export "proxy_on_tick") (param i32)
             (drop (call $context (global.get $waiting))) (drop (call $continue (i32.const 0))))"#,
    );
    let gateway = setup(&origin, 1, &waits, "isolation: stream").start();
    assert_eq!((gateway.get("/").status, gateway.get("/").status), (200, 200));
}

#[test]
fn what_cannot_be_copied_is_refused_with_isolation_stream() {
    let origin = Origin::answering("ok");
    let setup = Gateway::with(CONFIG).set("WORKERS", 1).set("ORIGIN", origin.address());
    let gateway = setup.broken_filter("it", &drawing(), "isolation: stream").start();
    let reason = gateway.await_refusal("it");
    assert!(reason.contains("isolation: stream") && reason.contains("drew 4 random bytes"), "{reason}");
    assert_eq!(gateway.get("/").status, 503);
}

#[test]
fn copies_draw_random_numbers_of_their_own() {
    let origin = Origin::answering("ok");
    let gateway = setup(&origin, 1, &wasm::guest("dice"), "isolation: stream").start();
    let mut client = gateway.connect();
    let mut seen = HashSet::new();
    for _ in 0..100 {
        assert_eq!(client.get("/").status, 200);
        seen.extend([told(&origin, "x-dice"), told(&origin, "x-hash")]);
    }
    assert_eq!(seen.len(), 200, "none is there twice");
    assert!(is(metric(&gateway, "gateway_filter_copies_total"), 101.0));
}

#[test]
fn a_version_that_does_not_wait_for_its_image_serves_without_and_takes_it_up_later() {
    let origin = Origin::answering("ok");
    let gateway = setup(&origin, 2, &plain(), "image: {wait: 0s}").start();
    let (mut client, mut before) = (gateway.connect(), 0);
    eventually("each worker has a copy", || {
        assert_eq!(client.get("/").status, 200);
        before = configured(&gateway, &origin);
        is(metric(&gateway, "gateway_filter_copies_total"), 2.0)
    });
    eventually("and nothing else", || is(metric(&gateway, "gateway_filter_instances"), 2.0));
    assert_eq!(gateway.send(&doing("t")).status, 503);
    assert_eq!(configured(&gateway, &origin), before, "what takes its place is a copy");
    assert!(is(metric(&gateway, "gateway_filter_copies_total"), 3.0));
}
