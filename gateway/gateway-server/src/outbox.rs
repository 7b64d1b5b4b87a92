//! Small writes that wait for the end of the worker's turn.
//!
//! A worker serves one after the other all connections that something has arrived for. If each wrote at once, each write would
//! wake a peer that has just gone to sleep, and the system takes longer to wake a process than to send a message. So what
//! is small is kept until every task that is ready now has had its turn, and goes out then in one go. A worker with one
//! thing to do sends it right after that. (Seastar flushes its output streams in batches for the same reason.)
//!
//! Knows nothing of what the bytes mean.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The most that is kept of one stream; what is larger is written at once.
const MAX_HELD_BYTES: usize = 4 * 1024;
/// As many streams wait for the end of a turn; then all of theirs is sent.
const MAX_LETTERS: usize = 32;
/// As many unused buffers are kept.
const MAX_SPARE: usize = MAX_LETTERS;

/// What the streams of one worker have to send at the end of this turn.
#[derive(Default)]
pub(crate) struct Outbox {
    letters: RefCell<Vec<Rc<Letter>>>,
    /// Buffers that nobody uses now: connections need theirs for a moment at a time.
    spare: RefCell<Vec<Vec<u8>>>,
    /// The task that sends; without it, nothing waits.
    carrier: RefCell<Option<Waker>>,
}

impl Outbox {
    /// Sends what is left here, at the end of each turn: tasks have theirs in the order in which they were woken, and this
    /// one is woken by the first that leaves something.
    pub(crate) async fn carry(self: Rc<Self>) {
        poll_fn(|context| {
            *self.carrier.borrow_mut() = Some(context.waker().clone());
            self.send();
            Poll::Pending
        })
        .await
    }

    fn has_carrier(&self) -> bool {
        self.carrier.borrow().is_some()
    }

    fn post(&self, letter: Rc<Letter>) {
        let waiting = {
            let mut letters = self.letters.borrow_mut();
            letters.push(letter);
            letters.len()
        };
        match (waiting, &*self.carrier.borrow()) {
            (1, Some(carrier)) => carrier.wake_by_ref(),
            (MAX_LETTERS.., _) => self.send(),
            _ => {}
        }
    }

    fn send(&self) {
        let mut letters = self.letters.take();
        for letter in letters.drain(..) {
            if let Some(buffer) = letter.send() {
                self.give_back(buffer);
            }
        }
        // Its room is used again. Nobody posts while this runs.
        *self.letters.borrow_mut() = letters;
    }

    fn give_back(&self, buffer: Vec<u8>) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < MAX_SPARE {
            spare.push(buffer);
        }
    }

    fn buffer(&self) -> Vec<u8> {
        self.spare.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(MAX_HELD_BYTES))
    }
}

/// What one stream has to send.
struct Letter {
    stream: RefCell<TcpStream>,
    /// Taken over, and not sent yet.
    held: RefCell<Vec<u8>>,
    /// It will be sent at the end of this turn. If some is held without that, the system would not take it.
    is_posted: Cell<bool>,
    /// What came of sending, if it failed.
    failure: Cell<Option<io::Error>>,
    /// Who is to hear of it, or to see to the rest.
    user: RefCell<Option<Waker>>,
}

impl Letter {
    /// Sends what the system takes now; returns the buffer if that was all.
    fn send(&self) -> Option<Vec<u8>> {
        self.is_posted.set(false);
        let mut held = self.held.borrow_mut();
        if held.is_empty() {
            return None;
        }
        match self.stream.borrow().try_write(&held) {
            Ok(sent) => {
                held.drain(..sent);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                held.clear();
                self.failure.set(Some(error));
                self.wake();
            }
        }
        if !held.is_empty() {
            self.wake();
            return None;
        }
        Some(std::mem::take(&mut *held))
    }

    fn wake(&self) {
        if let Some(user) = &*self.user.borrow() {
            user.wake_by_ref();
        }
    }
}

/// A TCP stream whose small writes go by an [`Outbox`].
///
/// When the system does not take them at the end of the turn, whoever wrote is woken, and has to flush again: also who has
/// flushed already.
pub(crate) struct Posted {
    letter: Rc<Letter>,
    outbox: Rc<Outbox>,
}

impl Posted {
    pub(crate) fn new(stream: TcpStream, outbox: Rc<Outbox>) -> Self {
        let letter = Letter {
            stream: RefCell::new(stream),
            held: RefCell::default(),
            is_posted: Cell::new(false),
            failure: Cell::new(None),
            user: RefCell::default(),
        };
        Self { letter: Rc::new(letter), outbox }
    }

    /// Looks at the socket.
    pub(crate) fn with_stream<T>(&self, look: impl FnOnce(&TcpStream) -> T) -> T {
        look(&self.letter.stream.borrow())
    }

    /// Sends what is held, before anything else can be sent.
    fn poll_rest(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut held = self.letter.held.borrow_mut();
        while !held.is_empty() {
            let mut stream = self.letter.stream.borrow_mut();
            let sent = ready!(Pin::new(&mut *stream).poll_write(context, &held))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            held.drain(..sent);
        }
        if held.capacity() > 0 {
            // Connections live long, and most write little.
            self.outbox.give_back(std::mem::take(&mut *held));
        }
        Poll::Ready(Ok(()))
    }

    /// Takes over `data`, of `length` bytes in all, if it is little enough.
    fn hold(&self, context: &Context<'_>, data: &[IoSlice<'_>], length: usize) -> bool {
        let letter = &self.letter;
        let mut held = letter.held.borrow_mut();
        let is_blocked = !held.is_empty() && !letter.is_posted.get();
        if is_blocked || held.len() + length > MAX_HELD_BYTES || !self.outbox.has_carrier() {
            return false;
        }
        if held.capacity() == 0 {
            *held = self.outbox.buffer();
        }
        for slice in data {
            held.extend_from_slice(slice);
        }
        drop(held);
        let mut user = letter.user.borrow_mut();
        if !user.as_ref().is_some_and(|user| user.will_wake(context.waker())) {
            *user = Some(context.waker().clone());
        }
        drop(user);
        if !letter.is_posted.replace(true) {
            self.outbox.post(letter.clone());
        }
        true
    }

    fn failure(&self) -> io::Result<()> {
        self.letter.failure.take().map_or(Ok(()), Err)
    }
}

impl Drop for Posted {
    /// What was taken over goes out even if nobody waits for it, as it would from the buffers of the system.
    fn drop(&mut self) {
        self.letter.send();
    }
}

impl AsyncRead for Posted {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.letter.stream.borrow_mut()).poll_read(context, buffer)
    }
}

impl AsyncWrite for Posted {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(data)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.failure()?;
        let length = data.iter().map(|slice| slice.len()).sum();
        if self.hold(context, data, length) {
            return Poll::Ready(Ok(length));
        }
        ready!(self.poll_rest(context))?;
        Pin::new(&mut *self.letter.stream.borrow_mut()).poll_write_vectored(context, data)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// What goes by the outbox is as good as sent: like what is in the buffers of the system, nobody has to wait for it.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.failure()?;
        if self.letter.is_posted.get() { Poll::Ready(Ok(())) } else { self.poll_rest(context) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.failure()?;
        ready!(self.poll_rest(context))?;
        Pin::new(&mut *self.letter.stream.borrow_mut()).poll_shutdown(context)
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
