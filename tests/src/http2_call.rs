//! A client of HTTP/2 that sends and receives piece by piece.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, StatusCode};
use tokio::runtime::Runtime;

use crate::eventually::LIMIT;
use crate::http2::fields;
use crate::wire::Headers;

/// One connection with prior knowledge.
pub struct Caller {
    runtime: Arc<Runtime>,
    sender: SendRequest<Bytes>,
    address: SocketAddr,
}

/// One request and its response, both under way. Dropped before its end, it is called off.
pub struct Call {
    runtime: Arc<Runtime>,
    send: SendStream<Bytes>,
    waiting: Option<ResponseFuture>,
    receive: Option<RecvStream>,
}

impl Caller {
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
            let (sender, connection) = h2::client::handshake(stream).await.expect("a handshake");
            // Its errors are those of the calls.
            drop(tokio::runtime::Handle::current().spawn(connection));
            sender
        });
        Self { runtime: Arc::new(runtime), sender, address }
    }

    /// `POST path` with these headers; the body follows.
    ///
    /// # Panics
    /// If it cannot be sent.
    #[must_use]
    pub fn begin(&self, path: &str, headers: &[(&str, &str)]) -> Call {
        self.open(path, headers, false)
    }

    /// `POST path` with these headers and no body.
    ///
    /// # Panics
    /// If it cannot be sent.
    #[must_use]
    pub fn ask(&self, path: &str, headers: &[(&str, &str)]) -> Call {
        self.open(path, headers, true)
    }

    fn open(&self, path: &str, headers: &[(&str, &str)], is_whole: bool) -> Call {
        let mut request = Request::builder().method("POST").uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a legal request");
        let sender = self.sender.clone();
        let (waiting, send) = self.runtime.block_on(async {
            let mut sender = sender.ready().await.expect("a connection");
            sender.send_request(request, is_whole).expect("a stream")
        });
        Call { runtime: self.runtime.clone(), send, waiting: Some(waiting), receive: None }
    }
}

impl Call {
    /// Sends a piece of the body.
    ///
    /// # Panics
    /// If the stream is over.
    pub fn send(&mut self, piece: &str) {
        self.send.send_data(Bytes::copy_from_slice(piece.as_bytes()), false).expect("an open stream");
    }

    /// The same, where the answer may have ended the stream in the meantime.
    pub fn send_if_open(&mut self, piece: &str) {
        // Whatever the error is, it is that of a stream that is over; what matters is the answer.
        let _ = self.send.send_data(Bytes::copy_from_slice(piece.as_bytes()), false);
    }

    /// Ends the body, with these trailers if there are any.
    ///
    /// # Panics
    /// If the stream is over.
    pub fn finish(&mut self, trailers: &[(&'static str, &str)]) {
        if trailers.is_empty() {
            return self.send.send_data(Bytes::new(), true).expect("an open stream");
        }
        let trailers = trailers.iter().map(|(name, value)| {
            (http::HeaderName::from_static(name), value.parse().expect("a legal value"))
        });
        self.send.send_trailers(trailers.collect::<HeaderMap>()).expect("an open stream");
    }

    /// The head of the response.
    ///
    /// # Errors
    /// The stream was reset.
    ///
    /// # Panics
    /// If it was asked for before, or nothing comes.
    pub fn head(&mut self) -> Result<(StatusCode, Headers), h2::Error> {
        let waiting = self.waiting.take().expect("a head that is still to come");
        let response = self.within(waiting)?;
        let (parts, body) = response.into_parts();
        self.receive = Some(body);
        Ok((parts.status, fields(&parts.headers)))
    }

    /// The next piece of the response; `None` at the end of its body.
    ///
    /// # Errors
    /// The stream was reset.
    ///
    /// # Panics
    /// If the head was not asked for before, or nothing comes.
    pub fn receive(&mut self) -> Result<Option<String>, h2::Error> {
        let mut body = self.receive.take().expect("a head before");
        let data = self.within(body.data()).transpose();
        if let Ok(Some(data)) = &data {
            body.flow_control().release_capacity(data.len())?;
        }
        self.receive = Some(body);
        Ok(data?.map(|data| String::from_utf8_lossy(&data).into_owned()))
    }

    /// The trailers of the response, after the end of its body.
    ///
    /// # Errors
    /// The stream was reset.
    ///
    /// # Panics
    /// If the head was not asked for before, or nothing comes.
    pub fn trailers(&mut self) -> Result<Headers, h2::Error> {
        let mut body = self.receive.take().expect("a head before");
        let trailers = self.within(body.trailers())?;
        Ok(trailers.map(|map| fields(&map)).unwrap_or_default())
    }

    /// Calls it off.
    pub fn cancel(mut self) {
        self.send.send_reset(Reason::CANCEL);
    }

    fn within<T>(&self, what: impl Future<Output = T>) -> T {
        let limited = async { tokio::time::timeout(LIMIT, what).await };
        self.runtime.block_on(limited).unwrap_or_else(|_| panic!("nothing came in time"))
    }
}
