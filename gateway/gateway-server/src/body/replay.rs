//! A request body that may have to be sent more than once: what was sent is kept, up to a limit.
//!
//! The body is read only as fast as whoever sends it now asks. A try that was given up may still hold its end; its turn
//! is over, and it gets an error instead of bytes that belong to the next try.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use super::{BodyError, BodySource, UploadProgress, UpstreamBody};
use crate::request::Reason;

/// A request body that may have to be sent more than once.
pub(crate) struct Replay {
    state: RefCell<State>,
    progress: Rc<UploadProgress>,
    limit_bytes: usize,
    /// Length of the whole body, if it is known.
    length: Option<u64>,
}

struct State {
    source: BodySource,
    kept: Vec<Kept>,
    kept_bytes: usize,
    /// Something was sent that was not kept, or the sender stopped.
    lost: bool,
    /// Which try may read.
    turn: u32,
    waker: Option<Waker>,
}

#[derive(Clone)]
enum Kept {
    Data(Bytes),
    Trailers(HeaderMap),
}

/// The body as one try sends it.
pub(crate) struct ReplayedBody {
    replay: Rc<Replay>,
    turn: u32,
    /// Frames of those kept that this try has sent.
    sent_frames: usize,
    sent_bytes: u64,
}

impl Replay {
    pub(super) fn new(source: BodySource, progress: Rc<UploadProgress>, limit_bytes: usize) -> Rc<Self> {
        let length = source.size_hint().exact();
        let state = State { source, kept: Vec::new(), kept_bytes: 0, lost: false, turn: 0, waker: None };
        Rc::new(Self { state: RefCell::new(state), progress, limit_bytes, length })
    }

    /// Whether another try would send the same bytes.
    pub(crate) fn is_whole(&self) -> bool {
        !self.state.borrow().lost
    }

    /// The body from its start, for the next try; the try before gets no more of it.
    pub(crate) fn next_try(self: &Rc<Self>) -> UpstreamBody {
        let mut state = self.state.borrow_mut();
        state.turn += 1;
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
        let body = ReplayedBody { replay: self.clone(), turn: state.turn, sent_frames: 0, sent_bytes: 0 };
        UpstreamBody::replayed(body)
    }

    fn poll_source(&self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        // Taken out: reading may run a filter, and no borrow is held over that.
        let mut source = std::mem::take(&mut self.state.borrow_mut().source);
        let polled = source.poll_frame(context);
        let mut state = self.state.borrow_mut();
        let ended = source.is_end_stream();
        state.source = source;
        let Poll::Ready(frame) = polled else {
            state.waker = Some(context.waker().clone());
            return Poll::Pending;
        };
        match &frame {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                self.progress.came(length, ended);
                state.keep(frame, length, self.limit_bytes);
            }
            Some(Err(_)) => state.lost = true,
            None if !self.progress.has_ended() => self.progress.came(0, true),
            None => {}
        }
        Poll::Ready(frame)
    }
}

impl State {
    fn keep(&mut self, frame: &Frame<Bytes>, length: usize, limit_bytes: usize) {
        if self.lost || self.kept_bytes + length > limit_bytes {
            self.lost = true;
            self.kept = Vec::new();
            return;
        }
        self.kept_bytes += length;
        self.kept.extend(frame.data_ref().cloned().map(Kept::Data));
        self.kept.extend(frame.trailers_ref().cloned().map(Kept::Trailers));
    }
}

impl ReplayedBody {
    pub(super) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let kept = {
            let state = self.replay.state.borrow();
            if state.turn != self.turn {
                return Poll::Ready(Some(Err(BodyError::Stopped(Reason::UpstreamReset))));
            }
            state.kept.get(self.sent_frames).cloned()
        };
        let frame = match kept {
            Some(Kept::Data(bytes)) => Some(Ok(Frame::data(bytes))),
            Some(Kept::Trailers(trailers)) => Some(Ok(Frame::trailers(trailers))),
            None => std::task::ready!(self.replay.poll_source(context)),
        };
        if let Some(Ok(frame)) = &frame {
            self.sent_frames += 1;
            self.sent_bytes += frame.data_ref().map_or(0, Bytes::len) as u64;
        }
        Poll::Ready(frame)
    }

    pub(super) fn is_end_stream(&self) -> bool {
        let state = self.replay.state.borrow();
        state.turn == self.turn && state.kept.len() <= self.sent_frames && state.source.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let left = self.replay.length.and_then(|length| length.checked_sub(self.sent_bytes));
        left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
