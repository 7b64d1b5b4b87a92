//! The contract between a filter and the SDK, and the dispatch of one stream's callbacks to it.
//!
//! Owns the meaning of verdicts and errors. It must never know how callbacks arrive: `entry` brings them from a
//! Wasm host, `testing` from a test.

use std::rc::Rc;

use serde::de::DeserializeOwned;

use crate::config::{self, ConfigError};
use crate::error::FilterError;
use crate::host::{self, MapType};
use crate::message::{Request, Response};
use crate::reply::LocalReply;

/// A filter: made once for each configuration, then shared by all requests.
pub trait Filter: Sized + 'static {
    /// What the operator may configure. Put `#[serde(deny_unknown_fields)]` on it, so that typing errors are found;
    /// [`crate::NoConfig`] if there is nothing.
    type Config: DeserializeOwned;

    /// Checks the configuration and prepares what requests need. An error refuses the configuration; the host reports
    /// it and does not put the filter in service.
    ///
    /// # Errors
    /// The configuration makes no sense; [`ConfigError::invalid`] says where.
    fn new(config: Self::Config) -> Result<Self, ConfigError>;

    /// The head of a request has arrived and nothing of it has gone on.
    ///
    /// # Errors
    /// Whatever kept the filter from deciding; see [`Self::on_error`].
    fn on_request(&self, request: &mut Request) -> Result<Flow, FilterError> {
        let _ = request;
        Ok(Flow::Continue)
    }

    /// The head of the response has arrived. Not called for a reply that this filter gave itself in
    /// [`Self::on_request`]; called for those of other filters and of the host.
    ///
    /// # Errors
    /// Whatever kept the filter from deciding; see [`Self::on_error`].
    fn on_response(&self, response: &mut Response) -> Result<Flow, FilterError> {
        let _ = response;
        Ok(Flow::Continue)
    }

    /// What to do when a callback failed; the error is in the log already. The default keeps the request from passing
    /// unfiltered: 400 or 502 if the client's or the upstream's bytes were at fault, else 503. A filter that only
    /// observes may return [`Flow::Continue`].
    fn on_error(&self, error: &FilterError) -> Flow {
        let status = match error {
            FilterError::NotUtf8 { map: MapType::RequestHeaders | MapType::RequestTrailers, .. } => 400,
            FilterError::NotUtf8 { map: MapType::ResponseHeaders | MapType::ResponseTrailers, .. } => 502,
            FilterError::Host(_) | FilterError::Failed(_) => 503,
        };
        LocalReply::new(status).details("filter_error").into()
    }
}

/// What becomes of the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It goes on, with the edits made.
    Continue,
    /// The client gets this answer instead.
    Respond(LocalReply),
}

impl From<LocalReply> for Flow {
    fn from(reply: LocalReply) -> Self {
        Self::Respond(reply)
    }
}

/// Reads the plugin's configuration from the host and makes a filter of it.
pub(crate) fn configure<F: Filter>() -> Result<Rc<F>, ConfigError> {
    F::new(config::config()?).map(Rc::new)
}

/// What the host shall do after a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Continue,
    Pause,
}

/// One request and its response. It has no filter if the host starts streams on a plugin that refused its
/// configuration; such requests are refused.
pub(crate) struct Stream<F> {
    filter: Option<Rc<F>>,
    replied: bool,
}

impl<F: Filter> Stream<F> {
    pub(crate) const fn new(filter: Option<Rc<F>>) -> Self {
        Self { filter, replied: false }
    }

    pub(crate) fn on_request_headers(&mut self, end_of_stream: bool) -> Action {
        self.decide(|filter| filter.on_request(&mut Request::new(end_of_stream)))
    }

    pub(crate) fn on_response_headers(&mut self, end_of_stream: bool) -> Action {
        if self.replied {
            return Action::Continue;
        }
        self.decide(|filter| filter.on_response(&mut Response::new(end_of_stream)))
    }

    fn decide(&mut self, callback: impl FnOnce(&F) -> Result<Flow, FilterError>) -> Action {
        let flow = match &self.filter {
            None => LocalReply::new(503).details("filter_not_configured").into(),
            Some(filter) => callback(filter).unwrap_or_else(|error| {
                log::error!("filter failed: {error}");
                filter.on_error(&error)
            }),
        };
        match flow {
            Flow::Continue => Action::Continue,
            Flow::Respond(reply) => {
                self.replied = true;
                send(&reply);
                Action::Pause
            }
        }
    }
}

/// A reply that the host refuses must neither let the request pass nor leave the client waiting.
fn send(reply: &LocalReply) {
    let Err(error) = reply.send() else { return };
    log::error!("local reply refused, answering 500 instead: {error}");
    let bare = LocalReply::new(500).details("filter_reply_refused");
    if let Err(error) = bare.send().or_else(|_| host::close_request()) {
        log::error!("the request can neither be answered nor closed: {error}");
    }
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
