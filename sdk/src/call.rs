//! Owns callouts: building a request to an upstream of the host, and awaiting its answer.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::error::CallError;
use crate::headers::{is_legal_name, is_legal_value};
use crate::host::{self, BufferType, MapType, Pairs};

/// How long a callout may take if [`CallBuilder::timeout`] says nothing else.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// An upstream of the host; from [`Context::http`].
#[derive(Clone, Copy)]
pub struct Upstream<'a> {
    name: &'a str,
    cx: &'a Context,
}

impl<'a> Upstream<'a> {
    pub(crate) const fn new(name: &'a str, cx: &'a Context) -> Self {
        Self { name, cx }
    }

    /// A `GET` of path and query.
    pub fn get(self, path: &str) -> CallBuilder<'a> {
        self.request(http::Method::GET, path)
    }

    /// A `POST` to path and query.
    pub fn post(self, path: &str) -> CallBuilder<'a> {
        self.request(http::Method::POST, path)
    }

    /// Any method.
    pub fn request(self, method: http::Method, path: &str) -> CallBuilder<'a> {
        let Self { name, cx } = self;
        let pseudo =
            [(":method", method.as_str()), (":path", path), (":scheme", "http"), (":authority", name)];
        let headers = pseudo.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).to_vec();
        CallBuilder { upstream: name, cx, headers, body: Vec::new(), timeout: DEFAULT_TIMEOUT, problem: None }
    }
}

/// A callout under construction. Mistakes are reported by [`CallBuilder::send`].
#[must_use = "a callout is made by `send`"]
pub struct CallBuilder<'a> {
    upstream: &'a str,
    cx: &'a Context,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    timeout: Duration,
    problem: Option<String>,
}

impl<'a> CallBuilder<'a> {
    /// Adds a header.
    pub fn header(mut self, name: impl AsRef<str>, value: impl AsRef<[u8]>) -> Self {
        let (name, value) = (name.as_ref(), value.as_ref());
        if is_legal_name(name) && is_legal_value(value) {
            self.headers.push((name.to_ascii_lowercase(), value.to_vec()));
        } else {
            self.problem = Some(format!("header `{}` is illegal", name.escape_debug()));
        }
        self
    }

    /// The host that is asked for; without this, the upstream's name.
    pub fn authority(mut self, authority: &str) -> Self {
        for (name, value) in &mut self.headers {
            if name == ":authority" {
                *value = authority.as_bytes().to_vec();
            }
        }
        self
    }

    /// A body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// A JSON body.
    pub fn json(mut self, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => self.body = body,
            Err(error) => self.problem = Some(format!("the body has no JSON form: {error}")),
        }
        self.header("content-type", "application/json")
    }

    /// After this time the host answers 504.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends the callout; what comes back resolves to the answer. Several may be under way at once, see
    /// [`crate::join`]. Dropping what comes back drops the answer.
    pub fn send(self) -> Call<'a> {
        let refused = match self.problem {
            Some(problem) => Some(CallError::Illegal { upstream: self.upstream.to_owned(), problem }),
            None => None,
        };
        let mut call = Call {
            upstream: self.upstream,
            cx: self.cx,
            unsent: Some(Unsent { headers: self.headers, body: self.body, timeout: self.timeout }),
            sent: None,
            refused,
        };
        call.try_send(None);
        call
    }
}

/// What waits until the host takes callouts.
struct Unsent {
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    timeout: Duration,
}

/// A callout under way.
#[must_use = "await it, or the answer is dropped"]
pub struct Call<'a> {
    upstream: &'a str,
    cx: &'a Context,
    unsent: Option<Unsent>,
    sent: Option<(u32, Rc<CallCell>)>,
    refused: Option<CallError>,
}

impl Call<'_> {
    /// `None` without a waker: what cannot be sent yet is sent when it is awaited.
    fn try_send(&mut self, task: Option<&TaskContext<'_>>) {
        if self.refused.is_some() || self.sent.is_some() {
            return;
        }
        let waiting = TaskContext::from_waker(Waker::noop());
        if self.cx.reactor().poll_callable(task.unwrap_or(&waiting)).is_pending() {
            return;
        }
        let Some(Unsent { mut headers, body, timeout }) = self.unsent.take() else { return };
        headers.extend(self.cx.trace_headers());
        match host::http_call(self.upstream, &headers, &body, timeout) {
            Ok(token) => {
                let cell = Rc::new(CallCell::default());
                self.cx.reactor().register_call(token, cell.clone());
                self.sent = Some((token, cell));
            }
            Err(error) => {
                self.refused = Some(CallError::Refused { upstream: self.upstream.to_owned(), error });
            }
        }
    }
}

impl Future for Call<'_> {
    type Output = Result<CallResponse, CallError>;

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        self.try_send(Some(task));
        if let Some(refused) = self.refused.take() {
            return Poll::Ready(Err(refused));
        }
        let Some((_, cell)) = &self.sent else { return Poll::Pending };
        let Some(received) = cell.received.take() else {
            cell.waker.replace(Some(task.waker().clone()));
            return Poll::Pending;
        };
        let upstream = self.upstream.to_owned();
        let reset = || CallError::Reset { upstream: upstream.clone() };
        let response = received.and_then(|received| CallResponse::new(upstream.clone(), received));
        Poll::Ready(response.ok_or_else(reset))
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if let Some((token, _)) = self.sent {
            self.cx.reactor().take_call(token);
        }
    }
}

/// Where the host's callback leaves the answer.
#[derive(Default)]
pub(crate) struct CallCell {
    /// The inner `None`: there is none and will be none.
    received: RefCell<Option<Option<Received>>>,
    waker: RefCell<Option<Waker>>,
}

struct Received {
    headers: Pairs,
    body: Vec<u8>,
    trailers: Pairs,
}

impl CallCell {
    /// Takes the answer from the host, in its callback.
    pub(crate) fn receive(&self, body_bytes: usize, has_trailers: bool) {
        let trailers = || host::header_pairs(MapType::CallTrailers);
        let read = || {
            let headers = host::header_pairs(MapType::CallHeaders)?;
            let body =
                if body_bytes == 0 { Vec::new() } else { host::buffer(BufferType::CallBody, 0, body_bytes)? };
            let trailers = if has_trailers { trailers()? } else { Pairs::new() };
            Ok::<_, crate::HostError>(Received { headers, body, trailers })
        };
        let received = read().inspect_err(|error| log::error!("the answer of a callout is lost: {error}"));
        self.received.replace(Some(received.ok()));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// The answer to a callout.
#[derive(Clone, Debug)]
pub struct CallResponse {
    upstream: String,
    status: http::StatusCode,
    headers: Pairs,
    body: Vec<u8>,
    trailers: Pairs,
}

impl CallResponse {
    /// `None` without a status, which is how hosts tell of a reset.
    fn new(upstream: String, received: Received) -> Option<Self> {
        let Received { headers, body, trailers } = received;
        let (_, status) = headers.iter().find(|(name, _)| name == b":status")?;
        let status = http::StatusCode::from_bytes(status).ok()?;
        Some(Self { upstream, status, headers, body, trailers })
    }

    /// The status.
    pub const fn status(&self) -> http::StatusCode {
        self.status
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let named = |(other, _): &&(Vec<u8>, Vec<u8>)| other.eq_ignore_ascii_case(name.as_bytes());
        self.headers.iter().find(named).map(|(_, value)| value.as_slice())
    }

    /// The first value of a header, if it is text.
    pub fn header_str(&self, name: &str) -> Option<&str> {
        self.header(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// All headers, `:status` first.
    pub const fn headers(&self) -> &Pairs {
        &self.headers
    }

    /// What follows the body.
    pub const fn trailers(&self) -> &Pairs {
        &self.trailers
    }

    /// The body, whatever the status.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The answer itself, if its status is 2xx.
    ///
    /// # Errors
    /// The status is another one.
    pub fn success(self) -> Result<Self, CallError> {
        if self.status.is_success() {
            return Ok(self);
        }
        Err(CallError::Status { upstream: self.upstream, status: self.status.as_u16() })
    }

    /// The body of a successful answer as text.
    ///
    /// # Errors
    /// The status is not 2xx, or the body is not UTF-8.
    pub fn text(self) -> Result<String, CallError> {
        let Self { upstream, body, .. } = self.success()?;
        String::from_utf8(body).map_err(|error| CallError::Malformed {
            upstream,
            expected: "text",
            problem: error.utf8_error().to_string(),
        })
    }

    /// The body of a successful answer, from JSON.
    ///
    /// # Errors
    /// The status is not 2xx, or the body is not JSON, or not of this type.
    pub fn json<T: DeserializeOwned>(self) -> Result<T, CallError> {
        let Self { upstream, body, .. } = self.success()?;
        serde_json::from_slice(&body).map_err(|error| CallError::Malformed {
            upstream,
            expected: "the expected JSON",
            problem: crate::config::without_value(&error.to_string()),
        })
    }
}
