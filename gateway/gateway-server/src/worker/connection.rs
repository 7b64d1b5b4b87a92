//! One client connection: which protocol it speaks, and serving its requests until one side is done.

use std::cell::{Cell, OnceCell};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use gateway_wire::gate;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Worker;
use super::activity::{ConnectionHandle, Order};
use super::door::{ClientDoor, Refused};
use super::http2::serve_http2;
use super::io::ClientIo;
use super::leftover::Leftover;
use super::patience::Patience;
use super::proxied::{self, Ends};
use super::state::ListenerState;
use super::watched::Watched;
use crate::body::ClientBody;
use crate::gated::Gated;
use crate::outbox::Posted;
use crate::request::{Begun, Reason, Tunnel, forwarded_for, is_trusted, serve_request};
use crate::shared::Seat;
use crate::telemetry::HandshakeResult;
use crate::tls::{ConnectionTls, HANDSHAKE_TIMEOUT, Peer, ServerTls, Transport, chose_http2};

/// Read before the protocol is known. Most heads fit, so that guessing costs no extra read.
const FIRST_READ_BYTES: usize = 4096;
/// The HTTP library's limits on a head are this much wider: those of the gate are exact.
const HEAD_SLACK_BYTES: usize = 1024;
/// As many header lines the HTTP library takes without being told.
const DEFAULT_MAX_HEADERS: usize = 100;
/// How a client with prior knowledge of HTTP/2 begins (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long, and how much, a client may go on sending a body after the response that did not wait for it.
const LINGER_TIME: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 16 * 1024 * 1024;
const LINGER_CHUNK_BYTES: usize = 16 * 1024;
/// How long a connection that ends before its first request is looked at once more. A few turns of the event loop.
pub(super) const LAST_WORDS_TIMEOUT: Duration = Duration::from_millis(50);
/// Time for the last bytes of a refusal.
const REFUSAL_WRITE_TIMEOUT: Duration = Duration::from_secs(1);
const HEAD_TIMEOUT_RESPONSE: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-type: text/plain; charset=utf-8\r\n\
      content-length: 31\r\n\r\nthe request head took too long\n";

/// What requests can come over.
pub(super) trait ByteStream: AsyncRead + AsyncWrite + Unpin + 'static {
    /// Has the peer see that it was cut off, where a closed stream would look like one that has ended.
    fn cut_off(&self);
}

impl ByteStream for Posted {
    fn cut_off(&self) {
        // Closing then resets the connection. Fails only on a dead socket.
        let _ = self.with_stream(|stream| SockRef::from(stream).set_linger(Some(Duration::ZERO)));
    }
}

impl ByteStream for TlsStream<Posted> {
    /// Without its farewell, a stream of TLS is known to be cut off.
    fn cut_off(&self) {}
}

/// One client connection, as its requests see it.
pub(crate) struct ClientConnection {
    pub(crate) worker: Rc<Worker>,
    pub(crate) listener: Rc<ListenerState>,
    pub(crate) id: u64,
    /// Who is connected, by the word of a proxy that speaks the PROXY protocol; an address of IPv4 is never in its IPv6 form.
    pub(crate) peer: SocketAddr,
    /// Who is connected to the gateway itself.
    pub(crate) direct: SocketAddr,
    pub(crate) local: SocketAddr,
    /// Whether the peer is believed about its clients.
    pub(crate) is_trusted: bool,
    pub(super) handle: Rc<ConnectionHandle>,
    /// For access lines and `x-forwarded-for`; made once per connection.
    pub(crate) peer_text: String,
    pub(crate) forwarded_for: HeaderValue,
    opened: Instant,
    /// Counts the connection at this worker for as long as it is open.
    _seat: Seat,
    /// Set by the handshake; never on a plain connection.
    pub(crate) tls: OnceCell<Rc<ConnectionTls>>,
    requests_active: Cell<usize>,
    /// Set by a response that ends HTTP/1.1 here.
    tunnel: Cell<Option<Box<Tunnel>>>,
    leftover: Leftover,
    cut: Cell<Option<Reason>>,
    has_panicked: Cell<bool>,
    /// A response stopped of which only the end of the connection tells the end.
    stopped_short: Cell<bool>,
}

impl ClientConnection {
    pub(crate) fn request_started(&self) {
        self.requests_active.set(self.requests_active.get() + 1);
        self.handle.activity_ref().request_started();
        self.handle.notes.request_began();
        self.leftover.request_began();
        self.listener.metrics.requests.inc();
        self.listener.metrics.requests_active.inc();
    }

    /// Why the request that has just begun is to be refused, if it stands for a head that was.
    pub(crate) fn refused(&self) -> Option<Refused> {
        let refused = self.handle.notes.refused()?;
        self.listener.metrics.protocol_error();
        Some(refused)
    }

    /// Who the client is by its certificate.
    pub(crate) fn peer_identity(&self) -> Option<&str> {
        self.tls.get()?.peer.as_ref().map(Peer::identity)
    }

    /// The response under way is the last: what follows it is no HTTP.
    pub(crate) fn becomes(&self, tunnel: Box<Tunnel>) {
        self.tunnel.set(Some(tunnel));
    }

    /// Bytes for a client of HTTP/1 before the response to its request begins.
    pub(crate) fn say_between(&self, bytes: &[u8]) {
        self.handle.between.push(bytes);
    }

    /// Whether those are written. When they are, the connection's task runs again.
    pub(crate) fn has_said_everything(&self) -> bool {
        self.handle.between.is_empty()
    }

    /// A response to a client that knows no chunks stopped before its end.
    pub(crate) fn stops_short(&self) {
        self.stopped_short.set(true);
    }

    /// Why the gateway ended the connection by force, if it did.
    pub(crate) fn cut_by(&self) -> Option<Reason> {
        self.cut.get()
    }

    /// What the body of a request is waited for with; `None` where any pace is right.
    pub(crate) fn body_patience(&self) -> Option<Rc<Patience>> {
        let limits = &self.listener.limits;
        (limits.body_rate_bytes > 0).then(|| {
            let patience = Patience::at_rate(limits.body_rate_bytes, limits.body_grace);
            self.handle.waits.add(&patience);
            patience
        })
    }

    /// What room for a response is waited for with, where the connection as a whole does not tell.
    pub(super) fn room_patience(&self) -> Rc<Patience> {
        let patience = Patience::for_time(self.listener.limits.write_stall);
        self.handle.waits.add(&patience);
        patience
    }

    /// A panic ended one of its requests.
    pub(crate) fn panicked(&self) {
        self.has_panicked.set(true);
        self.worker.panicked();
    }

    /// Nothing is waited for any more.
    pub(crate) fn waits_no_more(&self, patience: &Rc<Patience>) {
        self.handle.waits.remove(patience);
    }

    /// Notes that the gateway ends the connection by force.
    pub(super) fn is_cut(&self, reason: Reason) {
        self.cut.set(Some(reason));
        if reason != Reason::DrainTimeout {
            self.worker.cut(self, reason, reason.code(), self.requests_active.get() > 0);
        }
    }

    /// Notes that it does so because of too many frames; `what` says of which kind.
    pub(super) fn is_flooded(&self, what: &'static str) {
        self.cut.set(Some(Reason::Http2Flood));
        self.worker.cut(self, Reason::Http2Flood, what, self.requests_active.get() > 0);
    }

    /// A stream of HTTP/2 will be reset with a code of the upstream's: the client is not to blame, whatever it is.
    pub(crate) fn resets_for_upstream(&self) {
        self.handle.add_own_reset();
    }

    /// Nobody wants the rest of the body of the request under way.
    pub(crate) fn leaves_unread(&self, body: Incoming) {
        self.leftover.leaves(body);
        if self.leftover.is_draining() && self.requests_active.get() == 0 {
            self.handle.activity_ref().request_started();
        }
    }

    /// The answer to a request with a body begins; `closes` says that the connection ends with it.
    pub(crate) fn answers(&self, closes: bool) {
        self.leftover.answered(closes);
    }

    /// The request is over; `is_refused` says that it stands for one that was not read.
    pub(crate) fn request_ended(&self, is_refused: bool) {
        self.leftover.request_ended(is_refused);
        self.requests_active.set(self.requests_active.get().saturating_sub(1));
        self.rests();
        self.listener.metrics.requests_active.dec();
    }

    /// Idle times count from here, unless there is something to do.
    fn rests(&self) {
        if self.requests_active.get() == 0 && !self.leftover.is_draining() {
            self.handle.activity_ref().idle();
        }
    }

    /// Reads what is left of a body. When that is over, the HTTP library is to go on: with the next request, or to its end.
    fn poll_leftover(&self, context: &mut Context<'_>) -> Poll<bool> {
        let polled = self.leftover.poll_drain(context);
        if polled.is_ready() {
            self.rests();
        }
        polled
    }
}

impl Drop for ClientConnection {
    fn drop(&mut self) {
        self.worker.connections.closed(self.id);
        self.listener.metrics.closed(self.opened.elapsed());
        // Beside requests; those count by themselves.
        if std::thread::panicking() && !self.has_panicked.get() {
            self.worker.panicked();
        }
    }
}

/// Serves a connection to its end.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    listener: Rc<ListenerState>,
    mut stream: TcpStream,
    peer: SocketAddr,
    seat: Seat,
) {
    let Ok(local) = stream.local_addr() else { return };
    // Small responses must not wait for the acknowledgement of the last one. Fails only on a dead socket.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    listener.metrics.opened();
    let id = worker.process.next_id();
    let handle = worker.connections.open(id, &listener.limits);
    let direct = Ends::new(peer, local);
    let ends = if proxied::is_expected(&listener.proxy_protocol, direct.peer) {
        Box::pin(proxied::read_header(&mut stream, direct, &handle)).await
    } else {
        Ok(direct)
    };
    let Ends { peer, local } = *ends.as_ref().unwrap_or(&direct);
    let Some(forwarded_for) = forwarded_for(peer.ip()) else { return worker.connections.closed(id) };
    let connection = Rc::new(ClientConnection {
        is_trusted: is_trusted(&listener.identity, peer.ip()),
        worker,
        listener,
        id,
        peer,
        direct: direct.peer,
        local,
        handle,
        peer_text: peer.to_string(),
        forwarded_for,
        opened: Instant::now(),
        _seat: seat,
        tls: OnceCell::new(),
        requests_active: Cell::new(0),
        tunnel: Cell::new(None),
        leftover: Leftover::default(),
        cut: Cell::new(None),
        has_panicked: Cell::new(false),
        stopped_short: Cell::new(false),
    });
    if let Err(error) = ends {
        tracing::debug!(peer = %connection.peer, "connection refused: {error}");
        connection.listener.metrics.protocol_error();
        return connection.worker.refused(&connection, Reason::ProxyProtocol);
    }
    let stream = Posted::new(stream, connection.worker.outbox.clone());
    match &connection.listener.transport {
        Transport::Plain => {
            let stream = Watched::new(stream, connection.handle.writing.clone());
            converse(&connection, stream).await;
        }
        // Boxed, so that plain connections do not take the memory of the larger kind.
        Transport::Tls(tls) => Box::pin(serve_tls(&connection, tls.clone(), stream)).await,
        Transport::Unusable => connection.listener.metrics.handshake(HandshakeResult::Failure),
    }
}

/// Shakes hands, then serves what was agreed on.
async fn serve_tls(connection: &Rc<ClientConnection>, tls: Arc<ServerTls>, stream: Posted) {
    let handshake = TlsAcceptor::from(tls.config.clone()).accept(stream);
    let outcome = tokio::select! {
        outcome = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake) => outcome,
        () = connection.handle.ordered() => return,
    };
    let result = match &outcome {
        Ok(Ok(_)) => HandshakeResult::Success,
        Ok(Err(error)) => failed_handshake(error),
        Err(_) => HandshakeResult::Timeout,
    };
    connection.listener.metrics.handshake(result);
    let stream = match outcome {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(peer = %connection.peer, "TLS handshake failed: {error}"),
        Err(_) => return,
    };
    let session = stream.get_ref().1;
    // Nobody else sets it.
    let _ = connection.tls.set(Rc::new(ConnectionTls::of(session, tls)));
    // Its times begin now.
    connection.handle.activity_ref().idle();
    let is_http2 = chose_http2(session);
    let stream = Watched::new(stream, connection.handle.writing.clone());
    if is_http2 {
        serve_http2(connection, stream, Bytes::new()).await;
    } else {
        converse(connection, stream).await;
    }
}

fn failed_handshake(error: &io::Error) -> HandshakeResult {
    match error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::NoCertificatesPresented | rustls::Error::InvalidCertificate(_)) => {
            HandshakeResult::ClientCertificate
        }
        Some(_) => HandshakeResult::Failure,
        None => HandshakeResult::Closed,
    }
}

/// Serves whatever the first bytes turn out to be.
async fn converse<S: ByteStream>(connection: &Rc<ClientConnection>, mut stream: S) {
    let head_read = connection.listener.limits.head_read;
    let mut bytes = BytesMut::with_capacity(FIRST_READ_BYTES);
    let first = {
        let mut reading = pin!(tokio::time::timeout(head_read, read_first(&mut stream, &mut bytes)));
        tokio::select! {
            biased;
            first = &mut reading => first.ok(),
            () = connection.handle.told_to_close() => {
                // What was sent before the farewell may be here and only not have been looked at.
                tokio::time::timeout(LAST_WORDS_TIMEOUT, reading).await.ok().and_then(Result::ok)
            }
        }
    };
    // Nothing was asked, so nothing is answered.
    if matches!(first, Some(Err(_))) || bytes.is_empty() {
        return;
    }
    match first {
        Some(Ok(Protocol::Http2)) => serve_http2(connection, stream, bytes.freeze()).await,
        // Of a head that was begun and takes too long, the client is told so like of any other.
        _ => serve_http1(connection, stream, bytes.freeze()).await,
    }
}

enum Protocol {
    Http1,
    Http2,
}

/// Reads until the protocol is clear.
async fn read_first<S: ByteStream>(stream: &mut S, bytes: &mut BytesMut) -> io::Result<Protocol> {
    loop {
        let ended = stream.read_buf(bytes).await? == 0;
        let compared = bytes.len().min(HTTP2_PREFACE.len());
        if bytes[..compared] != HTTP2_PREFACE[..compared] {
            return Ok(Protocol::Http1);
        }
        if compared == HTTP2_PREFACE.len() {
            return Ok(Protocol::Http2);
        }
        if ended {
            return Ok(Protocol::Http1);
        }
    }
}

async fn serve_http1<S: ByteStream>(connection: &Rc<ClientConnection>, stream: S, first: Bytes) {
    let limits = &connection.listener.limits;
    connection.listener.metrics.http1.inc();
    connection.handle.activity_ref().received();
    let gate_limits = gate::Limits { head_bytes: limits.head_bytes, headers: limits.headers };
    let door = ClientDoor::new(gate_limits, connection.handle.clone());
    let io = ClientIo::new(stream, first, Some(connection.handle.clone()));
    let io = TokioIo::new(Gated::new(io, door));
    let mut is_closing = false;
    let mut server = http1::Builder::new();
    if limits.headers > DEFAULT_MAX_HEADERS {
        // The gate counts them; and what is set here is filled in anew for every head.
        server.max_headers(limits.headers);
    }
    let mut server = server
        // Dates, head and idle times are kept by the worker for all connections at once.
        .auto_date_header(false)
        .header_read_timeout(None)
        .max_header_size(limits.head_bytes + HEAD_SLACK_BYTES)
        .max_buf_size(limits.head_bytes.max(FIRST_READ_BYTES * 2) + HEAD_SLACK_BYTES)
        .serve_connection(io, service_fn(|request| respond(connection.clone(), request)));
    let outcome = poll_fn(|context| match connection.handle.poll_order(context) {
        Some(Order::HeadTimeout) => Poll::Ready(Outcome::HeadTimeout),
        Some(order @ (Order::Cut | Order::WriteTimeout)) => {
            connection.is_cut(order.reason());
            Poll::Ready(Outcome::Ended(Ok(())))
        }
        order => {
            is_closing |= order.is_some();
            if is_closing {
                // What has arrived comes first: without a head that it has read, hyper just closes.
                if let Poll::Ready(ended) = Pin::new(&mut server).poll(context) {
                    return Poll::Ready(Outcome::Ended(ended));
                }
                // Nor has it read one that is still on its way.
                if !connection.handle.notes.keeps_head.get() {
                    Pin::new(&mut server).graceful_shutdown();
                }
            }
            loop {
                if let Poll::Ready(ended) = Pin::new(&mut server).poll(context) {
                    return Poll::Ready(Outcome::Ended(ended));
                }
                if !ready!(connection.poll_leftover(context)) {
                    // Told so, it reads no further request, whatever has arrived.
                    Pin::new(&mut server).graceful_shutdown();
                }
            }
        }
    })
    .await;
    // Taken whatever happened: a tunnel holds its connection, which must not hold the tunnel.
    let tunnel = connection.tunnel.take();
    match outcome {
        Outcome::Ended(Ok(())) if connection.cut_by().is_none() => {
            if let Some(tunnel) = tunnel {
                let http1::Parts { io, read_buf, .. } = server.into_parts();
                carry(connection, tunnel, io.into_inner().open(), read_buf).await;
            } else if connection.leftover.is_unread() {
                linger(connection, server.into_parts().io.into_inner().open()).await;
            }
        }
        Outcome::HeadTimeout => {
            connection.worker.refused(connection, Reason::HeadTimeout);
            let mut io = server.into_parts().io.into_inner();
            // The client may be gone; it was told what can be told.
            let _ = tokio::time::timeout(REFUSAL_WRITE_TIMEOUT, async {
                io.write_all(HEAD_TIMEOUT_RESPONSE).await?;
                io.shutdown().await
            })
            .await;
        }
        Outcome::Ended(Err(error)) => {
            note_refusal(connection, &error);
            if connection.stopped_short.get() {
                server.into_parts().io.into_inner().get_ref().get_ref().cut_off();
            }
        }
        Outcome::Ended(Ok(())) => {}
    }
}

/// Goes on as a tunnel until that ends or is cut. A graceful close waits for it.
async fn carry<S: ByteStream>(
    connection: &ClientConnection,
    tunnel: Box<Tunnel>,
    io: Gated<ClientIo<S>, ClientDoor>,
    early: Bytes,
) {
    let mut carrying = Box::pin(tunnel.run(io, early));
    poll_fn(|context| match connection.handle.poll_order(context) {
        Some(Order::Cut) => {
            connection.is_cut(Reason::DrainTimeout);
            Poll::Ready(())
        }
        _ => carrying.as_mut().poll(context),
    })
    .await;
}

/// Reads for a moment what the client still sends. A socket that is closed before that resets the connection, and the reset
/// may overtake the response (RFC 9112, section 9.6).
async fn linger<S: ByteStream>(connection: &ClientConnection, mut io: Gated<ClientIo<S>, ClientDoor>) {
    let discard = async {
        let mut space = vec![0; LINGER_CHUNK_BYTES];
        let mut left = LINGER_BYTES;
        while left > 0 {
            match io.read(&mut space).await {
                Ok(0) | Err(_) => return,
                Ok(read) => left = left.saturating_sub(read),
            }
        }
    };
    tokio::select! {
        _ = tokio::time::timeout(LINGER_TIME, discard) => {}
        () = connection.handle.ordered() => {}
    }
}

enum Outcome {
    HeadTimeout,
    Ended(hyper::Result<()>),
}

fn respond(
    connection: Rc<ClientConnection>,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<ClientBody>, Infallible>> {
    let begun = Begun::new(&connection, request, None);
    async move {
        let response = serve_request(begun).await;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            connection.handle.notes.answered();
        }
        Ok(response)
    }
}

/// A head that hyper refused was answered by it; here it is counted and logged like any other refusal.
fn note_refusal(connection: &ClientConnection, error: &hyper::Error) {
    tracing::debug!(peer = %connection.peer, "connection ended: {error}");
    if error.is_parse_too_large() {
        connection.worker.refused(connection, Reason::HeadTooLarge);
        connection.listener.metrics.protocol_error();
    } else if error.is_parse() {
        connection.worker.refused(connection, Reason::BadRequest);
        connection.listener.metrics.protocol_error();
    }
}
