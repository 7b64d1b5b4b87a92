//! A byte stream with a message gate on its reading side: what the HTTP library reads has passed it.
//!
//! Bytes are looked at where they were read to; only the beginning of a head that has not ended yet is kept here until it
//! has, so that the library sees heads whole, and a refused one not at all. What happens then is up to the [`Door`].

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use gateway_wire::Refusal;
use gateway_wire::gate::{Next, Scan};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most that is kept of what a client sends before it is known whether its connection stays with HTTP.
const MAX_HELD_BYTES: usize = 64 * 1024;

/// A gate, and what to do when it closes.
pub(crate) trait Door {
    /// See [`Scan`].
    fn scan(&mut self, bytes: &[u8]) -> Scan;

    /// After [`Next::Hold`]: whether it is known now that the connection stays with HTTP.
    fn stays(&mut self) -> bool;

    /// A message was refused, of which `bytes` have not gone on. What goes on in their place, if anything; otherwise reading
    /// fails from here on.
    fn refused(&mut self, refusal: Refusal, bytes: &[u8]) -> Option<Vec<u8>>;

    /// Whether some of a head is kept.
    fn keeps_head(&mut self, keeps: bool);
}

/// A byte stream behind a door. A type of its own for each pair, so that nothing is looked up per read.
pub(crate) struct Gated<S, D> {
    stream: S,
    door: D,
    /// Read, and not gone on yet.
    kept: Vec<u8>,
    /// As many of those may go on.
    free: usize,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Messages are followed.
    Following,
    /// It is not known yet whether what comes is HTTP.
    Holding,
    /// Nothing is read any more: a message was refused, and its answer is on the way.
    Silent,
    /// Reading fails.
    Failed(Refusal),
    /// Everything goes on.
    Open,
}

impl<S, D: Door> Gated<S, D> {
    pub(crate) const fn new(stream: S, door: D) -> Self {
        Self { stream, door, kept: Vec::new(), free: 0, state: State::Following }
    }

    pub(crate) const fn get_ref(&self) -> &S {
        &self.stream
    }

    /// From here on everything goes on, beginning with what was kept.
    pub(crate) fn open(mut self) -> Self {
        self.free = self.kept.len();
        self.state = State::Open;
        self
    }

    /// Looks at what was kept, with what came since.
    fn look(&mut self) {
        let Scan { passed, next } = self.door.scan(&self.kept);
        self.free = passed;
        self.follow(next);
    }

    /// `kept` begins with `free` bytes that may go on; this is about those after them.
    fn follow(&mut self, next: Next) {
        self.door.keeps_head(next == Next::More && self.kept.len() > self.free);
        match next {
            Next::More => self.state = State::Following,
            Next::Hold => self.state = State::Holding,
            Next::Refused(refusal) => {
                let instead = self.door.refused(refusal, &self.kept[self.free..]);
                self.kept.truncate(self.free);
                self.state = match instead {
                    Some(bytes) => {
                        self.kept.extend_from_slice(&bytes);
                        self.free = self.kept.len();
                        State::Silent
                    }
                    None => State::Failed(refusal),
                };
            }
        }
    }

    /// Hands over what may go on.
    fn give(&mut self, buffer: &mut ReadBuf<'_>) {
        let given = self.free.min(buffer.remaining());
        buffer.put_slice(&self.kept[..given]);
        self.kept.drain(..given);
        self.free -= given;
        if self.kept.is_empty() {
            // Connections live long, and few have anything to keep.
            self.kept = Vec::new();
        }
    }

    /// What was read into `buffer` from `before` on: stays there as far as it may go on.
    fn admit(&mut self, buffer: &mut ReadBuf<'_>, before: usize) {
        let Scan { passed, next } = self.door.scan(&buffer.filled()[before..]);
        let end = before + passed;
        if end == buffer.filled().len() && next == Next::More {
            return;
        }
        self.kept.extend_from_slice(&buffer.filled()[end..]);
        buffer.set_filled(end);
        self.follow(next);
    }
}

impl<S: AsyncRead + Unpin, D: Door + Unpin> AsyncRead for Gated<S, D> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.free > 0 {
                this.give(buffer);
                return Poll::Ready(Ok(()));
            }
            match this.state {
                State::Following | State::Open => {}
                State::Holding if this.door.stays() => {
                    this.look();
                    continue;
                }
                State::Holding if this.kept.len() < MAX_HELD_BYTES => {}
                State::Holding | State::Silent => return Poll::Pending,
                State::Failed(refusal) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, refusal)));
                }
            }
            let before = buffer.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
            let read = buffer.filled().len() - before;
            if read == 0 || this.state == State::Open {
                return Poll::Ready(Ok(()));
            }
            if this.kept.is_empty() {
                this.admit(buffer, before);
                if buffer.filled().len() > before {
                    return Poll::Ready(Ok(()));
                }
            } else {
                this.kept.extend_from_slice(&buffer.filled()[before..]);
                buffer.set_filled(before);
                if this.state == State::Following {
                    this.look();
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin, D: Unpin> AsyncWrite for Gated<S, D> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, data)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
#[path = "gated_tests.rs"]
mod tests;
