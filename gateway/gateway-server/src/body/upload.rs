//! A request body that a shared connection sends: it can be called off from outside, and taken back whole when the
//! upstream turns out not to have looked at the request.
//!
//! The connection pulls it in a task of its own, beside whoever waits for the response; so the two share it here.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{BodyError, BodySource, UpstreamBody};
use crate::request::{Reason, caught};
use crate::upstream::StreamSlot;

/// What is kept of a body until its response begins, so that it can be sent again; a longer one cannot.
const MAX_KEPT_BYTES: usize = 64 * 1024;
/// What a kept piece costs beside its bytes: bodies may come in very small pieces.
const PIECE_BYTES: usize = 64;

/// A request body on its way over a shared connection, as the one who waits for the response holds it.
pub(crate) struct SharedUpload(Rc<RefCell<State>>);

/// The same, as the connection holds it. Absent when there is no body.
pub(crate) struct SharedBody(Option<(Rc<RefCell<State>>, Rc<StreamSlot>)>);

/// The rest of a request body will not come. Its source is the code that the stream is reset with: CANCEL, whether the
/// client, a limit or the end of the exchange is behind it (RFC 9113, section 7).
#[derive(Debug, thiserror::Error)]
#[error("the request was called off")]
pub(crate) struct CalledOff(#[source] h2::Error);

impl CalledOff {
    fn new() -> Self {
        Self(h2::Reason::CANCEL.into())
    }
}

#[derive(Default)]
struct State {
    /// Absent while it is polled, and once it was called off or taken back.
    body: Option<UpstreamBody>,
    /// What was sent; `None` once it cannot be sent again.
    kept: Option<VecDeque<Bytes>>,
    kept_bytes: usize,
    is_over: bool,
    /// Why the body stopped before its end.
    failure: Option<Reason>,
    waker: Option<Waker>,
}

impl SharedUpload {
    pub(crate) fn new(body: UpstreamBody) -> Self {
        let state = State { body: Some(body), kept: Some(VecDeque::new()), ..State::default() };
        Self(Rc::new(RefCell::new(state)))
    }

    /// For the connection, on which the stream is open for as long as it has this.
    pub(crate) fn body(&self, slot: Rc<StreamSlot>) -> SharedBody {
        SharedBody(Some((self.0.clone(), slot)))
    }

    /// The response has begun: the request will not be sent again.
    pub(crate) fn answered(&self) {
        self.0.borrow_mut().kept = None;
    }

    /// Why the body stopped before its end, if it did.
    pub(crate) fn failure(&self) -> Option<Reason> {
        self.0.borrow().failure
    }

    /// The body from its beginning, unless too much of it was sent. The connection gets no more of it.
    pub(crate) fn take_back(&self) -> Option<UpstreamBody> {
        let mut state = self.0.borrow_mut();
        let kept = state.kept.take()?;
        state.is_over = true;
        state.body.take().map(|body| if kept.is_empty() { body } else { body.rewound(kept) })
    }
}

impl Drop for SharedUpload {
    /// Nobody waits for what it would bring about.
    fn drop(&mut self) {
        let (body, waker) = {
            let mut state = self.0.borrow_mut();
            state.is_over = true;
            (state.body.take(), state.waker.take())
        };
        drop(body);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl SharedBody {
    pub(crate) const fn empty() -> Self {
        Self(None)
    }
}

impl Body for SharedBody {
    type Data = Bytes;
    type Error = CalledOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CalledOff>>> {
        let Some((shared, _)) = &self.get_mut().0 else { return Poll::Ready(None) };
        // Taken out while it is polled: filters may run, and nothing is borrowed while they do.
        let Some(mut body) = shared.borrow_mut().body.take() else {
            return Poll::Ready(Some(Err(CalledOff::new())));
        };
        // The connection's other requests have no part in a panic.
        let polled = caught(|| Pin::new(&mut body).poll_frame(context))
            .unwrap_or_else(|| Poll::Ready(Some(Err(BodyError::Stopped(Reason::InternalError)))));
        let mut state = shared.borrow_mut();
        match &polled {
            Poll::Pending => match &mut state.waker {
                Some(known) => known.clone_from(context.waker()),
                None => state.waker = Some(context.waker().clone()),
            },
            Poll::Ready(Some(Ok(frame))) => state.keep(frame),
            Poll::Ready(Some(Err(error))) => state.failure = Some(error.upload_reason()),
            Poll::Ready(None) => {}
        }
        if !state.is_over {
            state.body = Some(body);
        }
        drop(state);
        polled.map(|frame| frame.map(|frame| frame.map_err(|_| CalledOff::new())))
    }

    fn is_end_stream(&self) -> bool {
        let is_end = |state: &State| state.body.as_ref().is_some_and(Body::is_end_stream);
        self.0.as_ref().is_none_or(|(shared, _)| is_end(&shared.borrow()))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            None => SizeHint::with_exact(0),
            Some((shared, _)) => shared.borrow().body.as_ref().map(Body::size_hint).unwrap_or_default(),
        }
    }
}

impl State {
    fn keep(&mut self, frame: &Frame<Bytes>) {
        let Some(data) = frame.data_ref() else {
            // Trailers are rare in requests, and not worth keeping.
            self.kept = None;
            return;
        };
        self.kept_bytes += data.len() + PIECE_BYTES;
        match &mut self.kept {
            Some(kept) if self.kept_bytes <= MAX_KEPT_BYTES => kept.push_back(data.clone()),
            _ => self.kept = None,
        }
    }
}

/// A body whose beginning was sent in vain.
pub(crate) struct Resent {
    sent: VecDeque<Bytes>,
    rest: BodySource,
}

impl Resent {
    pub(super) const fn new(sent: VecDeque<Bytes>, rest: BodySource) -> Self {
        Self { sent, rest }
    }

    pub(super) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.sent.pop_front() {
            Some(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
            None => self.rest.poll_frame(context),
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.sent.is_empty() && self.rest.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let sent = self.sent.iter().map(|data| data.len() as u64).sum::<u64>();
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(sent));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(sent));
        }
        hint
    }
}
