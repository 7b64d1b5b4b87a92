//! Filter files come, change and go while the gateway serves.

use std::time::Duration;

use gateway_server::{ConfigSource, Options, Running};
use gateway_tests::{Gateway, Origin, Request, Response, eventually, wasm};
use tempfile::TempDir;

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
fn an_expected_filter_that_is_missing_holds_readiness_and_answers_as_its_manifest_says() {
    let origin = Origin::answering("ok");
    let gateway = Unready::start(&origin, "expect: [stamp]", "config: v1\nmatch: {routes: [app]}");
    let ready = gateway.admin("/ready");
    assert_eq!(ready.status, 503);
    assert!(
        ready.text().starts_with("WAITING for filter stamp: stamp.wasm must be there"),
        "{}",
        ready.text()
    );
    assert_eq!(gateway.get("/app").status, 503);
    assert_eq!(gateway.get("/other").status, 200);
    assert_eq!(origin.received().len(), 1, "only the one that the filter does not apply to");

    gateway.put("stamp.wasm", &wasm::guest("stamp"));
    eventually("ready", || gateway.admin("/ready").status == 200);
    assert_eq!(stamps(&gateway.get("/app")), ["v1"]);
    assert!(stamps(&gateway.get("/other")).is_empty());
    gateway.put("stamp.wasm", b"not a module");
    eventually("the refusal", || gateway.admin("/filters").text().contains("not a WebAssembly module"));
    assert_eq!(gateway.admin("/ready").status, 200, "the last good version serves on");
}

#[test]
fn a_required_filter_that_is_broken_at_the_start_holds_readiness() {
    let origin = Origin::answering("ok");
    let manifest = "config: v1\nrequired: true\nonFailure: open";
    let gateway = Unready::start(&origin, "", manifest);
    assert_eq!(gateway.admin("/ready").status, 503);
    gateway.put("stamp.wasm", b"not a module");
    eventually("the reason", || gateway.admin("/ready").text().contains("not a WebAssembly module"));
    assert_eq!(gateway.get("/app").status, 200, "its policy is `open`");
    assert_eq!(gateway.admin("/ready").status, 503);
    gateway.put("stamp.wasm", &wasm::guest("stamp"));
    eventually("ready", || gateway.admin("/ready").status == 200);
    assert_eq!(stamps(&gateway.get("/app")), ["v1"]);
}

#[test]
fn a_gateway_that_waits_for_a_filter_can_be_stopped() {
    let origin = Origin::answering("ok");
    let gateway = Unready::start(&origin, "expect: [stamp]", "");
    assert_eq!(gateway.admin("/ready").status, 503);
    gateway.running.stop();
    gateway.running.wait().expect("a clean end");
}

/// A gateway that is not waited for, with the manifest of a filter `stamp` but not its module.
struct Unready {
    directory: TempDir,
    running: Running,
}

impl Unready {
    fn start(origin: &Origin, expect: &str, manifest: &str) -> Self {
        let directory = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(directory.path().join("filters")).expect("a writable folder");
        let text = format!(
            "workers: 1\nadmin: {{bind: '127.0.0.1:0'}}\naccessLog: off\n\
             listeners: [{{name: web, bind: '127.0.0.1:0'}}]\n\
             routes: [{{name: app, match: {{path: {{prefix: /app}}}}, to: origin}}, {{name: rest, to: origin}}]\n\
             upstreams: {{origin: '{}'}}\nfilters: {{directory: filters, {expect}}}",
            origin.address()
        );
        std::fs::write(directory.path().join("filters/stamp.yaml"), manifest).expect("a writable folder");
        let source =
            ConfigSource::Text { text, name: "a test".into(), base_dir: directory.path().to_owned() };
        let running = gateway_server::start(Options::new(source)).expect("a start");
        Self { directory, running }
    }

    fn get(&self, target: &str) -> Response {
        Request::get(target).to(self.running.listeners()[0].address)
    }

    fn admin(&self, target: &str) -> Response {
        Request::get(target).to(self.running.admin().expect("an admin listener"))
    }

    fn put(&self, file: &str, bytes: &[u8]) {
        let path = self.directory.path().join("filters").join(file);
        std::fs::write(path.with_extension("tmp"), bytes).expect("a writable folder");
        std::fs::rename(path.with_extension("tmp"), path).expect("a writable folder");
    }
}
