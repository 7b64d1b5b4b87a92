//! A client of cleartext HTTP/2 with prior knowledge: many requests at once over one connection.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
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

    /// # Errors
    /// If there is no whole response.
    ///
    /// # Panics
    /// If nothing comes at all.
    pub fn try_send(&self, request: &Request) -> hyper::Result<Response> {
        let exchange = exchange(self.sender.clone(), message(request));
        let outcome = self.runtime.block_on(async { tokio::time::timeout(LIMIT, exchange).await });
        outcome.unwrap_or_else(|_| panic!("no response from {} in time", self.authority))
    }
}

/// A stream of an HTTP/2 connection that has become a WebSocket (RFC 8441).
pub struct Http2Socket<'c> {
    runtime: &'c Runtime,
    stream: TokioIo<hyper::upgrade::Upgraded>,
    /// Headers of the answer.
    pub headers: Headers,
}

impl Http2 {
    /// Asks for a stream of `protocol` by extended CONNECT; the status if there is none. `None` when the gateway does not
    /// say that it takes such requests.
    ///
    /// # Panics
    /// If there is no answer.
    #[must_use]
    pub fn extended_connect(
        &self,
        request: &Request,
        protocol: &'static str,
    ) -> Option<Result<Http2Socket<'_>, Response>> {
        let mut message = message(request);
        *message.method_mut() = http::Method::CONNECT;
        message.extensions_mut().insert(hyper::ext::Protocol::from_static(protocol));
        let mut sender = self.sender.clone();
        self.runtime.block_on(async {
            let mut response = match tokio::time::timeout(LIMIT, sender.send_request(message)).await {
                Ok(Ok(response)) => response,
                // RFC 8441, section 3: a server that did not send the setting knows no `:protocol`.
                Ok(Err(error)) if format!("{error:?}").contains("PROTOCOL_ERROR") => return None,
                other => panic!("extended CONNECT: {other:?}"),
            };
            let headers = fields(response.headers());
            if !response.status().is_success() {
                return Some(Err(collect(response).await.expect("a whole response")));
            }
            let upgraded = hyper::upgrade::on(&mut response).await.expect("a stream");
            Some(Ok(Http2Socket { runtime: &self.runtime, stream: TokioIo::new(upgraded), headers }))
        })
    }
}

impl Http2Socket<'_> {
    /// Bytes as they are.
    ///
    /// # Panics
    /// If they cannot be written.
    pub fn write(&mut self, bytes: &[u8]) {
        self.runtime.block_on(async {
            self.stream.write_all(bytes).await.expect("the gateway reads");
            self.stream.flush().await.expect("the gateway reads");
        });
    }

    /// The next `length` bytes.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn read(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let reading = async { tokio::time::timeout(LIMIT, self.stream.read_exact(&mut bytes)).await };
        self.runtime.block_on(reading).expect("in time").expect("enough bytes");
        bytes
    }

    /// Sends `bytes` while the same number comes back.
    ///
    /// # Panics
    /// If they do not.
    pub fn exchange(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut back = vec![0; bytes.len()];
        let (mut reader, mut writer) = tokio::io::split(&mut self.stream);
        let both = async {
            let reading = reader.read_exact(&mut back);
            let writing = async {
                writer.write_all(bytes).await?;
                writer.flush().await
            };
            let (read, written) =
                tokio::time::timeout(LIMIT, async { tokio::join!(reading, writing) }).await.expect("in time");
            written.and(read.map(|_| ())).expect("the same number of bytes");
        };
        self.runtime.block_on(both);
        back
    }

    /// Ends this direction, and reads the other to its end.
    ///
    /// # Errors
    /// The stream was reset.
    pub fn finish(mut self) -> std::io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.runtime.block_on(async {
            self.stream.shutdown().await?;
            tokio::time::timeout(LIMIT, self.stream.read_to_end(&mut rest)).await.expect("in time")
        })?;
        Ok(rest)
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
    collect(sender.send_request(request).await?).await
}

async fn collect(response: http::Response<hyper::body::Incoming>) -> hyper::Result<Response> {
    let (parts, mut incoming) = response.into_parts();
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
