use gateway_sdk::Status;
use gateway_sdk::testing::{Outcome, TestRequest, TestResponse, Tester, Verdict};

use super::*;

const CONFIG: &str = r#"{
    "query": "api_key",
    "consumers": [
        {"name": "acme", "keys": ["acme-key-1", "acme+key/2=="]},
        {"name": "Big Corp", "keys": ["b"]}
    ]
}"#;

fn tester() -> Tester<ApiKey> {
    Tester::new(CONFIG).unwrap()
}

fn get(path: &str, headers: &[(&str, &str)]) -> Outcome {
    let request =
        headers.iter().fold(TestRequest::get(path), |request, (name, value)| request.header(name, value));
    tester().request(request)
}

#[test]
fn requests_with_a_known_key_pass_without_it() {
    // path, key headers, consumer, path at the upstream
    type Case = (&'static str, &'static [(&'static str, &'static str)], &'static str, &'static str);
    let cases: &[Case] = &[
        ("/a", &[("x-api-key", "acme-key-1")], "acme", "/a"),
        ("/a?b=c", &[("X-Api-Key", "acme+key/2==")], "acme", "/a?b=c"),
        ("/a", &[("x-api-key", "b")], "Big Corp", "/a"),
        ("/a", &[("x-api-key", "b"), ("x-api-key", "b")], "Big Corp", "/a"),
        ("/a", &[("x-api-key", ""), ("x-api-key", "b")], "Big Corp", "/a"),
        ("/a?api_key=b", &[], "Big Corp", "/a"),
        ("/a?api_key=b&c=d", &[], "Big Corp", "/a?c=d"),
        ("/a?c=d&api_key=b&e", &[], "Big Corp", "/a?c=d&e"),
        ("/a?c=d&api_key=b", &[], "Big Corp", "/a?c=d"),
        ("/a?api_key=b&c&api_key=b", &[], "Big Corp", "/a?c"),
        ("/a?api_key=b", &[("x-api-key", "b")], "Big Corp", "/a"),
        ("/a?api_key=&c=%2f", &[("x-api-key", "b")], "Big Corp", "/a?c=%2f"),
        ("/a?api%5Fkey=acme%2bkey%2F2%3D%3d", &[], "acme", "/a"),
        ("/a?api_key=acme+key/2==", &[], "acme", "/a"),
        ("/%3Fapi_key=x?&&api_key=b&", &[], "Big Corp", "/%3Fapi_key=x?&&"),
        ("/a?Api_Key=other", &[("x-api-key", "b")], "Big Corp", "/a?Api_Key=other"),
    ];
    for (path, headers, consumer, upstream_path) in cases {
        let outcome = get(path, headers);
        assert_eq!(outcome.verdict, Verdict::Continued, "{path} {headers:?}");
        assert_eq!(outcome.header_values("x-consumer"), [*consumer], "{path} {headers:?}");
        assert_eq!(outcome.header_values(":path"), [*upstream_path], "{path} {headers:?}");
        assert!(outcome.header_values("x-api-key").is_empty(), "{path} {headers:?}");
    }
}

#[test]
fn all_others_are_refused() {
    type Case = (&'static str, &'static [(&'static str, &'static str)], u32, &'static str);
    let cases: &[Case] = &[
        ("/", &[], 401, "api_key_missing"),
        ("/?c=d", &[("x-other", "b")], 401, "api_key_missing"),
        ("/", &[("x-api-key", "")], 401, "api_key_missing"),
        ("/?api_key", &[], 401, "api_key_missing"),
        ("/?api_key=", &[], 401, "api_key_missing"),
        ("/api_key=b", &[], 401, "api_key_missing"),
        ("/", &[("x_api_key", "b")], 401, "api_key_missing"),
        ("/", &[("x-api-key", "B")], 403, "api_key_unknown"),
        ("/", &[("x-api-key", "b\t")], 403, "api_key_unknown"),
        ("/", &[("x-api-key", "acme-key-")], 403, "api_key_unknown"),
        ("/", &[("x-api-key", "acme-key-11")], 403, "api_key_unknown"),
        ("/", &[("x-api-key", "acme+key/2==acme+key/2==")], 403, "api_key_unknown"),
        ("/", &[("x-api-key", "b, b")], 403, "api_key_unknown"),
        ("/?api_key=%62%00", &[], 403, "api_key_unknown"),
        ("/?api_key=b%", &[], 403, "api_key_unknown"),
        ("/?api_key=%zzb", &[], 403, "api_key_unknown"),
        ("/", &[("x-api-key", "b"), ("x-api-key", "acme-key-1")], 400, "api_key_ambiguous"),
        ("/", &[("x-api-key", "b"), ("x-api-key", "nonsense")], 400, "api_key_ambiguous"),
        ("/?api_key=b", &[("x-api-key", "acme-key-1")], 400, "api_key_ambiguous"),
        ("/?api_key=b&api_key=c", &[], 400, "api_key_ambiguous"),
    ];
    for (path, headers, status, details) in cases {
        let outcome = get(path, headers);
        let reply = outcome.reply().unwrap_or_else(|| panic!("{path} {headers:?} passed"));
        assert_eq!((reply.status, reply.details.as_str()), (*status, *details), "{path} {headers:?}");
        let challenges = reply.header_values("www-authenticate");
        let expected: &[&str] = if *status == 401 { &["ApiKey realm=\"api\""] } else { &[] };
        assert_eq!(challenges, expected, "{path} {headers:?}");
    }
}

#[test]
fn bytes_that_are_not_text_are_just_an_unknown_key() {
    let outcome = tester().request(TestRequest::get("/").header("x-api-key", [0xff, 0xfe]));
    assert_eq!(outcome.reply().unwrap().status, 403);
    let outcome = tester().request(TestRequest::get("/").header("x-api-key", "b").header("x-other", [0xff]));
    assert_eq!(outcome.verdict, Verdict::Continued);
}

#[test]
fn a_client_cannot_claim_to_be_a_consumer() {
    let claims =
        [("x-consumer", "root"), ("X-Consumer", "root2"), ("x_consumer", "root3"), ("x-api-key", "b")];
    let outcome = get("/", &claims);
    assert_eq!(outcome.header_values("x-consumer"), ["Big Corp"]);
    assert!(!outcome.headers.iter().any(|(_, value)| value.starts_with(b"root")), "{:?}", outcome.headers);
}

#[test]
fn names_and_reply_format_can_be_chosen() {
    let config = r#"{"header": "Authorization-Key", "consumerHeader": "X-Who", "realm": "shop", "reply": "text",
        "consumers": [{"name": "a", "keys": ["k"]}]}"#;
    let mut tester = Tester::<ApiKey>::new(config).unwrap();
    let outcome = tester.request(TestRequest::get("/?api_key=k").header("authorization-key", "k"));
    assert_eq!(outcome.header_values("x-who"), ["a"]);
    assert!(outcome.header_values("authorization-key").is_empty());
    assert_eq!(outcome.header_values(":path"), ["/?api_key=k"], "no query parameter is configured");

    let outcome = tester.request(TestRequest::get("/?api_key=k"));
    let reply = outcome.reply().unwrap();
    assert_eq!(reply.status, 401);
    assert_eq!(reply.header_values("www-authenticate"), ["ApiKey realm=\"shop\""]);
    assert_eq!(reply.header_values("content-type"), ["text/plain; charset=utf-8"]);
    assert_eq!(reply.body, b"an API key is required\n");
}

#[test]
fn replies_are_json_by_default_and_never_contain_the_key() {
    let outcome = get("/", &[("x-api-key", "s3cret")]);
    let reply = outcome.reply().unwrap();
    assert_eq!(reply.header_values("content-type"), ["application/json"]);
    let body: gateway_sdk::serde_json::Value = gateway_sdk::serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(body, json!({"error": "api_key_unknown", "message": "the API key is not known"}));
    assert!(outcome.logs.iter().all(|(_, line)| !line.contains("s3cret")), "{:?}", outcome.logs);
}

#[test]
fn responses_are_left_alone() {
    let outcome = tester().response(TestResponse::new(200).header("x-api-key", "b"));
    assert_eq!(outcome.verdict, Verdict::Continued);
    assert_eq!(outcome.header_values("x-api-key"), ["b"]);
}

#[test]
fn a_request_never_passes_with_its_key_when_the_host_refuses_an_edit() {
    if !Tester::<ApiKey>::is_native() {
        return;
    }
    for call in
        ["proxy_remove_header_map_value", "proxy_replace_header_map_value", "proxy_get_header_map_pairs"]
    {
        let mut tester = tester().refusing(call, Status::InternalFailure);
        let outcome = tester.request(TestRequest::get("/?api_key=b").header("x-api-key", "b"));
        assert_eq!(outcome.refusal().0, 503, "{call}");
    }
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused_by_name() {
    let one = r#""consumers": [{"name": "a", "keys": ["k"]}]"#;
    let long = format!(r#"{{"consumers": [{{"name": "a", "keys": ["{}"]}}]}}"#, "k".repeat(257));
    let keys: Vec<String> = (0..=1_000).map(|index| format!("\"{index}\"")).collect();
    let many = format!(r#"{{"consumers": [{{"name": "a", "keys": [{}]}}]}}"#, keys.join(","));
    let cases = [
        (String::new(), "missing field `consumers`"),
        (
            r#"{"consumers": []}"#.into(),
            "`consumers`: is empty, so that nobody could pass; name at least one consumer",
        ),
        (r#"{"consumers": [{"name": "a"}]}"#.into(), "`consumers[0]`: missing field `keys`"),
        (
            r#"{"consumers": [{"name": "a", "keys": []}]}"#.into(),
            "`consumers[0].keys`: is empty; give the consumer a key, or leave the consumer out",
        ),
        (r#"{"consumers": [{"name": "a", "keys": ["k", ""]}]}"#.into(), "`consumers[0].keys[1]`: is empty"),
        (
            r#"{"consumers": [{"name": "a", "keys": ["k k"]}]}"#.into(),
            "`consumers[0].keys[0]`: contains a space or a character other than printable ASCII",
        ),
        (long, "`consumers[0].keys[0]`: has 257 bytes; at most 256 are possible"),
        (many, "`consumers`: have 1001 keys together; at most 1000 are possible"),
        (
            r#"{"consumers": [{"name": "a", "keys": ["k"]}, {"name": "b", "keys": ["j", "k"]}]}"#.into(),
            "`consumers[1].keys[1]`: is the same key as consumers[0].keys[0]",
        ),
        (
            r#"{"consumers": [{"name": "a", "keys": ["k"]}, {"name": "a", "keys": ["j"]}]}"#.into(),
            "`consumers[1].name`: is `a`, as is consumers[0].name; give both keys to one",
        ),
        (
            r#"{"consumers": [{"name": " a", "keys": ["k"]}]}"#.into(),
            "`consumers[0].name`: must be printable ASCII, not empty, without spaces around it: it goes into a header",
        ),
        (format!(r#"{{"header": "x y", {one}}}"#), "`header`: `x y` is not a header name"),
        (
            format!(r#"{{"consumerHeader": "Host", {one}}}"#),
            "`consumerHeader`: `Host` is a header that messages need for themselves; choose another",
        ),
        (
            format!(r#"{{"consumerHeader": "X-API-key", {one}}}"#),
            "`consumerHeader`: is `x-api-key`, as is `header`; use two different headers",
        ),
        (format!(r#"{{"query": "", {one}}}"#), "`query`: is empty; name a parameter, or leave `query` out"),
        (
            format!(r#"{{"realm": "a\"b", {one}}}"#),
            "`realm`: contains a quote, a backslash or a character other than printable ASCII",
        ),
        (format!(r#"{{"reply": "xml", {one}}}"#), "`reply`: unknown variant, expected `json` or `text`"),
        (
            r#"{"consumers": [{"name": "a", "keys": "s3cret"}]}"#.into(),
            "`consumers[0].keys`: invalid type: string, expected a sequence",
        ),
    ];
    for (config, expected) in cases {
        let error = Tester::<ApiKey>::new(&config).map(drop).unwrap_err();
        let error = error.to_string();
        let reason = error.strip_prefix("the filter cannot be initialized: ").unwrap_or(&error);
        assert_eq!(reason, format!("configuration: {expected}"), "{config}");
    }
}
