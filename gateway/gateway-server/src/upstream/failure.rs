//! What can go wrong between sending a request and the head of its response.

use std::io;

use gateway_wire::Refusal;
use http::Request;

use super::http2::h2_error;
use crate::body::{BodyError, UpstreamBody, refusal};
use crate::request::{Reason, RequestError};

/// A request without a response.
pub(crate) struct SendFailure {
    pub(crate) error: SendError,
    /// The request, if it may be sent again: nothing was done with it, or doing it twice does no harm.
    pub(crate) unsent: Option<Box<Request<UpstreamBody>>>,
}

impl SendFailure {
    /// Whether there was an answer, which was refused: the same would come again.
    pub(crate) fn is_refusal(&self) -> bool {
        self.unsent.is_none() && matches!(&self.error, SendError::Http(error) if refused(error).is_some())
    }
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    #[error("{0}")]
    Http(hyper::Error),
    /// The request body stopped before its end.
    #[error("the request body stopped: {}", .0.code())]
    Upload(Reason),
    /// HTTP/2 has the host as part of a URI (RFC 9113, section 8.3.1).
    #[error("the `host` of the request is no host")]
    Host,
}

impl From<&SendFailure> for RequestError {
    fn from(failure: &SendFailure) -> Self {
        match &failure.error {
            SendError::Http(_) if failure.unsent.is_some() => Self::upstream_unseen(Reason::UpstreamReset),
            SendError::Http(error) => of_hyper(error),
            SendError::Upload(reason) => Self::upload_stopped(*reason),
            SendError::Host => Self::client(Reason::BadRequest),
        }
    }
}

/// Why the gate did not let the response through, if that is what failed.
fn refused(error: &hyper::Error) -> Option<Refusal> {
    std::error::Error::source(error)?.downcast_ref::<io::Error>().and_then(refusal)
}

/// What hyper says of a request that it sent.
pub(crate) fn of_hyper(error: &hyper::Error) -> RequestError {
    let source = std::error::Error::source(error);
    if let Some(body) = source.and_then(|source| source.downcast_ref::<BodyError>()) {
        return RequestError::upload(body);
    }
    if let Some(refusal) = refused(error) {
        return RequestError::upstream(Reason::UpstreamRefused(refusal));
    }
    let illegal = error.is_parse()
        || error.is_parse_status()
        || error.is_parse_too_large()
        || h2_error(error).is_some_and(h2::Error::is_library);
    RequestError::upstream(if illegal { Reason::UpstreamProtocol } else { Reason::UpstreamReset })
}
