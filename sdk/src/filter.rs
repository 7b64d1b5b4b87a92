//! The contract between a filter and the SDK.
//!
//! Owns the meaning of verdicts and errors. It must never know how callbacks arrive.

use serde::de::DeserializeOwned;

use crate::body::BodyStream;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::message::{Exchange, Request, Response};
use crate::reply::LocalReply;

/// A filter: made once for each configuration and worker, then shared by all requests. Put
/// [`#[filter]`](macro@crate::filter) on the implementation; what a filter does not implement costs nothing.
pub trait Filter: Sized + 'static {
    /// What the operator may configure. Put `#[serde(deny_unknown_fields)]` on it, so that typing errors are found;
    /// [`crate::NoConfig`] if there is nothing.
    type Config: DeserializeOwned + 'static;

    /// What `#[filter]` found out.
    #[doc(hidden)]
    const PHASES: Phases = Phases::NONE;

    /// Checks the configuration and prepares what requests need. It may call out and wait; requests wait with it, for at
    /// most five seconds, then [`Error::NotReady`] is their failure.
    ///
    /// # Errors
    /// The configuration makes no sense, and [`crate::ConfigError::invalid`] says where; or something that the filter
    /// cannot do without is not there. The host does not put the filter in service.
    fn init(config: Self::Config, cx: &Context) -> impl Future<Output = Result<Self>>;

    /// The head of a request has arrived and nothing of it has gone on.
    ///
    /// # Errors
    /// Whatever kept the filter from deciding; see [`Self::on_error`].
    fn on_request(&self, request: &mut Request, cx: &Context) -> impl Future<Output = Result<Flow>> {
        let _ = (request, cx);
        async { Ok(Flow::Continue) }
    }

    /// Pieces of the request's body pass, after the head. See [`BodyStream`].
    ///
    /// # Errors
    /// Whatever kept the filter from deciding; see [`Self::on_error`].
    fn on_request_body(&self, body: &mut BodyStream, cx: &Context) -> impl Future<Output = Result<()>> {
        let _ = (body, cx);
        async { Ok(()) }
    }

    /// The head of the response has arrived. Not called for a reply that this filter gave itself in
    /// [`Self::on_request`]; called for those of other filters and of the host.
    ///
    /// # Errors
    /// Whatever kept the filter from deciding; see [`Self::on_error`].
    fn on_response(&self, response: &mut Response, cx: &Context) -> impl Future<Output = Result<Flow>> {
        let _ = (response, cx);
        async { Ok(Flow::Continue) }
    }

    /// Pieces of the response's body pass, after the head. See [`BodyStream`].
    ///
    /// # Errors
    /// Whatever kept the filter from going on; see [`Self::on_error`].
    fn on_response_body(&self, body: &mut BodyStream, cx: &Context) -> impl Future<Output = Result<()>> {
        let _ = (body, cx);
        async { Ok(()) }
    }

    /// The exchange is over, whichever way it ended. Nothing can be changed any more.
    fn on_log(&self, exchange: &Exchange, cx: &Context) {
        let _ = (exchange, cx);
    }

    /// Runs beside all requests from the moment that the filter is initialized; see [`Context::every`].
    ///
    /// # Errors
    /// Whatever kept it from going on: it is logged, and requests are served further.
    fn background(&self, cx: &Context) -> impl Future<Output = Result<()>> {
        let _ = cx;
        async { Ok(()) }
    }

    /// What to do when a phase failed; the error is in the log already. The default keeps the
    /// request from passing unfiltered: 400, 413 or 502 if the client's or the upstream's bytes were at fault, else the
    /// operator's failure policy (`onFailure` in the manifest), or 503 where the host has none. A filter that only
    /// observes may return [`Flow::Continue`]; what it decides itself stands.
    fn on_error(&self, error: &Error) -> Flow {
        failed(error)
    }
}

/// The default of [`Filter::on_error`].
pub(crate) fn failed(error: &Error) -> Flow {
    LocalReply::new(error.peer_status().unwrap_or(503)).details("filter_error").into()
}

/// What becomes of the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It goes on, with the edits made.
    Continue,
    /// The client gets this answer instead, and edits are dropped.
    Respond(LocalReply),
}

impl From<LocalReply> for Flow {
    fn from(reply: LocalReply) -> Self {
        Self::Respond(reply)
    }
}

/// What `#[filter]` found out about an implementation.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Phases {
    /// Option `request_body`.
    pub reads_request: bool,
    /// Option `response_body`.
    pub reads_response: bool,
    /// Has `on_request_body`.
    pub streams_request: bool,
    /// Has `on_response_body`.
    pub streams_response: bool,
    /// Option `rewrites_request_body`.
    pub rewrites_request: bool,
    /// Option `rewrites_response_body`.
    pub rewrites_response: bool,
}

impl Phases {
    /// Heads alone.
    pub const NONE: Self = Self {
        reads_request: false,
        reads_response: false,
        streams_request: false,
        streams_response: false,
        rewrites_request: false,
        rewrites_response: false,
    };
}
