//! A request of HTTP/2, which has to be said in HTTP/1 further on: what HTTP/1 cannot say is refused.

use gateway_wire::downgrade::{Pseudo, check as check_head};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Version};

use super::{Reason, RequestError};

/// # Errors
/// A head that HTTP/1 cannot say, or that says two things.
pub(super) fn check(parts: &Parts) -> Result<(), RequestError> {
    if parts.version < Version::HTTP_2 {
        return Ok(());
    }
    let pseudo = Pseudo {
        method: parts.method.as_str().as_bytes(),
        scheme: parts.uri.scheme_str().unwrap_or_default().as_bytes(),
        path: parts.uri.path_and_query().map_or(b"", |path| path.as_str().as_bytes()),
        authority: parts.uri.authority().map(|authority| authority.as_str().as_bytes()),
    };
    fn field<'a>((name, value): (&'a HeaderName, &'a HeaderValue)) -> (&'a [u8], &'a [u8]) {
        (name.as_str().as_bytes(), value.as_bytes())
    }
    check_head(&pseudo, || parts.headers.iter().map(field))
        .map_err(|refusal| RequestError::client(Reason::of_refusal(refusal)))
}
