//! What the metrics say after traffic of every kind, counted against what clients and upstreams saw.

use std::path::Path;
use std::time::Duration;

use gateway_tests::{
    Answer, Authority, Gateway, Http2, Metrics, Origin, RefusingAddress, Request, TlsClient, eventually, wasm,
};

const CONFIG: &str = "
listeners:
  - {name: web, bind: '127.0.0.1:0', compression: {}}
  - {name: secure, bind: '127.0.0.1:0', tls: {certificates: [{cert: site.pem, key: site.key}]}}
routes:
  - {name: small, match: {path: {prefix: /small}}, to: origin, maxBody: 10B}
  - {name: slow, match: {path: {prefix: /slow}}, to: origin, timeout: 50ms}
  - {name: down, match: {path: {prefix: /down}}, to: down}
  - {name: moved, match: {path: {prefix: /moved}}, redirect: {path: {full: /}}}
  - {name: found, match: {path: {prefix: /found}}, to: origin}
upstreams: {origin: 'ORIGIN', down: 'DOWN'}
";

#[test]
fn families_count_what_happened_and_are_left_for_the_format_checker() {
    let origin = Origin::start(|request| match request.target.as_str() {
        "/slow" => Answer::text("late").after(Duration::from_millis(500)),
        _ => Answer::text("ok".repeat(1_000)).header("content-type", "text/plain"),
    });
    let (authority, down) = (Authority::new("ca"), RefusingAddress::new());
    let gateway = Gateway::with(CONFIG)
        .set("ORIGIN", origin.address())
        .set("DOWN", down.address())
        .certificate("site", &authority.issue(&["shop.test"]))
        .filter("stamp", &wasm::guest("stamp"), "")
        .start();
    let mut kept = gateway.connect();
    for (request, status) in [
        (Request::get("/found").header("accept-encoding", "gzip"), 200),
        (Request::post("/small", [0; 11]), 413),
        (Request::get("/slow"), 504),
        (Request::get("/down"), 502),
        (Request::get("/moved"), 302),
        (Request::get("/none"), 404),
    ] {
        // Some of these end their connection.
        assert_eq!(gateway.send(&request).status, status, "{request:?}");
    }
    assert_eq!(kept.get("/found").status, 200);
    assert_eq!(Http2::connect(gateway.address()).send(&Request::get("/found")).status, 200);
    let mut malformed = gateway.connect();
    malformed.write("no HTTP\r\n\r\n");
    assert_eq!(malformed.read("GET").status, 400);
    let secure = gateway.listener("secure").expect("a listener");
    let tunnel = TlsClient::trusting(&authority).connect(secure, "shop.test").expect("a handshake");
    assert_eq!(tunnel.client().send(&Request::get("/found").host("shop.test")).status, 200);
    let mut gone = gateway.connect();
    gone.write("POST /found HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n1");
    eventually("the broken upload", || active_requests(&gateway.metrics()) > 0.5);
    drop((gone, malformed));
    eventually("all requests over", || active_requests(&gateway.metrics()) < 0.5);

    // Open: the kept one alone. All others were closed by one side or the other.
    let web = [("envoy_http_conn_manager_prefix", "web")];
    eventually("one connection left", || {
        gateway.metrics().sum("envoy_http_downstream_cx_active", &web) < 1.5
    });
    let metrics = gateway.metrics();
    let address = [("envoy_listener_address", "127.0.0.1_0")];
    let upstream = [("envoy_cluster_name", "origin")];
    for (family, labels, expected) in [
        ("envoy_http_downstream_cx_total", &web, 10.0),
        ("envoy_http_downstream_cx_active", &web, 1.0),
        ("envoy_http_downstream_cx_destroy", &web, 9.0),
        ("envoy_http_downstream_cx_length_ms_count", &web, 9.0),
        ("envoy_http_downstream_cx_http1_total", &web, 9.0),
        ("envoy_http_downstream_cx_http2_total", &web, 1.0),
        ("envoy_http_downstream_cx_ssl_total", &web, 0.0),
        ("envoy_http_downstream_cx_protocol_error", &web, 1.0),
        ("envoy_http_downstream_rq_total", &web, 10.0),
        ("envoy_http_downstream_rq_time_count", &web, 10.0),
        ("envoy_http_downstream_rq_completed", &web, 9.0),
        ("envoy_http_downstream_rq_rx_reset", &web, 1.0),
        ("envoy_http_downstream_rq_too_large", &web, 1.0),
        ("envoy_http_downstream_rq_timeout", &web, 0.0),
        ("envoy_cluster_upstream_rq_timeout", &upstream, 1.0),
        ("envoy_cluster_upstream_cx_connect_fail", &[("envoy_cluster_name", "down")], 1.0),
        ("envoy_cluster_upstream_rq_completed", &upstream, 4.0),
        ("envoy_cluster_upstream_rq_time_count", &upstream, 4.0),
        ("gateway_worker_connections_handed_over_total", &[("worker", "0")], 0.0),
    ] {
        assert!(
            (metrics.sum(family, labels) - expected).abs() < 0.1,
            "{family}{labels:?}: {}",
            metrics.sum(family, labels)
        );
    }
    let secure = [("envoy_http_conn_manager_prefix", "secure")];
    assert!((metrics.sum("envoy_http_downstream_cx_ssl_total", &secure) - 1.0).abs() < 0.1);
    // Both listeners asked for port 0.
    assert!((metrics.sum("envoy_listener_downstream_cx_total", &address) - 11.0).abs() < 0.1);
    let connections = metrics.sum("envoy_cluster_upstream_cx_total", &upstream);
    let connects = metrics.sum("envoy_cluster_upstream_cx_connect_ms_count", &upstream);
    assert!((connections - connects).abs() < 0.1, "each new connection took some time");
    assert!((metrics.sum("envoy_server_live", &[]) - 1.0).abs() < 0.1);
    assert!((metrics.sum("envoy_server_concurrency", &[]) - 1.0).abs() < 0.1);
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("metrics.txt");
    std::fs::write(&file, gateway.admin_get("/metrics").body).expect("a writable folder");
}

fn active_requests(metrics: &Metrics) -> f64 {
    metrics.sum("envoy_http_downstream_rq_active", &[])
}
