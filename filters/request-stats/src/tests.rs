use gateway_sdk::testing::{TestRequest, TestResponse, Tester};

use super::*;

fn number(value: u64) -> [u8; 8] {
    value.to_le_bytes()
}

fn request(method: &str) -> TestRequest {
    TestRequest::new(method, "/a")
        .property(&["request", "duration"], number(12_900_000))
        .property(&["request", "total_size"], number(100))
        .property(&["response", "total_size"], number(2_000))
        .property(&["xds", "cluster_name"], "reviews")
        .property(&["xds", "route_name"], "to-reviews")
}

/// Value of the metric whose name ends with `name` and has all of these labels.
fn metric(tester: &mut Tester<RequestStats>, name: &str, labels: &[&str]) -> Option<u64> {
    let fits =
        |full: &str| full.ends_with(name) && labels.iter().all(|label| full.contains(&format!("{label};.;")));
    let found: Vec<(String, u64)> = tester.metrics().into_iter().filter(|(full, _)| fits(full)).collect();
    assert!(found.len() <= 1, "{found:?}");
    found.first().map(|(_, value)| *value)
}

#[test]
fn requests_are_counted_and_measured() {
    let mut tester = Tester::<RequestStats>::new("{}").unwrap();
    tester.exchange(request("GET"), TestResponse::new(200));
    tester.exchange(request("GET"), TestResponse::new(200));
    tester.exchange(request("POST"), TestResponse::new(503));
    let get = ["request_method=.=GET", "response_code=.=200", "request_protocol=.=http"];
    assert_eq!(metric(&mut tester, ";istio_requests_total", &get), Some(2));
    assert_eq!(metric(&mut tester, ";istio_request_duration_milliseconds", &get), Some(24));
    assert_eq!(metric(&mut tester, ";istio_request_bytes", &get), Some(200));
    assert_eq!(metric(&mut tester, ";istio_response_bytes", &get), Some(4_000));
    let failed = ["request_method=.=POST", "response_code=.=503"];
    assert_eq!(metric(&mut tester, ";istio_requests_total", &failed), Some(1));
}

#[test]
fn every_label_is_there_and_what_is_not_known_says_so() {
    let mut tester = Tester::<RequestStats>::new("{}").unwrap();
    tester.exchange(TestRequest::get("/"), TestResponse::new(204));
    let names: Vec<String> = tester.metrics().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    for name in &names {
        for label in NAMES {
            assert!(name.contains(&format!("{label}=.=")), "{label} in {name}");
        }
        assert!(!name.contains("=.=;.;"), "an empty label in {name}");
    }
    let known = ["reporter=.=destination", "response_flags=.=-", "connection_security_policy=.=none"];
    let unknown = ["source_workload=.=unknown", "destination_service=.=unknown", "route_name=.=unknown"];
    let labels = [known, unknown].concat();
    assert_eq!(metric(&mut tester, ";istio_requests_total", &labels), Some(1));
}

#[test]
fn identities_routes_flags_and_protocols_are_read() {
    let mut tester =
        Tester::<RequestStats>::new(r#"{"labels": {"destination_workload": "reviews-v1"}}"#).unwrap();
    let request = request("POST")
        .header("content-type", "application/grpc+proto")
        .property(&["connection", "uri_san_peer_certificate"], "spiffe://cluster.local/ns/shop/sa/cart")
        .property(&["connection", "mtls"], [1])
        .property(&["response", "flags"], number(0b10_0100));
    tester.exchange(request, TestResponse::new(200).header("grpc-status", "14"));
    let labels = [
        "source_principal=.=cluster.local/ns/shop/sa/cart",
        "source_workload_namespace=.=shop",
        "destination_service=.=reviews",
        "destination_workload=.=reviews-v1",
        "request_protocol=.=grpc",
        "grpc_response_status=.=14",
        "response_flags=.=UT,UF",
        "connection_security_policy=.=mutual_tls",
        "route_name=.=to-reviews",
    ];
    assert_eq!(metric(&mut tester, ";istio_requests_total", &labels), Some(1));
}

#[test]
fn clients_cannot_make_series_without_end() {
    let mut tester = Tester::<RequestStats>::new("{}").unwrap();
    for index in 0..600 {
        let request = request(&format!("METHOD{index}")).header("content-type", "application/grpc");
        let response = TestResponse::new(200).header("grpc-status", index.to_string());
        tester.exchange(request, response);
    }
    let before = tester.metrics().len();
    assert!(before <= 4 * 18, "{before}");
    for index in 0..600 {
        let request = request("GET").property(&["xds", "route_name"], format!("route-{index}"));
        tester.exchange(request, TestResponse::new(200));
    }
    let all = tester.metrics();
    assert_eq!(all.len(), 4 * (MAX_SERIES + 1), "the limit and the one beyond it");
    let total: u64 =
        all.iter().filter(|(name, _)| name.ends_with("istio_requests_total")).map(|(_, n)| n).sum();
    assert_eq!(total, 1_200, "nothing is lost");
}

#[test]
fn a_stream_that_ends_early_counts_with_code_0() {
    let mut tester = Tester::<RequestStats>::new("{}").unwrap();
    tester.stream().finish();
    assert_eq!(metric(&mut tester, ";istio_requests_total", &["response_code=.=0"]), Some(1));
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused_by_name() {
    let cases = [
        (r#"{"labels": {"response_code": "1"}}"#, "`labels.response_code`: is not a label that can be set"),
        (r#"{"labels": {"source_app": ""}}"#, "`labels.source_app`: is empty; leave it out"),
        (r#"{"reporter": "x"}"#, "`reporter`: unknown variant"),
    ];
    for (config, expected) in cases {
        let error = Tester::<RequestStats>::new(config).map(drop).unwrap_err().to_string();
        assert!(error.contains(&format!("configuration: {expected}")), "{config}: {error}");
    }
}
