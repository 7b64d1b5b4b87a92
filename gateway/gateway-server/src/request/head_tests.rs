use http::{HeaderMap, Request, Version};

use super::{
    CONNECTION_HEADERS, RequestHead, content_length, has_length_of_connection_header, normalise,
    strip_connection_headers,
};
use crate::request::{Reason, RequestError};

fn limits() -> gateway_config::ListenerLimits {
    let text = "listeners: [{name: web, bind: 127.0.0.1:0}]\nroutes: [{respond: {status: 200}}]\n";
    let config = gateway_config::parse_text(text, "test.yaml", std::path::Path::new(".")).unwrap();
    config.listeners[0].limits.clone()
}

fn head(version: Version, uri: &str, headers: &[(&str, &str)]) -> Result<RequestHead, RequestError> {
    let mut builder = Request::builder().version(version).uri(uri);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    let parts = builder.body(()).unwrap().into_parts().0;
    normalise(parts, &limits(), "192.0.2.2:80".parse().unwrap()).map(|(head, _)| head)
}

#[test]
fn host_is_lower_case_without_port() {
    for (sent, expected) in [
        ("Shop.Example.com:8080", "shop.example.com"),
        ("shop.example.com", "shop.example.com"),
        ("[::1]:80", "[::1]"),
        ("[::1]", "[::1]"),
        ("127.0.0.1:1", "127.0.0.1"),
    ] {
        let head = head(Version::HTTP_11, "/", &[("host", sent)]).unwrap();
        assert_eq!(head.host(), expected);
    }
}

#[test]
fn there_is_exactly_one_host_and_the_target_wins() {
    let absolute = head(Version::HTTP_11, "http://a.example/x?q", &[("host", "b.example")]).unwrap();
    assert_eq!((absolute.host().as_ref(), absolute.path.as_str()), ("a.example", "/x?q"));
    let refused = |result: Result<RequestHead, RequestError>| result.err().map(|error| error.reason);
    assert_eq!(refused(head(Version::HTTP_11, "/", &[])), Some(Reason::BadRequest));
    let two = head(Version::HTTP_11, "/", &[("host", "a"), ("host", "b")]);
    assert_eq!(refused(two), Some(Reason::BadRequest));
    assert_eq!(head(Version::HTTP_10, "/", &[]).unwrap().host(), "192.0.2.2");
    for target in ["a.example", "ftp://a.example/"] {
        assert_eq!(
            refused(head(Version::HTTP_11, target, &[("host", "a")])),
            Some(Reason::BadRequest),
            "{target}"
        );
    }
    let long = format!("/{}", "x".repeat(20_000));
    assert_eq!(refused(head(Version::HTTP_11, &long, &[("host", "a")])), Some(Reason::UriTooLong));
}

#[test]
fn connection_headers_and_those_they_name_are_dropped() {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("connection", "keep-alive, X-Hop"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "close"),
        ("te", "gzip"),
        ("upgrade", "h2c"),
        ("x-hop", "1"),
        ("x-kept", "1"),
        ("content-length", "3"),
    ] {
        headers.append(name, value.parse().unwrap());
    }
    strip_connection_headers(&mut headers).unwrap();
    let mut left: Vec<_> = headers.keys().map(http::HeaderName::as_str).collect();
    left.sort_unstable();
    assert_eq!(left, ["content-length", "x-kept"]);
    assert_eq!(content_length(&headers), Some(3));
}

#[test]
fn framing_headers_cannot_be_named_away() {
    let mut headers = HeaderMap::new();
    headers.append("connection", "host, content-length".parse().unwrap());
    headers.append("host", "a".parse().unwrap());
    headers.append("content-length", "3".parse().unwrap());
    strip_connection_headers(&mut headers).unwrap();
    assert!(headers.contains_key("host") && headers.contains_key("content-length"));
}

#[test]
fn the_quick_look_at_lengths_misses_no_connection_header() {
    assert!(CONNECTION_HEADERS.iter().all(has_length_of_connection_header));
    assert_eq!(CONNECTION_HEADERS[0], http::header::CONNECTION);
}
