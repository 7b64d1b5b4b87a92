use gateway_config::{Config, RouteCompression};

use super::*;
use crate::request::Reason;

fn config(compression: &str) -> Compression {
    let text = format!(
        "listeners: [{{bind: '127.0.0.1:80'}}]\nroutes: [{{respond: {{status: 200}}, compression: {compression}}}]"
    );
    let config: Config =
        gateway_config::parse_text(&text, "test", std::path::Path::new("")).expect("a configuration");
    match config.routes[0].compression.clone() {
        RouteCompression::On(compression) => compression,
        other => panic!("{other:?}"),
    }
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let entry = |(name, value): &(&'static str, &str)| {
        (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))
    };
    pairs.iter().map(entry).collect()
}

#[test]
fn the_coding_is_the_one_that_the_client_likes_best() {
    let all = config("{}");
    let gzip = config("{algorithms: [gzip]}");
    use Coding::{Brotli, Gzip, Zstd};
    for (accepted, of_all, of_gzip) in [
        ("gzip, deflate, br, zstd", Some(Zstd), Some(Gzip)),
        ("gzip, br", Some(Brotli), Some(Gzip)),
        ("gzip;q=1.0, br;q=0.9, zstd;q=0.999", Some(Gzip), Some(Gzip)),
        ("GZIP ; Q=0.5 , br; q=0.500", Some(Brotli), Some(Gzip)),
        ("x-gzip", Some(Gzip), Some(Gzip)),
        ("deflate", None, None),
        ("", None, None),
        ("gzip;q=0", None, None),
        ("gzip;q=0.0, *", Some(Zstd), None),
        ("*", Some(Zstd), Some(Gzip)),
        ("*;q=0.1, br;q=0.2", Some(Brotli), Some(Gzip)),
        ("*;q=0", None, None),
        ("identity", None, None),
        ("identity;q=1, gzip;q=0.5", None, None),
        ("identity;q=0.5, gzip", Some(Gzip), Some(Gzip)),
        ("identity;q=0", None, None),
        ("gzip;q=2", None, None),
        ("gzip;q=1.001", None, None),
        ("gzip;q=0.0001", None, None),
        ("gzip;q=", None, None),
        ("gzip;level=9;q=0.3", Some(Gzip), Some(Gzip)),
        (",, gzip ,", Some(Gzip), Some(Gzip)),
    ] {
        let request = headers(&[("accept-encoding", accepted)]);
        assert_eq!((choose(&all, &request), choose(&gzip, &request)), (of_all, of_gzip), "{accepted}");
    }
    assert_eq!(choose(&all, &HeaderMap::new()), None);
    let lines = headers(&[("accept-encoding", "br;q=0.1"), ("accept-encoding", "gzip")]);
    assert_eq!(choose(&all, &lines), Some(Gzip));
    let asked = headers(&[("accept-encoding", "gzip"), ("cache-control", "max-age=0, No-Transform")]);
    assert_eq!(choose(&all, &asked), None);
}

/// What leaves: whether it is compressed, and whether it says that it varies.
fn outcome(status: u16, pairs: &[(&'static str, &str)], coding: Option<Coding>) -> (bool, bool, Answer) {
    let mut answer = Answer {
        status: StatusCode::from_u16(status).expect("a status"),
        headers: headers(pairs),
        body: BodySource::Full("x".repeat(2_000).into()),
        declared_length: None,
        reason: Some(Reason::DirectResponse),
    };
    apply(
        &config("{minBytes: 1000B, types: [text/*, application/json, application/*]}"),
        coding,
        false,
        &mut answer,
    );
    let compressed = matches!(answer.body, BodySource::Compressed(_));
    assert_eq!(
        compressed,
        coding.is_some() && answer.headers.get(CONTENT_ENCODING) == Some(&HeaderValue::from_static("gzip"))
    );
    let varies = answer.headers.get_all(VARY).iter().flat_map(items).any(|name| name == b"accept-encoding");
    (compressed, varies, answer)
}

#[test]
fn only_what_may_be_compressed_is() {
    let text = ("content-type", "text/html");
    for (status, pairs, is_compressible) in [
        (200, vec![text], true),
        (404, vec![text], true),
        (200, vec![("content-type", "TEXT/HTML ; charset=utf-8")], true),
        (200, vec![text, ("content-length", "1000")], true),
        (200, vec![text, ("content-length", "999")], false),
        (200, vec![], false),
        (200, vec![("content-type", "image/png")], false),
        (200, vec![("content-type", "application/grpc+proto")], false),
        (200, vec![text, ("content-encoding", "br")], false),
        (200, vec![text, ("content-encoding", "identity")], true),
        (200, vec![text, ("cache-control", "public, no-transform")], false),
        (200, vec![text, ("content-digest", "sha-256=:AAAA:")], false),
        (204, vec![text], false),
        (205, vec![text], false),
        (206, vec![text, ("content-range", "bytes 0-1999/5000")], false),
        (103, vec![text], false),
    ] {
        let (compressed, varies, _) = outcome(status, &pairs, Some(Coding::Gzip));
        assert_eq!((compressed, varies), (is_compressible, is_compressible), "{status} {pairs:?}");
        let (compressed, varies, answer) = outcome(status, &pairs, None);
        assert_eq!((compressed, varies), (false, is_compressible), "{status} {pairs:?}");
        assert_eq!(answer.headers.get(CONTENT_LENGTH), headers(&pairs).get(CONTENT_LENGTH));
    }
}

#[test]
fn the_head_says_what_became_of_the_body() {
    let (_, _, answer) = outcome(
        200,
        &[
            ("content-type", "text/html"),
            ("content-length", "2000"),
            ("accept-ranges", "bytes"),
            ("etag", "\"a\""),
            ("vary", "origin"),
        ],
        Some(Coding::Gzip),
    );
    assert_eq!(
        answer.headers,
        headers(&[
            ("content-type", "text/html"),
            ("content-encoding", "gzip"),
            ("etag", "W/\"a\""),
            ("vary", "origin"),
            ("vary", "accept-encoding"),
        ])
    );
    for vary in ["*", "origin, Accept-Encoding"] {
        let pairs = [("content-type", "text/html"), ("vary", vary), ("etag", "W/\"a\"")];
        let (_, _, answer) = outcome(200, &pairs, Some(Coding::Gzip));
        assert_eq!(answer.headers.get_all(VARY).iter().count(), 1, "{vary}");
        assert_eq!(answer.headers[ETAG], "W/\"a\"");
    }
}

#[test]
fn a_revalidation_fits_both_forms_of_a_response() {
    let (compressed, varies, answer) = outcome(304, &[("etag", "\"a\"")], Some(Coding::Gzip));
    assert_eq!((compressed, varies, answer.headers[ETAG].to_str().expect("text")), (false, true, "W/\"a\""));
    let (_, varies, answer) = outcome(304, &[("etag", "\"a\"")], None);
    assert_eq!((varies, answer.headers[ETAG].to_str().expect("text")), (true, "\"a\""));
}

#[test]
fn the_answer_to_head_keeps_its_headers() {
    let mut answer = Answer {
        status: StatusCode::OK,
        headers: headers(&[("content-type", "text/html"), ("content-length", "2000"), ("etag", "\"a\"")]),
        body: BodySource::Empty,
        declared_length: Some(2_000),
        reason: None,
    };
    apply(&config("{}"), Some(Coding::Gzip), true, &mut answer);
    assert!(answer.body.is_end_stream());
    assert_eq!(answer.headers[CONTENT_LENGTH], "2000");
    assert_eq!(answer.headers[VARY], "accept-encoding");
    assert!(!answer.headers.contains_key(CONTENT_ENCODING));
}
