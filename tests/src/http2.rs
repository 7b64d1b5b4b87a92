//! A client of cleartext HTTP/2 with prior knowledge: many requests at once over one connection.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::client::Response;
use crate::eventually::LIMIT;
use crate::request::{Body, Request};
use crate::wire::Headers;

/// One HTTP/2 connection.
pub struct Http2 {
    runtime: Runtime,
    sender: SendRequest<Full<Bytes>>,
    authority: SocketAddr,
}

impl Http2 {
    /// # Panics
    /// If there is no connection.
    #[must_use]
    pub fn connect(address: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let sender = runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(address).await.expect("a listener");
            let (sender, connection) =
                http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("a handshake");
            // Its errors are those of the requests.
            drop(tokio::runtime::Handle::current().spawn(connection));
            sender
        });
        Self { runtime, sender, authority: address }
    }

    /// Sends all requests at once; their responses in the same order.
    ///
    /// # Panics
    /// If one has no whole response.
    #[must_use]
    pub fn send_all(&self, requests: &[Request]) -> Vec<Response> {
        let all = async {
            let mut exchanges = JoinSet::new();
            for (index, request) in requests.iter().enumerate() {
                let exchange = exchange(self.sender.clone(), message(request));
                exchanges.spawn(async move { (index, exchange.await) });
            }
            let mut responses = exchanges.join_all().await;
            responses.sort_by_key(|(index, _)| *index);
            responses
        };
        let responses = self.runtime.block_on(async { tokio::time::timeout(LIMIT, all).await });
        let responses = responses.unwrap_or_else(|_| panic!("no response from {} in time", self.authority));
        responses
            .into_iter()
            .map(|(_, response)| response.unwrap_or_else(|error| panic!("HTTP/2: {error}")))
            .collect()
    }

    /// Sends one request.
    ///
    /// # Panics
    /// If it has no whole response.
    #[must_use]
    pub fn send(&self, request: &Request) -> Response {
        self.send_all(std::slice::from_ref(request)).remove(0)
    }
}

fn message(request: &Request) -> http::Request<Full<Bytes>> {
    let body = match &request.body {
        Body::None => Bytes::new(),
        Body::Sized(body) => Bytes::copy_from_slice(body),
        Body::Chunked(chunks, _) => chunks.concat().into(),
    };
    let uri = format!("http://{}{}", request.host, request.target);
    let mut builder = http::Request::builder().method(request.method.as_str()).uri(uri);
    for (name, value) in &request.headers {
        builder = builder.header(name, value);
    }
    builder.body(Full::new(body)).expect("a legal request")
}

async fn exchange(
    mut sender: SendRequest<Full<Bytes>>,
    request: http::Request<Full<Bytes>>,
) -> hyper::Result<Response> {
    let (parts, mut incoming) = sender.send_request(request).await?.into_parts();
    let (mut body, mut trailers) = (Vec::new(), Headers::default());
    while let Some(frame) = incoming.frame().await {
        match frame?.into_data() {
            Ok(data) => body.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().map(|map| fields(&map)).unwrap_or_default(),
        }
    }
    let headers = fields(&parts.headers);
    Ok(Response {
        version: format!("{:?}", parts.version),
        status: parts.status.as_u16(),
        headers,
        body,
        trailers,
    })
}

pub(crate) fn fields(map: &http::HeaderMap) -> Headers {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Headers(map.iter().map(|(name, value)| (name.to_string(), text(value))).collect())
}
