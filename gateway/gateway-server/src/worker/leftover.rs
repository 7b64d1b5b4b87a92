//! What is left of a request body when its request was answered: read and thrown away, so that the connection can go on
//! with the next request. A connection of whose body too much is left, or comes too slowly, ends.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;
use tokio::time::Sleep;

/// This much is read in vain.
pub(crate) const MAX_DRAINED_BYTES: u64 = 64 * 1024;
/// For this long after the answer has begun.
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// The end of the body of the newest request of a connection of HTTP/1.
#[derive(Default)]
pub(super) struct Leftover {
    fate: Cell<Fate>,
    rest: RefCell<Option<Rest>>,
    is_unread: Cell<bool>,
}

/// What is to become of a body that nobody wants.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Fate {
    /// There is no answer yet: nothing is read, or the client would be told to send it.
    #[default]
    Waits,
    Drained,
    /// The connection ends with the answer.
    Dropped,
}

struct Rest {
    body: Incoming,
    left_bytes: u64,
    /// Made when the draining begins.
    time: Option<Pin<Box<Sleep>>>,
}

impl Leftover {
    pub(super) fn request_began(&self) {
        self.fate.set(Fate::Waits);
        self.is_unread.set(false);
    }

    /// Nobody wants the rest of the body.
    pub(super) fn leaves(&self, body: Incoming) {
        self.is_unread.set(true);
        if self.fate.get() != Fate::Dropped {
            *self.rest.borrow_mut() = Some(Rest { body, left_bytes: MAX_DRAINED_BYTES, time: None });
        }
    }

    /// The answer begins; `closes` says that the connection ends with it.
    pub(super) fn answered(&self, closes: bool) {
        self.fate.set(if closes { Fate::Dropped } else { Fate::Drained });
        if closes {
            self.rest.take();
        }
    }

    /// The request is over. One that was not answered leaves nothing behind it.
    pub(super) fn request_ended(&self, is_refused: bool) {
        if self.fate.get() == Fate::Waits {
            self.answered(true);
        }
        if is_refused {
            self.is_unread.set(true);
        }
    }

    /// Whether the client may still be sending.
    pub(super) const fn is_unread(&self) -> bool {
        self.is_unread.get()
    }

    pub(super) fn is_draining(&self) -> bool {
        self.rest.borrow().is_some()
    }

    /// Reads on, until there is nothing left, or too much: whether the connection goes on.
    pub(super) fn poll_drain(&self, context: &mut Context<'_>) -> Poll<bool> {
        if self.fate.get() != Fate::Drained {
            return Poll::Pending;
        }
        let mut slot = self.rest.borrow_mut();
        let Some(rest) = &mut *slot else { return Poll::Pending };
        let is_whole = ready!(rest.poll(context));
        *slot = None;
        self.is_unread.set(!is_whole);
        Poll::Ready(is_whole)
    }
}

impl Rest {
    /// Whether it was read to its end.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        while let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            let Some(frame) = frame else { return Poll::Ready(true) };
            let Ok(frame) = frame else { return Poll::Ready(false) };
            let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
            match self.left_bytes.checked_sub(bytes) {
                Some(left) => self.left_bytes = left,
                None => return Poll::Ready(false),
            }
            if self.body.is_end_stream() {
                return Poll::Ready(true);
            }
        }
        let time = self.time.get_or_insert_with(|| Box::pin(tokio::time::sleep(DRAIN_TIME)));
        time.as_mut().poll(context).map(|()| false)
    }
}
