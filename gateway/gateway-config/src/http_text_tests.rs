use super::*;

#[test]
fn paths_are_absolute_and_can_be_matched() {
    for text in ["/", "/a", "/a/", "/a%20b", "/a;b=c,d/~x", "/a*b", "/..a/.b"] {
        assert_eq!(UrlPath::parse(text).unwrap().0, text);
    }
    for text in ["/%7Euser", "/a%2fb", "/a|b", "/100%", "/%00", "/a/..;/b", "/%c0%af"] {
        assert!(UrlPath::parse(text).is_err(), "{text}");
    }
    assert_eq!(PathReplacement::parse("/v2/${id}").unwrap().0, "/v2/${id}");
    let long = format!("/{}", "x".repeat(8 * 1024));
    for text in
        ["", "a", "http://a/b", "/a?b", "/a#b", "/a/*", "/a b", "/a\n", "/ä", "/a/../b", "/.", long.as_str()]
    {
        assert!(UrlPath::parse(text).is_err(), "{text}");
    }
}

#[test]
fn methods_are_tokens_in_upper_case() {
    assert_eq!(Method::parse("get").unwrap().0, "GET");
    assert_eq!(Method::parse("M-SEARCH").unwrap().0, "M-SEARCH");
    for text in ["", "GET POST", "GET,POST", "GÄT"] {
        assert!(Method::parse(text).is_err(), "{text}");
    }
}

#[test]
fn upgrades_are_protocols_that_do_not_hide_requests() {
    assert_eq!(UpgradeProtocol::parse("WebSocket").unwrap().0, "websocket");
    assert_eq!(UpgradeProtocol::parse("acme/1.0").unwrap().0, "acme/1.0");
    for text in ["", "h2c", "H2C", "HTTP/2.0", "TLS/1.0", "a b", "a,b", "a/", "/a", "a/b/c", "ä"] {
        assert!(UpgradeProtocol::parse(text).is_err(), "{text}");
    }
}

#[test]
fn header_names_are_tokens_in_lower_case() {
    assert_eq!(HeaderName::parse("X-Request-Id").unwrap().0, "x-request-id");
    for text in ["", ":path", "a b", "a:", "ä", "a\r\n"] {
        assert!(HeaderName::parse(text).is_err(), "{text}");
    }
}

#[test]
fn edits_cannot_touch_what_the_gateway_writes() {
    assert_eq!(EditableHeader::parse("Server").unwrap().0, "server");
    for name in OWNED_HEADERS {
        assert!(EditableHeader::parse(&name.to_uppercase()).is_err(), "{name}");
    }
    assert!(EditableHeader::parse(":status").is_err());
}

#[test]
fn header_values_cannot_smuggle_lines() {
    for text in ["", "a", "a b\tc", "\"quoted\"; q=0.5"] {
        assert_eq!(HeaderValue::parse(text).unwrap().0, text);
    }
    for text in [" a", "a ", "a\r\nb: c", "a\nb", "a\0", "ä", "a\u{7f}"] {
        assert!(HeaderValue::parse(text).is_err(), "{text:?}");
    }
}
