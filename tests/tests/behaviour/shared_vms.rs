//! Filters that share a virtual machine: who does, what they see of each other, and what becomes of all when one fails.

use gateway_tests::{Client, Gateway, Origin, Request, Setup, eventually, wasm};

const CONFIG: &str = "workers: 1
listeners: [{name: web, bind: '127.0.0.1:0'}]
routes: [{to: origin}]
upstreams: {origin: 'ORIGIN'}";

/// Counts requests in memory and tells each count to the origin. Its configuration is one letter: a request whose `x-trap`
/// begins with that letter traps, one whose `x-hold` does is held for ever. It does not start with `n`, nor with `o` unless it
/// is the first in its machine.
fn counter() -> Vec<u8> {
    let imports = r#"
        (import "env" "proxy_get_buffer_bytes" (func $buffer (param i32 i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))"#;
    let parts = r#"
        (data (i32.const 16) "x-countx-trapx-hold")
        (global $count (mut i32) (i32.const 0))
        (func (export "proxy_on_context_create") (param $id i32) (param $parent i32)
          (i32.store8 (i32.add (i32.const 4096) (local.get $id)) (local.get $parent)))
        (func (export "proxy_on_configure") (param $id i32) (param $size i32) (result i32)
          (local $letter i32)
          (drop (call $buffer (i32.const 7) (i32.const 0) (i32.const 9) (i32.const 64) (i32.const 68)))
          (local.set $letter (i32.load8_u (i32.load (i32.const 64))))
          (i32.store8 (i32.add (i32.const 1024) (local.get $id)) (local.get $letter))
          (if (i32.and (i32.eq (local.get $letter) (i32.const 111)) (i32.ne (local.get $id) (i32.const 1)))
            (then (return (i32.const 0))))
          (i32.ne (local.get $letter) (i32.const 110)))
        (func $asks (param $id i32) (param $name i32) (result i32)
          (if (call $get (i32.const 0) (local.get $name) (i32.const 6) (i32.const 64) (i32.const 68))
            (then (return (i32.const 0))))
          (i32.eq (i32.load8_u (i32.load (i32.const 64)))
            (i32.load8_u (i32.add (i32.const 1024)
              (i32.load8_u (i32.add (i32.const 4096) (local.get $id)))))))
        (func (export "proxy_on_request_headers") (param $id i32) (param i32 i32) (result i32)
          (global.set $count (i32.add (global.get $count) (i32.const 1)))
          (i32.store8 (i32.const 80) (i32.add (i32.const 48) (global.get $count)))
          (drop (call $add (i32.const 0) (i32.const 16) (i32.const 7) (i32.const 80) (i32.const 1)))
          (if (call $asks (local.get $id) (i32.const 23)) (then unreachable))
          (call $asks (local.get $id) (i32.const 29)))"#;
    wasm::small(imports, parts)
}

fn two(origin: &Origin, first: &str, second: &str) -> Setup {
    let setup = Gateway::with(CONFIG).set("ORIGIN", origin.address());
    setup.filter("first", &counter(), first).filter("second", &counter(), second)
}

fn counts(gateway: &Gateway, origin: &Origin) -> Vec<String> {
    assert_eq!(gateway.get("/").status, 200);
    origin.last_request().headers.all("x-count").iter().map(ToString::to_string).collect()
}

#[test]
fn filters_with_equal_machines_share_one() {
    let origin = Origin::answering("ok");
    let gateway = two(&origin, "{vmId: both, config: a}", "{vmId: both, config: b}").start();
    assert_eq!(counts(&gateway, &origin), ["1", "2"]);
    assert_eq!(counts(&gateway, &origin), ["3", "4"]);
}

#[test]
fn what_differs_has_a_machine_of_its_own() {
    let origin = Origin::answering("ok");
    let first = "{vmId: both, config: a}";
    for second in [
        "{config: b}",
        "{vmId: other, config: b}",
        "{vmId: both, config: b, vmConfig: x}",
        "{vmId: both, config: b, env: {A: b}}",
        "{vmId: both, config: b, capabilities: {callouts: [origin]}}",
        "{vmId: both, config: b, capabilities: {hideHeaders: [x-a]}}",
        "{vmId: both, config: b, capabilities: {sharedWith: [first]}}",
        "{vmId: both, config: b, limits: {memory: 1MiB}}",
    ] {
        let gateway = two(&origin, first, second).start();
        assert_eq!(counts(&gateway, &origin), ["1", "1"], "{second}");
    }
    let other_code = wasm::annotated(&counter(), "other");
    let setup = Gateway::with(CONFIG).set("ORIGIN", origin.address());
    let gateway = setup.filter("first", &counter(), first).filter("second", &other_code, first).start();
    assert_eq!(counts(&gateway, &origin), ["1", "1"]);
}

#[test]
fn a_trap_of_one_ends_all_streams_by_their_own_policies_and_all_are_replaced() {
    let origin = Origin::answering("ok");
    let gateway = two(
        &origin,
        "{vmId: both, config: a, onFailure: open, match: {hosts: [a.example]}}",
        "{vmId: both, config: b, onFailure: closed, match: {hosts: [b.example]}}",
    )
    .start();
    let held = |letter: &str| -> Client {
        let mut client = gateway.connect();
        let host = format!("{letter}.example");
        client.write(Request::get("/held").host(&host).header("x-hold", letter).bytes());
        client
    };
    let (mut open, mut closed) = (held("a"), held("b"));
    let calls = |filter| gateway.metrics().sum("gateway_filter_calls_total", &[("filter", filter)]);
    // A context and a head each.
    eventually("both are held", || calls("first") >= 2.0 && calls("second") >= 2.0);
    let trap = Request::get("/").host("b.example").header("x-trap", "b");
    assert_eq!(gateway.send(&trap).status, 503);
    assert_eq!(open.read("GET").status, 200);
    assert_eq!(closed.read("GET").status, 503);
    assert_eq!(origin.only_request().target, "/held");
    let traps = |filter| gateway.metrics().sum("gateway_filter_traps_total", &[("filter", filter)]);
    assert!(traps("first") < 0.5 && (traps("second") - 1.0).abs() < 0.5, "counted where it happened");

    for (host, count) in [("a.example", "1"), ("b.example", "2")] {
        assert_eq!(gateway.send(&Request::get("/").host(host)).status, 200);
        assert_eq!(origin.last_request().header("x-count"), Some(count), "one fresh machine for both");
    }
}

#[test]
fn a_change_of_one_gives_all_a_fresh_machine_and_a_failed_one_leaves_the_old() {
    let origin = Origin::answering("ok");
    let gateway = two(&origin, "{vmId: both, config: a}", "{vmId: both, config: b}").start();
    assert_eq!(counts(&gateway, &origin), ["1", "2"]);
    // Refused by a gate, then by the worker, where it is not alone in its machine.
    for letter in ["n", "o"] {
        gateway.replace_manifest("second", &format!("{{vmId: both, config: {letter}}}"));
        let reason = gateway.await_refusal("second");
        assert!(reason.contains("proxy_on_configure refused to start"), "{reason}");
    }
    assert_eq!(counts(&gateway, &origin), ["3", "4"]);
    gateway.replace_manifest("second", "{vmId: both, config: c}");
    eventually("a fresh machine", || counts(&gateway, &origin) == ["1", "2"]);
    let trap = gateway.send(&Request::get("/").header("x-trap", "c"));
    assert_eq!(trap.status, 503, "it is the new version");
}

#[test]
fn machines_are_started_away_from_the_workers() {
    let origin = Origin::answering("ok");
    // Half a second of work for each of the two.
    let slow = wasm::small(
        r#"(import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))"#,
        r#"(data (i32.const 16) "x-trap")
        (global $work (mut i32) (i32.const 0))
        (func (export "proxy_on_configure") (param i32 i32) (result i32)
          (global.set $work (i32.const 0))
          (loop $more (global.set $work (i32.add (global.get $work) (i32.const 1)))
            (br_if $more (i32.lt_u (global.get $work) (i32.const 400000000))))
          (i32.const 1))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
          (if (i32.eqz (call $get (i32.const 0) (i32.const 16) (i32.const 6) (i32.const 64) (i32.const 68)))
            (then unreachable))
          (i32.const 0))"#,
    );
    let manifest = "{vmId: both, limits: {instanceWait: 0s}, quarantine: {enabled: false}}";
    let setup = Gateway::with(CONFIG).set("ORIGIN", origin.address());
    let gateway = setup.filter("first", &slow, manifest).filter("second", &slow, manifest).start();
    let trap = Request::get("/").header("x-trap", "now");
    assert_eq!(gateway.get("/").status, 200);
    eventually("a reserve takes the place of a failed machine", || {
        assert_eq!(gateway.send(&trap).status, 503);
        gateway.get("/").status == 200
    });
    assert_eq!(gateway.send(&trap).status, 503);
    assert_eq!(gateway.get("/").status, 503, "there is no other yet, and nobody waits for one");
    eventually("it is told", || gateway.metrics().replies("filter_not_live") >= 1.0);
    eventually("the next one was started", || gateway.get("/").status == 200);
}
