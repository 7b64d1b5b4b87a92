//! The size of a head over HTTP/2, where it is a compressed list: counted as it is after decompression.
//!
//! A few bytes can stand for the same long cookie hundreds of times, so every part of a cookie counts by itself.

use gateway_config::ListenerLimits;
use http::header::COOKIE;
use http::{HeaderMap, Method, Uri};

use super::{Reason, RequestError};

/// What a field counts beside its name and value (RFC 9113, section 6.5.2).
const FIELD_BYTES: usize = 32;

/// # Errors
/// A head over the listener's limits.
pub(super) fn check(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    limits: &ListenerLimits,
) -> Result<(), RequestError> {
    // The parts of one cookie are one header, as over HTTP/1.1.
    let crumbs = headers.get_all(COOKIE).iter().count();
    let count = headers.len() - crumbs.saturating_sub(1);
    if count > limits.headers || bytes(method, uri, headers) > limits.head_bytes {
        return Err(RequestError::client(Reason::HeadTooLarge));
    }
    Ok(())
}

fn bytes(method: &Method, uri: &Uri, headers: &HeaderMap) -> usize {
    let field = |name: &str, value: usize| name.len() + value + FIELD_BYTES;
    let pseudo = field(":method", method.as_str().len())
        + uri.scheme_str().map_or(0, |scheme| field(":scheme", scheme.len()))
        + uri.authority().map_or(0, |authority| field(":authority", authority.as_str().len()))
        + uri.path_and_query().map_or(0, |path| field(":path", path.as_str().len()));
    headers.iter().map(|(name, value)| field(name.as_str(), value.len())).sum::<usize>() + pseudo
}
