//! A panic is a mistake of the gateway's own. It ends the request that it happened in and nothing else: the request is
//! answered if it has no answer yet, logged with its id and counted.
//!
//! What unwinds takes its borrows and its VM calls with it; what other requests share is held in no half-changed state
//! across the calls that are caught here.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response, Version};

use super::Reason;
use crate::body::{BodySource, ClientBody};

/// What `work` comes to; `None` if it panics.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// What `future` comes to; `None` if it panics. It is not polled again then.
pub(super) async fn contained<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|context| match caught(|| future.as_mut().poll(context)) {
        Some(polled) => polled.map(Some),
        None => Poll::Ready(None),
    })
    .await
}

/// What the client gets in place of a response that will not come. The exchange is over, its access line written.
pub(super) fn apology(version: Version) -> Response<ClientBody> {
    let text = Reason::InternalError.explanation();
    let mut response =
        Response::new(ClientBody::alone(BodySource::Full(Bytes::from_static(text.as_bytes()))));
    *response.status_mut() = Reason::InternalError.status();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    // The rest of the request has no reader; over HTTP/2 its stream ends.
    if version < Version::HTTP_2 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Panics where a test of this crate asks for it: what does not happen otherwise could not be tested.
#[cfg(test)]
pub(super) fn provoke(headers: &http::HeaderMap, moment: &str) {
    let asked = headers.get("x-panic");
    assert!(asked.is_none_or(|asked| asked != moment), "provoked by a test: {moment}");
}

#[cfg(test)]
#[path = "contained_tests.rs"]
mod tests;
