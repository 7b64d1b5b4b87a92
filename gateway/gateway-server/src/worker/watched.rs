//! A byte stream that notes when its peer takes no more bytes, for the worker to see how long that lasts.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::ByteStream;
use super::patience::WriteClock;

/// TCP, or TLS over it, watched.
pub(super) struct Watched<S> {
    stream: S,
    clock: Arc<WriteClock>,
}

impl<S> Watched<S> {
    pub(super) const fn new(stream: S, clock: Arc<WriteClock>) -> Self {
        Self { stream, clock }
    }

    fn note<T>(&self, outcome: Poll<T>) -> Poll<T> {
        match &outcome {
            Poll::Ready(_) => self.clock.moves(),
            Poll::Pending => self.clock.stalls(),
        }
        outcome
    }
}

impl<S: ByteStream> ByteStream for Watched<S> {
    fn cut_off(&self) {
        self.stream.cut_off();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write(context, data);
        this.note(outcome)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_flush(context);
        this.note(outcome)
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
        let outcome = Pin::new(&mut this.stream).poll_write_vectored(context, data);
        this.note(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
