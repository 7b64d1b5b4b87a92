use gateway_sdk::testing::{TestRequest, TestResponse, Tester, Verdict};

use super::*;

const CONFIG: &str = r#"{"limit": 3, "window": "10s", "consumers": {"big": 5, "none": 0}}"#;

fn tester() -> Tester<Quota> {
    Tester::new(CONFIG).unwrap()
}

fn of(consumer: &str) -> TestRequest {
    TestRequest::get("/").header("x-consumer", consumer)
}

fn admitted(tester: &mut Tester<Quota>, count: usize, consumer: &str) -> usize {
    (0..count).filter(|_| tester.request(of(consumer)).verdict == Verdict::Continued).count()
}

#[test]
fn each_consumer_has_its_own_quota() {
    let mut tester = tester();
    assert_eq!(admitted(&mut tester, 10, "acme"), 3);
    assert_eq!(admitted(&mut tester, 10, "big"), 5);
    assert_eq!(admitted(&mut tester, 10, "other"), 3);
    assert_eq!(admitted(&mut tester, 10, "none"), 0);
}

#[test]
fn a_name_that_is_no_text_is_nobody_s_even_if_failures_pass() {
    let config = CONFIG.replace("{\"limit\"", "{\"failOpen\": true, \"anonymous\": 5, \"limit\"");
    let mut tester = Tester::<Quota>::new(&config).unwrap();
    let outcome = tester.request(TestRequest::get("/").header("x-consumer", b"acme\xff"));
    assert_eq!(outcome.refusal(), (403, "quota_no_consumer"));
}

#[test]
fn workers_share_the_counts() {
    let mut tester = tester();
    assert_eq!(admitted(&mut tester, 2, "acme"), 2);
    tester.add_worker().unwrap();
    assert_eq!(admitted(&mut tester, 10, "acme"), 1);
    tester.switch_to(0);
    assert_eq!(admitted(&mut tester, 10, "acme"), 0);
}

#[test]
fn the_window_rolls() {
    let mut tester = tester();
    assert_eq!(admitted(&mut tester, 2, "acme"), 2);
    tester.advance(Duration::from_secs(6));
    assert_eq!(admitted(&mut tester, 5, "acme"), 1);
    tester.advance(Duration::from_secs(3));
    assert_eq!(admitted(&mut tester, 5, "acme"), 0, "9 s after the first two");
    tester.advance(Duration::from_secs(2));
    assert_eq!(admitted(&mut tester, 5, "acme"), 2, "11 s after them");
    tester.advance(Duration::from_secs(60));
    assert_eq!(admitted(&mut tester, 5, "acme"), 3);
}

#[test]
fn clients_hear_what_is_left_and_when_to_come_again() {
    let mut tester = tester();
    let exchanged = tester.exchange(of("acme"), TestResponse::new(200));
    let response = exchanged.response.unwrap();
    assert_eq!(response.header_values("x-quota-limit"), ["3"]);
    assert_eq!(response.header_values("x-quota-remaining"), ["2"]);
    admitted(&mut tester, 2, "acme");
    let outcome = tester.request(of("acme"));
    assert_eq!(outcome.refusal(), (429, "quota_exceeded"));
    let again: u64 = outcome.reply().unwrap().header_values("retry-after")[0].parse().unwrap();
    assert!((10..=11).contains(&again), "{again}");
    tester.advance(Duration::from_secs(again));
    assert_eq!(tester.request(of("acme")).verdict, Verdict::Continued);
}

#[test]
fn those_without_a_name_are_refused_or_share_one_quota() {
    let mut tester = tester();
    for request in [TestRequest::get("/"), of(""), of(&"x".repeat(257))] {
        assert_eq!(tester.request(request).refusal(), (403, "quota_no_consumer"));
    }
    let config = r#"{"limit": 3, "window": "10s", "anonymous": 2}"#;
    let mut tester = Tester::<Quota>::new(config).unwrap();
    let passes = (0..5).filter(|_| tester.request(TestRequest::get("/")).verdict == Verdict::Continued);
    assert_eq!(passes.count(), 2);
    let outcome = tester.request(TestRequest::get("/").header("x-consumer", [0xff]));
    assert_eq!(outcome.refusal(), (403, "quota_no_consumer"), "a name that is not text");
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused_by_name() {
    let cases = [
        (r#"{"limit": 3}"#, "missing field `window`"),
        (r#"{"limit": 3, "window": "10ms"}"#, "`window`: is shorter than a second; use `rate-limit`"),
        (r#"{"limit": 3, "window": "1m", "header": "a b"}"#, "`header`: is not a header name"),
    ];
    for (config, expected) in cases {
        let error = Tester::<Quota>::new(config).map(drop).unwrap_err().to_string();
        assert!(error.ends_with(&format!("configuration: {expected}")), "{config}: {error}");
    }
}
