//! An origin of HTTP/1.1 that answers quickly and counts: what it got, and connections that broke.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Handle;

const MAX_BODY_BYTES: usize = 64 * 1024;

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) requests: AtomicU64,
    /// Requests that did not arrive whole, and connections that were reset.
    pub(crate) broken: AtomicU64,
}

/// Sends back what it gets, or `ok`. Ends with the runtime.
pub(crate) async fn start(counts: Arc<Counts>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    let accepting = async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Small answers must not wait for anything.
            stream.set_nodelay(true).expect("a socket");
            let counts = counts.clone();
            let serving = async move {
                let service = service_fn(|request| answer(request, &counts));
                let connection = hyper::server::conn::http1::Builder::new();
                if connection.serve_connection(TokioIo::new(stream), service).await.is_err() {
                    counts.broken.fetch_add(1, Ordering::SeqCst);
                }
            };
            drop(Handle::current().spawn(serving));
        }
    };
    drop(Handle::current().spawn(accepting));
    address
}

async fn answer(
    request: http::Request<Incoming>,
    counts: &Counts,
) -> Result<http::Response<Full<Bytes>>, Infallible> {
    let body = read(request.into_body()).await.unwrap_or_else(|| {
        counts.broken.fetch_add(1, Ordering::SeqCst);
        Bytes::new()
    });
    counts.requests.fetch_add(1, Ordering::SeqCst);
    let body = if body.is_empty() { Bytes::from_static(b"ok") } else { body };
    Ok(http::Response::new(Full::new(body)))
}

/// The whole body; `None` if it breaks off or is larger than any that is sent here.
async fn read(mut body: Incoming) -> Option<Bytes> {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        whole.extend_from_slice(frame.ok()?.data_ref()?);
        if whole.len() > MAX_BODY_BYTES {
            return None;
        }
    }
    Some(whole.into())
}
