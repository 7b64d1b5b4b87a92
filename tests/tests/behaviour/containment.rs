//! Filters that fail or use too much cost what their manifest says, and nobody else anything.

use std::time::{Duration, Instant};

use gateway_tests::{Answer, Client, Gateway, Origin, Request, Response, Setup, eventually, wasm};

const FILTER: &[(&str, &str)] = &[("filter", "unbounded")];

fn unbounded(origin: &Origin, manifest: &str) -> Setup {
    Gateway::to(origin).filter("unbounded", &wasm::guest("unbounded"), manifest)
}

fn asking(what: &str) -> Request {
    Request::get("/asked").header("x-do", what)
}

fn done(response: &Response) -> u64 {
    let header = response.header("x-done").unwrap_or_else(|| panic!("{}", response.status));
    header.parse().unwrap_or_else(|_| panic!("{header}"))
}

/// Counted by metric and status alike.
fn reached(gateway: &Gateway, limit: &str) -> u64 {
    let labels = [("filter", "unbounded"), ("limit", limit)];
    let counted = || gateway.metrics().sum("gateway_filter_limit_hits_total", &labels);
    let before = counted();
    let status = limit_status(gateway, limit)["hits"].as_u64().expect("a number");
    let after = counted();
    assert!((before - 0.5..after + 0.5).contains(&(status as f64)), "{limit}: {before}, {status}, {after}");
    status
}

fn limit_status(gateway: &Gateway, limit: &str) -> serde_json::Value {
    filter_status(gateway)["limits"][limit].clone()
}

fn filter_status(gateway: &Gateway) -> serde_json::Value {
    let list: serde_json::Value = serde_json::from_slice(&gateway.admin_get("/filters").body).expect("JSON");
    list["filters"][0].clone()
}

/// Requests that got the filter's policy.
fn failed_streams(gateway: &Gateway, reason: &str, policy: &str) -> f64 {
    let labels = [("filter", "unbounded"), ("reason", reason), ("policy", policy)];
    gateway.metrics().sum("gateway_filter_failed_streams_total", &labels)
}

#[test]
fn exactly_the_requests_that_fail_get_the_policy() {
    const REQUESTS: usize = 400;
    let origin = Origin::answering("ok");
    for (what, reason, counter) in
        [("panic", "filter_trap", "gateway_filter_traps_total"), ("fail", "filter_failed", "")]
    {
        let gateway = unbounded(&origin, "").start();
        let mut client = gateway.connect();
        for number in 0..REQUESTS {
            let fails = number % 100 == 50;
            let response = client.send(&asking(if fails { what } else { "" }));
            assert_eq!(response.status, if fails { 503 } else { 200 }, "{what}: request {number}");
        }
        assert!((failed_streams(&gateway, reason, "closed") - 4.0).abs() < 0.5, "{what}");
        gateway.await_replies(reason, 4);
        if !counter.is_empty() {
            assert!((gateway.metrics().sum(counter, FILTER) - 4.0).abs() < 0.5, "{what}");
        }
        assert!(filter_status(&gateway)["quarantine"].is_null());
    }
}

#[test]
fn the_operator_chooses_the_status_of_a_failure() {
    let origin = Origin::answering("ok");
    let gateway = unbounded(&origin, "failureStatus: 429").start();
    let mut client = gateway.connect();
    for what in ["panic", "fail", "edit-panic", "edit-fail", "response-panic", "response-fail"] {
        assert_eq!(client.send(&asking(what)).status, 429, "{what}");
    }
    for what in ["body-panic", "body-fail"] {
        assert_eq!(client.send(&Request::post("/", "body").header("x-do", what)).status, 429, "{what}");
    }
    let lines = gateway.await_access_lines(8);
    let failed = lines.iter().filter(|line| line["response_code_details"] == "filter_failed").count();
    assert_eq!(failed, 4, "{lines:?}");
}

#[test]
fn a_filter_fails_a_stream_without_failing_others() {
    let origin = Origin::answering("ok");
    let gateway = unbounded(&origin, "").start();
    for _ in 0..30 {
        assert_eq!(gateway.send(&asking("fail")).status, 503);
    }
    // No machine was lost, and to be cautious is no reason for quarantine.
    assert_eq!(gateway.send(&asking("")).status, 200);
    assert!(gateway.metrics().sum("gateway_filter_traps_total", FILTER) < 0.5);
    assert!((failed_streams(&gateway, "filter_failed", "closed") - 30.0).abs() < 0.5);
}

#[test]
fn with_policy_open_the_head_goes_on_as_it_was() {
    let origin = Origin::start(|_| Answer::text("ok").header("x-origin", "1"));
    let gateway = unbounded(&origin, "onFailure: open").start();
    for (number, what) in ["edit-panic", "edit-fail"].iter().enumerate() {
        let response = gateway.send(&asking(what).header("x-mine", "kept"));
        assert_eq!(response.text(), "ok", "{what}");
        let seen = origin.last_request();
        assert_eq!(
            (seen.target.as_str(), seen.header("x-mine"), seen.header("x-edited")),
            ("/asked", Some("kept"), None),
            "{what}"
        );
        assert_eq!(origin.count("/asked"), number + 1);
    }
    for what in ["response-panic", "response-fail"] {
        let response = gateway.send(&asking(what));
        assert_eq!((response.status, response.header("x-origin")), (200, Some("1")), "{what}");
    }
    assert!((failed_streams(&gateway, "filter_trap", "open") - 2.0).abs() < 0.5);
    assert!((failed_streams(&gateway, "filter_failed", "open") - 2.0).abs() < 0.5);
}

#[test]
fn with_policy_open_the_body_goes_on_as_it_was() {
    let origin = Origin::echoing();
    let gateway = unbounded(&origin, "onFailure: open").start();
    for what in ["body-panic", "body-fail"] {
        let pieces: [&[u8]; 3] = [b"one ", b"two ", b"three"];
        let request = Request::new("POST", "/").chunked(pieces).header("x-do", what);
        assert_eq!(gateway.send(&request).text(), "one two three", "{what}");
        let request = Request::post("/", "whole").header("x-do", what);
        assert_eq!(gateway.send(&request).text(), "whole", "{what}");
    }
}

#[test]
fn a_filter_over_its_cpu_time_is_shed_until_there_is_some_again() {
    let origin = Origin::answering("ok");
    for (policy, status) in [("closed", 503), ("open", 200)] {
        // One fiftieth of a core: a fiftieth of a second is there at the start.
        let manifest = format!("onFailure: {policy}\nlimits: {{cpuPerSecond: 0.02}}");
        let gateway = unbounded(&origin, &manifest).start();
        let mut client = gateway.connect();
        // 8 ms each.
        let spin = |client: &mut Client| client.send(&asking("spin 8000"));
        let shed = (0..20).filter(|_| {
            let response = spin(&mut client);
            let is_shed = response.header("x-done").is_none();
            assert_eq!(response.status, if is_shed { status } else { 200 });
            is_shed
        });
        let shed = shed.count();
        assert!((10..=18).contains(&shed), "{shed} of 20 shed");
        assert!(failed_streams(&gateway, "filter_shed", policy) >= shed as f64 - 0.5);
        assert!(reached(&gateway, "cpuPerSecond") >= shed as u64);
        if policy == "closed" {
            gateway.await_replies("filter_shed", shed as u32);
        }
        eventually("some CPU time again", || client.send(&asking("")).header("x-done").is_some());
    }
}

#[test]
fn work_in_the_background_is_within_the_cpu_time_too() {
    let origin = Origin::answering("ok");
    // 9 ms each 10 ms, of a tenth of a core.
    let began = Instant::now();
    let gateway = unbounded(&origin, "config: tick 10 spin 9000\nlimits: {cpuPerSecond: 0.1}").start();
    eventually("ticks left out", || reached(&gateway, "cpuPerSecond") > 20);
    let ticks: u64 = loop {
        if let Some(ticks) = gateway.send(&asking("")).header("x-ticks") {
            break ticks.parse().expect("a number");
        }
    };
    // A second's worth at first, then a tenth of the time.
    let allowed = (0.1 + began.elapsed().as_secs_f64() * 0.1) / 0.009;
    assert!((ticks as f64) <= allowed + 5.0, "{ticks} ticks, {allowed} allowed");
}

#[test]
fn a_filter_that_leaks_is_replaced_before_it_fails() {
    let origin = Origin::answering("ok");
    let gateway = unbounded(&origin, "limits: {memory: 8MiB, memorySoft: 4MiB}").start();
    let mut client = gateway.connect();
    // 64 MiB altogether.
    for number in 0..256 {
        assert_eq!(client.send(&asking("leak 256")).status, 200, "request {number}");
    }
    let replaced = reached(&gateway, "memorySoft");
    assert!(replaced >= 8, "{replaced}");
    assert!(gateway.metrics().sum("gateway_filter_traps_total", FILTER) < 0.5);
    assert_eq!(reached(&gateway, "memory"), 0);
}

#[test]
fn one_that_cannot_be_replaced_yet_is_not_asked_to_go_with_every_call() {
    let origin = Origin::answering("ok");
    // It cannot be copied, takes long to start, and keeps 64 KiB of each request.
    let module = wasm::small(
        r#"(import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))"#,
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32) (local $left i32)
             (drop (call $random (i32.const 16) (i32.const 4)))
             (local.set $left (i32.const 500000000))
             (loop $again (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
             (i32.const 1))
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (drop (memory.grow (i32.const 1))) (i32.const 0))"#,
    );
    let manifest = "limits: {memory: 64MiB, memorySoft: 1MiB, startCpu: 5s}";
    let gateway = Gateway::to(&origin).filter("unbounded", &module, manifest).start();
    let (mut client, began) = (gateway.connect(), Instant::now());
    for _ in 0..600 {
        assert_eq!(client.get("/").status, 200);
    }
    // It is looked after ten times per second, and one that can take its place comes less often than that.
    let (asked, most) = (reached(&gateway, "memorySoft"), 3 + began.elapsed().as_millis() as u64 / 50);
    assert!((1..=most).contains(&asked), "{asked} times, {most} allowed");
}

#[test]
fn a_filter_that_is_large_from_the_start_is_not_replaced_for_ever() {
    let origin = Origin::answering("ok");
    // It starts with more than that.
    let gateway = unbounded(&origin, "limits: {memory: 64MiB, memorySoft: 64KiB}").start();
    let mut client = gateway.connect();
    for _ in 0..50 {
        assert_eq!(client.send(&asking("leak 64")).status, 200);
    }
    assert_eq!(reached(&gateway, "memorySoft"), 0, "3 MiB of 64 MiB");
}

#[test]
fn each_limit_refuses_what_is_beyond_it_and_is_counted() {
    let origin = Origin::answering("ok");
    let manifest = "
limits: {pendingCalls: 3, logLines: 5, metrics: 4, sharedData: 10KB, sharedKeys: 100, queueLength: 6}
capabilities: {callouts: [origin]}
";
    let gateway = unbounded(&origin, manifest).start();
    let mut client = gateway.connect();
    for (what, allowed, limit, refused) in [
        ("calls 10", 3, "pendingCalls", 7),
        ("metrics 10", 4, "metrics", 6),
        ("queue 10", 6, "queueLength", 4),
    ] {
        assert_eq!(done(&client.send(&asking(what))), allowed, "{what}");
        assert_eq!(reached(&gateway, limit), refused, "{what}");
    }
    // Keys and bytes make room instead.
    assert_eq!(done(&client.send(&asking("keys 150"))), 150);
    assert_eq!(done(&client.send(&asking("kept 150"))), 100);
    assert_eq!(reached(&gateway, "sharedKeys"), 50);
    assert_eq!(done(&client.send(&asking("data 30"))), 30);
    assert!(reached(&gateway, "sharedData") >= 20);
    assert_eq!(client.send(&asking("log 200")).status, 200);
    assert!((190..=195).contains(&reached(&gateway, "logLines")), "{}", reached(&gateway, "logLines"));
    assert_eq!(limit_status(&gateway, "metrics")["limit"], 4);
    // Series of one filter stay within its bounds.
    assert_eq!((0..10).filter(|n| gateway.metrics().has(&format!("m{n}"))).count(), 4);
}

#[test]
fn log_bytes_are_limited_beside_lines() {
    let origin = Origin::answering("ok");
    // A line has 14 bytes or a few more.
    let gateway = unbounded(&origin, "limits: {logBytes: 160B}").start();
    assert_eq!(gateway.send(&asking("log 100")).status, 200);
    let dropped = reached(&gateway, "logBytes");
    assert!((85..=92).contains(&dropped), "{dropped}");
    assert_eq!(reached(&gateway, "logLines"), 0);
}

#[test]
fn metrics_outlive_any_number_of_failures() {
    let origin = Origin::answering("ok");
    let gateway = unbounded(&origin, "quarantine: {enabled: false}\nlimits: {metrics: 10}").start();
    let mut client = gateway.connect();
    for round in 0..30 {
        assert_eq!(done(&client.send(&asking("metrics 10"))), 10, "round {round}");
        assert_eq!(client.send(&asking("panic")).status, 503);
    }
}

#[test]
fn a_filter_that_keeps_failing_is_quarantined_and_comes_back() {
    let origin = Origin::answering("ok");
    for (policy, status) in [("closed", 503), ("open", 200)] {
        let manifest =
            format!("onFailure: {policy}\nquarantine: {{calls: 10, backoff: 300ms, maxBackoff: 1s}}");
        let gateway = unbounded(&origin, &manifest).start();
        let mut client = gateway.connect();
        let traps = || gateway.metrics().sum("gateway_filter_traps_total", FILTER);
        for _ in 0..10 {
            assert_eq!(client.send(&asking("panic")).status, status);
        }
        // The last one counts when its response is through.
        eventually("quarantined", || gateway.metrics().sum("gateway_filter_quarantined", FILTER) > 0.5);
        assert!(filter_status(&gateway)["quarantine"]["nextTryMs"].as_u64().is_some_and(|ms| ms <= 300));
        // It is not called, and nobody fails by it anew.
        let before = traps();
        let response = client.send(&asking(""));
        assert_eq!((response.status, response.header("x-done")), (status, None));
        assert!((traps() - before).abs() < 0.5);
        assert!(failed_streams(&gateway, "filter_quarantined", policy) >= 0.5);
        // Single requests try it, and then it serves all.
        eventually("it serves", || client.send(&asking("")).header("x-done").is_some());
        eventually("out of quarantine", || {
            client.send(&asking(""));
            gateway.metrics().sum("gateway_filter_quarantined", FILTER) < 0.5
        });
        assert!(filter_status(&gateway)["quarantine"].is_null());
        for _ in 0..20 {
            assert!(client.send(&asking("")).header("x-done").is_some());
        }
        assert!((gateway.metrics().sum("gateway_filter_quarantines_total", FILTER) - 1.0).abs() < 0.5);
    }
}

#[test]
fn a_try_that_fails_prolongs_the_quarantine() {
    let origin = Origin::answering("ok");
    let gateway = unbounded(&origin, "quarantine: {calls: 10, backoff: 100ms, maxBackoff: 1h}").start();
    let mut client = gateway.connect();
    let traps = || gateway.metrics().sum("gateway_filter_traps_total", FILTER);
    let began = Instant::now();
    eventually("five tries", || {
        assert_eq!(client.send(&asking("panic")).status, 503);
        traps() >= 14.5
    });
    // 100, 200, 400 and 800 ms before those.
    assert!(began.elapsed() >= Duration::from_millis(1_500), "{:?}", began.elapsed());
    assert!((traps() - 15.0).abs() < 0.5, "{}", traps());
}

#[test]
fn a_share_of_failures_below_the_limit_never_leads_to_quarantine() {
    let origin = Origin::answering("ok");
    let gateway = unbounded(&origin, "quarantine: {calls: 10}").start();
    let mut client = gateway.connect();
    for _ in 0..60 {
        assert_eq!(client.send(&asking("")).status, 200);
        assert_eq!(client.send(&asking("")).status, 200);
        assert_eq!(client.send(&asking("panic")).status, 503);
    }
    assert!(gateway.metrics().sum("gateway_filter_quarantines_total", FILTER) < 0.5);
}

#[test]
fn admin_and_stop_answer_while_a_filter_loops() {
    const PROMPTLY: Duration = Duration::from_millis(100);
    let origin = Origin::answering("ok");
    let manifest = "quarantine: {enabled: false}\nlimits: {cpuPerSecond: 100}";
    let gateway = Gateway::to(&origin).filter("hostile", &wasm::guest("hostile"), manifest).start();
    let address = gateway.address();
    let loops = move || {
        let mut client = Client::connect(address);
        while client.try_send(&Request::get("/").header("x-do", "loop")).is_ok() {}
    };
    let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(loops)).collect();
    eventually("loops", || gateway.metrics().sum("gateway_filter_timeouts_total", &[]) >= 4.0);
    // The best of several: what else runs on the machine is not what is tested.
    let took = (0..10).map(|_| {
        let began = Instant::now();
        assert_eq!(gateway.admin_get("/ready").status, 200);
        began.elapsed()
    });
    let took = took.min().expect("ten of them");
    assert!(took < PROMPTLY, "{took:?}");
    gateway.begin_stop();
    let began = Instant::now();
    // Gone altogether is prompt, too.
    eventually("draining", || gateway.try_admin_get("/ready").map_or(true, |answer| answer.status == 503));
    let took = began.elapsed();
    assert!(took < PROMPTLY, "{took:?}");
    drop(gateway.ended());
    for thread in threads {
        thread.join().expect("the clients end with the gateway");
    }
}

#[test]
fn a_spy_without_capabilities_carries_nothing_off() {
    const SECRET: &str = "Bearer of-the-client";
    let (origin, collector) = (Origin::answering("ok"), Origin::answering("thanks"));
    let config = "
routes: [{to: origin}]
upstreams: {origin: 'ORIGIN', collector: 'COLLECTOR'}
";
    let gateway = Gateway::with(config)
        .set("ORIGIN", origin.address())
        .set("COLLECTOR", collector.address())
        .filter("spy", &wasm::guest("spy"), "capabilities: {hideHeaders: [authorization]}")
        .filter("victim", &wasm::guest("victim"), "")
        .start();
    let response = gateway.send(&Request::get("/").header("authorization", SECRET));
    assert_eq!(response.header("x-spy"), Some("headers=0 calls=0 queues=0 data=0"));
    assert_eq!(response.header("x-inbox"), Some("0"));
    assert!(collector.received().is_empty());
    let seen = origin.only_request();
    assert_eq!((seen.header("authorization"), seen.header("x-loot")), (Some(SECRET), Some("nothing")));
    let metrics = gateway.admin_get("/metrics").text();
    assert!(metrics.contains("loot_nothing") && !metrics.contains("of_the_client"), "{metrics}");
    let lines = gateway.await_access_lines(1);
    assert!(!lines[0].to_string().contains("of-the-client"), "{lines:?}");
}
