//! Filter files come, change and go while the gateway serves.

use std::time::Duration;

use gateway_tests::{Gateway, Origin, eventually, wasm};

use crate::stamps::{await_stamp, stamps};

const EVERYWHERE: &str = "config: v1";

#[test]
fn a_dropped_file_is_live_at_once() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).start();
    assert!(stamps(&gateway.get("/")).is_empty());
    let dropped = gateway.drop_filter("stamp", &wasm::guest("stamp"), EVERYWHERE);
    await_stamp(&gateway, "v1");
    assert!(dropped.elapsed() < Duration::from_secs(5), "{:?}", dropped.elapsed());
    assert_eq!(origin.last_request().header("x-stamp-seen"), Some("v1"));
    let status = gateway.await_live("stamp");
    assert!(!status.version.is_empty());
    let live = [("filter", "stamp"), ("version", status.version.as_str())];
    assert!((gateway.metrics().sum("gateway_filter_live", &live) - 1.0).abs() < 0.5);
}

#[test]
fn a_file_without_a_manifest_is_a_filter() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).start();
    gateway.drop_filter("add-header", &wasm::add_header(), "");
    eventually("the header", || gateway.get("/").header("x-filter") == Some("on"));
}

#[test]
fn a_new_manifest_is_a_new_version() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).filter("stamp", &wasm::guest("stamp"), EVERYWHERE).start();
    assert_eq!(stamps(&gateway.get("/")), ["v1"]);
    gateway.replace_manifest("stamp", "config: v2");
    await_stamp(&gateway, "v2");
}

#[test]
fn a_new_module_is_a_new_version() {
    let origin = Origin::answering("ok");
    let module = wasm::guest("stamp");
    let gateway = Gateway::to(&origin).filter("stamp", &module, EVERYWHERE).start();
    let first = gateway.await_live("stamp").version;
    gateway.replace_module("stamp", &wasm::annotated(&module, "second"));
    eventually("another version", || gateway.await_live("stamp").version != first);
    assert_eq!(stamps(&gateway.get("/")), ["v1"]);
    gateway.replace_module("stamp", &wasm::add_header());
    eventually("another filter", || gateway.get("/").header("x-filter") == Some("on"));
    assert!(stamps(&gateway.get("/")).is_empty());
}

#[test]
fn a_deleted_file_is_gone() {
    let origin = Origin::answering("ok");
    let setup = Gateway::to(&origin).filter("stamp", &wasm::guest("stamp"), EVERYWHERE);
    let gateway = setup.filter("other", &wasm::add_header(), "").start();
    assert_eq!(stamps(&gateway.get("/")), ["v1"]);
    gateway.remove_filter("stamp");
    eventually("no stamp", || stamps(&gateway.get("/")).is_empty());
    assert_eq!(gateway.get("/").header("x-filter"), Some("on"));
    eventually("no status", || gateway.filter("stamp").is_none());
}

#[test]
fn a_required_filter_outlives_its_file() {
    let origin = Origin::answering("ok");
    let setup = Gateway::to(&origin).filter("stamp", &wasm::guest("stamp"), "config: v1\nrequired: true");
    let gateway = setup.filter("other", &wasm::add_header(), "").start();
    gateway.remove_filter("stamp");
    eventually("the loss noticed", || {
        gateway.filter("stamp").is_some_and(|filter| filter.state == "missing")
    });
    assert_eq!(stamps(&gateway.get("/")), ["v1"]);
}

#[test]
fn the_only_filter_can_be_deleted() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).filter("stamp", &wasm::guest("stamp"), EVERYWHERE).start();
    assert_eq!(stamps(&gateway.get("/")), ["v1"]);
    gateway.remove_filter("stamp");
    eventually("no stamp", || stamps(&gateway.get("/")).is_empty());
}

#[test]
fn a_directory_that_vanishes_changes_nothing() {
    let config = |mark: &str| format!("routes: [{{respond: {{status: 200, body: {mark}}}}}]");
    let setup = Gateway::with(&config("first")).filter("stamp", &wasm::guest("stamp"), EVERYWHERE);
    let gateway = setup.start();
    let other = gateway.lose_filters();
    // Each look at the configuration is followed by one at the directory; once the second is seen, the first is over.
    for mark in ["second", "third"] {
        gateway.configure(&config(mark));
        eventually(mark, || gateway.get("/").text() == mark);
    }
    assert_eq!(stamps(&gateway.get("/")), ["v1"]);
    gateway.find_filters(&other);
    gateway.replace_manifest("stamp", "config: v2");
    await_stamp(&gateway, "v2");
}

#[test]
fn an_expected_filter_that_is_missing_answers_by_its_policy() {
    let origin = Origin::answering("ok");
    let config = "
routes: [{to: origin}]
upstreams: {origin: 'ORIGIN'}
filters: {directory: filters, expect: [stamp]}
";
    let gateway = Gateway::with(config).set("ORIGIN", origin.address()).start();
    assert_eq!(gateway.get("/").status, 503);
    gateway.await_replies("filter_not_live", 1);
    assert!(origin.received().is_empty());
    gateway.drop_filter("stamp", &wasm::guest("stamp"), EVERYWHERE);
    await_stamp(&gateway, "v1");
}
