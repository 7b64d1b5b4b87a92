//! Requests that tests send, over HTTP/1.1 as bytes or over HTTP/2.

use std::fmt::Write;
use std::net::SocketAddr;

use crate::{Client, Response};

/// A request to send.
#[derive(Clone, Debug)]
pub struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) host: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Body,
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    None,
    Sized(Vec<u8>),
    Chunked(Vec<Vec<u8>>, Vec<(String, String)>),
}

impl Request {
    /// A request without a body, for the host `test.example`.
    #[must_use]
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.into(),
            target: target.into(),
            host: "test.example".into(),
            headers: Vec::new(),
            body: Body::None,
        }
    }

    /// `GET target`.
    #[must_use]
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// `POST target` with a body of known length.
    #[must_use]
    pub fn post(target: &str, body: impl AsRef<[u8]>) -> Self {
        Self::new("POST", target).body(body)
    }

    /// Another host.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        self.host = host.into();
        self
    }

    /// One more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// A body with `content-length`.
    #[must_use]
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = Body::Sized(body.as_ref().to_vec());
        self
    }

    /// A chunked body, a chunk per item.
    #[must_use]
    pub fn chunked<'a>(mut self, chunks: impl IntoIterator<Item = &'a [u8]>) -> Self {
        self.body = Body::Chunked(chunks.into_iter().map(<[u8]>::to_vec).collect(), Vec::new());
        self
    }

    /// A trailer after a chunked body.
    ///
    /// # Panics
    /// If the body is not chunked.
    #[must_use]
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        let Body::Chunked(_, trailers) = &mut self.body else { panic!("only a chunked body has trailers") };
        trailers.push((name.into(), value.into()));
        self
    }

    /// Sends this over a connection of its own.
    ///
    /// # Panics
    /// If there is no whole response.
    #[must_use]
    pub fn to(&self, address: SocketAddr) -> Response {
        Client::connect(address).send(self)
    }

    /// As HTTP/1.1 sends it.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nhost: {}\r\n", self.method, self.target, self.host);
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let mut bytes = Vec::new();
        match &self.body {
            Body::None => head.push_str("\r\n"),
            Body::Sized(body) => {
                let _ = write!(head, "content-length: {}\r\n\r\n", body.len());
                bytes.extend_from_slice(body);
            }
            Body::Chunked(chunks, trailers) => {
                head.push_str("transfer-encoding: chunked\r\n\r\n");
                bytes = chunked(chunks, trailers);
            }
        }
        let mut message = head.into_bytes();
        message.append(&mut bytes);
        message
    }
}

/// A chunked body on the wire.
pub(crate) fn chunked(chunks: &[Vec<u8>], trailers: &[(String, String)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in chunks {
        bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\n");
    for (name, value) in trailers {
        bytes.extend(format!("{name}: {value}\r\n").bytes());
    }
    bytes.extend(b"\r\n");
    bytes
}
