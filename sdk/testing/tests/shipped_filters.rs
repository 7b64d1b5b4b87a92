//! The shipped filters, natively and as compiled modules in the gateway's own host: on the same requests, made up at
//! random, both come to the same verdicts, edits and log lines, and none of them traps.
//!
//! `FUZZED_REQUESTS` says how many requests each filter gets; 400 without it.

use std::io::{BufReader, BufWriter, pipe};
use std::time::Duration;

use gateway_sdk::Filter;
use gateway_sdk::testing::{CallAnswer, Outcome, TestHost, TestRequest, TestResponse, Tester, Verdict};
use gateway_tests::wasm;

/// Requests for each filter when nothing else is asked for.
const REQUESTS: usize = 400;

/// A generator of numbers that need not be good: xorshift64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Any octets that a header may have (RFC 9110, section 5.5).
    fn octets(&mut self, most: usize) -> Vec<u8> {
        let count = self.below(most + 1);
        let legal = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
        std::iter::repeat_with(|| self.below(256) as u8).filter(legal).take(count).collect()
    }
}

/// What the two runs are compared by.
#[derive(Debug, PartialEq)]
struct Seen {
    verdict: Verdict,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    body: Vec<u8>,
    logs: Vec<String>,
    took: Duration,
}

impl From<Outcome> for Seen {
    fn from(outcome: Outcome) -> Self {
        let Outcome { verdict, mut headers, body, logs, took } = outcome;
        // The order of values of one name matters; that of names is the host's, and the two stand-ins differ in it.
        headers.sort_by(|(one, _), (other, _)| one.cmp(other));
        Self { verdict, headers, body, logs: logs.into_iter().map(|(_, line)| line).collect(), took }
    }
}

fn request(dice: &mut Dice, names: &[&str], values: &[Vec<u8>]) -> TestRequest {
    let path =
        dice.one_of(&["/", "/a?token=x.y.z&b", "/admin?api_key=k", "/%61dmin", "*", "/%zz?%&=&&api_key=%6b"]);
    let method = dice.one_of(&["GET", "POST", "HEAD", "OPTIONS", "M-SEARCH"]);
    let mut request = TestRequest::new(method, path);
    for _ in 0..dice.below(6) {
        let name = dice.one_of(names);
        let value =
            if dice.below(3) == 0 { dice.octets(40) } else { values[dice.below(values.len())].clone() };
        request = request.header(name, value);
    }
    if dice.below(8) > 0 {
        request = request.client(dice.one_of(&["10.0.0.1:5", "[2001:db8::1]:5", "192.0.2.7", "nonsense"]));
    }
    for _ in 0..dice.below(3) {
        request = request.body(dice.octets(30));
    }
    request
}

/// Runs the requests, some of which end early, and tells what came of each.
fn run<F: Filter>(tester: &mut Tester<F>, requests: usize, names: &[&str], values: &[Vec<u8>]) -> Vec<Seen> {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut seen = Vec::new();
    for _ in 0..requests {
        let request = request(&mut dice, names, values);
        let response =
            TestResponse::new(dice.one_of(&[200, 204, 404, 503])).header("x-a", dice.octets(9)).body("b");
        let mut stream = tester.stream();
        match dice.below(4) {
            // Gone before anything came.
            0 => stream.finish(),
            // Gone before there was a response.
            1 => {
                seen.push(Seen::from(stream.request(request)));
                stream.finish();
            }
            _ => {
                let outcome = stream.request(request);
                let goes_on = outcome.verdict == Verdict::Continued;
                seen.push(Seen::from(outcome));
                if goes_on {
                    seen.push(Seen::from(stream.response(response)));
                }
                stream.finish();
            }
        }
        tester.advance(Duration::from_millis(dice.below(500) as u64));
    }
    seen
}

fn compare<F: Filter>(name: &str, config: &str, names: &[&str], values: &[Vec<u8>]) {
    let requests = std::env::var("FUZZED_REQUESTS").ok();
    let requests = requests.map_or(REQUESTS, |number| number.parse().expect("FUZZED_REQUESTS is a number"));
    let vectors = vectors()["jwks"].to_string();
    let host = || {
        let vectors = vectors.clone();
        TestHost::new().on_call("keys", move |_| CallAnswer::new(200).body(&vectors))
    };
    let mut native = host().start::<F>(config).expect("the configuration is accepted");
    let module = wasm::shipped(name);
    let (test_end, module_end) = (pipe().expect("a pipe"), pipe().expect("a pipe"));
    let (requests_in, answers_out) = (BufReader::new(test_end.0), BufWriter::new(module_end.1));
    let server = std::thread::spawn(move || gateway_sdk_testing::serve(&module, requests_in, answers_out));
    let host = host().over(BufWriter::new(test_end.1), BufReader::new(module_end.0));
    let mut compiled = host.start::<F>(config).expect("the configuration is accepted");

    let expected = run(&mut native, requests, names, values);
    let seen = run(&mut compiled, requests, names, values);
    assert_eq!(expected.len(), seen.len());
    for (index, (expected, seen)) in expected.iter().zip(&seen).enumerate() {
        assert!(!matches!(seen.verdict, Verdict::Trapped(_)), "{name}, number {index}: {seen:?}");
        assert_eq!(expected, seen, "{name}, number {index}");
    }
    let passed = seen.iter().filter(|seen| seen.verdict == Verdict::Continued).count();
    assert!(passed > requests / 20, "{name}: only {passed} of {requests} passed: the requests test nothing");
    assert_eq!(native.metrics(), compiled.metrics(), "{name}");
    drop(compiled);
    server.join().expect("the host does not panic").expect("the host serves until the end");
}

fn vectors() -> serde_json::Value {
    serde_json::from_str(include_str!("../../../filters/jwt-auth/vectors/vectors.json")).expect("JSON")
}

fn texts(values: &[&str]) -> Vec<Vec<u8>> {
    values.iter().map(|value| value.as_bytes().to_vec()).collect()
}

#[test]
fn api_key() {
    let config = r#"{"query": "api_key", "consumers": [{"name": "a", "keys": ["k", "l"]}]}"#;
    let names = ["x-api-key", "x-consumer", "x_consumer", "x-other"];
    compare::<api_key::ApiKey>("api-key", config, &names, &texts(&["k", "k", "l", "", "m"]));
}

#[test]
fn deny_list() {
    let config = r#"{"deny": [{"addresses": ["192.0.2.0/24", "2001:db8::/32"], "methods": ["GET"]},
        {"path": {"prefix": "/admin"}}, {"header": {"name": "user-agent", "contains": "bot"}}],
        "allow": [{"header": {"name": "x-ok", "exact": "1"}}]}"#;
    compare::<deny_list::DenyList>(
        "deny-list",
        config,
        &["user-agent", "x-ok"],
        &texts(&["a Bot", "1", "x"]),
    );
}

#[test]
fn jwt_auth() {
    let config = r#"{"optional": true, "from": [{"header": "authorization"}, {"query": "token"}, {"cookie": "t"}],
        "issuers": [{"issuer": "https://issuer.test", "claimsToHeaders": [{"claim": "sub", "header": "x-user"}],
        "jwks": {"remote": {"upstream": "keys", "path": "/k"}}}]}"#;
    let tokens = vectors()["tokens"].clone();
    let tokens = ["ES256", "RS256", "EdDSA", "HS256", "confused"]
        .map(|name| tokens[name].as_str().expect("text").to_owned());
    let mut values: Vec<Vec<u8>> =
        tokens.iter().map(|token| format!("Bearer {token}").into_bytes()).collect();
    values.extend(tokens.iter().map(|token| format!("a=b; t={token}").into_bytes()));
    compare::<jwt_auth::JwtAuth>(
        "jwt-auth",
        config,
        &["authorization", "cookie", "x-user", "x-other"],
        &values,
    );
}

#[test]
fn quota() {
    let config = r#"{"limit": 5, "window": "20s", "anonymous": 20, "consumers": {"big": 50}}"#;
    compare::<quota::Quota>("quota", config, &["x-consumer", "x-other"], &texts(&["a", "b", "big", ""]));
}

#[test]
fn rate_limit() {
    let config = r#"{"limits": [{"requests": 2, "per": "3s", "burst": 4},
        {"key": {"header": "x-key"}, "requests": 1, "per": "1s"}]}"#;
    compare::<rate_limit::RateLimit>("rate-limit", config, &["x-key", "x-other"], &texts(&["a", "b", ""]));
}

#[test]
fn request_stats() {
    let names = ["content-type", "x-other"];
    compare::<request_stats::RequestStats>(
        "request-stats",
        "{}",
        &names,
        &texts(&["application/grpc", "text/plain"]),
    );
}
