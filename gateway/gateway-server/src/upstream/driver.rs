//! The I/O of one upstream connection, done by whoever uses the connection.
//!
//! A connection without a task of its own saves two task switches per request: its socket wakes the client connection's
//! task directly. The price is that nobody drives it while it is unused (a pool looks at it now and then) and that it
//! stands still while its user does; so a request with a body, which may have to flow while the response does not, gives
//! the connection a task first.
//!
//! A connection also wakes itself: sending a request or asking for a body are wakes to hyper. Those come while its user
//! runs, and answering each with another run of the user's task would cost as much as serving the request; so all wakes
//! go to a [`Signal`], which passes them on only when the user sleeps.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use atomic_waker::AtomicWaker;
use hyper::client::conn::http1::Connection;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::body::UpstreamBody;
use crate::shared::Permit;
use crate::telemetry::UpstreamMetrics;
use crate::vectored::UpstreamTcp;

/// Times a connection is driven in one go before other tasks have their turn.
const MAX_ROUNDS: usize = 8;

/// The I/O of one upstream connection.
pub(crate) struct Driver {
    io: Io,
    signal: Arc<Signal>,
    /// `signal`, as the connection knows it.
    waker: Waker,
    _open: OpenConnection,
}

/// What is spoken. Told apart once per poll, not per read.
pub(super) enum Io {
    Plain(Box<Connection<TokioIo<UpstreamTcp>, UpstreamBody>>),
    Tls(Box<Connection<TokioIo<TlsStream<TcpStream>>, UpstreamBody>>),
}

impl Io {
    /// Does what can be done now. False when the connection has ended.
    fn poll(&mut self, context: &mut Context<'_>) -> bool {
        // Errors reach the request that is under way; between requests a closed connection is no error.
        match self {
            Self::Plain(connection) => Pin::new(connection).poll(context).is_pending(),
            Self::Tls(connection) => Pin::new(connection).poll(context).is_pending(),
        }
    }
}

/// Whether a connection wants to be driven, and who is to be woken for it.
struct Signal {
    raised: AtomicBool,
    user: AtomicWaker,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.raised.store(true, Ordering::Release);
        // Nobody is registered while the user runs, nor while the connection is unused.
        self.user.wake();
    }
}

impl Driver {
    pub(super) fn new(io: Io, metrics: Rc<UpstreamMetrics>, permit: Option<Permit>) -> Self {
        let signal = Arc::new(Signal { raised: AtomicBool::new(true), user: AtomicWaker::new() });
        let waker = Waker::from(signal.clone());
        Self { io, signal, waker, _open: OpenConnection::new(metrics, permit) }
    }

    /// Does what can be done now. False when the connection has ended.
    pub(super) fn poll(&mut self) -> bool {
        self.signal.raised.store(false, Ordering::Relaxed);
        self.io.poll(&mut Context::from_waker(&self.waker))
    }

    /// Nobody uses the connection for now, so nobody is to be woken.
    pub(super) fn rest(&self) {
        self.signal.user.take();
    }

    fn is_raised(&self) -> bool {
        self.signal.raised.load(Ordering::Acquire)
    }

    /// Gives the connection a task of its own for the rest of its life.
    pub(super) fn spawn(self) {
        let Self { mut io, _open: open, .. } = self;
        tokio::task::spawn_local(async move {
            std::future::poll_fn(|context| if io.poll(context) { Poll::Pending } else { Poll::Ready(()) })
                .await;
            drop(open);
        });
    }
}

/// Asks for what the connection brought; drives it and asks again while there is nothing yet but something happens.
///
/// Only the driver's progress can make `ask` ready, so only the driver has to wake anybody.
pub(crate) fn poll_driven<T>(
    driver: &mut Option<Driver>,
    context: &mut Context<'_>,
    mut ask: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    let Some(open) = driver else { return ask(context) };
    let mut quietly = Context::from_waker(Waker::noop());
    for _ in 0..MAX_ROUNDS {
        if let Poll::Ready(answer) = ask(&mut quietly) {
            return Poll::Ready(answer);
        }
        if !open.is_raised() {
            open.signal.user.register(context.waker());
            return Poll::Pending;
        }
        if !open.poll() {
            *driver = None;
            return ask(context);
        }
    }
    context.waker().wake_by_ref();
    Poll::Pending
}

/// Counts a connection for as long as it is open.
struct OpenConnection {
    metrics: Rc<UpstreamMetrics>,
    _permit: Option<Permit>,
    since: Instant,
}

impl OpenConnection {
    fn new(metrics: Rc<UpstreamMetrics>, permit: Option<Permit>) -> Self {
        metrics.connections.inc();
        metrics.connections_active.inc();
        Self { metrics, since: Instant::now(), _permit: permit }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.metrics.connections_active.dec();
        self.metrics.connections_closed.inc();
        self.metrics.connection_length.record(self.since.elapsed());
    }
}
