//! A body on its way through the filters of a chain, one direction of one stream.
//!
//! Each stage sees the bytes that the stage before it passed on; a stage that pauses holds what it saw (up to its
//! limit) until it continues or is resumed. What leaves the last stage goes on. Framing is the gateway's: the length of
//! the result is known before a head is sent, or no length is promised.

mod stage;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Frame, SizeHint};
use proxy_wasm_host::{Action, Direction};
use smallvec::SmallVec;
use tokio::time::Sleep;

use self::stage::Stage;
use super::chain::{Chain, StageInfo};
use super::message_call;
use super::outcome::GuestCall;
use super::shadow::Shadow;
use super::signals::INLINE_MEMBERS;
use super::stream::{Held, Writable};
use crate::body::{BodyError, BodySource};
use crate::request::{Reason, RequestError, announce_trailers};
use crate::upstream::Driver;

/// What the head may say about the length of a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Framing {
    /// Exactly this many bytes.
    Exact(u64),
    /// Nothing is promised.
    Unknown,
}

/// A body on its way through the filters.
pub(crate) struct FilteredBody {
    chain: Rc<Chain>,
    direction: Direction,
    source: BodySource,
    stages: SmallVec<[Stage; 2]>,
    /// Passed all stages, the oldest first. More than one only when several held chunks are let go at once.
    ready: SmallVec<[Bytes; 2]>,
    trailers: Option<HeaderMap>,
    source_ended: bool,
    /// The end passed all stages.
    ended: bool,
    /// A guest changed bytes.
    changed: bool,
    /// What the head promised and was not yet delivered.
    promised: Option<u64>,
    failed: Option<Reason>,
    /// Set while all bytes are there and a filter holds them.
    watchdog: Option<Pin<Box<Sleep>>>,
    /// The stage whose filter holds the head back while it gets the body.
    head_holder: Option<usize>,
    /// Begun early: what is ready has yet to pass the stages from this one on.
    unfed: Option<usize>,
}

impl FilteredBody {
    /// `None` when no filter wants to see this direction's body.
    pub(crate) fn new(
        chain: &Rc<Chain>,
        direction: Direction,
        source: BodySource,
    ) -> Result<Self, BodySource> {
        let stages = chain.stages(direction);
        let source = match source {
            BodySource::Filtered(mut begun) if direction == Direction::Request => {
                begun.join(stages);
                return Ok(*begun);
            }
            source => source,
        };
        if stages.is_empty() || source.is_end_stream() {
            return Err(source);
        }
        Ok(Self::with_stages(chain, direction, source, stages))
    }

    /// The body of a request whose head the member `holder` holds back; those after it join later.
    pub(super) fn begun(chain: &Rc<Chain>, source: BodySource, holder: usize) -> Self {
        let stages = chain.stages_to(Direction::Request, holder);
        let mut body = match source {
            BodySource::Filtered(mut begun) => {
                begun.join(stages);
                *begun
            }
            source => Self::with_stages(chain, Direction::Request, source, stages),
        };
        body.head_holder = body.stages.iter().position(|stage| stage.info.member == holder);
        body
    }

    fn with_stages(
        chain: &Rc<Chain>,
        direction: Direction,
        source: BodySource,
        stages: SmallVec<[StageInfo; INLINE_MEMBERS]>,
    ) -> Self {
        Self {
            chain: chain.clone(),
            direction,
            source,
            stages: stages.into_iter().map(Stage::new).collect(),
            ready: SmallVec::new(),
            trailers: None,
            source_ended: false,
            ended: false,
            changed: false,
            promised: None,
            failed: None,
            watchdog: None,
            head_holder: None,
            unfed: None,
        }
    }

    /// Lets the stages join that are not there yet.
    fn join(&mut self, stages: SmallVec<[StageInfo; INLINE_MEMBERS]>) {
        let there = self.stages.len();
        self.stages.extend(stages.into_iter().skip(there).map(Stage::new));
        if self.stages.len() > there {
            self.unfed.get_or_insert(there);
        }
    }

    pub(super) const fn holds_head(&self) -> bool {
        self.head_holder.is_some()
    }

    /// The head is held no more, whoever let go of it.
    pub(super) fn head_went_on(&mut self) {
        self.head_holder = None;
    }

    /// Passes on what the member holds of the body.
    pub(super) fn release(&mut self, member: usize) -> Result<(), RequestError> {
        match self.stages.iter().position(|stage| stage.info.member == member) {
            Some(at) => self.release_stage(at),
            None => Ok(()),
        }
    }

    /// What went through the first stages before the others joined goes through those now.
    fn feed(&mut self, first: usize) -> Result<(), RequestError> {
        let ready = std::mem::take(&mut self.ready);
        let ended = std::mem::take(&mut self.ended);
        let has_trailers = self.trailers.take().is_some();
        let end_of_data = ended && !has_trailers;
        let last = ready.len();
        for (at, bytes) in ready.into_iter().enumerate() {
            self.pass(first, bytes, end_of_data && at + 1 == last)?;
        }
        if end_of_data && last == 0 {
            self.pass(first, Bytes::new(), true)?;
        }
        if has_trailers { self.pass_trailers(first) } else { Ok(()) }
    }

    /// Runs the filters until the first byte or the end is through, and says what the head may promise.
    ///
    /// `declared` is the length that the sender declared.
    pub(crate) async fn prefetch(&mut self, declared: Option<u64>) -> Result<Framing, RequestError> {
        let Some(declared) = declared else { return Ok(Framing::Unknown) };
        poll_fn(|context| self.poll_progress(context)).await.map_err(|error| self.request_error(&error))?;
        let framing = if self.ended && self.trailers.is_none() {
            Framing::Exact(self.ready.iter().map(|bytes| bytes.len() as u64).sum())
        } else if self.changed || self.trailers.is_some() || self.may_still_change() {
            Framing::Unknown
        } else {
            Framing::Exact(declared)
        };
        if let Framing::Exact(length) = framing {
            self.promised = Some(length);
        }
        Ok(framing)
    }

    /// Names in the head what trailers are known to come.
    pub(crate) fn announce_trailers(&self, headers: &mut HeaderMap) {
        if let Some(trailers) = &self.trailers {
            announce_trailers(trailers, headers);
        }
    }

    /// A response loses its length when a filter could still change it: chunks suit every client. A request keeps it,
    /// since upstreams may insist on one; a filter that changes a long body says so by removing `content-length`, and one
    /// that does not fails its stream.
    fn may_still_change(&self) -> bool {
        match self.direction {
            Direction::Request => !self.chain.stream.borrow().request_headers.contains_key(CONTENT_LENGTH),
            Direction::Response => {
                self.stages.iter().any(|stage| stage.info.has_body && stage.info.may_change_body)
            }
        }
    }

    pub(crate) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Err(error) = std::task::ready!(self.poll_progress(context)) {
            return Poll::Ready(Some(Err(error)));
        }
        if !self.ready.is_empty() {
            let bytes = self.ready.remove(0);
            if let Some(promised) = &mut self.promised {
                match promised.checked_sub(bytes.len() as u64) {
                    Some(left) => *promised = left,
                    None => return Poll::Ready(Some(Err(self.fail(Reason::FilterBodyLength)))),
                }
            }
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        // Progress without bytes is the end.
        if self.promised.is_some_and(|left| left > 0) {
            return Poll::Ready(Some(Err(self.fail(Reason::FilterBodyLength))));
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    /// The I/O of the connection that the bytes came from.
    pub(crate) fn take_driver(&mut self) -> Option<Box<Driver>> {
        self.source.take_driver()
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.ended
            && self.ready.is_empty()
            && self.trailers.is_none()
            && self.failed.is_none()
            && self.promised.unwrap_or(0) == 0
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.promised.map_or_else(SizeHint::default, SizeHint::with_exact)
    }

    /// Ready when there are bytes, or the end, or an error.
    fn poll_progress(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        if let Some(first) = self.unfed.take() {
            self.feed(first).map_err(|error| self.fail(error.reason))?;
        }
        loop {
            if let Some(reason) = self.failed {
                return Poll::Ready(Err(BodyError::Stopped(reason)));
            }
            if !self.ready.is_empty() || self.ended {
                return Poll::Ready(Ok(()));
            }
            std::task::ready!(self.poll_step(context))?;
        }
    }

    /// Ready when something moved: bytes, a resume, the end.
    pub(super) fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        // The request that owns this body takes the interruption and answers; the body only stops.
        if self.chain.is_interrupted() {
            return Poll::Ready(Err(BodyError::Stopped(Reason::FilterReply)));
        }
        self.chain.signals.register(self.direction, context);
        self.chain.settle_failures().map_err(|error| self.fail(error.reason))?;
        if self.release_resumed().map_err(|error| self.fail(error.reason))? {
            self.watchdog = None;
            return Poll::Ready(Ok(()));
        }
        if self.source_ended {
            return self.poll_held(context);
        }
        let step = match std::task::ready!(self.source.poll_frame(context)) {
            Some(Ok(frame)) => self.accept(frame),
            Some(Err(error)) => return Poll::Ready(Err(error)),
            None => self.accept_end(),
        };
        step.map_err(|error| self.fail(error.reason))?;
        Poll::Ready(Ok(()))
    }

    /// Waits for the filter that holds the rest of the body, for as long as that filter may.
    fn poll_held(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        let holds = |stage: &&Stage| stage.paused || stage.holds_trailers;
        let Some(member) = self.stages.iter().find(holds).map(|stage| stage.info.member) else {
            return Poll::Pending;
        };
        let max_pause = self.chain.max_pause(member);
        let watchdog = self.watchdog.get_or_insert_with(|| Box::pin(tokio::time::sleep(max_pause)));
        std::task::ready!(watchdog.as_mut().poll(context));
        let reason = self.chain.paused_too_long(member);
        Poll::Ready(Err(self.fail(reason)))
    }

    fn accept(&mut self, frame: Frame<Bytes>) -> Result<(), RequestError> {
        match frame.into_data() {
            Ok(bytes) => {
                self.source_ended = self.source.is_end_stream();
                self.pass(0, bytes, self.source_ended)
            }
            Err(frame) => {
                self.source_ended = true;
                let trailers = frame.into_trailers().ok();
                *self.chain.stream.borrow_mut().trailers_mut(self.direction) = trailers;
                self.pass_trailers(0)
            }
        }
    }

    fn accept_end(&mut self) -> Result<(), RequestError> {
        self.source_ended = true;
        self.pass(0, Bytes::new(), true)
    }

    /// Runs bytes through the stages from `first` on.
    fn pass(&mut self, first: usize, mut bytes: Bytes, end: bool) -> Result<(), RequestError> {
        for at in first..self.stages.len() {
            self.show_body(at, &bytes, end);
            let stage = &mut self.stages[at];
            if !stage.info.has_body || self.chain.is_bypassed(stage.info.member) {
                self.note_passed(at, &bytes, end);
                continue;
            }
            if stage.paused {
                stage.held.extend_from_slice(&bytes);
                stage.keep_unchanged(&bytes);
                bytes = std::mem::take(&mut stage.held).freeze();
            }
            stage.saw_end = end;
            let (action, passed, changed) = self.call_body(at, bytes, end)?;
            self.changed |= changed;
            let stage = &mut self.stages[at];
            stage.paused = action == Action::Pause;
            if !stage.paused && self.head_holder == Some(at) {
                self.head_holder = None;
            }
            if stage.paused {
                stage.holds_since.get_or_insert_with(Instant::now);
                if passed.len() > stage.info.max_held_bytes {
                    return Err(self.too_large());
                }
                stage.held = BytesMut::from(passed);
                return Ok(());
            }
            self.note_held(at, false);
            self.note_passed(at, &passed, end);
            bytes = passed;
            // An empty chunk that is not the end tells the next filter nothing.
            if bytes.is_empty() && !end {
                return Ok(());
            }
        }
        if !bytes.is_empty() {
            self.ready.push(bytes);
        }
        if end {
            self.end();
        }
        Ok(())
    }

    /// Runs the trailers through the stages from `first` on; a stage that continues lets go of what it holds.
    fn pass_trailers(&mut self, first: usize) -> Result<(), RequestError> {
        for at in first..self.stages.len() {
            self.show_trailers(at);
            let stage = &self.stages[at];
            let member = stage.info.member;
            let mut action = Action::Continue;
            if stage.info.has_trailers && !self.chain.is_bypassed(member) {
                let direction = self.direction;
                let count = self.chain.stream.borrow().trailers(direction).map_or(0, HeaderMap::len);
                self.chain.signals.take_resumed(member, direction);
                self.chain.enter(member, Held::Trailers);
                let (callback, call) = message_call::trailers(direction, count);
                action = self.chain.call(member, callback, call)?;
                if action == Action::Continue {
                    self.chain.leave(member, Held::Trailers);
                }
            }
            if action == Action::Pause {
                self.stages[at].holds_trailers = true;
                self.stages[at].holds_since.get_or_insert_with(Instant::now);
                return Ok(());
            }
            if self.head_holder == Some(at) {
                self.head_holder = None;
            }
            self.let_go(at, false)?;
            self.note_passed_trailers(at);
        }
        self.end();
        Ok(())
    }

    fn call_body(
        &mut self,
        at: usize,
        bytes: Bytes,
        end: bool,
    ) -> Result<(Action, Bytes, bool), RequestError> {
        let size = bytes.len();
        let (direction, member) = (self.direction, self.stages[at].info.member);
        // Shares the bytes.
        let before = self.chain.fails_open(member).then(|| bytes.clone());
        self.chain.stream.borrow_mut().body_mut(direction).open(bytes);
        if self.head_holder.is_some() {
            // Those before the holder have let the head go.
            let writable = Writable {
                request_head: self.head_holder == Some(at),
                request_trailers: true,
                ..Writable::default()
            };
            self.chain.stream.borrow_mut().writable = writable;
        }
        // A pause begins with a callback: a resume from before is none of it.
        self.chain.signals.take_resumed(member, direction);
        let (callback, call) = message_call::body(direction, size, end);
        let action = self.chain.call(member, callback, call);
        let (bytes, changed) = self.chain.stream.borrow_mut().body_mut(direction).close();
        let (action, Some(before)) = (action?, before) else { return Ok((action?, bytes, changed)) };
        let stage = &mut self.stages[at];
        if self.chain.has_failed(member) {
            return Ok((action, stage.take_unchanged().unwrap_or(before), false));
        }
        if action == Action::Continue {
            stage.unchanged = None;
        } else if changed && stage.unchanged.is_none() {
            stage.unchanged = Some(BytesMut::from(before));
        }
        Ok((action, bytes, changed))
    }

    /// Passes on what resumed stages hold. True when anything moved.
    fn release_resumed(&mut self) -> Result<bool, RequestError> {
        let mut moved = false;
        for at in 0..self.stages.len() {
            let stage = &self.stages[at];
            if !stage.paused && !stage.holds_trailers {
                continue;
            }
            let member = stage.info.member;
            if self.chain.signals.take_resumed(member, self.direction) || self.chain.is_bypassed(member) {
                moved = true;
                self.release_stage(at)?;
            }
        }
        Ok(moved)
    }

    fn release_stage(&mut self, at: usize) -> Result<(), RequestError> {
        let stage = &mut self.stages[at];
        if std::mem::take(&mut stage.holds_trailers) {
            self.chain.leave(stage.info.member, Held::Trailers);
            self.note_held(at, true);
            self.let_go(at, false)?;
            self.note_passed_trailers(at);
            self.pass_trailers(at + 1)
        } else if stage.paused {
            let end = stage.saw_end;
            self.let_go(at, end)
        } else {
            Ok(())
        }
    }

    /// The stage holds nothing any more.
    fn note_held(&mut self, at: usize, trailers: bool) {
        let stage = &mut self.stages[at];
        let Some(since) = stage.holds_since.take() else { return };
        let after =
            if trailers { GuestCall::trailers(self.direction) } else { GuestCall::body(self.direction) };
        self.chain.held(stage.info.member, after, since.elapsed());
    }

    fn let_go(&mut self, at: usize, end: bool) -> Result<(), RequestError> {
        self.note_held(at, false);
        let stage = &mut self.stages[at];
        stage.paused = false;
        let member = stage.info.member;
        let unchanged = stage.take_unchanged().filter(|_| self.chain.has_failed(member));
        let held = std::mem::take(&mut stage.held).freeze();
        let held = unchanged.unwrap_or(held);
        self.note_passed(at, &held, end);
        if held.is_empty() && !end {
            return Ok(());
        }
        self.pass(at + 1, held, end)
    }

    /// Shows a copy of what the stage is about to see to the shadow of its filter, if there is one.
    fn show_body(&self, at: usize, bytes: &Bytes, end: bool) {
        let direction = self.direction;
        self.shadow(at, |shadow| shadow.body(direction, bytes, end));
    }

    fn show_trailers(&self, at: usize) {
        let direction = self.direction;
        self.shadow(at, |shadow| shadow.trailers(direction, &self.chain.stream.borrow()));
    }

    /// Tells the shadow of a filter what left its stage.
    fn note_passed(&self, at: usize, bytes: &[u8], end: bool) {
        let direction = self.direction;
        self.shadow(at, |shadow| shadow.live_passed(direction, bytes, end));
    }

    fn note_passed_trailers(&self, at: usize) {
        let direction = self.direction;
        self.shadow(at, |shadow| shadow.live_passed_trailers(direction, &self.chain.stream.borrow()));
    }

    fn shadow(&self, at: usize, tell: impl FnOnce(&mut Shadow)) {
        let info = &self.stages[at].info;
        if info.has_shadow {
            self.chain.shadow(info.member, tell);
        }
    }

    fn end(&mut self) {
        self.ended = true;
        // They stay readable for logging filters.
        let stream = self.chain.stream.borrow();
        self.trailers = stream.trailers(self.direction).filter(|trailers| !trailers.is_empty()).cloned();
    }

    const fn too_large(&self) -> RequestError {
        match self.direction {
            Direction::Request => RequestError::client(Reason::BodyTooLarge),
            Direction::Response => RequestError::filter(Reason::ResponseBodyTooLarge),
        }
    }

    const fn fail(&mut self, reason: Reason) -> BodyError {
        self.failed = Some(reason);
        BodyError::Stopped(reason)
    }

    fn request_error(&self, error: &BodyError) -> RequestError {
        match (error, self.direction) {
            (_, Direction::Request) => RequestError::upload(error),
            (BodyError::Stopped(reason), Direction::Response) => RequestError::filter(*reason),
            (BodyError::Sender(_), Direction::Response) => RequestError::upstream(Reason::UpstreamReset),
        }
    }
}
