//! An upstream that answers early and closes breaks the writing of the rest of the request. Its answer was sent before, so it
//! can still be read, and is worth more than the news that nothing more can be written.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection to an upstream that goes on reading when it cannot be written to any more.
///
/// From then on, what is written is dropped. A connection that broke has an end or an error to read, after the answer or in
/// place of one, so that nobody writes into the void for long.
pub(crate) struct AnswerFirst<S> {
    stream: S,
    broken: bool,
}

impl<S> AnswerFirst<S> {
    pub(super) const fn new(stream: S) -> Self {
        Self { stream, broken: false }
    }

    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    /// What a write came to, or a pretence of it.
    fn note<T>(&mut self, outcome: Poll<io::Result<T>>, pretence: T) -> Poll<io::Result<T>> {
        match outcome {
            Poll::Ready(Err(error)) => {
                tracing::debug!("an upstream takes no more: {error}");
                self.broken = true;
                Poll::Ready(Ok(pretence))
            }
            outcome => outcome,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for AnswerFirst<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for AnswerFirst<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.broken {
            return Poll::Ready(Ok(data.len()));
        }
        let outcome = Pin::new(&mut this.stream).poll_write(context, data);
        this.note(outcome, data.len())
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let length = || data.iter().map(|slice| slice.len()).sum();
        if this.broken {
            return Poll::Ready(Ok(length()));
        }
        let outcome = Pin::new(&mut this.stream).poll_write_vectored(context, data);
        match outcome {
            Poll::Ready(Err(_)) => this.note(outcome, length()),
            outcome => outcome,
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.broken {
            return Poll::Ready(Ok(()));
        }
        let outcome = Pin::new(&mut this.stream).poll_flush(context);
        this.note(outcome, ())
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
#[path = "answer_first_tests.rs"]
mod tests;
