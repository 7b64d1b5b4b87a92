use serde_json::{Value, json};

use super::*;

const FULL: AccessLine<'static> = AccessLine {
    start_unix_ns: 1_735_689_599_042_000_000,
    method: "GET",
    path: "/a?b=c",
    protocol: "HTTP/1.1",
    status: 200,
    reason: "via_upstream",
    attempts: 1,
    flags: "-",
    bytes_in: 0,
    bytes_out: 5_000_000_000,
    duration: Duration::from_micros(12_999),
    upstream_duration: Some(Duration::from_millis(7)),
    forwarded_for: Some(b"10.0.0.9"),
    user_agent: Some(b"curl/8"),
    request_id: Some(b"id-1"),
    authority: Some(b"shop.example.com"),
    upstream_host: Some("10.0.0.1:9080"),
    upstream: Some("reviews-v1"),
    route: Some("reviews"),
    filter_time: Some(Duration::from_nanos(3_500)),
    downstream_remote: "192.0.2.1:5000",
    downstream_peer: Some("spiffe://example/ns/web"),
    flags_long: "-",
    details: None,
};

const BARE: AccessLine<'static> = AccessLine {
    status: 404,
    reason: "route_not_found",
    attempts: 1,
    flags: "NR",
    upstream_duration: None,
    forwarded_for: None,
    user_agent: None,
    request_id: None,
    authority: None,
    upstream_host: None,
    upstream: None,
    route: None,
    filter_time: None,
    ..FULL
};

fn text(line: &AccessLine<'_>) -> String {
    let mut out = Vec::new();
    write_line(&Format::Text, line, &mut Stamp::new(), &mut out);
    String::from_utf8(out).expect("ASCII")
}

fn json(line: &AccessLine<'_>) -> Value {
    let mut out = Vec::new();
    write_line(&Format::Json, line, &mut Stamp::new(), &mut out);
    assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
    assert!(out.ends_with(b"}\n"));
    serde_json::from_slice(&out).expect("valid JSON")
}

#[test]
fn text_is_envoys_line_with_istios_additions() {
    assert_eq!(
        text(&FULL),
        "[2024-12-31T23:59:59.042Z] \"GET /a?b=c HTTP/1.1\" 200 - via_upstream 0 5000000000 12 7 \"10.0.0.9\" \
         \"curl/8\" \"id-1\" \"shop.example.com\" \"10.0.0.1:9080\" reviews-v1 reviews 192.0.2.1:5000 3\n"
    );
    assert_eq!(
        text(&BARE),
        "[2024-12-31T23:59:59.042Z] \"GET /a?b=c HTTP/1.1\" 404 NR route_not_found 0 5000000000 12 - \"-\" \"-\" \
         \"-\" \"-\" \"-\" - - 192.0.2.1:5000 -\n"
    );
}

#[test]
fn json_has_istios_keys_and_types() {
    assert_eq!(
        json(&FULL),
        json!({
            "start_time": "2024-12-31T23:59:59.042Z", "route_name": "reviews", "method": "GET", "path": "/a?b=c",
            "protocol": "HTTP/1.1", "response_code": 200, "response_flags": "-",
            "response_code_details": "via_upstream", "bytes_received": 0, "bytes_sent": 5_000_000_000_u64,
            "duration": 12, "upstream_service_time": 7, "x_forwarded_for": "10.0.0.9", "user_agent": "curl/8",
            "request_id": "id-1", "authority": "shop.example.com", "upstream_host": "10.0.0.1:9080",
            "upstream_request_attempt_count": 1,
            "upstream_cluster": "reviews-v1", "downstream_remote_address": "192.0.2.1:5000",
            "downstream_peer": "spiffe://example/ns/web", "filter_time_us": 3,
        })
    );
    let bare = json(&AccessLine { reason: "-", ..BARE });
    for key in ["route_name", "upstream_service_time", "user_agent", "upstream_host", "response_code_details"]
    {
        assert_eq!(bare[key], Value::Null, "{key}");
    }
}

#[test]
fn text_escapes_what_could_break_the_line_or_a_terminal() {
    let line = AccessLine {
        path: "/a\"b\\c\nd\x7f\x1b[31mü",
        user_agent: Some(b"x\r\n[fake] \"line\" \xff"),
        route: Some("two words\t"),
        upstream: Some(""),
        ..FULL
    };
    let written = text(&line);
    assert_eq!(written.lines().count(), 1);
    assert!(written.contains(r#""GET /a\"b\\c\x0ad\x7f\x1b[31m\xc3\xbc HTTP/1.1""#), "{written}");
    assert!(written.contains(r#""x\x0d\x0a[fake] \"line\" \xff""#), "{written}");
    assert!(written.ends_with(" - two_words\\x09 192.0.2.1:5000 3\n"), "{written}");
}

#[test]
fn json_survives_any_bytes() {
    let all: Vec<u8> = (0..=255).collect();
    let value = json(&AccessLine { user_agent: Some(&all), path: "ü\u{2028}\"", ..FULL });
    assert_eq!(value["user_agent"], String::from_utf8_lossy(&all).into_owned());
    assert_eq!(value["path"], "ü\u{2028}\"");
}

#[test]
fn every_single_byte_keeps_the_line_whole() {
    for byte in 0..=255_u8 {
        let field = [b'a', byte, b'z'];
        let line = AccessLine { authority: Some(&field), ..FULL };
        let written = text(&line);
        assert_eq!(written.matches('\n').count(), 1, "byte {byte:#x}");
        assert!(written.bytes().all(|it| it == b'\n' || (0x20..0x7f).contains(&it)), "byte {byte:#x}");
        assert_eq!(json(&line)["authority"], String::from_utf8_lossy(&field).into_owned());
    }
}

#[test]
fn a_field_is_cut_at_its_limit() {
    let long = vec![b'x'; MAX_FIELD_BYTES + 1];
    let value = json(&AccessLine { user_agent: Some(&long), ..FULL });
    assert_eq!(value["user_agent"].as_str().map(str::len), Some(MAX_FIELD_BYTES));
    let difference = text(&AccessLine { user_agent: Some(&long), ..FULL }).len() - text(&FULL).len();
    assert_eq!(difference, MAX_FIELD_BYTES - b"curl/8".len());
}
