//! Request targets in canonical form: what [`gateway_wire::path`] says about a path, for targets as the HTTP library has them.

use std::borrow::Cow;

use bytes::Bytes;
use gateway_wire::path::{Policy, Refusal, canonical as canonical_path};
use http::Method;
use http::uri::PathAndQuery;

/// What `OPTIONS` asks about the server as a whole with (RFC 9112, section 3.2.4).
const ASTERISK: &str = "*";

/// The canonical form of a target; `None` if it is that already.
///
/// # Errors
/// A path without canonical form; an asterisk that is not asked by `OPTIONS`.
pub(crate) fn canonical(
    target: &PathAndQuery,
    method: &Method,
    policy: Policy,
) -> Result<Option<PathAndQuery>, Refusal> {
    let text = target.as_str();
    if text == ASTERISK && *method == Method::OPTIONS {
        return Ok(None);
    }
    let has_path = !text.starts_with('?');
    match canonical_path(target.path(), policy)? {
        Cow::Borrowed(_) if has_path => Ok(None),
        path => with_query(path.into_owned(), target.query()).map(Some),
    }
}

/// A target of these two, which are legal each.
///
/// # Errors
/// They are too long together.
pub(crate) fn with_query(path: String, query: Option<&str>) -> Result<PathAndQuery, Refusal> {
    let mut target = path;
    if let Some(query) = query {
        target.push('?');
        target.push_str(query);
    }
    PathAndQuery::from_maybe_shared(Bytes::from(target)).map_err(|_| Refusal::NotPath)
}

#[cfg(test)]
#[path = "target_tests.rs"]
mod tests;
