//! The I/O of one upstream connection, done by whoever uses the connection.
//!
//! A connection without a task of its own saves two task switches per request: its socket wakes the client connection's
//! task directly. The price is that nobody drives it while it is unused (a pool looks at it now and then) and that it
//! stands still while its user does; so a request with a body, which may have to flow while the response does not, gives
//! the connection a task first.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use hyper::client::conn::http1::Connection;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::body::UpstreamBody;
use crate::telemetry::UpstreamMetrics;

/// The I/O of one upstream connection.
pub(crate) struct Driver {
    io: Io,
    _open: OpenConnection,
}

/// What is spoken. Told apart once per poll, not per read.
pub(super) enum Io {
    Plain(Box<Connection<TokioIo<TcpStream>, UpstreamBody>>),
    Tls(Box<Connection<TokioIo<TlsStream<TcpStream>>, UpstreamBody>>),
}

impl Driver {
    pub(super) fn new(io: Io, metrics: Rc<UpstreamMetrics>) -> Self {
        Self { io, _open: OpenConnection::new(metrics) }
    }

    /// Does what can be done now. False when the connection has ended.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> bool {
        // Errors reach the request that is under way; between requests a closed connection is no error.
        match &mut self.io {
            Io::Plain(connection) => Pin::new(connection).poll(context).is_pending(),
            Io::Tls(connection) => Pin::new(connection).poll(context).is_pending(),
        }
    }

    /// As [`Driver::poll`], for a connection that nobody waits for.
    pub(super) fn poll_unused(&mut self) -> bool {
        self.poll(&mut Context::from_waker(Waker::noop()))
    }

    /// Gives the connection a task of its own for the rest of its life.
    pub(super) fn spawn(mut self) {
        tokio::task::spawn_local(std::future::poll_fn(move |context| {
            if self.poll(context) { Poll::Pending } else { Poll::Ready(()) }
        }));
    }
}

/// Asks for what the connection brought; drives it and asks again when there is nothing yet.
///
/// Only the driver's progress can make `ask` ready, so only the driver has to wake anybody.
pub(crate) fn poll_driven<T>(
    driver: &mut Option<Driver>,
    context: &mut Context<'_>,
    mut ask: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    let Some(open) = driver else { return ask(context) };
    let mut quietly = Context::from_waker(Waker::noop());
    if let Poll::Ready(answer) = ask(&mut quietly) {
        return Poll::Ready(answer);
    }
    if open.poll(context) {
        return ask(&mut quietly);
    }
    *driver = None;
    ask(context)
}

/// Counts a connection for as long as it is open.
struct OpenConnection(Rc<UpstreamMetrics>);

impl OpenConnection {
    fn new(metrics: Rc<UpstreamMetrics>) -> Self {
        metrics.connections.inc();
        metrics.connections_active.inc();
        Self(metrics)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.connections_active.dec();
    }
}
