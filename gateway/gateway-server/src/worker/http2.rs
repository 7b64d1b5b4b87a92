//! One client connection that speaks HTTP/2: its streams, each in a task of its own, and how it ends.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use gateway_wire::http2_meter::Excess;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::activity::Order;
use super::connection::{ByteStream, ClientConnection};
use super::http2_io::{Http2Io, Shared};
use super::patience::Patience;
use crate::request::{Begun, serve_request};

/// The library refuses a head over its limit without telling anybody. So it gets a larger one: of what is up to so many
/// times over the limit, the gateway itself says and logs that it is too large.
const HEAD_SLACK: u32 = 2;
/// In metrics, for what the library has limits of its own for: streams reset before they were looked at, small pieces of
/// bodies, heads many times over the limit.
const LIBRARY_LIMIT: &str = "http2_other";
/// Time for the last words to a client that floods, and how much of the flood is read meanwhile.
const FAREWELL_TIME: Duration = Duration::from_secs(1);
const FAREWELL_BYTES: usize = 256 * 1024;
const FAREWELL_CHUNK_BYTES: usize = 16 * 1024;

pub(super) async fn serve_http2<S: ByteStream>(connection: &Rc<ClientConnection>, stream: S, first: Bytes) {
    let limits = &connection.listener.limits;
    connection.listener.metrics.http2.inc();
    connection.handle.speaks_http2();
    let head_bytes = u32::try_from(limits.head_bytes).unwrap_or(u32::MAX);
    let io = Http2Io::new(stream, first, connection.handle.clone(), head_bytes);
    let io = Rc::new(RefCell::new(io));
    match converse(connection, io.clone(), head_bytes).await {
        Outcome::Ended(Ok(())) => {}
        Outcome::Ended(Err(error)) => note_end(connection, &error),
        Outcome::Cut(order) => connection.is_cut(order.reason()),
        Outcome::Flooded(excess) => {
            connection.is_flooded(excess.code());
            tracing::debug!(peer = %connection.peer, what = excess.code(), "too many frames: connection ended");
            // The library has gone, and with it the other one who had it.
            if let Some(io) = Rc::into_inner(io) {
                let (stream, farewell) = io.into_inner().into_farewell(excess);
                say_farewell(stream, &farewell).await;
            }
        }
    }
}

/// How a connection ended.
enum Outcome {
    Ended(hyper::Result<()>),
    Cut(Order),
    Flooded(Excess),
}

async fn converse<S: ByteStream>(
    connection: &Rc<ClientConnection>,
    io: Rc<RefCell<Http2Io<S>>>,
    head_bytes: u32,
) -> Outcome {
    let executor = StreamExecutor::default();
    let mut builder = http2::Builder::new(executor.clone());
    // A client that is told of it opens WebSockets nowhere else.
    if connection.worker.state().snapshot.has_websockets {
        builder.enable_connect_protocol();
    }
    let server = builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(connection.listener.limits.http2_streams)
        .max_header_list_size(head_bytes.saturating_mul(HEAD_SLACK))
        // Counted by the meter, which forgets; the library counts over the whole life of a connection.
        .max_local_error_reset_streams(None)
        .auto_date_header(false)
        .serve_connection(
            TokioIo::new(Shared(io.clone())),
            service_fn(|request| {
                let room = connection.room_patience();
                executor.next.set(Some(room.clone()));
                serve_request(Begun::new(connection, request, Some(room)))
            }),
        );
    let mut server = pin!(server);
    poll_fn(|context| {
        let order = connection.handle.poll_order(context);
        if let Some(order @ (Order::Cut | Order::HeadTimeout | Order::WriteTimeout)) = order {
            return Poll::Ready(Outcome::Cut(order));
        }
        let mut polled = server.as_mut().poll(context);
        if order.is_some() && polled.is_pending() {
            // What has arrived comes first.
            server.as_mut().graceful_shutdown();
            polled = server.as_mut().poll(context);
        }
        match (io.borrow().flooded(), polled) {
            (Some(excess), _) => Poll::Ready(Outcome::Flooded(excess)),
            (None, Poll::Ready(ended)) => Poll::Ready(Outcome::Ended(ended)),
            (None, Poll::Pending) => Poll::Pending,
        }
    })
    .await
}

/// Tells a client that floods to go away. What it still sends is read for a moment: a socket that is closed before that
/// resets the connection, and the reset may overtake the words. One that floods on has its time too: the words may be
/// behind much of a response.
async fn say_farewell<S: ByteStream>(mut stream: S, farewell: &[u8]) {
    let saying = async {
        stream.write_all(farewell).await?;
        stream.shutdown().await?;
        let mut space = vec![0; FAREWELL_CHUNK_BYTES];
        let mut left = FAREWELL_BYTES;
        while left > 0 {
            match stream.read(&mut space).await? {
                0 => return Ok(()),
                read => left = left.saturating_sub(read),
            }
        }
        pending::<io::Result<()>>().await
    };
    // The client may be gone; it was told what can be told.
    let _ = tokio::time::timeout(FAREWELL_TIME, saying).await;
}

/// The library ended the connection: for what the client did, or because it is gone.
fn note_end(connection: &ClientConnection, error: &hyper::Error) {
    tracing::debug!(peer = %connection.peer, "HTTP/2 connection ended: {error:?}");
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>());
    match source.filter(|error| error.is_go_away() && error.is_library()).and_then(h2::Error::reason) {
        Some(h2::Reason::ENHANCE_YOUR_CALM) => connection.is_flooded(LIBRARY_LIMIT),
        Some(_) => connection.listener.metrics.protocol_error(),
        None => {}
    }
}

/// Runs the streams of one connection on the worker that has it. The library asks for a stream's response and at once
/// hands over the task that will send it; so the one that comes next is for the request that came last.
#[derive(Clone, Default)]
struct StreamExecutor {
    next: Rc<Cell<Option<Rc<Patience>>>>,
}

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for StreamExecutor {
    fn execute(&self, future: F) {
        match self.next.take() {
            Some(room) => {
                tokio::task::spawn_local(Stream { future: Some(Box::pin(future)), room });
            }
            None => {
                tokio::task::spawn_local(future);
            }
        }
    }
}

/// The task of one stream. Ends early, which resets the stream, when the client takes nothing of it for too long.
struct Stream<F> {
    future: Option<Pin<Box<F>>>,
    room: Rc<Patience>,
}

impl<F: Future> Future for Stream<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let Some(future) = &mut this.future else { return Poll::Ready(()) };
        if future.as_mut().poll(context).is_pending() && !this.room.is_over() {
            this.room.wake_by(context);
            return Poll::Pending;
        }
        this.future = None;
        Poll::Ready(())
    }
}
