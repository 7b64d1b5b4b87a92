//! What an operator is shown of filters: what they did, what it took, and how they failed, to the line of their source.

use gateway_tests::{Gateway, Origin, Request, eventually, eventually_some, wasm};
use serde_json::Value;

fn json(gateway: &Gateway, path: &str) -> Value {
    let answer = gateway.admin_get(path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    serde_json::from_slice(&answer.body).expect("JSON")
}

/// Waits for so many reports of a filter; the newest first.
fn await_traps(gateway: &Gateway, filter: &str, number: usize) -> Vec<Value> {
    eventually_some(&format!("{number} reports of {filter}"), || {
        let traps = json(gateway, &format!("/filters/traps?filter={filter}"))["traps"].take();
        traps.as_array().filter(|traps| traps.len() >= number).cloned()
    })
}

/// Headers enough for `lines.rs` to panic.
fn with_many_headers() -> Request {
    (0..41).fold(Request::get("/many"), |request, number| request.header(&format!("x-{number}"), "1"))
}

#[test]
fn a_failure_is_told_with_its_place_in_the_source_and_its_request() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).filter("lines", &wasm::with_lines(), "").start();
    assert_eq!(gateway.get("/few").status, 200);
    assert_eq!(gateway.send(&with_many_headers()).status, 503);
    let trap = &await_traps(&gateway, "lines", 1)[0];
    let text = format!("{trap:#}");
    assert_eq!(trap["reason"], "unreachable", "{text}");
    assert_eq!(trap["callback"], "proxy_on_request_headers", "{text}");
    assert_eq!(trap["filter"], "lines");
    assert_eq!(trap["version"], gateway.filter("lines").expect("a filter").version.as_str());
    let said = trap["said"].as_str().expect("words");
    assert!(said.contains("panicked at lines.rs:") && said.contains("too many headers: "), "{text}");
    assert_eq!(trap["hostCalls"].as_array().and_then(|calls| calls.last()), Some(&Value::from("fd_write")));

    let here = 1 + wasm::LINES.lines().position(|line| line.ends_with("// here")).expect("the line");
    let first = &trap["stack"][0];
    assert_eq!(first["function"], "lines::check", "{text}");
    assert!(first["file"].as_str().expect("a file").ends_with("lines.rs"), "{text}");
    assert_eq!(first["line"], here, "{text}");
    assert_eq!(trap["stack"][1]["function"], "proxy_on_request_headers", "{text}");

    let lines = gateway.await_access_lines(2);
    assert_eq!(trap["requestId"], lines[1]["request_id"], "{text}");
    assert!(trap["requestId"].is_string());
}

#[test]
fn a_start_that_fails_is_told_with_its_place_too() {
    let origin = Origin::answering("ok");
    let module = wasm::small(
        "",
        r#"(func $_ZN9my_filter4load17h0123456789abcdefE unreachable)
           (func (export "proxy_on_configure") (param i32 i32) (result i32)
             (call $_ZN9my_filter4load17h0123456789abcdefE) (i32.const 1))
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))"#,
    );
    let gateway = Gateway::to(&origin).broken_filter("fails", &module, "").start();
    let reason = gateway.await_refusal("fails");
    assert!(
        reason.contains("proxy_on_configure") && reason.contains("at my_filter::load (at 0x"),
        "{reason}"
    );
}

#[test]
fn each_way_to_fail_is_counted_by_its_reason() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).filter("hostile", &wasm::guest("hostile"), "").start();
    for what in ["panic", "memory", "stack", "loop", "panic"] {
        assert_eq!(gateway.send(&Request::get("/").header("x-do", what)).status, 503, "{what}");
    }
    let page = json(&gateway, "/filters/hostile");
    // A guest of Rust has a stack of its own in its memory, which is what ends first.
    for (reason, number) in [("unreachable", 2), ("out_of_memory", 1), ("out_of_bounds", 1), ("deadline", 1)]
    {
        assert_eq!(page["trapsByReason"][reason], number, "{page:#}");
    }
    assert_eq!((&page["traps"], &page["timeouts"]), (&Value::from(4), &Value::from(1)));
    assert_eq!(page["limits"]["callbackCpu"]["hits"], 1);
    assert_eq!(page["limits"]["memory"]["hits"], 1, "{page:#}");
    let metrics = gateway.metrics();
    let counted = |reason: &str| {
        metrics.sum("gateway_filter_traps_total", &[("filter", "hostile"), ("reason", reason)])
    };
    assert!((counted("unreachable") - 2.0).abs() < 0.1 && (counted("out_of_memory") - 1.0).abs() < 0.1);
    assert!((metrics.sum("gateway_filter_traps_total", &[]) - 4.0).abs() < 0.1);
    assert!((metrics.sum("gateway_filter_timeouts_total", &[]) - 1.0).abs() < 0.1);

    let traps = await_traps(&gateway, "hostile", 5);
    let looped = traps.iter().find(|trap| trap["reason"] == "deadline").expect("the loop");
    assert!(!looped["stack"].as_array().expect("a stack").is_empty(), "where it looped: {looped:#}");
    eventually("each has a successor", || json(&gateway, "/filters/hostile")["replacements"]["count"] == 5);
    let page = json(&gateway, "/filters/hostile");
    assert!(page["replacements"]["maxNs"].as_u64() > Some(0));
    assert_eq!(page["memoryLimitBytes"], 128 << 20);
    assert!(page["memoryPeakBytes"].as_u64() > Some(100 << 20), "the one that took all: {page:#}");
}

#[test]
fn calls_are_counted_exactly_and_timed() {
    const REQUESTS: u64 = 25;
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).filter("stamp", &wasm::guest("stamp"), "config: v1").start();
    let mut client = gateway.connect();
    for _ in 0..REQUESTS {
        assert_eq!(client.get("/").status, 200);
    }
    // The last stream ends when its response is sent, which the client may see before.
    let page = eventually_some("all streams ended", || {
        let page = json(&gateway, "/filters/stamp");
        let ended = |entry: &Value| entry["callback"] == "finish_stream" && entry["calls"] == REQUESTS;
        page["callbacks"].as_array()?.iter().any(ended).then_some(page)
    });
    let entry = |name: &str| {
        let entries = page["callbacks"].as_array().expect("a list");
        entries
            .iter()
            .find(|entry| entry["callback"] == name)
            .unwrap_or_else(|| panic!("{name}: {page:#}"))
            .clone()
    };
    let number = |value: &Value| value.as_u64().expect("a number");
    let mut calls = 0;
    for name in ["create_stream", "request_headers", "response_headers", "finish_stream"] {
        let entry = entry(name);
        calls += number(&entry["calls"]);
        assert_eq!(entry["calls"], REQUESTS, "{name}");
        let (sum, longest) = (number(&entry["selfTimeNs"]), number(&entry["selfTimeMaxNs"]));
        assert!(0 < longest && longest <= sum, "{name}: {entry:#}");
    }
    assert!(number(&entry("response_headers")["hostCalls"]) >= REQUESTS, "{page:#}");
    let line = json(&gateway, "/filters")["filters"][0].take();
    let metrics = gateway.metrics();
    let of = [("filter", "stamp"), ("version", line["version"].as_str().expect("a version"))];
    assert!((metrics.sum("gateway_filter_calls_total", &of) - number(&line["calls"]) as f64).abs() < 0.1);
    assert!(number(&line["calls"]) >= calls, "{line:#}");
    assert!(metrics.sum("gateway_filter_self_seconds_total", &of) > 0.0);
    assert!((metrics.sum("gateway_filter_instances", &of) - 1.0).abs() < 0.1);
    assert!(
        (metrics.sum("gateway_filter_memory_bytes", &of) - number(&line["memoryBytes"]) as f64).abs() < 0.1
    );
    assert_eq!(
        (&line["phase"], &line["onFailure"], &line["traps"]),
        (&"none".into(), &"closed".into(), &0.into())
    );
}

#[test]
fn time_for_which_a_filter_holds_a_stream_is_not_its_own() {
    // Holds each request until the next tick, 50 ms later.
    let module = wasm::small(
        r#"(import "env" "proxy_set_tick_period_milliseconds" (func $tick (param i32) (result i32)))
           (import "env" "proxy_set_effective_context" (func $switch (param i32) (result i32)))
           (import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))"#,
        r#"(global $held (mut i32) (i32.const 0))
           (func (export "proxy_on_request_headers") (param $id i32) (param i32 i32) (result i32)
             (global.set $held (local.get $id))
             (drop (call $tick (i32.const 50)))
             (i32.const 1))
           (func (export "proxy_on_tick") (param i32)
             (drop (call $switch (global.get $held)))
             (drop (call $continue (i32.const 0))))"#,
    );
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).filter("holds", &module, "").start();
    assert_eq!(gateway.get("/").status, 200);
    let page = json(&gateway, "/filters/holds");
    let headers = page["callbacks"].as_array().expect("a list").iter();
    let headers = headers.clone().find(|entry| entry["callback"] == "request_headers").expect("an entry");
    assert_eq!(headers["waits"]["count"], 1, "{page:#}");
    let (waited, own) = (headers["waits"]["timeNs"].as_u64(), headers["selfTimeNs"].as_u64());
    assert!(waited >= Some(45_000_000), "{page:#}");
    assert!(own < waited, "{page:#}");
    let metrics = gateway.metrics();
    let of = [("filter", "holds"), ("callback", "request_headers")];
    assert!(metrics.sum("gateway_filter_wait_seconds_total", &of) > 0.04);
    assert!((metrics.sum("gateway_filter_waits_total", &of) - 1.0).abs() < 0.1);
}

#[test]
fn a_body_that_is_held_counts_as_waiting() {
    // Holds the body until its end, which the client sends later.
    let module = wasm::small(
        "",
        r#"(func (export "proxy_on_request_body") (param i32 i32) (param $end i32) (result i32)
             (i32.eqz (local.get $end)))"#,
    );
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).filter("holds", &module, "").start();
    let mut client = gateway.connect();
    client.write("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n1");
    eventually("the first byte seen", || {
        gateway.metrics().sum("gateway_filter_calls_total", &[("callback", "request_body")]) > 0.5
    });
    client.write("2");
    assert_eq!(client.read("POST").status, 200);
    let of = [("filter", "holds"), ("callback", "request_body")];
    assert!((gateway.metrics().sum("gateway_filter_waits_total", &of) - 1.0).abs() < 0.1);
}

#[test]
fn a_new_version_counts_from_zero_beside_the_old_one() {
    let origin = Origin::answering("ok");
    let module = wasm::guest("stamp");
    let gateway = Gateway::to(&origin).filter("stamp", &module, "config: v1").start();
    assert_eq!(gateway.get("/").status, 200);
    let old = gateway.filter("stamp").expect("a filter").version;
    gateway.replace_module("stamp", &wasm::annotated(&module, "newer"));
    eventually("the new version", || gateway.filter("stamp").is_some_and(|filter| filter.version != old));
    let page = json(&gateway, "/filters/stamp");
    assert_eq!(page["calls"], 0, "{page:#}");
    let versions = page["versions"].as_array().expect("a list");
    assert_eq!(versions.len(), 2, "{page:#}");
    let of = |version: &str| versions.iter().find(|entry| entry["version"] == version).expect("an entry");
    assert_eq!((&of(&old)["current"], of(&old)["calls"].as_u64() > Some(0)), (&Value::from(false), true));
    assert_eq!(of(page["version"].as_str().expect("a version"))["current"], true);
    gateway.remove_filter("stamp");
    eventually("gone", || gateway.admin_get("/filters/stamp").status == 404);
}

#[test]
fn failures_without_end_are_all_counted_and_not_all_told() {
    const REQUESTS: usize = 150;
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin)
        .filter("hostile", &wasm::guest("hostile"), "quarantine: {enabled: false}")
        .start();
    let mut client = gateway.connect();
    for _ in 0..REQUESTS {
        assert_eq!(client.send(&Request::get("/").header("x-do", "panic")).status, 503);
    }
    let page = json(&gateway, "/filters/hostile");
    assert_eq!(page["traps"], REQUESTS, "{:#}", page["trapsByReason"]);
    assert!(page["lastTraps"].as_array().expect("a list").len() <= 20);
    assert!(page["reportsDropped"].as_u64() > Some(0), "{}", page["reportsDropped"]);
    let dropped =
        gateway.metrics().sum("gateway_filter_trap_reports_dropped_total", &[("filter", "hostile")]);
    assert!((dropped - page["reportsDropped"].as_u64().expect("a number") as f64).abs() < 0.1);
}

#[test]
fn a_page_tells_what_is_in_effect_and_no_secrets() {
    let origin = Origin::answering("ok");
    let manifest = "phase: authn\npriority: 7\nonFailure: open\nconfig: {key: s3cret}\nenv: {TOKEN: s3cret}\n\
                    limits: {memory: 8MiB}\ncapabilities: {hideHeaders: [x-hidden]}";
    let gateway = Gateway::to(&origin)
        .filter("stamp", &wasm::guest("stamp"), manifest)
        .filter("traps", &wasm::guest("stamp"), "")
        .start();
    let answer = gateway.admin_get("/filters/stamp").text();
    assert!(!answer.contains("s3cret"), "{answer}");
    let page = json(&gateway, "/filters/stamp");
    assert_eq!((&page["phase"], &page["priority"]), (&"authn".into(), &7.into()));
    assert_eq!((&page["onFailure"], &page["memoryLimitBytes"]), (&"open".into(), &(8 << 20).into()));
    assert_eq!(page["manifest"]["env"][0], "TOKEN");
    assert_eq!(page["manifest"]["capabilities"]["hideHeaders"][0], "x-hidden");
    assert_eq!(page["module"]["abi"], "0.2.1");
    assert_eq!(page["module"]["sha256"].as_str().map(str::len), Some(64));

    // A filter may have the name of a path.
    assert_eq!(json(&gateway, "/filters?name=traps")["name"], "traps");
    assert!(json(&gateway, "/filters/traps")["traps"].is_array());
    for path in ["/filters/stmap", "/filters?name=stmap"] {
        let unknown = gateway.admin_get(path);
        assert_eq!(unknown.status, 404);
        assert!(unknown.text().contains("no filter `stmap`; did you mean `stamp`?"), "{}", unknown.text());
    }
    assert_eq!(gateway.admin_get("/filters%0a").status, 404);
}
