use std::path::Path;

use super::*;

const BASE_MS: u64 = 30_000;

fn rules(written: &str) -> Outlier {
    let text = format!(
        "listeners: [{{bind: ':0'}}]\nroutes: [{{to: up}}]\n\
         upstreams: {{up: {{endpoints: ['10.0.0.1:80'], outlier: {written}}}}}"
    );
    let config = gateway_config::parse_text(&text, "test.yaml", Path::new("")).unwrap();
    config.upstreams[0].outlier.unwrap()
}

fn seconds(count: u64) -> Ejection {
    Ejection::For(Duration::from_secs(count))
}

#[test]
fn failures_count_only_in_a_row() {
    let endpoint = SharedEndpoint::default();
    let four = |endpoint: &SharedEndpoint| (0..4).any(|_| endpoint.failed(5));
    assert!(!four(&endpoint));
    endpoint.succeeded();
    assert!(!four(&endpoint));
    assert!(endpoint.failed(5));
    assert!(!four(&endpoint), "they begin anew");
}

#[test]
fn each_ejection_is_longer_up_to_a_maximum_and_good_behaviour_shortens_the_next() {
    let (endpoint, rules) = (SharedEndpoint::default(), rules("{maxEjection: 80s}"));
    let mut now_ms = 5_000;
    for expected in [30, 60, 80, 80] {
        assert_eq!(endpoint.eject_at(now_ms, 0, 3, &rules), seconds(expected));
        assert!(endpoint.is_ejected_at(now_ms + expected * 1_000 - 1));
        now_ms += expected * 1_000;
        assert!(!endpoint.is_ejected_at(now_ms));
    }
    // Four times so far; three intervals without failure leave one.
    now_ms += 35_000;
    assert_eq!(endpoint.eject_at(now_ms, 0, 3, &rules), seconds(60));
    now_ms += 60_000 + 1_000_000;
    assert_eq!(endpoint.eject_at(now_ms, 0, 3, &rules), seconds(30));
}

#[test]
fn no_more_are_ejected_than_may_be_but_one_in_any_case() {
    let cases = [("{}", 3, 1), ("{maxEjectedPercent: 50}", 4, 2), ("{maxEjectedPercent: 0}", 9, 1)];
    for (written, count, may_be) in cases {
        let rules = rules(written);
        for ejected in 0..count {
            let outcome = SharedEndpoint::default().eject_at(1, ejected, count, &rules);
            let expected = if ejected < may_be { seconds(30) } else { Ejection::TooMany };
            assert_eq!(outcome, expected, "{written}: {ejected} of {count}");
        }
    }
}

#[test]
fn an_ejected_endpoint_is_not_ejected_again() {
    let (endpoint, rules) = (SharedEndpoint::default(), rules("{}"));
    assert_eq!(endpoint.eject_at(1, 0, 3, &rules), seconds(30));
    assert_eq!(endpoint.eject_at(BASE_MS, 0, 3, &rules), Ejection::Already);
}
