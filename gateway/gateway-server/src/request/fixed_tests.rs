use http::HeaderMap;

use super::{drop_forbidden_trailers, is_fixed};

#[test]
fn trailers_say_nothing_that_belongs_before_the_body() {
    let mut trailers = HeaderMap::new();
    for name in [
        "content-length",
        "transfer-encoding",
        "host",
        "x-forwarded-for",
        "connection",
        "authorization",
        "x-sum",
        "grpc-status",
        "etag",
    ] {
        trailers.append(name, "1".parse().unwrap());
    }
    drop_forbidden_trailers(&mut trailers);
    let mut left: Vec<_> = trailers.keys().map(http::HeaderName::as_str).collect();
    left.sort_unstable();
    assert_eq!(left, ["etag", "grpc-status", "x-sum"]);
    assert!(is_fixed(&"x-forwarded-client-cert".parse().unwrap()));
    assert!(!is_fixed(&"x-hop".parse().unwrap()));
}
