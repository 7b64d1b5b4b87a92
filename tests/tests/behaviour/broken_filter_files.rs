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
