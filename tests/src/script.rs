//! What an origin does with a request: a fixed answer, a late one, a broken one.

use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::eventually::{LIMIT, pause};
use crate::request::chunked;

const ZEROS_BYTES: usize = 64 * 1024;

/// A door that a test opens once: whoever waits goes on.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// A closed one.
    #[must_use]
    pub fn closed() -> Self {
        Self::default()
    }

    /// Lets everybody through, now and later.
    pub fn open(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Waits until it is open, in a script of a test's own.
    pub fn pass(&self) {
        self.wait();
    }

    /// Waits until it is open; a test that never opens it fails elsewhere, so this gives up in the end.
    pub(crate) fn wait(&self) {
        let deadline = Instant::now() + LIMIT * 3;
        let mut open = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !*open && Instant::now() < deadline {
            open = self.0.1.wait_timeout(open, LIMIT).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// An answer to one request.
#[derive(Clone)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Body,
    before: Vec<Before>,
    /// Close the connection afterwards, without having said so.
    closes: bool,
}

#[derive(Clone)]
enum Body {
    Sized(Vec<u8>),
    /// As [`Body::Sized`], but only the first bytes are sent.
    Cut(Vec<u8>, usize),
    Chunked(Vec<Vec<u8>>, Vec<(String, String)>),
    /// Chunks with a time between them.
    Slow(Vec<Vec<u8>>, Duration),
    Zeros(u64),
    /// Until the connection closes.
    Unframed(Vec<u8>),
    /// Only the head, framed by the headers alone.
    None,
    /// These bytes in place of a response.
    Raw(Vec<u8>),
    Nothing,
}

#[derive(Clone)]
enum Before {
    Delay(Duration),
    Gate(Gate),
}

impl Answer {
    /// 200 with a body of known length.
    #[must_use]
    pub fn text(body: impl AsRef<[u8]>) -> Self {
        Self::with(Body::Sized(body.as_ref().to_vec()))
    }

    /// 200 with a chunked body, a chunk per item.
    #[must_use]
    pub fn chunked<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self::with(Body::Chunked(chunks.into_iter().map(<[u8]>::to_vec).collect(), Vec::new()))
    }

    /// 200 with chunks that come one `interval` apart.
    #[must_use]
    pub fn slowly<'a>(chunks: impl IntoIterator<Item = &'a [u8]>, interval: Duration) -> Self {
        Self::with(Body::Slow(chunks.into_iter().map(<[u8]>::to_vec).collect(), interval))
    }

    /// 200 with `length` zero bytes.
    #[must_use]
    pub fn zeros(length: u64) -> Self {
        Self::with(Body::Zeros(length))
    }

    /// 200 with a body that ends where the connection does.
    #[must_use]
    pub fn until_close(body: impl AsRef<[u8]>) -> Self {
        Self::with(Body::Unframed(body.as_ref().to_vec()))
    }

    /// 200 that promises `body` and closes after its first `sent` bytes.
    #[must_use]
    pub fn cut(body: impl AsRef<[u8]>, sent: usize) -> Self {
        Self::with(Body::Cut(body.as_ref().to_vec(), sent))
    }

    /// A head alone: for 204, 304 and HEAD.
    #[must_use]
    pub fn head(status: u16) -> Self {
        Self::with(Body::None).status(status)
    }

    /// These bytes, whatever they are.
    #[must_use]
    pub fn raw(bytes: impl AsRef<[u8]>) -> Self {
        Self::with(Body::Raw(bytes.as_ref().to_vec()))
    }

    /// Closes the connection without a byte.
    #[must_use]
    pub fn close() -> Self {
        Self::with(Body::Nothing)
    }

    /// Another status.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// One more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// A trailer after a chunked body, announced.
    ///
    /// # Panics
    /// If the body is not chunked.
    #[must_use]
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        let Body::Chunked(_, trailers) = &mut self.body else { panic!("only a chunked body has trailers") };
        trailers.push((name.into(), value.into()));
        self.header("trailer", name)
    }

    /// Not before `time` has passed.
    #[must_use]
    pub fn after(mut self, time: Duration) -> Self {
        self.before.push(Before::Delay(time));
        self
    }

    /// Not before the gate is open.
    #[must_use]
    pub fn behind(mut self, gate: &Gate) -> Self {
        self.before.push(Before::Gate(gate.clone()));
        self
    }

    /// Closes the connection right after, as if it were kept open.
    #[must_use]
    pub fn then_close(mut self) -> Self {
        self.closes = true;
        self
    }

    fn with(body: Body) -> Self {
        Self { status: 200, headers: Vec::new(), body, before: Vec::new(), closes: false }
    }

    /// Plays this; whether the connection stays open.
    pub(crate) fn play(&self, stream: &mut TcpStream, is_head: bool, sent: &AtomicU64) -> io::Result<bool> {
        for before in &self.before {
            match before {
                Before::Delay(time) => pause(*time),
                Before::Gate(gate) => gate.wait(),
            }
        }
        match &self.body {
            Body::Nothing => return Ok(false),
            Body::Raw(bytes) => stream.write_all(bytes)?,
            // One write where possible: a peer sees head and body together.
            Body::Sized(body) if !is_head => stream.write_all(&[self.head_bytes(), body.clone()].concat())?,
            Body::Cut(body, first) => {
                stream.write_all(&[&self.head_bytes(), &body[..*first]].concat())?;
                return Ok(false);
            }
            _ => stream.write_all(&self.head_bytes())?,
        }
        if !is_head {
            self.play_body(stream, sent)?;
        }
        Ok(!self.closes && !matches!(self.body, Body::Unframed(_)))
    }

    fn play_body(&self, stream: &mut TcpStream, sent: &AtomicU64) -> io::Result<()> {
        match &self.body {
            Body::Chunked(chunks, trailers) => stream.write_all(&chunked(chunks, trailers)),
            Body::Slow(chunks, interval) => {
                for chunk in chunks {
                    let chunk = [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat();
                    stream.write_all(&chunk)?;
                    pause(*interval);
                }
                stream.write_all(b"0\r\n\r\n")
            }
            Body::Zeros(length) => {
                let (zeros, mut left) = (vec![0; ZEROS_BYTES], *length);
                while left > 0 {
                    let bytes = zeros.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    stream.write_all(&zeros[..bytes])?;
                    sent.fetch_add(bytes as u64, Ordering::SeqCst);
                    left -= bytes as u64;
                }
                Ok(())
            }
            Body::Unframed(body) => stream.write_all(body),
            Body::Sized(_) | Body::Cut(..) | Body::None | Body::Raw(_) | Body::Nothing => Ok(()),
        }
    }

    fn head_bytes(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} Scripted\r\n", self.status);
        let framing = match &self.body {
            Body::Sized(body) | Body::Cut(body, _) => Some(("content-length", body.len().to_string())),
            Body::Zeros(length) => Some(("content-length", length.to_string())),
            Body::Chunked(..) | Body::Slow(..) => Some(("transfer-encoding", "chunked".to_owned())),
            Body::Unframed(_) | Body::None | Body::Raw(_) | Body::Nothing => None,
        };
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.clone()));
        for (name, value) in headers.chain(framing) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }
}
