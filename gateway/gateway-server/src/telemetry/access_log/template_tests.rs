use std::path::Path;

use gateway_config::AccessLogFormat;
use serde_json::{Value, json};

use super::*;

fn template(format: &str) -> Template {
    let text = format!(
        "accessLog: {{format: {format}}}\nlisteners: [{{bind: '127.0.0.1:80'}}]\nroutes: [{{respond: {{status: 200}}}}]"
    );
    let config =
        gateway_config::parse_text(&text, "test", Path::new("")).unwrap_or_else(|error| panic!("{error}"));
    match config.access_log.format {
        AccessLogFormat::TextTemplate(template) => Template::text(&template),
        AccessLogFormat::JsonTemplate(keys) => Template::json(&keys),
        other => panic!("{other:?}"),
    }
}

fn headers(pairs: &[(&'static str, &'static [u8])]) -> HeaderMap {
    let entry = |(name, value): &(&'static str, &'static [u8])| {
        (HeaderName::from_static(name), HeaderValue::from_bytes(value).expect("a value"))
    };
    pairs.iter().map(entry).collect()
}

/// What a request with everything in it looks like.
fn full(template: &Template) -> String {
    let mut captured = Captured::default();
    template
        .capture_request(&mut captured, &headers(&[("x-a", b"a\"\\\xff\n".trim_ascii()), ("x-b", b"bbb")]));
    template.capture_response(&mut captured, &headers(&[("server", b"s")]));
    template.capture_trailers(&mut captured, &headers(&[("grpc-status", b"0")]));
    let details = Details {
        captured: Some(&captured),
        scheme: "https",
        remote: "192.0.2.1:5000".parse().expect("an address"),
        direct: "10.0.0.9:6000".parse().expect("an address"),
        local: "[2001:db8::1]:443".parse().expect("an address"),
        connection_id: 7,
        tls_version: Some("TLSv1.3"),
        server_name: Some("shop.test"),
        peer_subject: Some("CN=a,O=\"b\""),
        peer_uri_san: Some("spiffe://a"),
        upstream_address: Some("10.0.0.1:9080".parse().expect("an address")),
        upstream_failure: None,
        request_duration: Some(Duration::from_millis(2)),
        response_duration: Some(Duration::from_millis(9)),
    };
    let line = AccessLine {
        start_unix_ns: 1_735_689_599_042_123_456,
        method: "GET",
        attempts: 2,
        path: "/a?b",
        status: 200,
        bytes_in: 1,
        bytes_out: 2,
        duration: Duration::from_millis(12),
        upstream_duration: Some(Duration::from_millis(7)),
        authority: Some(b"shop.test:443"),
        upstream_host: Some("10.0.0.1:9080"),
        upstream: Some("reviews"),
        route: Some("main"),
        details: Some(&details),
        ..AccessLine::UNKNOWN
    };
    written(template, &line)
}

fn written(template: &Template, line: &AccessLine<'_>) -> String {
    let mut out = Vec::new();
    template.write(line, &mut Stamp::new(), &mut out);
    let text = String::from_utf8(out).expect("UTF-8");
    assert!(text.ends_with('\n') && text.lines().count() == 1, "{text:?}");
    text.trim_end().to_owned()
}

#[test]
fn every_operator_says_what_it_stands_for() {
    for (operator, expected, of_nothing) in [
        ("%START_TIME%", "2024-12-31T23:59:59.042Z", "1970-01-01T00:00:00.000Z"),
        ("%START_TIME(%Y/%m/%dT%H:%M:%S%z)%", "2024/12/31T23:59:59+0000", "1970/01/01T00:00:00+0000"),
        ("%START_TIME(%s.%3f %f %6f)%", "1735689599.042 042123456 042123", "0.000 000000000 000000"),
        (
            "%START_TIME(%a %A %b %B %e %j %I%p %D %F %R %T %y %Z)%",
            "Tue Tuesday Dec December 31 366 11PM 12/31/24 2024-12-31 23:59 23:59:59 24 UTC",
            "Thu Thursday Jan January  1 001 12AM 01/01/70 1970-01-01 00:00 00:00:00 70 UTC",
        ),
        (
            "%REQ(:METHOD)% %REQ(:path)% %REQ(:AUTHORITY)% %REQ(:SCHEME)%",
            "GET /a?b shop.test:443 https",
            "- - - -",
        ),
        ("%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%", "/a?b", "-"),
        ("%REQ(:PATH):2%", "/a", "-"),
        ("%REQ(X-A)%", "a\\\"\\\\\\xff", "-"),
        ("%REQ(x-none?x-b)%|%REQ(x-b?x-a):2%|%REQ(x-none)%", "bbb|bb|-", "-|-|-"),
        ("%RESP(SERVER)% %RESP(:STATUS)% %RESP(x-envoy-upstream-service-time)%", "s 200 7", "- - -"),
        ("%TRAILER(GRPC-STATUS)%", "0", "-"),
        ("%PROTOCOL%", "HTTP/1.1", "HTTP/1.1"),
        ("%RESPONSE_CODE% %RESPONSE_CODE_DETAILS%", "200 via_upstream", "0 -"),
        ("%RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG%", "- -", "- -"),
        ("%BYTES_RECEIVED% %BYTES_SENT%", "1 2", "0 0"),
        ("%DURATION% %REQUEST_DURATION% %RESPONSE_DURATION% %RESPONSE_TX_DURATION%", "12 2 9 3", "0 - - -"),
        ("%UPSTREAM_HOST% %UPSTREAM_REMOTE_ADDRESS%", "10.0.0.1:9080 10.0.0.1:9080", "- -"),
        ("%UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %UPSTREAM_REMOTE_PORT%", "10.0.0.1 9080", "- -"),
        ("%UPSTREAM_CLUSTER% %UPSTREAM_CLUSTER_RAW% %ROUTE_NAME%", "reviews reviews main", "- - -"),
        ("%UPSTREAM_REQUEST_ATTEMPT_COUNT%", "2", "0"),
        ("%UPSTREAM_TRANSPORT_FAILURE_REASON%", "-", "-"),
        (
            "%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS%",
            "192.0.2.1:5000 10.0.0.9:6000",
            "- -",
        ),
        (
            "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_REMOTE_PORT%",
            "192.0.2.1 10.0.0.9 5000",
            "- - -",
        ),
        (
            "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_LOCAL_PORT%",
            "[2001:db8::1]:443 2001:db8::1 443",
            "- - -",
        ),
        ("%DOWNSTREAM_PEER_SUBJECT% %DOWNSTREAM_PEER_URI_SAN%", "CN=a,O=\\\"b\\\" spiffe://a", "- -"),
        ("%DOWNSTREAM_TLS_VERSION% %REQUESTED_SERVER_NAME% %CONNECTION_ID%", "TLSv1.3 shop.test 7", "- - -"),
        ("100%% plain", "100% plain", "100% plain"),
    ] {
        let template = template(&format!("{{text: '{operator}'}}"));
        assert_eq!(full(&template), expected, "{operator}");
        assert_eq!(written(&template, &AccessLine::UNKNOWN), of_nothing, "{operator} of nothing");
    }
    for (name, _) in LogFact::ALL {
        let template = template(&format!("{{text: '%{name}%'}}"));
        assert!(
            !full(&template).is_empty() && !written(&template, &AccessLine::UNKNOWN).is_empty(),
            "{name}"
        );
    }
}

#[test]
fn json_keeps_types_and_stays_json() {
    let template = template(
        "{json: {code: '%RESPONSE_CODE%', text: '%RESPONSE_CODE% %REQ(X-A)%', none: '%REQ(X-NONE)%', x: '%REQ(X-A)%', \
         mixed: 'a %REQ(X-NONE)%', 'k\"ey': fixed, time: '%START_TIME%', peer: '%DOWNSTREAM_REMOTE_ADDRESS%', empty: ''}}",
    );
    let parsed: Value = serde_json::from_str(&full(&template)).expect("JSON");
    let expected = json!({
        "code": 200, "text": "200 a\"\\\u{fffd}", "none": null, "x": "a\"\\\u{fffd}", "mixed": "a -", "k\"ey": "fixed",
        "time": "2024-12-31T23:59:59.042Z", "peer": "192.0.2.1:5000", "empty": "",
    });
    assert_eq!(parsed, expected);
    let nothing: Value = serde_json::from_str(&written(&template, &AccessLine::UNKNOWN)).expect("JSON");
    assert_eq!((&nothing["code"], &nothing["peer"]), (&json!(0), &Value::Null));
}

#[test]
fn only_headers_that_are_shown_are_kept() {
    let template = template("{text: '%REQ(X-A?X-B)% %REQ(X-A)% %RESP(X-C)% %REQ(:PATH)%'}");
    let mut captured = Captured::default();
    template.capture_request(&mut captured, &headers(&[("x-other", b"o"), ("x-a", b"a")]));
    assert_eq!(captured.request, [Some(HeaderValue::from_static("a")), None]);
    assert_eq!((template.response.len(), template.trailers.len()), (1, 0));
}
