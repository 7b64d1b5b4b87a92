//! The byte stream of a client connection: what was read while guessing the protocol comes first, and arriving bytes are
//! noted for timeouts.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::activity::ConnectionHandle;

/// The byte stream of a client connection: TCP, or TLS over it. A type of its own for each, so that plain connections
/// pay nothing for the other kind.
pub(crate) struct ClientIo<S> {
    stream: S,
    read_ahead: Bytes,
    /// Absent for HTTP/2, where bytes say nothing about progress (there are frames beside requests) and belong to frames.
    handle: Option<Rc<ConnectionHandle>>,
}

impl<S> ClientIo<S> {
    pub(crate) const fn new(stream: S, read_ahead: Bytes, handle: Option<Rc<ConnectionHandle>>) -> Self {
        Self { stream, read_ahead, handle }
    }

    pub(crate) const fn get_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ClientIo<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.read_ahead.is_empty() {
            let length = this.read_ahead.len().min(buffer.remaining());
            buffer.put_slice(&this.read_ahead[..length]);
            this.read_ahead.advance(length);
            if this.read_ahead.is_empty() {
                // Connections live long, and would keep what it was in.
                this.read_ahead = Bytes::new();
            }
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut this.stream).poll_read(context, buffer);
        if buffer.filled().len() > before
            && let Some(handle) = &this.handle
        {
            handle.activity_ref().received();
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> ClientIo<S> {
    /// Before bytes of a message: nothing else may be half written.
    fn poll_give_way(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.handle {
            Some(handle) if !handle.between.is_empty() => {
                handle.between.poll_give_way(&mut self.stream, context)
            }
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ClientIo<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_give_way(context))?;
        Pin::new(&mut this.stream).poll_write(context, data)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(handle) = &this.handle
            && !handle.between.is_empty()
        {
            // All of every message so far is written, or it would not be flushed.
            ready!(handle.between.poll_write_all(&mut this.stream, context))?;
        }
        Pin::new(&mut this.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_give_way(context))?;
        Pin::new(&mut this.stream).poll_write_vectored(context, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
