//! Getting a connection to an endpoint: a pooled one, or a new one (TLS included) within the connect timeout.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use gateway_config::UpstreamProtocol;
use gateway_wire::gate::Limits;
use gateway_wire::proxy_protocol::Proxied;
use http::{Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::client::conn::http1::Connection;
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;

use super::answer_first::AnswerFirst;
use super::breaker::{ActiveRequest, Place};
use super::door::{Asked, UpstreamDoor};
use super::driver::{Driver, Duplex, Io, OpenConnection, UpstreamIo, poll_driven};
use super::ends::{ConnectionEnds, UpstreamTls};
use super::failure::{SendError, SendFailure};
use super::http2::{self, Http2Stream, Multiplexed};
use super::pool::Pooled;
use super::{Endpoint, Upstream, proxied};
use crate::body::UpstreamBody;
use crate::gated::Gated;
use crate::outbox::Posted;
use crate::request::{Reason, RequestError};
use crate::shared::Permit;
use crate::tls::{Transport, agreed_on_http2};

/// Sends one request at a time over one HTTP/1.1 connection.
pub(crate) type UpstreamSender = http1::SendRequest<UpstreamBody>;

/// Head of a response; over it the response is refused.
const RESPONSE_LIMITS: Limits = Limits { head_bytes: 64 * 1024, headers: 100 };
/// Read buffer of a connection; also the most that is read ahead of a slow client.
const MAX_READ_BUFFER_BYTES: usize = 128 * 1024;

/// A connection, or a share of one, that serves one request.
pub(crate) struct Lease {
    channel: Channel,
    /// Absent while a response body has it, and for connections with a task of their own.
    pub(crate) driver: Option<Box<Driver>>,
    task: Option<AbortHandle>,
    pub(crate) endpoint: Rc<Endpoint>,
    /// It served a request before: the upstream may have closed it in the meantime. A shared connection knows by itself.
    pub(crate) reused: bool,
    active: ActiveRequest,
}

/// What a request is sent over.
enum Channel {
    /// The connection goes back to its pool afterwards.
    Http1 {
        sender: UpstreamSender,
        opened: Instant,
        /// Requests that it served before.
        served: u64,
        asked: Rc<Asked>,
        /// The client that the endpoint was told of.
        client: Option<Box<Proxied>>,
    },
    Http2(Http2Stream),
}

/// A new connection.
pub(super) enum Opened {
    Http1(Pooled),
    Http2(Rc<Multiplexed>),
}

/// What a request waited for.
enum Ready {
    /// A connection of HTTP/1.1 that others gave back.
    Pooled(Pooled),
    Stream(Http2Stream),
    Opened(Opened),
}

/// What a request takes instead of a connection that it may not open yet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Any,
    /// Nothing: only a new connection will do.
    New,
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
    #[error("the endpoint did not agree to HTTP/2 (ALPN `h2`): see `protocol` of the upstream")]
    NotHttp2,
    #[error("the endpoint did not answer in HTTP/2: see `protocol` of the upstream")]
    NoSettings,
    #[error("all streams of all connections to the endpoint were taken for {0:?}")]
    NoStream(Duration),
    #[error("a limit of this upstream is reached")]
    Overflow,
    #[error("HTTP handshake failed: {0}")]
    Handshake(#[from] hyper::Error),
    /// The same connection failed for several requests.
    #[error(transparent)]
    Shared(Rc<Self>),
}

impl From<&ConnectError> for RequestError {
    fn from(error: &ConnectError) -> Self {
        match error {
            ConnectError::Overflow => Self::gateway(Reason::UpstreamOverflow),
            ConnectError::Timeout(_) | ConnectError::NoStream(_) => {
                Self::upstream_unseen(Reason::ConnectTimeout)
            }
            ConnectError::Tls(_) | ConnectError::NoTls | ConnectError::NotHttp2 => {
                Self::upstream_unseen(Reason::UpstreamTls)
            }
            ConnectError::Io(_) | ConnectError::Handshake(_) | ConnectError::NoSettings => {
                Self::upstream_unseen(Reason::ConnectFailed)
            }
            ConnectError::Shared(error) => Self::from(&**error),
        }
    }
}

impl ConnectError {
    /// Whether a limit of the gateway's own stands behind it, which says nothing about the endpoint.
    pub(crate) fn is_overflow(&self) -> bool {
        match self {
            Self::Overflow => true,
            Self::Shared(error) => error.is_overflow(),
            _ => false,
        }
    }
}

impl Lease {
    /// Of a connection of HTTP/1.1.
    pub(super) fn new(
        connection: Pooled,
        endpoint: &Rc<Endpoint>,
        active: ActiveRequest,
        reused: bool,
    ) -> Self {
        let Pooled { sender, driver, task, opened, served, asked, client } = connection;
        let channel = Channel::Http1 { sender, opened, served, asked, client };
        Self { channel, driver, task, endpoint: endpoint.clone(), reused, active }
    }

    /// Of one stream of a connection of HTTP/2.
    pub(super) fn of_stream(stream: Http2Stream, endpoint: &Rc<Endpoint>, active: ActiveRequest) -> Self {
        let channel = Channel::Http2(stream);
        Self { channel, driver: None, task: None, endpoint: endpoint.clone(), reused: false, active }
    }

    /// Sends a request. An error has the request back if it may be sent again.
    ///
    /// Not an `async fn`, which would carry the request a second time.
    pub(crate) fn send(
        &mut self,
        request: Request<UpstreamBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, SendFailure>> + '_ {
        let sending = match &mut self.channel {
            Channel::Http1 { sender, asked, .. } => {
                asked.request(request.method());
                if !request.body().is_end_stream()
                    && let Some(driver) = self.driver.take()
                {
                    self.task = Some(driver.spawn());
                }
                Ok(sender.try_send_request(request))
            }
            // Boxed, so that requests over HTTP/1.1 do not carry it.
            Channel::Http2(stream) => Err(Box::pin(stream.send(request))),
        };
        let driver = &mut self.driver;
        async move {
            let sending = match sending {
                Ok(sending) => sending,
                Err(sending) => return sending.await,
            };
            let mut sending = pin!(sending);
            poll_fn(|context| poll_driven(driver, context, |context| sending.as_mut().poll(context)))
                .await
                .map_err(|mut failure| SendFailure {
                    unsent: failure.take_message().map(Box::new),
                    error: SendError::Http(failure.into_error()),
                })
        }
    }

    /// The two ends of the connection.
    pub(crate) fn ends(&self) -> &Rc<ConnectionEnds> {
        match &self.channel {
            Channel::Http1 { asked, .. } => &asked.ends,
            Channel::Http2(stream) => stream.ends(),
        }
    }

    /// Whether others use the connection at the same time.
    pub(crate) const fn is_shared(&self) -> bool {
        matches!(self.channel, Channel::Http2(_))
    }

    /// Sends a request to change the protocol; of a connection that is new, so that nobody else drives it.
    ///
    /// # Errors
    /// No legal answer came; `None` when the connection just ended.
    pub(crate) async fn switch(
        mut self,
        request: Request<UpstreamBody>,
    ) -> Result<Switch, Option<hyper::Error>> {
        // Only HTTP/1.1 has this way to change the protocol.
        let Channel::Http1 { sender, asked, .. } = &mut self.channel else { return Err(None) };
        asked.switch();
        let mut driver = self.driver.take().ok_or(None)?;
        let mut open = true;
        let response = {
            let mut sending = pin!(sender.try_send_request(request));
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
        let Self { channel, driver, task, endpoint, active, .. } = self;
        let terms = active.terms.clone();
        drop(active);
        if let Channel::Http1 { sender, opened, served, asked, client } = channel
            && !asked.is_spoiled()
        {
            let served = served + 1;
            let connection = Pooled { sender, driver, task, opened, served, asked, client };
            terms.give_back(&endpoint, connection, now);
        }
    }

    /// Ends the connection at once, and with it a request body that is still under way; of a shared connection, only
    /// the request.
    pub(crate) fn cut(self) {
        if let Some(task) = self.task {
            task.abort();
        }
    }

    async fn ready(&mut self) -> bool {
        let Channel::Http1 { sender, .. } = &mut self.channel else { return true };
        // Not ready yet means that the last exchange is still being wound up, which ends in ready or closed.
        sender.is_ready()
            || poll_fn(|context| poll_driven(&mut self.driver, context, |context| sender.poll_ready(context)))
                .await
                .is_ok()
    }
}

impl Upstream {
    /// A pooled connection to `endpoint` if there is one, else a new one.
    pub(crate) async fn lease(
        &self,
        endpoint: &Rc<Endpoint>,
        client: Option<&Proxied>,
    ) -> Result<Lease, ConnectError> {
        // Before a connection is taken: one that is refused here must cost none.
        let active = ActiveRequest::new(&self.terms, endpoint)?;
        if self.protocol != UpstreamProtocol::Http1 {
            // Boxed, so that requests over HTTP/1.1 do not carry it.
            return Box::pin(self.lease_shared(active, endpoint)).await;
        }
        match self.pooled(active, endpoint, client).await {
            Ok(lease) => Ok(lease),
            Err(active) => self.connect_for(active, endpoint, Wanted::Any, client).await,
        }
    }

    /// A pooled connection of HTTP/1.1, if there is one.
    pub(super) async fn pooled(
        &self,
        mut active: ActiveRequest,
        endpoint: &Rc<Endpoint>,
        client: Option<&Proxied>,
    ) -> Result<Lease, ActiveRequest> {
        while let Some(connection) = endpoint.idle.take(client) {
            let mut lease = Lease::new(connection, endpoint, active, true);
            if lease.ready().await {
                return Ok(lease);
            }
            active = lease.active;
        }
        Err(active)
    }

    /// A new connection to `endpoint`. When no more may be opened, one that is or becomes unused is closed for it.
    pub(crate) async fn connect(
        &self,
        endpoint: &Rc<Endpoint>,
        client: Option<&Proxied>,
    ) -> Result<Lease, ConnectError> {
        self.connect_for(ActiveRequest::new(&self.terms, endpoint)?, endpoint, Wanted::New, client).await
    }

    /// A new connection to `endpoint`, or what becomes free when no more may be opened.
    pub(super) async fn connect_for(
        &self,
        active: ActiveRequest,
        endpoint: &Rc<Endpoint>,
        wanted: Wanted,
        client: Option<&Proxied>,
    ) -> Result<Lease, ConnectError> {
        // Boxed, because new connections are rare and the state of a handshake is large: requests must not carry it.
        let connecting = Box::pin(async {
            let permit = match self.place(endpoint, wanted, client).await? {
                Place::Free(connection) => return Ok(Ready::Pooled(connection)),
                Place::Stream(stream) => return Ok(Ready::Stream(stream)),
                Place::Open(permit) => permit,
            };
            let begun = Instant::now();
            let attempt = tokio::time::timeout(self.connect_timeout, self.open(endpoint, permit, client));
            let Ok(connection) = attempt.await else {
                self.metrics.connect_timeout.inc();
                self.metrics.connect_fail.inc();
                return Err(ConnectError::Timeout(self.connect_timeout));
            };
            let connection = connection.inspect_err(|_| self.metrics.connect_fail.inc())?;
            self.metrics.connect_time.record(begun.elapsed());
            Ok(Ready::Opened(connection))
        });
        match self.pending(connecting).await? {
            Ready::Pooled(connection) => Ok(Lease::new(connection, endpoint, active, true)),
            Ready::Stream(stream) => Ok(Lease::of_stream(stream, endpoint, active)),
            Ready::Opened(connection) => admit(connection, active, endpoint),
        }
    }

    /// Connects, shakes hands where TLS is spoken, and starts HTTP.
    async fn open(
        &self,
        endpoint: &Rc<Endpoint>,
        permit: Option<Permit>,
        client: Option<&Proxied>,
    ) -> Result<Opened, ConnectError> {
        if matches!(self.transport, Transport::Unusable) {
            return Err(ConnectError::NoTls);
        }
        let mut stream = TcpStream::connect(endpoint.address).await?;
        // Small requests must not wait for the acknowledgement of the last one.
        stream.set_nodelay(true)?;
        if let Some(keepalive) = &self.tcp_keepalive {
            SockRef::from(&stream).set_tcp_keepalive(keepalive)?;
        }
        if let Some(version) = self.proxy_protocol {
            proxied::tell(&mut stream, version, client).await?;
        }
        let mut ends = ConnectionEnds { local: stream.local_addr().ok(), tls: None };
        let stream = Posted::new(stream, self.outbox.clone());
        let stream = match &self.transport {
            Transport::Tls(tls) => {
                let name = endpoint.server_name.clone().ok_or(ConnectError::NoTls)?;
                let connector = TlsConnector::from(tls.config.clone());
                let stream = connector.connect(name, stream).await.map_err(ConnectError::Tls)?;
                let has_agreed = agreed_on_http2(stream.get_ref().1);
                ends.tls = Some(UpstreamTls::of(stream.get_ref().1));
                match self.protocol {
                    UpstreamProtocol::Http2 if !has_agreed => return Err(ConnectError::NotHttp2),
                    _ if !has_agreed => {
                        return self.speak(stream, ends, permit, client, Io::Tls).await.map(Opened::Http1);
                    }
                    _ => http2::Stream::Tls(Box::new(stream)),
                }
            }
            Transport::Plain | Transport::Unusable if self.protocol != UpstreamProtocol::Http2 => {
                return self.speak(stream, ends, permit, client, Io::Plain).await.map(Opened::Http1);
            }
            Transport::Plain | Transport::Unusable => http2::Stream::Plain(stream),
        };
        Multiplexed::open(stream, ends, endpoint, self.terms.clone(), permit).await.map(Opened::Http2)
    }

    async fn speak<S>(
        &self,
        stream: S,
        ends: ConnectionEnds,
        permit: Option<Permit>,
        client: Option<&Proxied>,
        driven: impl FnOnce(Box<Connection<TokioIo<UpstreamIo<S>>, UpstreamBody>>) -> Io,
    ) -> Result<Pooled, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let asked = Rc::new(Asked::over(ends));
        let stream = Gated::new(stream, UpstreamDoor::new(RESPONSE_LIMITS, asked.clone()));
        let (sender, connection) = http1::Builder::new()
            // The gate has counted the headers, and its limit of bytes is the exact one.
            .max_header_size(MAX_READ_BUFFER_BYTES)
            .max_buf_size(MAX_READ_BUFFER_BYTES)
            .handshake(TokioIo::new(AnswerFirst::new(stream)))
            .await?;
        let driver = Box::new(Driver::new(driven(Box::new(connection)), self.metrics.clone(), permit));
        let client = client.copied().map(Box::new);
        let (driver, opened) = (Some(driver), Instant::now());
        Ok(Pooled { sender, driver, task: None, opened, served: 0, asked, client })
    }
}

/// Puts a new connection to use.
fn admit(opened: Opened, active: ActiveRequest, endpoint: &Rc<Endpoint>) -> Result<Lease, ConnectError> {
    match opened {
        Opened::Http1(connection) => {
            endpoint.chose_http1.set(true);
            Ok(Lease::new(connection, endpoint, active, false))
        }
        Opened::Http2(connection) => {
            endpoint.chose_http1.set(false);
            let stream = connection.stream(endpoint).ok_or(ConnectError::NoSettings)?;
            endpoint.http2.add(connection);
            Ok(Lease::of_stream(stream, endpoint, active))
        }
    }
}
