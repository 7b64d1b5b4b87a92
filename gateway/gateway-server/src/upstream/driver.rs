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

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use atomic_waker::AtomicWaker;
use bytes::Bytes;
use hyper::client::conn::http1::Connection;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::AbortHandle;
use tokio_rustls::client::TlsStream;

use super::answer_first::AnswerFirst;
use super::door::UpstreamDoor;
use crate::body::UpstreamBody;
use crate::gated::Gated;
use crate::outbox::Posted;
use crate::shared::Permit;
use crate::telemetry::UpstreamMetrics;

/// Times a connection is driven in one go before other tasks have their turn.
const MAX_ROUNDS: usize = 8;

/// The I/O of one upstream connection. Whoever has it holds it boxed: it goes from the pool to the request to the body of the
/// response and back.
pub(crate) struct Driver {
    io: Io,
    signal: Arc<Signal>,
    /// `signal`, as the connection knows it.
    waker: Waker,
    /// Known only to [`Self::poll_for`]: a connection that has ended is not polled again.
    ended: bool,
    open: OpenConnection,
}

/// What is spoken. Told apart once per poll, not per read.
pub(super) enum Io {
    Plain(Box<Connection<TokioIo<UpstreamIo<Posted>>, UpstreamBody>>),
    Tls(Box<Connection<TokioIo<UpstreamIo<TlsStream<Posted>>>, UpstreamBody>>),
}

/// The byte stream of a connection that speaks HTTP/1.
pub(super) type UpstreamIo<S> = AnswerFirst<Gated<S, UpstreamDoor>>;

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

/// A byte stream, of whatever kind: who uses it moves more bytes than calls.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Duplex for S {}

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
        Self { io, signal, waker, ended: false, open: OpenConnection::new(metrics, permit) }
    }

    /// Does what can be done now. False when the connection has ended.
    pub(super) fn poll(&mut self) -> bool {
        self.signal.raised.store(false, Ordering::Relaxed);
        self.io.poll(&mut Context::from_waker(&self.waker))
    }

    /// The same, for a user who sleeps until the connection wakes it.
    pub(super) fn poll_for(&mut self, context: &Context<'_>) -> bool {
        self.signal.user.register(context.waker());
        self.ended = self.ended || !self.poll();
        !self.ended
    }

    /// Ends HTTP on a connection that has changed its protocol: the bytes from here on, those read ahead first.
    pub(super) async fn into_io(mut self) -> (Box<dyn Duplex>, Bytes, OpenConnection) {
        if !self.ended {
            poll_fn(|context| if self.poll_for(context) { Poll::Pending } else { Poll::Ready(()) }).await;
        }
        let Self { io, open, .. } = self;
        match io {
            Io::Plain(connection) => {
                let parts = connection.into_parts();
                (Box::new(parts.io.into_inner().into_inner().open()), parts.read_buf, open)
            }
            Io::Tls(connection) => {
                let parts = connection.into_parts();
                (Box::new(parts.io.into_inner().into_inner().open()), parts.read_buf, open)
            }
        }
    }

    /// Nobody uses the connection for now, so nobody is to be woken.
    pub(super) fn rest(&self) {
        self.signal.user.take();
    }

    fn is_raised(&self) -> bool {
        self.signal.raised.load(Ordering::Acquire)
    }

    /// Gives the connection a task of its own for the rest of its life, which ends it early when it is aborted.
    pub(super) fn spawn(self) -> AbortHandle {
        let Self { mut io, open, .. } = self;
        tokio::task::spawn_local(async move {
            poll_fn(|context| if io.poll(context) { Poll::Pending } else { Poll::Ready(()) }).await;
            drop(open);
        })
        .abort_handle()
    }
}

/// Asks for what the connection brought; drives it and asks again while there is nothing yet but something happens.
///
/// Only the driver's progress can make `ask` ready, so only the driver has to wake anybody.
pub(crate) fn poll_driven<T>(
    driver: &mut Option<Box<Driver>>,
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
pub(super) struct OpenConnection {
    metrics: Rc<UpstreamMetrics>,
    _permit: Option<Permit>,
    since: Instant,
}

impl OpenConnection {
    pub(super) fn new(metrics: Rc<UpstreamMetrics>, permit: Option<Permit>) -> Self {
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
