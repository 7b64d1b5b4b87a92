//! Getting a connection to an endpoint: a pooled one, or a new one (TLS included) within the connect timeout.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::http1::Connection;
use hyper::client::conn::{TrySendError, http1};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;

use super::answer_first::AnswerFirst;
use super::driver::{Driver, Duplex, Io, OpenConnection, poll_driven};
use super::pool::Pooled;
use super::{Endpoint, Upstream};
use crate::body::UpstreamBody;
use crate::request::{Reason, RequestError};
use crate::telemetry::UpstreamMetrics;
use crate::tls::Transport;
use crate::vectored::UpstreamTcp;

/// Sends one request at a time over one HTTP/1.1 connection.
pub(crate) type UpstreamSender = http1::SendRequest<UpstreamBody>;

/// Head of a response, in bytes; over it the response is refused.
const MAX_RESPONSE_HEAD_BYTES: usize = 64 * 1024;
/// Header lines of a response; over it the response is refused.
const MAX_RESPONSE_HEADERS: usize = 100;
/// Read buffer of a connection; also the most that is read ahead of a slow client.
const MAX_READ_BUFFER_BYTES: usize = 128 * 1024;

/// A connection that serves one request and may then go back to its pool.
pub(crate) struct Lease {
    sender: UpstreamSender,
    /// Absent while a response body has it, and for connections with a task of their own.
    pub(crate) driver: Option<Driver>,
    task: Option<AbortHandle>,
    pub(crate) endpoint: Rc<Endpoint>,
    /// It served a request before: the upstream may have closed it in the meantime.
    pub(crate) reused: bool,
    active: ActiveRequest,
}

/// How an upstream answered a request to change the protocol.
pub(crate) enum Switch {
    /// By an ordinary response; the connection is what it was.
    Refused(Response<Incoming>, Lease),
    /// By `101`, legal or not.
    Switched(Response<Incoming>, Switched),
}

/// A connection that HTTP has left.
pub(crate) struct Switched {
    pub(crate) io: Box<dyn Duplex>,
    /// What the upstream sent right after its `101`.
    pub(crate) early: Bytes,
    pub(crate) endpoint: Rc<Endpoint>,
    _active: ActiveRequest,
    _open: OpenConnection,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("no connection after {0:?}")]
    Timeout(Duration),
    #[error("connection failed: {0}")]
    Io(#[from] io::Error),
    #[error("TLS handshake failed: {0}")]
    Tls(io::Error),
    #[error("TLS is not set up: the log says which file of this upstream's `tls` has never been good")]
    NoTls,
    #[error("HTTP handshake failed: {0}")]
    Handshake(#[from] hyper::Error),
}

impl From<&ConnectError> for RequestError {
    fn from(error: &ConnectError) -> Self {
        match error {
            ConnectError::Timeout(_) => Self::upstream_unseen(Reason::ConnectTimeout),
            ConnectError::Tls(_) | ConnectError::NoTls => Self::upstream_unseen(Reason::UpstreamTls),
            ConnectError::Io(_) | ConnectError::Handshake(_) => Self::upstream_unseen(Reason::ConnectFailed),
        }
    }
}

impl Lease {
    /// Sends a request. An error has the request back if none of it was written.
    ///
    /// Not an `async fn`, which would carry the request a second time.
    pub(crate) fn send(
        &mut self,
        request: Request<UpstreamBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<UpstreamBody>>>> + '_ {
        if !request.body().is_end_stream()
            && let Some(driver) = self.driver.take()
        {
            self.task = Some(driver.spawn());
        }
        let sending = self.sender.try_send_request(request);
        let driver = &mut self.driver;
        async move {
            let mut sending = pin!(sending);
            poll_fn(|context| poll_driven(driver, context, |context| sending.as_mut().poll(context))).await
        }
    }

    /// Sends a request to change the protocol; of a connection that is new, so that nobody else drives it.
    ///
    /// # Errors
    /// No legal answer came; `None` when the connection just ended.
    pub(crate) async fn switch(
        mut self,
        request: Request<UpstreamBody>,
    ) -> Result<Switch, Option<hyper::Error>> {
        let mut driver = self.driver.take().ok_or(None)?;
        let mut open = true;
        let response = {
            let mut sending = pin!(self.sender.try_send_request(request));
            poll_fn(|context| {
                if open {
                    open = driver.poll_for(context);
                }
                match sending.as_mut().poll(context) {
                    Poll::Ready(answer) => Poll::Ready(answer.map_err(|error| Some(error.into_error()))),
                    Poll::Pending if open => Poll::Pending,
                    Poll::Pending => Poll::Ready(Err(None)),
                }
            })
            .await?
        };
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            // An upstream that refuses may close right away: then all of its response is here.
            self.driver = open.then_some(driver);
            return Ok(Switch::Refused(response, self));
        }
        let (io, early, open) = driver.into_io().await;
        let Self { endpoint, active, .. } = self;
        Ok(Switch::Switched(response, Switched { io, early, endpoint, _active: active, _open: open }))
    }

    /// Gives the connection back once its response was read to the end.
    pub(crate) fn release(self, now: Instant) {
        drop(self.active);
        let Self { sender, driver, task, endpoint, .. } = self;
        endpoint.idle.put(Pooled { sender, driver, task }, now);
    }

    /// Ends the connection at once, and with it a request body that is still under way.
    pub(crate) fn cut(self) {
        if let Some(task) = self.task {
            task.abort();
        }
    }

    async fn ready(&mut self) -> bool {
        poll_fn(|context| poll_driven(&mut self.driver, context, |context| self.sender.poll_ready(context)))
            .await
            .is_ok()
    }
}

impl Upstream {
    /// A pooled connection to `endpoint` if there is one, else a new one.
    pub(crate) async fn lease(&self, endpoint: &Rc<Endpoint>) -> Result<Lease, ConnectError> {
        while let Some(connection) = endpoint.idle.take() {
            let mut lease = self.leased(connection, endpoint, true);
            // Not ready yet means that the last exchange is still being wound up, which ends in ready or closed.
            if lease.sender.is_ready() || lease.ready().await {
                return Ok(lease);
            }
        }
        self.connect(endpoint).await
    }

    /// A new connection to `endpoint`.
    pub(crate) async fn connect(&self, endpoint: &Rc<Endpoint>) -> Result<Lease, ConnectError> {
        let begun = Instant::now();
        // Boxed, because new connections are rare and the state of a handshake is large: requests must not carry it.
        let attempt = tokio::time::timeout(self.connect_timeout, Box::pin(self.open(endpoint)));
        let Ok(connection) = attempt.await else {
            self.metrics.connect_timeout.inc();
            self.metrics.connect_fail.inc();
            return Err(ConnectError::Timeout(self.connect_timeout));
        };
        let connection = connection.inspect_err(|_| self.metrics.connect_fail.inc())?;
        self.metrics.connect_time.record(begun.elapsed());
        Ok(self.leased(connection, endpoint, false))
    }

    /// Connects, shakes hands where TLS is spoken, and starts HTTP.
    async fn open(&self, endpoint: &Endpoint) -> Result<Pooled, ConnectError> {
        if matches!(self.transport, Transport::Unusable) {
            return Err(ConnectError::NoTls);
        }
        let stream = TcpStream::connect(endpoint.address).await?;
        // Small requests must not wait for the acknowledgement of the last one.
        stream.set_nodelay(true)?;
        match &self.transport {
            Transport::Tls(tls) => {
                let name = endpoint.server_name.clone().ok_or(ConnectError::NoTls)?;
                let connector = TlsConnector::from(tls.config.clone());
                let stream = connector.connect(name, stream).await.map_err(ConnectError::Tls)?;
                self.speak(stream, Io::Tls).await
            }
            Transport::Plain | Transport::Unusable => self.speak(UpstreamTcp(stream), Io::Plain).await,
        }
    }

    async fn speak<S>(
        &self,
        stream: S,
        driven: impl FnOnce(Box<Connection<TokioIo<AnswerFirst<S>>, UpstreamBody>>) -> Io,
    ) -> Result<Pooled, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let (sender, connection) = http1::Builder::new()
            .max_headers(MAX_RESPONSE_HEADERS)
            .max_header_size(MAX_RESPONSE_HEAD_BYTES)
            .max_buf_size(MAX_READ_BUFFER_BYTES)
            .handshake(TokioIo::new(AnswerFirst::new(stream)))
            .await?;
        let driver = Driver::new(driven(Box::new(connection)), self.metrics.clone());
        Ok(Pooled { sender, driver: Some(driver), task: None })
    }

    fn leased(&self, connection: Pooled, endpoint: &Rc<Endpoint>, reused: bool) -> Lease {
        let active = ActiveRequest::new(self.metrics.clone());
        let Pooled { sender, driver, task } = connection;
        Lease { sender, driver, task, endpoint: endpoint.clone(), reused, active }
    }
}

/// Counts a request for as long as it has its connection.
struct ActiveRequest(Rc<UpstreamMetrics>);

impl ActiveRequest {
    fn new(metrics: Rc<UpstreamMetrics>) -> Self {
        metrics.requests_active.inc();
        Self(metrics)
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.0.requests_active.dec();
    }
}
