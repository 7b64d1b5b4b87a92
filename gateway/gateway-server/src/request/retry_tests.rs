use std::path::Path;

use super::*;

fn policy(written: &str) -> Policy {
    let text = format!(
        "listeners: [{{bind: ':0'}}]\nroutes: [{{to: up, retry: {written}}}]\nupstreams: {{up: '10.0.0.1:80'}}"
    );
    let mut config = gateway_config::parse_text(&text, "test.yaml", Path::new("")).unwrap();
    config.routes.remove(0).retry.unwrap()
}

fn after(policy: &Policy, method: &str, error: RequestError) -> bool {
    verdict(policy, &Method::from_bytes(method.as_bytes()).unwrap(), None, &Err(error)) == Verdict::Again
}

const RESET: RequestError = RequestError::upstream(Reason::UpstreamReset);
const REFUSED: RequestError = RequestError::upstream_unseen(Reason::UpstreamReset);
const NO_CONNECTION: RequestError = RequestError::upstream_unseen(Reason::ConnectFailed);
const TOO_SLOW: RequestError = RequestError::upstream(Reason::PerTryTimeout);

#[test]
fn what_may_have_been_acted_on_is_repeated_only_if_the_method_allows_it() {
    let policy = policy("{on: [5xx]}");
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
        assert!(after(&policy, method, RESET) && after(&policy, method, TOO_SLOW), "{method}");
    }
    for method in ["POST", "PATCH", "SOMETHING"] {
        assert!(!after(&policy, method, RESET) && !after(&policy, method, TOO_SLOW), "{method}");
        assert!(after(&policy, method, REFUSED) && after(&policy, method, NO_CONNECTION), "{method}");
    }
}

#[test]
fn methods_widen_and_narrow_what_is_repeated() {
    let policy = policy("{on: reset, methods: [POST]}");
    assert!(after(&policy, "POST", RESET));
    assert!(!after(&policy, "GET", RESET));
    assert!(after(&policy, "GET", REFUSED));
}

#[test]
fn each_condition_is_its_own() {
    let errors = [RESET, REFUSED, NO_CONNECTION, TOO_SLOW];
    let cases = [
        ("connect-failure", [false, false, true, false]),
        ("refused-stream", [false, true, false, false]),
        ("reset", [true, true, false, true]),
        ("gateway-error", [true; 4]),
        ("5xx", [true; 4]),
        ("retriable-4xx", [false; 4]),
        ("503", [false; 4]),
    ];
    for (on, expected) in cases {
        let policy = policy(&format!("{{on: {on}}}"));
        assert_eq!(errors.map(|error| after(&policy, "GET", error)), expected, "{on}");
    }
}

#[test]
fn nothing_but_the_upstreams_failure_is_repeated() {
    let policy = policy("{on: [5xx, retriable-4xx]}");
    let errors = [
        RequestError::client(Reason::ClientClosed),
        RequestError::client(Reason::BodyTooLarge),
        RequestError::filter(Reason::FilterReply),
        RequestError::gateway(Reason::NoHealthyEndpoint),
        RequestError::upstream(Reason::RouteTimeout),
    ];
    assert!(errors.iter().all(|error| !after(&policy, "GET", *error)));
}

#[test]
fn waits_are_random_below_a_bound_that_doubles_up_to_the_maximum() {
    let policy = policy("{backoff: {base: 10ms, max: 50ms}}");
    let random = Random::new();
    for (attempt, bound_ms) in [(1, 10), (2, 20), (3, 40), (4, 50), (40, 50)] {
        let waits: Vec<_> = (0..2000).map(|_| backoff(&policy, attempt, &random)).collect();
        let bound = Duration::from_millis(bound_ms);
        assert!(waits.iter().all(|wait| *wait < bound));
        assert!(
            waits.iter().any(|wait| *wait > bound * 9 / 10) && waits.iter().any(|wait| *wait < bound / 10)
        );
    }
}
