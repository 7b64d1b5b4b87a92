//! Bytes that go to an HTTP/1 client between two messages: interim responses.
//!
//! The HTTP library flushes only what is whole: when it asks for that and a response has not begun, the connection is between
//! two messages.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

/// What waits to be written between two messages.
#[derive(Default)]
pub(super) struct Between(RefCell<Waiting>);

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    written: usize,
}

impl Between {
    pub(super) fn push(&self, bytes: &[u8]) {
        self.0.borrow_mut().bytes.extend_from_slice(bytes);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().bytes.is_empty()
    }

    /// Between two messages: writes all of it, and wakes whoever waits for that in the same task.
    pub(super) fn poll_write_all(
        &self,
        stream: &mut (impl AsyncWrite + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let mut waiting = self.0.borrow_mut();
        while waiting.written < waiting.bytes.len() {
            let taken =
                ready!(Pin::new(&mut *stream).poll_write(context, &waiting.bytes[waiting.written..]))?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            waiting.written += taken;
        }
        *waiting = Waiting::default();
        context.waker().wake_by_ref();
        Poll::Ready(Ok(()))
    }

    /// A message begins that did not wait: what was begun is finished, what was not is forgotten.
    pub(super) fn poll_give_way(
        &self,
        stream: &mut (impl AsyncWrite + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.0.borrow().written > 0 {
            return self.poll_write_all(stream, context);
        }
        self.0.take();
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
#[path = "between_tests.rs"]
mod tests;
