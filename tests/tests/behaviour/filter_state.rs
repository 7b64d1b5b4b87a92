//! What a filter sets, and who reads it: filters after it, routes once they are asked again, the access log.

use gateway_tests::{Gateway, Origin, Request, wasm};

/// Sets property `tenant` to the value of `x-tenant`, if there is one, and asks for the route again where `x-again` is there.
/// Reads `tenant` before that, and tells what it found as `x-found`.
fn tenant() -> Vec<u8> {
    let imports = r#"
        (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_get_property" (func $read (param i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_set_property" (func $set (param i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_call_foreign_function"
          (func $call (param i32 i32 i32 i32 i32 i32) (result i32)))"#;
    let parts = r#"
        (data (i32.const 16) "tenantx-foundx-tenantx-againclear_route_cache")
        (func $value (result i32 i32) (i32.load (i32.const 128)) (i32.load (i32.const 132)))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
          (if (i32.eqz (call $read (i32.const 16) (i32.const 6) (i32.const 128) (i32.const 132)))
            (then (drop (call $add (i32.const 0) (i32.const 22) (i32.const 7) (call $value)))))
          (if (i32.eqz (call $get (i32.const 0) (i32.const 29) (i32.const 8) (i32.const 128) (i32.const 132)))
            (then (drop (call $set (i32.const 16) (i32.const 6) (call $value)))))
          (if (i32.eqz (call $get (i32.const 0) (i32.const 37) (i32.const 7) (i32.const 128) (i32.const 132)))
            (then (drop (call $call (i32.const 44) (i32.const 17)
              (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))))
          (i32.const 0))"#;
    wasm::small(imports, parts)
}

const CONFIG: &str = r#"
accessLog: {to: access.log, format: {json: {tenant: "%FILTER_STATE(wasm.tenant)%", short: "%FILTER_STATE(wasm.tenant:PLAIN):3%", other: "%FILTER_STATE(tenant)%"}}}
listeners: [{name: web, bind: '127.0.0.1:0'}]
routes:
  - {name: gold, match: {filterState: {wasm.tenant: gold}}, to: golden}
  - {name: some, match: {filterState: {wasm.tenant: {present: true}}, not: {filterState: {wasm.tenant: {regex: 'g.*'}}}}, to: other}
  - {name: all, to: origin}
upstreams: {origin: 'ORIGIN', golden: 'GOLDEN', other: 'OTHER'}"#;

#[test]
fn what_a_filter_sets_is_read_by_later_filters_routes_and_the_access_log() {
    let (origin, golden, other) =
        (Origin::answering("all"), Origin::answering("gold"), Origin::answering("some"));
    let gateway = Gateway::with(CONFIG)
        .set("ORIGIN", origin.address())
        .set("GOLDEN", golden.address())
        .set("OTHER", other.address())
        .filter("a", &tenant(), "")
        .filter("b", &tenant(), "")
        .start();
    let ask = |headers: &[(&str, &str)]| {
        let request =
            headers.iter().fold(Request::get("/"), |request, (name, value)| request.header(name, value));
        gateway.send(&request).text()
    };
    assert_eq!(ask(&[]), "all");
    assert_eq!(origin.last_request().header("x-found"), None);
    // Routes are asked once more only when a filter says so.
    assert_eq!(ask(&[("x-tenant", "gold")]), "all");
    assert_eq!(origin.last_request().header("x-found"), Some("gold"));
    assert_eq!(ask(&[("x-tenant", "gold"), ("x-again", "1")]), "gold");
    assert_eq!(ask(&[("x-tenant", "silver"), ("x-again", "1")]), "some");
    assert_eq!(ask(&[("x-tenant", "grey"), ("x-again", "1")]), "all");
    assert_eq!((golden.received().len(), other.received().len()), (1, 1));

    let lines = gateway.await_access_lines(5);
    let field = |at: usize, name: &str| lines[at][name].clone();
    assert!(field(0, "tenant").is_null(), "{:?}", lines[0]);
    assert_eq!((field(2, "tenant"), field(2, "short")), ("gold".into(), "gol".into()));
    assert_eq!(field(3, "tenant"), "silver");
    assert!(field(3, "other").is_null(), "that is what another function sets");
}
