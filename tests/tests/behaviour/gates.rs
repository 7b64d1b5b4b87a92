//! At which gate a filter fails, with its code where an operator looks: status and metric.

use gateway_tests::{Gateway, Origin, eventually, wasm};

use crate::stamps::stamps;

/// Answers every callback with Continue, and traps in this one.
fn trapping_in(callback: &str, parameters: &str) -> Vec<u8> {
    wasm::small(
        "",
        &format!(
            r#"(func (export "{callback}") {parameters} (result i32) unreachable) {}"#,
            other_than(callback)
        ),
    )
}

fn other_than(callback: &str) -> &'static str {
    match callback {
        "proxy_on_request_headers" => "",
        _ => r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))"#,
    }
}

/// Module, manifest, gate.
fn versions() -> Vec<(&'static str, Vec<u8>, String)> {
    let good = wasm::guest("stamp");
    let headers =
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))"#;
    let plain = |manifest: &str| manifest.to_owned();
    vec![
        ("size", vec![0; (32 << 20) + 1], plain("config: v1")),
        ("manifest", good.clone(), plain("prority: 7")),
        ("manifest", good.clone(), plain("match: {routes: [nowhere]}")),
        ("hash", good.clone(), format!("sha256: {}", "0".repeat(64))),
        ("parse", good[..good.len() / 2].to_vec(), plain("{}")),
        ("abi", wasm::wat(&format!("(module (memory (export \"memory\") 1) {headers})")), plain("{}")),
        ("imports", wasm::small(r#"(import "env" "no_such_function" (func))"#, headers), plain("{}")),
        ("compile", wasm::small("", &format!("{headers} (func (result i32))")), plain("{}")),
        ("start", wasm::small("", &format!("{headers} (func $f unreachable) (start $f)")), plain("{}")),
        (
            "start",
            wasm::small("", &format!("{headers} (func $f (loop $l (br $l))) (start $f)")),
            plain("limits: {startCpu: 100ms}"),
        ),
        ("configure", trapping_in("proxy_on_configure", "(param i32 i32)"), plain("{}")),
        (
            "configure",
            wasm::small(
                "",
                &format!(
                    r#"{headers} (func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 0))"#
                ),
            ),
            plain("{}"),
        ),
        ("request", trapping_in("proxy_on_request_headers", "(param i32 i32 i32)"), plain("{}")),
        ("request", trapping_in("proxy_on_request_body", "(param i32 i32 i32)"), plain("{}")),
        ("request", trapping_in("proxy_on_response_headers", "(param i32 i32 i32)"), plain("{}")),
        ("request", trapping_in("proxy_on_response_trailers", "(param i32 i32)"), plain("{}")),
        (
            "request",
            wasm::small(
                "",
                r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (loop $l (br $l)) (i32.const 0))"#,
            ),
            plain("{}"),
        ),
    ]
}

#[test]
fn each_gate_is_named_in_status_and_metric_and_the_last_good_version_serves_on() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).filter("stamp", &wasm::guest("stamp"), "config: v1").start();
    for (index, (gate, module, manifest)) in versions().into_iter().enumerate() {
        let failures = || {
            let labels = [("filter", "stamp"), ("gate", gate)];
            gateway.metrics().sum("gateway_filter_load_failures_total", &labels)
        };
        let before = failures();
        gateway.drop_filter("stamp", &module, &manifest);
        // A file that is too large is a problem of the directory: the filter's own status stays as it is.
        let told = || match gate {
            "size" => gateway.admin_get("/filters").text().contains("\"gate\": \"size\""),
            _ => gateway.filter("stamp").is_some_and(|filter| filter.gate.as_deref() == Some(gate)),
        };
        eventually(&format!("version {index}: {gate}, not {:?}", gateway.filter("stamp")), || {
            failures() > before && told()
        });
        assert_eq!(stamps(&gateway.get("/")), ["v1"], "version {index}: {gate}");
    }
}

#[test]
fn the_made_up_request_leaves_no_trace() {
    let origin = Origin::answering("ok");
    let gateway =
        Gateway::to(&origin).filter("stats", &wasm::shipped("request-stats"), "phase: stats").start();
    assert_eq!(origin.received().len(), 0, "it is made up");
    let counted = |gateway: &Gateway| {
        let text = gateway.admin_get("/metrics").text();
        let lines = text.lines().filter(|line| line.starts_with("istio_requests_total{"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(counted(&gateway), Vec::<String>::new());
    gateway.get("/");
    eventually("the real one is counted", || !counted(&gateway).is_empty());
}

#[test]
fn a_filter_that_the_configuration_does_not_fit_any_more_serves_on_and_says_so() {
    let origin = Origin::answering("ok");
    let config = |route: &str| {
        format!("routes: [{{name: {route}, to: origin}}]\nupstreams: {{origin: '{}'}}", origin.address())
    };
    let setup = Gateway::with(&config("shop"));
    let gateway =
        setup.filter("stamp", &wasm::guest("stamp"), "{config: v1, match: {routes: [shop]}}").start();
    gateway.configure(&config("store"));
    eventually("it is told", || {
        let filter = gateway.filter("stamp");
        filter.is_some_and(|filter| filter.state == "live" && filter.gate.as_deref() == Some("manifest"))
    });
    gateway.configure(&config("shop"));
    eventually("all is well", || gateway.filter("stamp").is_some_and(|filter| filter.gate.is_none()));
    assert_eq!(stamps(&gateway.get("/")), ["v1"]);
}
