use gateway_sdk::testing::{TestRequest, Tester, Verdict};

use super::*;

fn passes(config: &str, request: TestRequest) -> bool {
    let outcome = Tester::<DenyList>::new(config).unwrap().request(request);
    match outcome.verdict {
        Verdict::Continued => true,
        _ => {
            assert_eq!(outcome.refusal(), (403, "denied"), "{:?}", outcome.logs);
            false
        }
    }
}

#[test]
fn addresses_are_compared_as_networks() {
    let config = r#"{"deny": [{"addresses": ["10.1.0.0/16", "192.0.2.7", "2001:db8::/32"]}],
        "allow": [{"addresses": ["10.1.2.3"]}]}"#;
    let cases = [
        ("10.1.0.1:4000", false),
        ("10.1.255.255:4000", false),
        ("10.2.0.1:4000", true),
        ("10.1.2.3:4000", true),
        ("192.0.2.7:1", false),
        ("192.0.2.8:1", true),
        ("[2001:db8::1]:4000", false),
        ("[2001:db9::1]:4000", true),
        ("[::ffff:192.0.2.7]:4000", false),
        ("192.0.2.7", false),
    ];
    for (address, expected) in cases {
        assert_eq!(passes(config, TestRequest::get("/").client(address)), expected, "{address}");
    }
}

#[test]
fn a_request_without_an_address_is_refused_where_addresses_count() {
    let config = r#"{"deny": [{"addresses": ["10.1.0.0/16"]}]}"#;
    let mut tester = Tester::<DenyList>::new(config).unwrap();
    assert_eq!(tester.request(TestRequest::get("/")).refusal(), (503, "filter_failed"));
    assert_eq!(tester.request(TestRequest::get("/").client("@socket")).refusal(), (503, "filter_failed"));
    assert!(passes(r#"{"deny": [{"path": {"exact": "/x"}}]}"#, TestRequest::get("/")));
}

#[test]
fn paths_are_compared_decoded_and_without_their_query() {
    let config = r#"{"deny": [{"path": {"prefix": "/admin"}}, {"path": {"suffix": ".php"}},
        {"path": {"exact": "/only"}}, {"path": {"contains": "/.git"}}]}"#;
    let cases = [
        ("/admin", false),
        ("/admin/", false),
        ("/admin/users?x=y", false),
        ("/administrator", true),
        ("/%61dmin", false),
        ("/a/admin", true),
        ("/index.php?x", false),
        ("/index.php/more", true),
        ("/?x=/index.php", true),
        ("/only", false),
        ("/only/more", true),
        ("/a/.git/config", false),
        ("/a/%2egit/config", false),
        ("/%zz", true),
        ("/%", true),
    ];
    for (path, expected) in cases {
        assert_eq!(passes(config, TestRequest::get(path)), expected, "{path}");
    }
}

#[test]
fn headers_and_methods_are_compared() {
    let config = r#"{"deny": [
        {"header": {"name": "User-Agent", "contains": "BadBot"}},
        {"header": {"name": "x-exact", "exact": "one"}},
        {"methods": ["DELETE"], "header": {"name": "x-confirmed", "present": false}}
    ]}"#;
    let get = || TestRequest::get("/");
    let cases = [
        (get().header("user-agent", "a badbot/1.0"), false),
        (get().header("user-agent", "good"), true),
        (get().header("user-agent", "good").header("user-agent", "BADBOT"), false),
        (get().header("x-exact", "one"), false),
        (get().header("x-exact", "One"), true),
        (get().header("x-exact", [0xff]), true),
        (TestRequest::new("DELETE", "/"), false),
        (TestRequest::new("DELETE", "/").header("x-confirmed", ""), true),
        (get(), true),
    ];
    for (request, expected) in cases {
        assert_eq!(passes(config, request.clone()), expected, "{request:?}");
    }
}

#[test]
fn a_rule_needs_all_that_it_names() {
    let config = r#"{"deny": [{"addresses": ["10.0.0.0/8"], "path": {"prefix": "/admin"}}]}"#;
    assert!(!passes(config, TestRequest::get("/admin").client("10.0.0.1:1")));
    assert!(passes(config, TestRequest::get("/admin").client("11.0.0.1:1")));
    assert!(passes(config, TestRequest::get("/").client("10.0.0.1:1")));
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused_by_name() {
    let cases = [
        (r#"{}"#, "missing field `deny`"),
        (r#"{"deny": []}"#, "`deny`: is empty, so that nothing would be refused; name at least one rule"),
        (
            r#"{"deny": [{}]}"#,
            "`deny[0]`: is empty and would fit every request; name addresses, a path, methods or a header",
        ),
        (
            r#"{"deny": [{"addresses": ["10.0.0.0/33"]}]}"#,
            "`deny[0].addresses[0]`: `10.0.0.0/33` is neither an address nor a network like 10.0.0.0/8",
        ),
        (r#"{"deny": [{"path": {"prefix": "x"}}]}"#, "`deny[0].path`: `x` does not begin with `/`"),
        (
            r#"{"deny": [{"header": {"name": "x"}}]}"#,
            "`deny[0].header`: needs one of `exact`, `contains` and `present`",
        ),
        (
            r#"{"deny": [{"header": {"name": "x y", "present": true}}]}"#,
            "`deny[0].header.name`: `x y` is not a header name",
        ),
        (
            r#"{"deny": [{"methods": ["GET"]}], "status": 200}"#,
            "`status`: is 200; refusals have a status from 400 to 499",
        ),
    ];
    for (config, expected) in cases {
        let error = Tester::<DenyList>::new(config).map(drop).unwrap_err().to_string();
        assert!(error.ends_with(&format!("configuration: {expected}")), "{config}: {error}");
    }
}
