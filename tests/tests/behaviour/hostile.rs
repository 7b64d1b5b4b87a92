//! A filter that loops, exhausts memory, panics, recurses or returns garbage costs only the requests that make it do so.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gateway_tests::{Answer, Gate, Gateway, Origin, Request, eventually, wasm};

/// What the guest does, and how the gateway calls it.
const HARMS: [(&str, &str); 4] = [
    ("loop", "filter_deadline"),
    ("memory", "filter_memory"),
    ("panic", "filter_trap"),
    ("stack", "filter_trap"),
];
/// Far more than a deadline of CPU time, far less than for ever.
const PROMPTLY: Duration = Duration::from_secs(3);

fn harmful(what: &str) -> Request {
    Request::get("/harm").header("x-do", what)
}

fn counted(gateway: &Gateway, reason: &str) -> f64 {
    let name = if reason == "filter_deadline" {
        "gateway_filter_timeouts_total"
    } else {
        "gateway_filter_traps_total"
    };
    gateway.metrics().sum(name, &[("filter", "hostile")])
}

#[test]
fn each_harm_costs_the_request_that_asked_for_it() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).filter("hostile", &wasm::guest("hostile"), "").start();
    let mut client = gateway.connect();
    for (what, reason) in HARMS {
        let (replies, failures) = (gateway.metrics().replies(reason), counted(&gateway, reason));
        let started = Instant::now();
        assert_eq!(client.send(&harmful(what)).status, 503, "{what}");
        assert!(started.elapsed() < PROMPTLY, "{what} took {:?}", started.elapsed());
        assert_eq!(client.get("/next").status, 200, "after {what}");
        eventually(&format!("{what} counted"), || gateway.metrics().replies(reason) >= replies + 1.0);
        assert!((counted(&gateway, reason) - failures - 1.0).abs() < 0.5, "{what}");
    }
    assert_eq!(origin.count("/harm"), 0);
    assert_eq!(origin.count("/next"), HARMS.len());
    let lines = gateway.await_access_lines(2 * HARMS.len());
    let reasons: Vec<_> =
        lines.iter().step_by(2).filter_map(|line| line["response_code_details"].as_str()).collect();
    assert_eq!(reasons, HARMS.map(|(_, reason)| reason));
    assert!(gateway.metrics().sum("gateway_worker_panics_total", &[]) < 0.5);
}

#[test]
fn harm_in_the_response_costs_that_response() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).filter("hostile", &wasm::guest("hostile"), "").start();
    let mut client = gateway.connect();
    for (what, _) in HARMS {
        assert_eq!(client.send(&harmful(what).header("x-do-at", "response")).status, 503, "{what}");
        assert_eq!(client.get("/next").text(), "ok", "after {what}");
    }
    assert_eq!(origin.count("/harm"), HARMS.len(), "the origin had answered");
}

#[test]
fn garbage_in_place_of_an_action_costs_that_request() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).filter("hostile", &wasm::garbage(), "").start();
    let mut client = gateway.connect();
    for _ in 0..3 {
        assert_eq!(client.send(&harmful("anything")).status, 503);
        assert_eq!(client.get("/next").status, 200);
    }
    gateway.await_replies("filter_trap", 3);
}

#[test]
fn with_policy_open_the_request_goes_on() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).filter("hostile", &wasm::guest("hostile"), "onFailure: open").start();
    let mut client = gateway.connect();
    for (what, reason) in HARMS {
        let failures = counted(&gateway, reason);
        assert_eq!(client.send(&harmful(what)).text(), "ok", "{what}");
        assert!((counted(&gateway, reason) - failures - 1.0).abs() < 0.5, "{what}");
    }
    assert_eq!(origin.count("/harm"), HARMS.len());
}

#[test]
fn budgets_are_those_of_the_manifest() {
    let at_request_headers = |code: &str| {
        let callback = r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)"#;
        // With the last argument: only of requests without a body, which the one is not that is made up before.
        wasm::small("", &format!("{callback} (local $n i32) (if (local.get 2) (then {code})) (i32.const 0))"))
    };
    // Far more than 10 ms on any machine.
    let busy = at_request_headers(
        "(local.set $n (i32.const 400_000_000))
         (loop $on (br_if $on (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))",
    );
    // 16 MiB more.
    let large =
        at_request_headers("(if (i32.eq (memory.grow (i32.const 256)) (i32.const -1)) (then unreachable))");
    let origin = Origin::answering("ok");
    for (module, manifest, status) in [
        (&busy, "", 503),
        (&busy, "limits: {callbackCpu: 10s}", 200),
        (&large, "", 200),
        (&large, "limits: {memory: 8MiB}", 503),
    ] {
        let gateway = Gateway::to(&origin).filter("budget", module, manifest).start();
        assert_eq!(gateway.get("/").status, status, "{manifest}");
    }
}

#[test]
fn bystanders_on_the_same_worker_are_served_throughout() {
    let origin = Origin::answering("ok");
    let config = "
routes:
  - {name: beside, match: {path: {prefix: /beside}}, to: origin}
  - {name: guarded, to: origin}
upstreams: {origin: 'ORIGIN'}
";
    let gateway = Gateway::with(config)
        .set("ORIGIN", origin.address())
        .filter("hostile", &wasm::guest("hostile"), "match: {routes: [guarded]}")
        .filter("stamp", &wasm::guest("stamp"), "config: v1")
        .start();
    let over = AtomicBool::new(false);
    let served = std::thread::scope(|scope| {
        let bystander = scope.spawn(|| {
            let (mut client, mut served) = (gateway.connect(), 0);
            while !over.load(Ordering::SeqCst) {
                let response = client.get("/beside");
                assert_eq!((response.status, response.header("x-stamp")), (200, Some("v1")));
                served += 1;
            }
            served
        });
        for _ in 0..5 {
            for (what, _) in HARMS {
                assert_eq!(gateway.send(&harmful(what)).status, 503);
            }
        }
        over.store(true, Ordering::SeqCst);
        bystander.join().expect("no bystander failed")
    });
    assert!(served > 5, "{served}");
}

#[test]
fn requests_that_share_a_failed_machine_end_by_the_policy_at_once() {
    for (manifest, expected) in [("onFailure: closed", 503), ("onFailure: open", 200)] {
        let gate = Gate::closed();
        let origin = {
            let gate = gate.clone();
            Origin::start(move |request| match request.target.as_str() {
                "/slow" => Answer::text("slow").behind(&gate),
                _ => Answer::text("ok"),
            })
        };
        let gateway = Gateway::to(&origin).filter("hostile", &wasm::guest("hostile"), manifest).start();
        let mut waiting = gateway.connect();
        waiting.write(Request::get("/slow").bytes());
        origin.await_requests(1);
        let failed = gateway.send(&harmful("panic"));
        assert_eq!(failed.status, expected);
        let open = failed.status == 200;
        if open {
            gate.open();
        }
        let started = Instant::now();
        let response = waiting.read("GET");
        assert_eq!(response.status, expected, "{manifest}");
        assert_eq!(response.text() == "slow", open, "{manifest}: {:?}", response.text());
        assert!(started.elapsed() < PROMPTLY);
        gate.open();
        assert_eq!(gateway.get("/next").status, 200);
    }
}

#[test]
fn requests_that_a_failed_machine_holds_end_by_the_policy_at_once() {
    // Traps on `x-trap` and holds every other request.
    let module = wasm::small(
        r#"(import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))"#,
        r#"(data (i32.const 16) "x-trap")
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (if (i32.eqz (call $get (i32.const 0) (i32.const 16) (i32.const 6) (i32.const 0) (i32.const 4)))
               (then unreachable))
             (i32.const 1))"#,
    );
    for (manifest, expected) in [("onFailure: closed", 503), ("onFailure: open", 200)] {
        let origin = Origin::answering("ok");
        let gateway = Gateway::to(&origin).filter("holds", &module, manifest).start();
        let mut held = gateway.connect();
        held.write(Request::get("/held").bytes());
        eventually("the context made and called", || {
            gateway.metrics().sum("gateway_filter_calls_total", &[("filter", "holds")]) >= 2.0
        });
        assert!(origin.received().is_empty());
        assert_eq!(gateway.send(&Request::get("/").header("x-trap", "1")).status, expected, "{manifest}");
        let started = Instant::now();
        assert_eq!(held.read("GET").status, expected, "{manifest}");
        assert!(started.elapsed() < PROMPTLY);
        assert_eq!(origin.count("/held"), usize::from(expected == 200));
    }
}
