//! The byte stream of an HTTP/2 connection: its frames are counted as they pass, and a client that floods gets no further.
//!
//! Shared by the HTTP library, which reads and writes, and the connection's task, which has it back for the farewell.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use gateway_wire::http2_meter::{Excess, Http2Meter};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::activity::ConnectionHandle;

/// A metered connection.
pub(super) struct Http2Io<S> {
    stream: S,
    read_ahead: Bytes,
    handle: Rc<ConnectionHandle>,
    meter: Http2Meter,
    /// What there was too much of. Nothing is read then, and of what is written only the rest of the frame begun.
    excess: Option<Excess>,
}

/// The same, as the HTTP library has it.
pub(super) struct Shared<S>(pub(super) Rc<RefCell<Http2Io<S>>>);

impl<S> Http2Io<S> {
    pub(super) const fn new(
        stream: S,
        read_ahead: Bytes,
        handle: Rc<ConnectionHandle>,
        max_head_bytes: u32,
    ) -> Self {
        Self { stream, read_ahead, handle, meter: Http2Meter::new(max_head_bytes), excess: None }
    }

    /// What there was too much of, once the client can be told so: between two frames.
    pub(super) const fn flooded(&self) -> Option<Excess> {
        if self.meter.unsent() == 0 { self.excess } else { None }
    }

    /// The stream, and what to say at last.
    pub(super) fn into_farewell(self, excess: Excess) -> (S, Vec<u8>) {
        (self.stream, self.meter.farewell(excess))
    }
}

impl<S: AsyncRead + Unpin> Http2Io<S> {
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.excess.is_some() {
            // The connection's task, which polls this, sees to the end.
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        if self.read_ahead.is_empty() {
            ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        } else {
            let length = self.read_ahead.len().min(buffer.remaining());
            buffer.put_slice(&self.read_ahead[..length]);
            self.read_ahead.advance(length);
            if self.read_ahead.is_empty() {
                // Connections live long, and would keep what it was in.
                self.read_ahead = Bytes::new();
            }
        }
        if let Err(excess) = self.meter.received(&buffer.filled()[before..], self.handle.now_ms()) {
            self.excess = Some(excess);
            buffer.set_filled(before);
            return Poll::Pending;
        }
        self.handle.reads_head(self.meter.open_head());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Http2Io<S> {
    fn poll_write(&mut self, context: &mut Context<'_>, data: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = if self.excess.is_some() {
            let first = data.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| slice);
            let rest = &first[..first.len().min(self.meter.unsent())];
            if rest.is_empty() {
                return Poll::Pending;
            }
            ready!(Pin::new(&mut self.stream).poll_write(context, rest))?
        } else {
            ready!(Pin::new(&mut self.stream).poll_write_vectored(context, data))?
        };
        self.meter.expect_resets(self.handle.take_own_resets());
        let mut left = written;
        for slice in data {
            let piece = &slice[..slice.len().min(left)];
            left -= piece.len();
            if let Err(excess) = self.meter.sent(piece) {
                self.excess.get_or_insert(excess);
            }
        }
        Poll::Ready(Ok(written))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Shared<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Shared<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_write(context, &[io::IoSlice::new(data)])
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_write(context, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.borrow().stream.is_write_vectored()
    }
}
