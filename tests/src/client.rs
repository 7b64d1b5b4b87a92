//! A client of HTTP/1.1 over one plain connection. Never retries: what fails here failed for a user.

use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::eventually::LIMIT;
use crate::request::Request;
use crate::wire::{Head, Headers, Wire, bad};

/// One connection.
pub struct Client {
    wire: Wire,
}

/// A whole response.
#[derive(Clone, Debug)]
pub struct Response {
    /// `HTTP/1.1` and the like.
    pub version: String,
    /// Status code.
    pub status: u16,
    /// Headers as received.
    pub headers: Headers,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// Trailers as received.
    pub trailers: Headers,
}

impl Response {
    /// The only value of a header; see [`Headers::get`].
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    /// # Panics
    /// If nobody listens.
    #[must_use]
    pub fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).unwrap_or_else(|error| panic!("connecting to {address}: {error}"))
    }

    /// # Errors
    /// If nobody listens.
    pub fn try_connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, LIMIT)?;
        stream.set_nodelay(true)?;
        Ok(Self::over(stream))
    }

    /// Goes on with a connection of the test's own.
    ///
    /// # Panics
    /// Never: the times are not zero.
    #[must_use]
    pub fn over(stream: TcpStream) -> Self {
        // A test that waits for ever says nothing.
        stream.set_read_timeout(Some(LIMIT * 2)).expect("not zero");
        stream.set_write_timeout(Some(LIMIT * 2)).expect("not zero");
        Self { wire: Wire::new(stream) }
    }

    /// Sends a request and reads its response; the connection stays open.
    ///
    /// # Panics
    /// If there is no whole response.
    pub fn send(&mut self, request: &Request) -> Response {
        self.try_send(request)
            .unwrap_or_else(|error| panic!("{} {}: {error}", request.method, request.target))
    }

    /// # Errors
    /// If there is no whole response.
    pub fn try_send(&mut self, request: &Request) -> io::Result<Response> {
        self.wire.stream.write_all(&request.bytes())?;
        self.response_to(&request.method)
    }

    /// `GET target` over this connection.
    ///
    /// # Panics
    /// If there is no whole response.
    pub fn get(&mut self, target: &str) -> Response {
        self.send(&Request::get(target))
    }

    /// Bytes as they are.
    ///
    /// # Panics
    /// If they cannot be written.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.wire.stream.write_all(bytes.as_ref()).expect("the gateway reads");
    }

    /// The next response, to a request of `method` that was written before. An interim `100` is skipped.
    ///
    /// # Panics
    /// If there is no whole response.
    pub fn read(&mut self, method: &str) -> Response {
        self.response_to(method).unwrap_or_else(|error| panic!("response to {method}: {error}"))
    }

    /// # Errors
    /// If there is no whole response.
    pub fn response_to(&mut self, method: &str) -> io::Result<Response> {
        loop {
            let response = self.one_response(method)?;
            if response.status != 100 {
                return Ok(response);
            }
        }
    }

    /// Only the head of the next response: status and headers.
    ///
    /// # Panics
    /// If there is no head.
    pub fn read_head(&mut self) -> (u16, Headers) {
        let head = self.wire.head().and_then(|head| head.ok_or_else(|| bad("closed".into())));
        let head = head.unwrap_or_else(|error| panic!("response head: {error}"));
        let (_, status) = status_line(&head).unwrap_or_else(|error| panic!("{error}"));
        (status, head.headers)
    }

    /// The next `length` bytes.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn read_bytes(&mut self, length: usize) -> Vec<u8> {
        self.wire.exact(length).unwrap_or_else(|error| panic!("{length} bytes: {error}"))
    }

    /// Whether the gateway closes this connection without a further byte.
    ///
    /// # Panics
    /// If there are further bytes.
    pub fn is_closed(&mut self) -> bool {
        match self.wire.rest() {
            Ok(rest) => {
                assert!(rest.is_empty(), "unexpected bytes: {:?}", String::from_utf8_lossy(&rest));
                true
            }
            Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
        }
    }

    /// How long reads wait before they fail.
    ///
    /// # Panics
    /// Only for a time of zero.
    pub fn set_patience(&mut self, time: Duration) {
        self.wire.stream.set_read_timeout(Some(time)).expect("not zero");
    }

    /// Everything until the gateway ends its direction.
    ///
    /// # Panics
    /// If the connection breaks.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        self.wire.rest().unwrap_or_else(|error| panic!("the rest: {error}"))
    }

    /// Another handle of the same socket, for writing while this one reads.
    ///
    /// # Panics
    /// If the system has no more.
    #[must_use]
    pub fn socket(&self) -> TcpStream {
        self.wire.stream.try_clone().expect("a descriptor")
    }

    /// No more requests will follow.
    ///
    /// # Panics
    /// If the connection is gone.
    pub fn finish_writing(&mut self) {
        self.wire.stream.shutdown(Shutdown::Write).expect("open connection");
    }

    fn one_response(&mut self, method: &str) -> io::Result<Response> {
        let head = self.wire.head()?.ok_or_else(|| bad("closed without a response".into()))?;
        let (version, status) = status_line(&head)?;
        let (body, trailers) = self.body(method, status, &head.headers)?;
        Ok(Response { version, status, headers: head.headers, body, trailers })
    }

    /// RFC 9112, section 6.3.
    fn body(&mut self, method: &str, status: u16, headers: &Headers) -> io::Result<(Vec<u8>, Headers)> {
        let none = Headers::default();
        if method == "HEAD" || status < 200 || status == 204 || status == 304 {
            return Ok((Vec::new(), none));
        }
        match (headers.get("transfer-encoding"), headers.get("content-length")) {
            (Some(_), Some(_)) => Err(bad("both transfer-encoding and content-length".into())),
            (Some("chunked"), None) => self.wire.chunked(),
            (Some(other), None) => Err(bad(format!("transfer-encoding {other:?}"))),
            (None, Some(length)) => {
                let length = length.parse().map_err(|_| bad(format!("content-length {length:?}")))?;
                Ok((self.wire.exact(length)?, none))
            }
            (None, None) => Ok((self.wire.rest()?, none)),
        }
    }
}

fn status_line(head: &Head) -> io::Result<(String, u16)> {
    let mut words = head.first_line.splitn(3, ' ');
    let version = words.next().filter(|version| version.starts_with("HTTP/1."));
    let status = words.next().and_then(|word| word.parse().ok());
    let (version, status) =
        version.zip(status).ok_or_else(|| bad(format!("status line {:?}", head.first_line)))?;
    Ok((version.to_owned(), status))
}
