//! One HTTP/2 connection to an upstream, shared by many requests, and one request over it.
//!
//! The connection has a task of its own. It is asked for its peer's stream limit whenever a request wants on it, so that
//! a request never waits inside for a stream that is not there. How many connections there are is [`super::shared`]'s.

mod io;

pub(super) use io::Stream;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::Poll;
use std::time::{Duration, Instant};

use http::header::HOST;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};

use super::breaker::Terms;
use super::driver::OpenConnection;
use super::ends::ConnectionEnds;
use super::failure::{SendError, SendFailure};
use super::{ConnectError, Endpoint};
use crate::body::{SharedBody, SharedUpload, UpstreamBody};
use crate::executor::LocalExecutor;
use crate::shared::Permit;
use io::{Arrival, Http2Io};

/// Streams on one connection at a time, whatever more its peer allows.
const MAX_STREAMS: usize = 1024;
/// Bytes of one response that the upstream may send ahead of a slow client.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// The same for all responses of a connection: 64 slow clients do not hold up the others.
const CONNECTION_WINDOW_BYTES: u32 = 64 * STREAM_WINDOW_BYTES;
/// Bytes of one request body that wait to be written.
const SEND_BUFFER_BYTES: usize = 128 * 1024;
/// Bytes of a response's header list (RFC 9113, section 6.5.2); over it the response is refused.
const MAX_HEADER_LIST_BYTES: u32 = 64 * 1024;
/// A connection with open streams over which nothing came for this long is asked whether it is alive. Servers of gRPC
/// close a connection that asks more often than every five minutes (gRFC A8, "too_many_pings").
const PING_INTERVAL: Duration = Duration::from_secs(310);
/// Time for the answer; without one the connection is given up.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

type ConnectionTask = Connection<TokioIo<Http2Io>, SharedBody, LocalExecutor>;

/// One connection.
pub(super) struct Multiplexed {
    sender: SendRequest<SharedBody>,
    /// Empty once the connection takes no more requests.
    task: Rc<RefCell<Option<ConnectionTask>>>,
    scheme: Scheme,
    ends: Rc<ConnectionEnds>,
    terms: Rc<Terms>,
    streams: Cell<usize>,
    has_answered: Cell<bool>,
    /// Since when it has no stream.
    unused_since: Cell<Instant>,
}

impl Multiplexed {
    /// Speaks HTTP/2 over `stream`. Done when the peer has said how many streams it takes.
    pub(super) async fn open(
        stream: Stream,
        ends: ConnectionEnds,
        endpoint: &Rc<Endpoint>,
        terms: Rc<Terms>,
        permit: Option<Permit>,
    ) -> Result<Rc<Self>, ConnectError> {
        let scheme = if matches!(stream, Stream::Tls(_)) { Scheme::HTTPS } else { Scheme::HTTP };
        let arrival = Arrival::default();
        let io = Http2Io::new(stream, arrival.clone(), OpenConnection::new(terms.metrics.clone(), permit));
        let (sender, mut connection) = Builder::new(LocalExecutor)
            .timer(TokioTimer::new())
            // None before the peer's settings: a request on a stream that the peer refuses may have lost its body.
            .initial_max_send_streams(0)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(SEND_BUFFER_BYTES)
            .max_header_list_size(MAX_HEADER_LIST_BYTES)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .handshake(TokioIo::new(io))
            .await?;
        poll_fn(|context| {
            arrival.watch(context);
            match Pin::new(&mut connection).poll(context) {
                Poll::Ready(Ok(())) => Poll::Ready(Err(ConnectError::NoSettings)),
                Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
                Poll::Pending if connection.current_max_send_streams() > 0 => Poll::Ready(Ok(())),
                Poll::Pending => Poll::Pending,
            }
        })
        .await?;
        let task = Rc::new(RefCell::new(Some(connection)));
        tokio::task::spawn_local(run(task.clone(), Rc::downgrade(endpoint)));
        Ok(Rc::new(Self {
            sender,
            task,
            scheme,
            ends: Rc::new(ends),
            terms,
            streams: Cell::new(0),
            has_answered: Cell::new(false),
            unused_since: Cell::new(Instant::now()),
        }))
    }

    /// A stream, if the peer takes one more.
    pub(super) fn stream(self: &Rc<Self>, endpoint: &Rc<Endpoint>) -> Option<Http2Stream> {
        if self.streams.get() >= self.limit() {
            return None;
        }
        self.streams.set(self.streams.get() + 1);
        let slot = StreamSlot { connection: self.clone(), endpoint: endpoint.clone() };
        Some(Http2Stream { slot: Rc::new(slot), upload: None })
    }

    /// Streams that it takes at a time; none once it is closed or going away.
    fn limit(&self) -> usize {
        match self.task.try_borrow() {
            Ok(task) => task.as_ref().map_or(0, |task| task.current_max_send_streams().min(MAX_STREAMS)),
            // It is at work, which hands out no streams.
            Err(_) => 0,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    pub(super) const fn is_unused(&self) -> bool {
        self.streams.get() == 0
    }

    pub(super) fn is_unused_since(&self, before: Instant) -> bool {
        self.is_unused() && self.unused_since.get() < before
    }
}

/// Drives a connection for as long as it takes requests; hyper then finishes those under way by itself.
async fn run(task: Rc<RefCell<Option<ConnectionTask>>>, endpoint: Weak<Endpoint>) {
    poll_fn(|context| {
        let mut open = task.borrow_mut();
        let ended = open.as_mut().is_none_or(|connection| Pin::new(connection).poll(context).is_ready());
        if !ended {
            return Poll::Pending;
        }
        // Gives back the requests that it has not begun with.
        *open = None;
        Poll::Ready(())
    })
    .await;
    if let Some(endpoint) = endpoint.upgrade() {
        endpoint.http2.connection_ended();
    }
}

/// One of the streams of a connection, counted for as long as anybody has to do with it.
pub(crate) struct StreamSlot {
    connection: Rc<Multiplexed>,
    endpoint: Rc<Endpoint>,
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        let left = self.connection.streams.get().saturating_sub(1);
        self.connection.streams.set(left);
        if left == 0 {
            self.connection.unused_since.set(Instant::now());
            self.connection.terms.unused();
        }
        self.endpoint.http2.stream_ended();
    }
}

/// A stream for one request. Dropped before the request body has ended, it calls the rest of it off.
pub(crate) struct Http2Stream {
    slot: Rc<StreamSlot>,
    upload: Option<SharedUpload>,
}

impl Http2Stream {
    pub(super) fn ends(&self) -> &Rc<ConnectionEnds> {
        &self.slot.connection.ends
    }

    /// Sends a request. An error has the request back if the upstream has not acted on it, or may act on it again.
    pub(super) async fn send(
        &mut self,
        request: Request<UpstreamBody>,
    ) -> Result<Response<Incoming>, SendFailure> {
        let connection = self.slot.connection.clone();
        let (parts, body) = request.into_parts();
        let mut message = Request::new(SharedBody::empty());
        *message.method_mut() = parts.method.clone();
        *message.headers_mut() = parts.headers.clone();
        *message.version_mut() = Version::HTTP_2;
        let host = message.headers_mut().remove(HOST);
        let Some(uri) = absolute(&connection.scheme, host.as_ref(), &parts.uri) else {
            return Err(SendFailure { error: SendError::Host, unsent: None });
        };
        *message.uri_mut() = uri;
        if !http_body::Body::is_end_stream(&body) {
            let upload = self.upload.insert(SharedUpload::new(body));
            *message.body_mut() = upload.body(self.slot.clone());
        }
        let was_in_use = connection.has_answered.get();
        let mut failure = match connection.sender.clone().try_send_request(message).await {
            Ok(response) => {
                connection.has_answered.set(true);
                if let Some(upload) = &self.upload {
                    upload.answered();
                }
                return Ok(response);
            }
            Err(failure) => failure,
        };
        if let Some(reason) = self.upload.as_ref().and_then(SharedUpload::failure) {
            return Err(SendFailure { error: SendError::Upload(reason), unsent: None });
        }
        let never_begun = failure.take_message().is_some();
        let error = failure.into_error();
        let is_repeatable = parts.method.is_idempotent() && self.upload.is_none();
        let again = never_begun
            || is_unprocessed(&error)
            || (was_in_use && is_repeatable && is_loss_of_connection(&error));
        let body = match (again, &self.upload) {
            (false, _) => None,
            (true, None) => Some(UpstreamBody::empty()),
            (true, Some(upload)) => upload.take_back(),
        };
        let unsent = body.map(|body| Box::new(Request::from_parts(parts, body)));
        Err(SendFailure { error: SendError::Http(error), unsent })
    }
}

/// The target with what HTTP/1 has in `host` (RFC 9113, section 8.3.1). The scheme is that of this connection; which one
/// the client used is in `x-forwarded-proto`.
fn absolute(scheme: &Scheme, host: Option<&HeaderValue>, path: &Uri) -> Option<Uri> {
    let authority = Authority::try_from(host?.as_bytes()).ok()?;
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(scheme.clone());
    parts.authority = Some(authority);
    parts.path_and_query = path.path_and_query().cloned();
    Uri::from_parts(parts).ok()
}

/// Whether the upstream has said that it did nothing with the request: it refused the stream, or it is going away and
/// the stream is above the last that it looked at (RFC 9113, section 8.7).
fn is_unprocessed(error: &hyper::Error) -> bool {
    h2_error(error).is_some_and(|error| {
        error.is_remote() && (error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM))
    })
}

/// Whether the whole connection broke, as opposed to an answer to this one request.
fn is_loss_of_connection(error: &hyper::Error) -> bool {
    h2_error(error).is_none_or(|error| error.is_io() || error.is_go_away())
}

pub(super) fn h2_error(error: &hyper::Error) -> Option<&h2::Error> {
    std::error::Error::source(error)?.downcast_ref()
}
