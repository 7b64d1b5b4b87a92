//! Headers that nobody but their author may remove from a message, and that may not come after it.

use http::header::{HeaderName, TRAILER};
use http::{HeaderMap, HeaderValue};

/// What says who asks, for what, and what the message is. A client that could have one of these dropped by naming it in
/// `connection` would undo what somebody in front of the gateway added, or change what the upstream reads.
static FIXED: &[&str] = &[
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "content-range",
    "authorization",
    "cookie",
    "set-cookie",
    "origin",
    "range",
    "cache-control",
    "location",
    "www-authenticate",
    "strict-transport-security",
    "content-security-policy",
    "via",
    "forwarded",
    "x-real-ip",
    "x-request-id",
    "x-client-ip",
    "true-client-ip",
    "traceparent",
    "tracestate",
];
const FORWARDED_PREFIX: &str = "x-forwarded-";

/// What, besides those, means something only before a body: framing, connection, conditions of the request
/// (RFC 9110, section 6.5.1).
static NEVER_TRAILERS: &[&str] = &[
    "transfer-encoding",
    "trailer",
    "te",
    "connection",
    "upgrade",
    "expect",
    "max-forwards",
    "pragma",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "if-range",
    "proxy-authenticate",
    "proxy-authorization",
    "keep-alive",
    "proxy-connection",
    "proxy",
];

/// Whether `connection` cannot have this removed.
pub(super) fn is_fixed(name: &HeaderName) -> bool {
    FIXED.contains(&name.as_str()) || name.as_str().starts_with(FORWARDED_PREFIX)
}

/// Whether this may not come after a body.
pub(crate) fn is_forbidden_trailer(name: &HeaderName) -> bool {
    is_fixed(name) || NEVER_TRAILERS.contains(&name.as_str())
}

/// Removes trailers that would be read as something else: whoever merges them into the headers would believe them.
pub(crate) fn drop_forbidden_trailers(trailers: &mut HeaderMap) {
    let forbidden: Vec<_> = trailers.keys().filter(|name| is_forbidden_trailer(name)).cloned().collect();
    for name in forbidden {
        trailers.remove(name);
    }
}

/// Names in the head what trailers will come: HTTP/1.1 carries no others.
pub(crate) fn announce_trailers(trailers: &HeaderMap, headers: &mut HeaderMap) {
    let names: Vec<_> = trailers.keys().map(HeaderName::as_str).collect();
    if let Ok(names) = HeaderValue::try_from(names.join(", ")) {
        headers.insert(TRAILER, names);
    }
}

#[cfg(test)]
#[path = "fixed_tests.rs"]
mod tests;
