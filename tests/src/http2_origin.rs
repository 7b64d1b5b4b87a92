//! An origin that speaks HTTP/2 without TLS: counts connections, streams and resets, and answers by path.
//!
//! `/echo` sends every piece back as it comes, then the request's trailers; `/forever` answers and never ends; `/early`
//! answers at once and reads the body afterwards; `/silent` never answers; `/hints` answers after a 103; `/not-found` is an answer of
//! gRPC that has nothing but a head; `/busy` is a 503 twice and then sends its body back; everything else gets `ok`.

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use crate::http2::fields;
use crate::wire::Headers;

/// The head of a request as it arrived.
#[derive(Clone, Debug)]
pub struct StreamHead {
    /// Which connection it came on, from 0.
    pub connection: usize,
    /// Method.
    pub method: String,
    /// Scheme, authority and path in one.
    pub uri: String,
    /// Headers without pseudo-headers.
    pub headers: Headers,
}

/// A running origin; stops when dropped.
pub struct Http2Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
    _runtime: Runtime,
}

#[derive(Default)]
struct Shared {
    connections: AtomicUsize,
    heads: Mutex<Vec<StreamHead>>,
    resets: Mutex<Vec<Reason>>,
}

impl Http2Origin {
    /// Takes at most this many streams per connection at a time, and says so.
    ///
    /// # Panics
    /// If there is no free port.
    #[must_use]
    pub fn with_streams(max_streams: Option<u32>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let shared = Arc::new(Shared::default());
        let accepting = shared.clone();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = accepting.clone();
                let connection = shared.connections.fetch_add(1, Ordering::SeqCst);
                // What goes wrong is seen at the other end.
                drop(
                    tokio::runtime::Handle::current()
                        .spawn(async move { shared.serve(connection, stream, max_streams).await }),
                );
            }
        });
        Self { address, shared, _runtime: runtime }
    }

    /// Without a limit of its own.
    #[must_use]
    pub fn start() -> Self {
        Self::with_streams(None)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// The heads of all requests so far.
    #[must_use]
    pub fn heads(&self) -> Vec<StreamHead> {
        lock(&self.shared.heads).clone()
    }

    /// The head of the last request.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn last_head(&self) -> StreamHead {
        self.heads().pop().expect("a request at the origin")
    }

    /// The codes with which the other end gave up streams.
    #[must_use]
    pub fn resets(&self) -> Vec<Reason> {
        lock(&self.shared.resets).clone()
    }
}

impl Shared {
    async fn serve(
        self: &Arc<Self>,
        connection: usize,
        stream: TcpStream,
        max_streams: Option<u32>,
    ) -> Result<(), h2::Error> {
        let mut builder = h2::server::Builder::new();
        builder.initial_window_size(1 << 20).initial_connection_window_size(1 << 24);
        if let Some(max) = max_streams {
            builder.max_concurrent_streams(max);
        }
        let mut streams = builder.handshake::<_, Bytes>(stream).await?;
        while let Some(accepted) = streams.accept().await {
            let (request, respond) = accepted?;
            let shared = self.clone();
            drop(tokio::runtime::Handle::current().spawn(async move {
                if let Err(error) = shared.answer(connection, request, respond).await
                    && let Some(reason) = error.reason()
                {
                    lock(&shared.resets).push(reason);
                }
            }));
        }
        Ok(())
    }

    async fn answer(
        &self,
        connection: usize,
        request: http::Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
    ) -> Result<(), h2::Error> {
        let (parts, body) = request.into_parts();
        lock(&self.heads).push(StreamHead {
            connection,
            method: parts.method.to_string(),
            uri: parts.uri.to_string(),
            headers: fields(&parts.headers),
        });
        match parts.uri.path() {
            "/echo" => {
                // Without this, trailers do not reach clients of HTTP/1.1.
                let head = Response::builder().header("trailer", "x-checksum").body(()).expect("a response");
                echo(body, respond.send_response(head, false)?).await
            }
            "/forever" => {
                let mut send = respond.send_response(Response::new(()), false)?;
                send.send_data(Bytes::from_static(b"begun"), false)?;
                let reason = poll_fn(|context| send.poll_reset(context)).await?;
                Err(reason.into())
            }
            "/silent" => {
                let reason = poll_fn(|context| respond.poll_reset(context)).await?;
                Err(reason.into())
            }
            "/early" => {
                ok(respond)?;
                read(body).await.map(drop)
            }
            "/not-found" => {
                let head =
                    Response::builder().header("grpc-status", "5").header("grpc-message", "no such row");
                respond.send_response(head.body(()).expect("a response"), true).map(drop)
            }
            "/busy" => {
                let times = lock(&self.heads).iter().filter(|head| head.uri.ends_with("/busy")).count();
                let mut whole = Vec::new();
                let mut body = body;
                while let Some(data) = body.data().await {
                    let data = data?;
                    body.flow_control().release_capacity(data.len())?;
                    whole.extend_from_slice(&data);
                }
                let head = Response::builder().status(if times > 2 { 200 } else { 503 });
                let mut send = respond.send_response(head.body(()).expect("a response"), false)?;
                send.send_data(whole.into(), true)
            }
            "/hints" => {
                let hints = Response::builder().status(103).body(()).expect("a response");
                respond.send_informational(hints)?;
                ok(respond)
            }
            _ => {
                read(body).await?;
                ok(respond)
            }
        }
    }
}

fn ok(mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    let head = Response::builder().header("content-length", "2").body(()).expect("a response");
    respond.send_response(head, false)?.send_data(Bytes::from_static(b"ok"), true)
}

async fn read(mut body: RecvStream) -> Result<Option<HeaderMap>, h2::Error> {
    while let Some(data) = body.data().await {
        body.flow_control().release_capacity(data?.len())?;
    }
    body.trailers().await
}

async fn echo(mut body: RecvStream, mut send: SendStream<Bytes>) -> Result<(), h2::Error> {
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        send.send_data(data, false)?;
    }
    let mut trailers = body.trailers().await?.unwrap_or_default();
    trailers.insert("x-echoed", "whole".parse().expect("a value"));
    send.send_trailers(trailers)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
