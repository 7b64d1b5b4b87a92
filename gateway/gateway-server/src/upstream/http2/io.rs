//! The byte stream under an HTTP/2 connection to an upstream.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use std::cell::RefCell;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

use crate::outbox::Posted;
use crate::upstream::driver::OpenConnection;

/// TCP, or TLS over it.
pub(crate) enum Stream {
    Plain(Posted),
    Tls(Box<TlsStream<Posted>>),
}

/// Says when something arrived, to one who waits for what it brings.
#[derive(Clone, Default)]
pub(super) struct Arrival(Rc<RefCell<Option<Waker>>>);

impl Arrival {
    /// Wakes the caller when something arrives, once.
    pub(super) fn watch(&self, context: &Context<'_>) {
        *self.0.borrow_mut() = Some(context.waker().clone());
    }

    fn happened(&self) {
        if let Some(waker) = self.0.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// A stream that is counted while it is open.
pub(super) struct Http2Io {
    stream: Stream,
    arrival: Arrival,
    _open: OpenConnection,
}

impl Http2Io {
    pub(super) const fn new(stream: Stream, arrival: Arrival, open: OpenConnection) -> Self {
        Self { stream, arrival, _open: open }
    }
}

impl AsyncRead for Http2Io {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = match &mut this.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        if outcome.is_ready() {
            this.arrival.happened();
        }
        outcome
    }
}

impl AsyncWrite for Http2Io {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, data),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, data),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(context, data),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(context, data),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
