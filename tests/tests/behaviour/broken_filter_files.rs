//! Files that cannot serve: the last good version goes on, and the reason can be read.

use gateway_tests::{Gateway, Origin, Request, eventually, wasm};

use crate::stamps::{await_stamp, stamps};

const EVERYWHERE: &str = "config: v1";

const MARKER: &str = r#"(func (export "proxy_abi_version_0_2_1"))"#;
const ALLOCATOR: &str =
    r#"(func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 0))"#;
const CALLBACK: &str =
    r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))"#;
const MEMORY: &str = r#"(memory (export "memory") 1)"#;

/// Name, bytes, and a word of the reason.
fn broken_modules() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let good = wasm::guest("stamp");
    let module = |parts: &[&str]| wasm::wat(&format!("(module {} {CALLBACK})", parts.concat()));
    vec![
        ("truncated", good[..good.len() / 2].to_vec(), "truncated"),
        ("empty", Vec::new(), "empty"),
        ("text", b"#!/bin/sh\necho not a module\n".to_vec(), "not a WebAssembly module"),
        ("no marker", module(&[ALLOCATOR, MEMORY]), "ABI"),
        ("other ABI", module(&[r#"(func (export "proxy_abi_version_9_9_9"))"#, ALLOCATOR, MEMORY]), "9_9_9"),
        ("no allocator", module(&[MARKER, MEMORY]), "proxy_on_memory_allocate"),
        (
            "unknown import",
            module(&[r#"(import "env" "no_such_function" (func))"#, MARKER, ALLOCATOR, MEMORY]),
            "no_such_function",
        ),
        ("start traps", module(&[MARKER, ALLOCATOR, MEMORY, "(func $f unreachable) (start $f)"]), ".wasm"),
        (
            "start never ends",
            module(&[MARKER, ALLOCATOR, MEMORY, "(func $f (loop $l (br $l))) (start $f)"]),
            ".wasm",
        ),
    ]
}

#[test]
fn a_broken_module_keeps_the_last_good_version_and_says_why() {
    let origin = Origin::answering("ok");
    let module = wasm::guest("stamp");
    let manifest = "config: v1\nlimits: {startCpu: 200ms}";
    let gateway = Gateway::to(&origin).filter("stamp", &module, manifest).start();
    let good = gateway.await_live("stamp").version;
    for (failures, (name, broken, reason)) in (1..).zip(broken_modules()) {
        gateway.replace_module("stamp", &broken);
        eventually(&format!("{name} refused"), || {
            let failed = gateway.metrics().sum("gateway_filter_load_failures_total", &[("filter", "stamp")]);
            failed >= f64::from(failures)
        });
        let error = gateway.await_refusal("stamp");
        assert!(error.contains(reason), "{name}: {error}");
        assert_eq!(stamps(&gateway.get("/")), ["v1"], "{name}");
        assert_eq!(gateway.filter("stamp").map(|filter| filter.version).as_ref(), Some(&good), "{name}");
    }
    gateway.replace_module("stamp", &module);
    gateway.await_live("stamp");
    gateway.replace_manifest("stamp", "config: v2");
    await_stamp(&gateway, "v2");
}

#[test]
fn a_broken_manifest_keeps_the_last_good_version_and_says_why() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).filter("stamp", &wasm::guest("stamp"), EVERYWHERE).start();
    for (broken, reason) in [
        ("phase: nope", "phase"),
        ("config: [", "stamp.yaml"),
        ("prority: 5", "priority"),
        ("match: {routes: [no-such-route]}", "no-such-route"),
        ("capabilities: {callouts: [no-such-upstream]}", "no-such-upstream"),
        ("sha256: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "SHA-256"),
    ] {
        gateway.replace_manifest("stamp", broken);
        eventually(&format!("{broken:?} refused because of {reason}"), || {
            gateway
                .filter("stamp")
                .and_then(|filter| filter.error)
                .is_some_and(|error| error.contains(reason))
        });
        assert_eq!(stamps(&gateway.get("/")), ["v1"], "{broken}");
    }
    gateway.replace_manifest("stamp", "config: v2");
    await_stamp(&gateway, "v2");
}

#[test]
fn all_that_a_manifest_names_in_vain_is_told_at_once() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).filter("stamp", &wasm::guest("stamp"), EVERYWHERE).start();
    gateway.replace_manifest("stamp", "match: {routes: [al]}\ncapabilities: {callouts: [nowhere]}");
    let error = gateway.await_refusal("stamp");
    let lines: Vec<_> = error.lines().collect();
    assert_eq!(lines[0], "2 errors in stamp.yaml");
    assert!(lines[1].contains("route `al`") && lines[1].ends_with("did you mean `all`?"), "{error}");
    assert!(lines[2].contains("upstream `nowhere`") && lines[2].contains("`origin`"), "{error}");
}

#[test]
fn files_that_are_ignored_are_listed_and_counted() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).start();
    gateway.replace_manifest("alone", EVERYWHERE);
    gateway.replace_module("bad name", b"x");
    let problems = || {
        let answer: serde_json::Value =
            serde_json::from_slice(&gateway.admin_get("/filters").body).expect("JSON");
        let list = answer["problems"].as_array().expect("a list").clone();
        list.iter().map(|problem| format!("{}: {}", problem["file"], problem["error"])).collect::<Vec<_>>()
    };
    eventually("both problems", || problems().len() == 2);
    let found = problems();
    assert!(found[0].starts_with("\"alone.yaml\"") && found[0].contains("alone.wasm"), "{found:?}");
    assert!(found[1].starts_with("\"bad name.wasm\"") && found[1].contains("rename"), "{found:?}");
    for filter in ["alone", "bad name"] {
        let counted = gateway.metrics().sum("gateway_filter_load_failures_total", &[("filter", filter)]);
        assert!((counted - 1.0).abs() < 0.5, "{filter}: {counted}");
    }
    assert_eq!(gateway.get("/").status, 200);
}

/// Stamps like the guest `stamp`, but its third instance refuses its configuration: after the one that is tried before
/// any worker has it, and that of one worker. They count themselves in shared data.
fn third_instance_refuses() -> Vec<u8> {
    wasm::small(
        r#"(import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
           (import "env" "proxy_get_shared_data" (func $get (param i32 i32 i32 i32 i32) (result i32)))
           (import "env" "proxy_set_shared_data" (func $set (param i32 i32 i32 i32 i32) (result i32)))
           (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))"#,
        r#"(data (i32.const 16) "instances") (data (i32.const 32) "x-stamp") (data (i32.const 48) "v2")
           ;; Place and size of the value go to 0 and 4, its version to 8; the number is the byte at 64.
           (func (export "proxy_on_configure") (param i32 i32) (result i32)
             ;; What draws random numbers before is started for each worker.
             (drop (call $random (i32.const 72) (i32.const 4)))
             (loop $again
               (if (i32.eqz (call $get (i32.const 16) (i32.const 9) (i32.const 0) (i32.const 4) (i32.const 8)))
                 (then (i32.store8 (i32.const 64) (i32.load8_u (i32.load (i32.const 0))))))
               (i32.store8 (i32.const 64) (i32.add (i32.load8_u (i32.const 64)) (i32.const 1)))
               (br_if $again (call $set (i32.const 16) (i32.const 9) (i32.const 64) (i32.const 1)
                 (i32.load (i32.const 8)))))
             (i32.lt_u (i32.load8_u (i32.const 64)) (i32.const 3)))
           (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
             (drop (call $add (i32.const 2) (i32.const 32) (i32.const 7) (i32.const 48) (i32.const 2)))
             (i32.const 0))"#,
    )
}

#[test]
fn a_version_that_one_of_two_workers_cannot_start_serves_on_neither() {
    const REQUESTS: usize = 60;
    let origin = Origin::answering("ok");
    let config = "workers: 2\nroutes: [{to: origin}]\nupstreams: {origin: 'ORIGIN'}";
    let setup = Gateway::with(config).set("ORIGIN", origin.address());
    let gateway = setup.filter("stamp", &wasm::guest("stamp"), EVERYWHERE).start();
    let good = gateway.await_live("stamp").version;
    gateway.replace_module("stamp", &third_instance_refuses());
    let error = gateway.await_refusal("stamp");
    assert!(error.contains("proxy_on_configure refused"), "{error}");
    for _ in 0..REQUESTS {
        assert_eq!(stamps(&gateway.get("/")), ["v1"]);
    }
    assert!(origin.connections() >= 2, "each worker has connections of its own");
    assert_eq!(gateway.filter("stamp").map(|filter| filter.version), Some(good));
}

#[test]
fn a_file_that_is_broken_at_the_start_is_answered_by_its_policy() {
    for (manifest, status) in [("onFailure: closed", 503), ("onFailure: open", 200)] {
        let origin = Origin::answering("ok");
        let gateway = Gateway::to(&origin).broken_filter("stamp", b"not a module", manifest).start();
        gateway.await_refusal("stamp");
        assert_eq!(gateway.get("/").status, status, "{manifest}");
        gateway.drop_filter("stamp", &wasm::guest("stamp"), EVERYWHERE);
        await_stamp(&gateway, "v1");
    }
}

#[test]
fn a_broken_file_that_was_never_good_stops_nobody() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).start();
    gateway.drop_filter("text", b"not a module", "");
    assert!(gateway.await_refusal("text").contains("not a WebAssembly module"));
    assert_eq!(gateway.get("/").status, 200);
}

#[test]
fn a_filter_that_refuses_its_configuration_is_refused() {
    let origin = Origin::answering("ok");
    let manifest = "config: {consumers: [{name: alice, keys: [k1]}]}";
    let gateway = Gateway::to(&origin).filter("api-key", &wasm::api_key(), manifest).start();
    gateway.replace_manifest("api-key", "config: {consumers: []}");
    gateway.await_refusal("api-key");
    assert_eq!(gateway.send(&Request::get("/").header("x-api-key", "k1")).status, 200);
}
