use super::{is_claim, is_never_believed};

#[test]
fn claims_are_known_in_both_spellings() {
    for name in [
        "x-forwarded-for",
        "x-forwarded-anything",
        "x-original-url",
        "x-envoy-internal",
        "x-real-ip",
        "x-rewrite-url",
        "x-request-id",
        "forwarded",
        "client-ip",
        "true-client-ip",
    ] {
        assert!(is_claim(name) && !is_never_believed(name), "{name}");
        let other = name.replace('-', "_");
        assert!(is_claim(&other), "{other}");
        assert_eq!(is_never_believed(&other), other != name, "{other}");
    }
    assert!(is_claim("proxy") && is_never_believed("proxy"));
    assert!(is_claim("x_forwarded-for") && is_never_believed("x_forwarded-for"));
}

#[test]
fn other_names_are_none() {
    for name in [
        "x-forwarded-",
        "x-forwardedfor",
        "x-custom",
        "x",
        "",
        "cookie",
        "content-type",
        "cache-control",
        "te",
        "from",
        "priority",
        "x-b3-traceid",
        "traceparent",
        "x-forwar",
        "proxy-authorization",
        "x-request-id2",
    ] {
        assert!(!is_claim(name) && !is_never_believed(name), "{name}");
    }
}
