//! gRPC as far as a proxy has to know it: who speaks it, how long a call may take, and how an answer of the gateway's own
//! is told to a client that only reads `grpc-status`.
//!
//! Source: "gRPC over HTTP2" (PROTOCOL-HTTP2.md) and "HTTP to gRPC Status Code Mapping" of the gRPC project.

use std::fmt::Write;
use std::time::{Duration, Instant};

use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Version};

use super::Reason;
use super::local_reply::Answer;
use crate::body::BodySource;

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Digits of a `grpc-timeout`.
const MAX_TIMEOUT_DIGITS: usize = 8;
/// A call that may take longer has no deadline here.
const MAX_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);

const UNKNOWN: u32 = 2;
const DEADLINE_EXCEEDED: u32 = 4;
const PERMISSION_DENIED: u32 = 7;
const RESOURCE_EXHAUSTED: u32 = 8;
const UNIMPLEMENTED: u32 = 12;
const INTERNAL: u32 = 13;
const UNAVAILABLE: u32 = 14;
const UNAUTHENTICATED: u32 = 16;

/// Whether a request is a gRPC call. gRPC-Web, which has trailers in its body, is not.
pub(super) fn is_call<B>(request: &Request<B>) -> bool {
    // Nothing is looked up for HTTP/1: gRPC needs HTTP/2.
    request.version() == Version::HTTP_2
        && request.headers().get(CONTENT_TYPE).is_some_and(|value| {
            let rest = value.as_bytes().strip_prefix(GRPC.as_bytes());
            rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
        })
}

/// When a call that began at `started` has to be over, if its client says so.
pub(super) fn deadline(headers: &HeaderMap, started: Instant) -> Option<Instant> {
    let timeout = timeout(headers.get(GRPC_TIMEOUT)?.to_str().ok()?)?;
    started.checked_add(timeout).filter(|_| timeout <= MAX_TIMEOUT)
}

fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > MAX_TIMEOUT_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(value * 3600),
        "M" => Duration::from_secs(value * 60),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

/// An answer of the gateway's own in the form that a gRPC client reads: a head and nothing else ("Trailers-Only").
/// One that says its status already stays. `given` is the status that the author of the answer wants.
pub(super) fn told_to_caller(mut answer: Answer, given: Option<u32>) -> Answer {
    if answer.headers.contains_key(GRPC_STATUS) {
        return answer;
    }
    let message = match &answer.body {
        BodySource::Full(text) => encoded(text.trim_ascii_end()),
        _ => None,
    };
    let status = given.unwrap_or_else(|| status_of(answer.reason, answer.status));
    answer.headers.remove(CONTENT_LENGTH);
    answer.headers.insert(CONTENT_TYPE, GRPC);
    answer.headers.insert(GRPC_STATUS, HeaderValue::from(status));
    answer.headers.extend(message.map(|message| (GRPC_MESSAGE, message)));
    Answer { status: StatusCode::OK, body: BodySource::Empty, declared_length: None, ..answer }
}

/// The end of a call whose response had begun when it failed.
pub(crate) fn trailers(reason: Reason) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert(GRPC_STATUS, HeaderValue::from(status_of(Some(reason), reason.status())));
    let message = encoded(reason.explanation().trim_end().as_bytes());
    trailers.extend(message.map(|message| (GRPC_MESSAGE, message)));
    trailers
}

fn status_of(reason: Option<Reason>, status: StatusCode) -> u32 {
    match (reason, status.as_u16()) {
        (Some(Reason::RouteTimeout | Reason::BodyTimeout | Reason::GrpcDeadline), _) => DEADLINE_EXCEEDED,
        (Some(Reason::BodyTooLarge | Reason::ResponseBodyTooLarge), _) => RESOURCE_EXHAUSTED,
        (_, 400) => INTERNAL,
        (_, 401) => UNAUTHENTICATED,
        (_, 403) => PERMISSION_DENIED,
        (_, 404) => UNIMPLEMENTED,
        (_, 429 | 502..=504) => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

/// Percent-encoded, as `grpc-message` is. `None` if there is nothing to say.
fn encoded(text: &[u8]) -> Option<HeaderValue> {
    let mut message = String::with_capacity(text.len());
    for &byte in text {
        match byte {
            b' '..=b'~' if byte != b'%' => message.push(char::from(byte)),
            // Writing to a string does not fail.
            _ => _ = write!(message, "%{byte:02X}"),
        }
    }
    HeaderValue::try_from(message).ok().filter(|message| !message.is_empty())
}

#[cfg(test)]
#[path = "grpc_tests.rs"]
mod tests;
