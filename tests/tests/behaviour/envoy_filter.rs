//! Filters built for Envoy run unchanged.

use gateway_tests::{Gateway, Origin, wasm};

#[test]
fn a_filter_on_the_plain_proxy_wasm_crate_runs_unchanged() {
    let module = wasm::add_header();
    let marker = b"proxy_abi_version_0_2_1";
    assert!(
        module.windows(marker.len()).any(|window| window == marker),
        "its ABI is the one that Envoy knows"
    );
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).filter("add-header", &module, "").start();
    let response = gateway.get("/");
    assert_eq!((response.status, response.header("x-filter")), (200, Some("on")));
    assert_eq!(origin.only_request().header("x-filter"), Some("on"));
    // Two callbacks for headers at least.
    assert!(gateway.metrics().sum("gateway_filter_calls_total", &[("filter", "add-header")]) >= 2.0);
}
