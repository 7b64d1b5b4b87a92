use gateway_sdk::Status;
use gateway_sdk::testing::{TestRequest, TestResponse, Tester, Verdict};

use super::*;

const PER_ADDRESS: &str = r#"{"limits": [{"requests": 2, "per": "1s", "burst": 3}]}"#;

fn tester(config: &str) -> Tester<RateLimit> {
    Tester::new(config).unwrap()
}

fn get(address: &str) -> TestRequest {
    TestRequest::get("/").client(address)
}

/// How many of so many requests pass.
fn admitted(tester: &mut Tester<RateLimit>, count: usize, request: &TestRequest) -> usize {
    (0..count).filter(|_| tester.request(request.clone()).verdict == Verdict::Continued).count()
}

#[test]
fn each_key_has_its_burst_and_then_its_rate() {
    let mut tester = tester(PER_ADDRESS);
    assert_eq!(admitted(&mut tester, 10, &get("10.0.0.1:1")), 3);
    assert_eq!(admitted(&mut tester, 10, &get("10.0.0.1:2")), 0, "the port does not matter");
    assert_eq!(admitted(&mut tester, 10, &get("10.0.0.2:1")), 3);
    tester.advance(Duration::from_millis(1_500));
    assert_eq!(admitted(&mut tester, 10, &get("10.0.0.1:1")), 3);
    tester.advance(Duration::from_millis(500));
    assert_eq!(admitted(&mut tester, 10, &get("10.0.0.1:1")), 1);
}

#[test]
fn workers_share_the_buckets() {
    let mut tester = tester(PER_ADDRESS);
    assert_eq!(admitted(&mut tester, 2, &get("10.0.0.1:1")), 2);
    tester.add_worker().unwrap();
    assert_eq!(admitted(&mut tester, 10, &get("10.0.0.1:1")), 1);
    tester.switch_to(0);
    assert_eq!(admitted(&mut tester, 10, &get("10.0.0.1:1")), 0);
}

#[test]
fn clients_hear_what_is_left_and_when_to_come_again() {
    let mut tester = tester(r#"{"limits": [{"requests": 1, "per": "10s", "burst": 2}]}"#);
    let exchanged = tester.exchange(get("10.0.0.1:1"), TestResponse::new(200));
    let response = exchanged.response.unwrap();
    assert_eq!(response.header_values("ratelimit-limit"), ["2"]);
    assert_eq!(response.header_values("ratelimit-remaining"), ["1"]);
    assert_eq!(response.header_values("ratelimit-reset"), ["10"]);
    tester.request(get("10.0.0.1:1"));
    tester.advance(Duration::from_millis(500));
    let outcome = tester.request(get("10.0.0.1:1"));
    let reply = outcome.reply().unwrap();
    assert_eq!((reply.status, reply.details.as_str()), (429, "rate_limited"));
    assert_eq!(reply.header_values("retry-after"), ["10"], "9.5 s, rounded up");
    assert_eq!(reply.header_values("ratelimit-remaining"), ["0"]);
    tester.advance(Duration::from_millis(9_500));
    assert_eq!(tester.request(get("10.0.0.1:1")).verdict, Verdict::Continued);
}

#[test]
fn headers_can_be_left_out() {
    let mut tester = tester(r#"{"headers": false, "limits": [{"requests": 1, "per": "1m"}]}"#);
    let exchanged = tester.exchange(get("10.0.0.1:1"), TestResponse::new(200));
    assert!(exchanged.response.unwrap().header_values("ratelimit-limit").is_empty());
    let outcome = tester.request(get("10.0.0.1:1"));
    assert!(outcome.reply().unwrap().header_values("ratelimit-limit").is_empty());
    assert_eq!(outcome.reply().unwrap().header_values("retry-after"), ["60"]);
}

#[test]
fn keys_can_be_headers_paths_or_nothing() {
    let mut by_header = tester(r#"{"limits": [{"key": {"header": "X-Key"}, "requests": 1, "per": "1h"}]}"#);
    let with = |key: &[u8]| TestRequest::get("/").header("x-key", key);
    assert_eq!(admitted(&mut by_header, 3, &with(b"a")), 1);
    assert_eq!(admitted(&mut by_header, 3, &with(b"b")), 1);
    assert_eq!(admitted(&mut by_header, 3, &with(&[0xff, b'a'])), 1);
    assert_eq!(admitted(&mut by_header, 3, &TestRequest::get("/")), 1, "those without one share one");
    let (long, other) = ([b'x'; 5_000], [[b'x'; 4_999].as_slice(), b"y"].concat());
    assert_eq!(admitted(&mut by_header, 3, &with(&long)), 1);
    assert_eq!(admitted(&mut by_header, 3, &with(&other)), 1);

    let mut by_path = tester(r#"{"limits": [{"key": "path", "requests": 1, "per": "1h"}]}"#);
    assert_eq!(admitted(&mut by_path, 3, &TestRequest::get("/a?x=1")), 1);
    assert_eq!(admitted(&mut by_path, 3, &TestRequest::get("/a?x=2")), 0);
    assert_eq!(admitted(&mut by_path, 3, &TestRequest::get("/b")), 1);

    let mut for_all = tester(r#"{"limits": [{"key": "all", "requests": 2, "per": "1h"}]}"#);
    assert_eq!(admitted(&mut for_all, 1, &TestRequest::get("/a")), 1);
    assert_eq!(admitted(&mut for_all, 3, &get("10.0.0.9:1")), 1);
}

#[test]
fn a_request_must_be_within_every_limit() {
    let config = r#"{"limits": [{"requests": 5, "per": "1h"}, {"key": "all", "requests": 7, "per": "1h"}]}"#;
    let mut tester = tester(config);
    assert_eq!(admitted(&mut tester, 10, &get("10.0.0.1:1")), 5);
    assert_eq!(admitted(&mut tester, 10, &get("10.0.0.2:1")), 2);
}

#[test]
fn a_failure_refuses_or_passes_as_configured() {
    let outcome = tester(PER_ADDRESS).request(TestRequest::get("/"));
    assert_eq!(outcome.refusal(), (503, "rate_limit_failed"), "no address is known");
    let open = r#"{"failOpen": true, "limits": [{"requests": 1, "per": "1s"}]}"#;
    assert_eq!(tester(open).request(TestRequest::get("/")).verdict, Verdict::Continued);
    if Tester::<RateLimit>::is_native() {
        let mut broken = tester(PER_ADDRESS).refusing("proxy_set_shared_data", Status::CasMismatch);
        let outcome = broken.request(get("10.0.0.1:1"));
        assert_eq!(outcome.refusal(), (503, "rate_limit_failed"));
        assert!(outcome.logs[0].1.contains("changed by others all the time"), "{:?}", outcome.logs);
    }
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused_by_name() {
    let cases = [
        (r#"{"limits": []}"#, "`limits`: has 0 limits; 1 to 10 are possible"),
        (
            r#"{"limits": [{"requests": 0, "per": "1s"}]}"#,
            "`limits[0].requests`: is 0; refuse everything with a route instead",
        ),
        (r#"{"limits": [{"requests": 1, "per": "0s"}]}"#, "`limits[0].per`: is no time at all"),
        (
            r#"{"limits": [{"requests": 1, "per": "1 s"}]}"#,
            "`limits[0]`: expected a time such as `250ms`, `10s`, `5m` or `24h`",
        ),
        (
            r#"{"limits": [{"requests": 1, "per": "1s", "burst": 0}]}"#,
            "`limits[0].burst`: is 0, so that nothing could pass; leave it out to allow `requests` at once",
        ),
        (
            r#"{"limits": [{"key": {"header": "a b"}, "requests": 1, "per": "1s"}]}"#,
            "`limits[0].key.header`: is not a header name",
        ),
    ];
    for (config, expected) in cases {
        let error = Tester::<RateLimit>::new(config).map(drop).unwrap_err().to_string();
        assert!(error.ends_with(&format!("configuration: {expected}")), "{config}: {error}");
    }
}
