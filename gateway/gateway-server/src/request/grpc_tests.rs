use super::*;

#[test]
fn a_call_is_known_by_version_and_content_type() {
    let is = |version, content_type: &str| {
        let request = Request::builder().version(version).header("content-type", content_type);
        is_call(&request.body(()).unwrap())
    };
    for yes in ["application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8"] {
        assert!(is(Version::HTTP_2, yes), "{yes}");
        assert!(!is(Version::HTTP_11, yes), "{yes}");
    }
    for no in ["application/grpc-web", "application/grpc-web+proto", "application/grp", "text/plain", ""] {
        assert!(!is(Version::HTTP_2, no), "{no}");
    }
}

#[test]
fn timeouts_are_read_as_the_protocol_writes_them() {
    let cases = [
        ("1H", 3_600_000_000_000),
        ("2M", 120_000_000_000),
        ("3S", 3_000_000_000),
        ("250m", 250_000_000),
        ("99999999u", 99_999_999_000),
        ("7n", 7),
        ("0S", 0),
    ];
    for (text, nanos) in cases {
        assert_eq!(timeout(text), Some(Duration::from_nanos(nanos)), "{text}");
    }
    for text in ["", "S", "1", "1s", "-1S", "+1S", "1.5S", "123456789S", "1 S", "1\u{b5}"] {
        assert_eq!(timeout(text), None, "{text:?}");
    }
}

#[test]
fn deadlines_that_nobody_will_see_are_none() {
    let at = |text: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", text.parse().unwrap());
        let started = Instant::now();
        deadline(&headers, started).map(|at| at - started)
    };
    assert_eq!(at("10S"), Some(Duration::from_secs(10)));
    assert_eq!(at("99999999H"), None);
    assert_eq!(at("soon"), None);
}

#[test]
fn statuses_follow_the_mapping() {
    let cases = [
        (400, INTERNAL),
        (401, UNAUTHENTICATED),
        (403, PERMISSION_DENIED),
        (404, UNIMPLEMENTED),
        (429, UNAVAILABLE),
        (502, UNAVAILABLE),
        (503, UNAVAILABLE),
        (504, UNAVAILABLE),
        (500, UNKNOWN),
        (418, UNKNOWN),
    ];
    for (status, code) in cases {
        assert_eq!(status_of(None, StatusCode::from_u16(status).unwrap()), code, "{status}");
    }
    for (reason, code) in [
        (Reason::RouteTimeout, DEADLINE_EXCEEDED),
        (Reason::GrpcDeadline, DEADLINE_EXCEEDED),
        (Reason::ConnectTimeout, UNAVAILABLE),
        (Reason::BodyTooLarge, RESOURCE_EXHAUSTED),
        (Reason::NoRoute, UNIMPLEMENTED),
    ] {
        assert_eq!(status_of(Some(reason), reason.status()), code, "{reason:?}");
    }
}

#[test]
fn messages_are_percent_encoded() {
    assert_eq!(encoded("100% of \u{fc}\n".as_bytes()).unwrap(), "100%25 of %C3%BC%0A");
    assert_eq!(encoded(b""), None);
}
