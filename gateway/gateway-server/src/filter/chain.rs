//! The filters of one request, in order: who was asked, who waits, who answered, and who failed.
//!
//! Requests run through the members in order, responses in reverse. Only members that saw the request see its response.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use gateway_config::{FailurePolicy, Manifest};
use http::StatusCode;
use proxy_wasm_host::{Action, CallError, ContextId, Direction, LocalReply, Plugin, SharedStream};
use smallvec::SmallVec;

use super::guard::Passage;
use super::machine::{Failure, Vm};
use super::message_call;
use super::outcome::GuestCall;
use super::shadow::Shadow;
use super::signals::{INLINE_MEMBERS, Signals};
use super::stream::{Held, StreamState, Writable};
use super::wasm::FilterInstance;
use crate::body::BodySource;
use crate::request::{Reason, RequestError};

/// What a chain is made for.
pub(crate) struct ChainInput {
    pub(crate) stream: Rc<RefCell<StreamState>>,
    pub(crate) filters: FilterList,
}

/// The filters of one request.
pub(crate) type FilterList = SmallVec<[Rc<FilterInstance>; INLINE_MEMBERS]>;

/// What the chain says after a phase.
pub(crate) enum Verdict {
    Continue,
    /// A filter answers in place of the upstream.
    Reply(LocalReply),
}

/// The filters of one request.
pub(crate) struct Chain {
    pub(crate) stream: Rc<RefCell<StreamState>>,
    pub(super) signals: Rc<Signals>,
    members: SmallVec<[Member; INLINE_MEMBERS]>,
    /// How many members saw the request; responses start at the last of them.
    reached: Cell<usize>,
    finished: Cell<bool>,
    /// What the client gets because a filter failed closed.
    failure_status: Cell<Option<StatusCode>>,
}

struct Member {
    filter: Rc<FilterInstance>,
    /// Absent when there is no machine and the policy is open.
    running: Option<Running>,
    /// Failed with policy open, or it has answered: not called again for this stream.
    bypassed: Cell<bool>,
    /// It failed, by its own doing or with its machine.
    failed: Cell<bool>,
    /// What became of its part, unless it simply went well.
    fault: Cell<Option<Passage>>,
    /// The stream tries a filter in quarantine.
    is_try: bool,
    /// It has no more callbacks to come that could change the stream: what becomes of its machine is of no concern.
    settled: Cell<bool>,
    /// The copy of the stream that a version on trial sees.
    shadow: RefCell<Option<Box<Shadow>>>,
}

/// How a headers callback ended.
enum Called {
    Over(Verdict),
    Paused,
}

struct Running {
    vm: Rc<Vm>,
    context: ContextId,
}

impl Chain {
    /// Creates the stream context in every filter.
    ///
    /// A filter that is not live, or fails here, answers by its policy.
    pub(crate) fn new(input: ChainInput) -> Result<Rc<Self>, RequestError> {
        let mut chain = Self {
            signals: Signals::new(input.filters.len()),
            stream: input.stream,
            members: SmallVec::with_capacity(input.filters.len()),
            reached: Cell::new(0),
            finished: Cell::new(false),
            failure_status: Cell::new(None),
        };
        for (index, filter) in input.filters.into_iter().enumerate() {
            // Dropping the chain ends the contexts that exist by now.
            let started = start_member(&filter, chain.stream.clone(), &chain.signals, index);
            let (running, is_try) = match started {
                Ok((running, is_try)) => (Some(running), is_try),
                Err(reason) => filter.fall_back(reason).map(|()| (None, false))?,
            };
            chain.members.push(Member {
                bypassed: Cell::new(running.is_none()),
                settled: Cell::new(false),
                failed: Cell::new(false),
                fault: Cell::new(None),
                is_try,
                filter,
                running,
                shadow: RefCell::new(None),
            });
        }
        Ok(Rc::new(chain))
    }

    /// Request headers through all members, waiting while one holds them.
    ///
    /// `body` is touched only for a member that decides on head and body together.
    pub(crate) async fn request_headers(
        self: &Rc<Self>,
        body: &mut BodySource,
    ) -> Result<Verdict, RequestError> {
        let end_of_stream = body.is_end_stream();
        for index in 0..self.members.len() {
            self.stream.borrow_mut().writable = Writable { request_head: true, ..Writable::default() };
            self.reached.set(index + 1);
            let member = &self.members[index];
            *member.shadow.borrow_mut() = Shadow::of(&member.filter, &self.stream, end_of_stream);
            let phase = self.members[index].filter.phase();
            self.enter(index, Held::Head);
            let verdict = match self.call_headers(index, Direction::Request, end_of_stream)? {
                Called::Over(verdict) => verdict,
                Called::Paused if !end_of_stream && self.takes_body_early(index) => {
                    // Boxed: other requests must not carry it.
                    Box::pin(self.hold_request(index, body)).await?
                }
                Called::Paused => self.resumed(index, Direction::Request).await?,
            };
            self.leave(index, Held::Head);
            drop(phase);
            self.shadow(index, |shadow| {
                shadow.live_head(Direction::Request, &self.stream.borrow(), &verdict);
            });
            if let Verdict::Reply(reply) = verdict {
                return Ok(Verdict::Reply(reply));
            }
            self.note_settled(index, Direction::Request, end_of_stream);
        }
        let writable = Writable { request_trailers: true, ..Writable::default() };
        self.stream.borrow_mut().writable = writable;
        Ok(Verdict::Continue)
    }

    /// Response headers through all members that saw the request, the last one first.
    ///
    /// A reply replaces the response; the filters before its author see the reply in place of it.
    pub(crate) async fn response_headers(
        &self,
        end_of_stream: bool,
        mut replace: impl FnMut(LocalReply) -> bool,
    ) -> Result<(), RequestError> {
        let mut end_of_stream = end_of_stream;
        for index in (0..self.reached.get()).rev() {
            self.stream.borrow_mut().writable =
                Writable { response_head: true, request_trailers: true, ..Writable::default() };
            self.shadow(index, |shadow| shadow.response_head(&self.stream.borrow(), end_of_stream));
            let phase = self.members[index].filter.phase();
            self.enter(index, Held::Head);
            let verdict = match self.call_headers(index, Direction::Response, end_of_stream)? {
                Called::Over(verdict) => verdict,
                Called::Paused => self.resumed(index, Direction::Response).await?,
            };
            self.leave(index, Held::Head);
            drop(phase);
            self.shadow(index, |shadow| {
                shadow.live_head(Direction::Response, &self.stream.borrow(), &verdict);
            });
            if let Verdict::Reply(reply) = verdict {
                self.members[index].bypassed.set(true);
                end_of_stream = replace(reply);
            }
            self.note_settled(index, Direction::Response, end_of_stream);
        }
        let mut stream = self.stream.borrow_mut();
        stream.writable = Writable { request_trailers: true, response_trailers: true, ..Writable::default() };
        Ok(())
    }

    /// Resolves when a member answers, closes or dies outside of the callback that is being awaited.
    pub(crate) async fn interrupted(&self) {
        poll_fn(|context| {
            self.signals.register(Direction::Response, context);
            if self.is_interrupted() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// A reply, close or death that some reached member signalled.
    pub(crate) fn take_interruption(&self) -> Option<Result<LocalReply, RequestError>> {
        (0..self.reached.get()).find_map(|index| self.member_interruption(index))
    }

    /// A head has passed a member. Log, done and delete are no callbacks that a stream waits for.
    fn note_settled(&self, index: usize, direction: Direction, end_of_stream: bool) {
        let member = &self.members[index];
        let Some(Running { vm, .. }) = &member.running else { return };
        let wants = |at: usize| vm.callbacks.body[at] || vm.callbacks.trailers[at];
        let is_settled = match direction {
            Direction::Request => !(vm.callbacks.headers[1] || wants(1)) && (end_of_stream || !wants(0)),
            // The request may still be on its way.
            Direction::Response => !wants(0) && (end_of_stream || !wants(1)),
        };
        member.settled.set(is_settled);
    }

    fn member_interruption(&self, index: usize) -> Option<Result<LocalReply, RequestError>> {
        let member = &self.members[index];
        if let Some(reply) = self.signals.take_reply(index) {
            member.filter.note_reply();
            self.shadow(index, |shadow| shadow.live_replied(reply.status));
            return Some(Ok(reply));
        }
        if self.signals.is_closed(index) {
            return Some(Err(RequestError::filter(Reason::FilterClosed)));
        }
        let (reason, passage) = self.failure(index)?;
        self.fall_back(index, reason, passage).err().map(Err)
    }

    /// That a member failed outside of a call for this stream, until its policy is applied.
    fn failure(&self, index: usize) -> Option<(Reason, Passage)> {
        let member = &self.members[index];
        if member.bypassed.get() || member.failed.get() {
            return None;
        }
        if self.signals.is_failed(index) {
            return Some((Reason::FilterFailed, Passage::Good));
        }
        if member.settled.get() {
            return None;
        }
        self.signals.vm_failure(index).map(|reason| (reason, Passage::Nothing))
    }

    /// Applies the policies of members that failed while nobody asked.
    pub(super) fn settle_failures(&self) -> Result<(), RequestError> {
        for index in 0..self.reached.get() {
            if let Some((reason, passage)) = self.failure(index) {
                self.fall_back(index, reason, passage)?;
            }
        }
        Ok(())
    }

    /// Applies the policy of a member that failed; from then on it is not called for this stream.
    fn fall_back(&self, index: usize, reason: Reason, passage: Passage) -> Result<(), RequestError> {
        let member = &self.members[index];
        member.bypassed.set(true);
        member.failed.set(true);
        member.fault.set(Some(passage));
        member.filter.fall_back(reason).inspect_err(|error| self.failure_status.set(error.own_status()))
    }

    /// What the client gets because a filter failed closed.
    pub(crate) fn failure_status(&self) -> Option<StatusCode> {
        self.failure_status.get()
    }

    /// A member begins with what it may change, and is through with it.
    pub(super) fn enter(&self, index: usize, held: Held) {
        self.stream.borrow_mut().enter(held, self.manifest(index).on_failure);
    }

    /// See [`Chain::enter`]: what a member that failed has changed is taken back.
    pub(super) fn leave(&self, index: usize, held: Held) {
        self.stream.borrow_mut().leave(held, self.members[index].failed.get());
    }

    /// Whether a reply, close or death waits to be taken.
    pub(super) fn is_interrupted(&self) -> bool {
        (0..self.reached.get()).any(|index| {
            let member = &self.members[index];
            self.signals.has_reply(index)
                || self.signals.is_closed(index)
                || (member.filter.spec.manifest.on_failure == FailurePolicy::Closed
                    && self.failure(index).is_some())
        })
    }

    fn call_headers(
        &self,
        index: usize,
        direction: Direction,
        end_of_stream: bool,
    ) -> Result<Called, RequestError> {
        let count = self.stream.borrow().header_count(direction);
        // A pause begins with a callback: a resume from before is none of it.
        self.signals.take_resumed(index, direction);
        let (callback, call) = message_call::headers(direction, count, end_of_stream);
        let action = self.call(index, callback, call)?;
        if let Some(outcome) = self.member_interruption(index) {
            return outcome.map(|reply| Called::Over(Verdict::Reply(reply)));
        }
        Ok(if action == Action::Continue { Called::Over(Verdict::Continue) } else { Called::Paused })
    }

    /// Waits for whoever lets go of a head.
    async fn resumed(&self, index: usize, direction: Direction) -> Result<Verdict, RequestError> {
        let begun = Instant::now();
        let verdict = self.wait_for_resume(index, direction).await;
        self.held(index, GuestCall::headers(direction), begun.elapsed());
        verdict
    }

    async fn wait_for_resume(&self, index: usize, direction: Direction) -> Result<Verdict, RequestError> {
        let resumed = poll_fn(|context| {
            self.signals.register(direction, context);
            if let Some(outcome) = self.member_interruption(index) {
                return Poll::Ready(outcome.map(Verdict::Reply));
            }
            if self.signals.take_resumed(index, direction) || self.members[index].bypassed.get() {
                return Poll::Ready(Ok(Verdict::Continue));
            }
            Poll::Pending
        });
        // A filter that never resumes must not hold a client for ever.
        match tokio::time::timeout(self.max_pause(index), resumed).await {
            Ok(outcome) => outcome,
            Err(_) => Err(RequestError::filter(self.paused_too_long(index))),
        }
    }

    /// A member held the stream after such a call.
    pub(super) fn held(&self, member: usize, after: GuestCall, duration: Duration) {
        self.members[member].filter.metrics.held(after, duration);
    }

    pub(super) fn manifest(&self, member: usize) -> &Manifest {
        &self.members[member].filter.spec.manifest
    }

    /// How long a member may hold a stream back.
    pub(super) fn max_pause(&self, member: usize) -> Duration {
        self.manifest(member).limits.pause
    }

    /// Tells the operator which filter forgot a stream.
    pub(super) fn paused_too_long(&self, member: usize) -> Reason {
        let filter = &self.members[member].filter.spec.name;
        tracing::error!(filter = %filter, "a stream was paused for {:?} and not resumed", self.max_pause(member));
        Reason::FilterPauseTimeout
    }

    /// Calls one member; a failure becomes its policy, and a bypassed member continues.
    pub(super) fn call(
        &self,
        index: usize,
        callback: GuestCall,
        call: impl FnOnce(&mut Plugin, ContextId) -> Result<Action, CallError>,
    ) -> Result<Action, RequestError> {
        let member = &self.members[index];
        let Some(running) = member.running.as_ref().filter(|_| !member.bypassed.get()) else {
            return Ok(Action::Continue);
        };
        // It exports no callback that would be due, and its machine has failed for another stream.
        if member.settled.get() && self.signals.vm_failure(index).is_some() {
            return Ok(Action::Continue);
        }
        let called = match member.filter.guard.may_go_on() {
            Ok(()) => running.vm.call(callback, |plugin| call(plugin, running.context)),
            Err(reason) => {
                return self.fall_back(index, reason, Passage::Nothing).map(|()| Action::Continue);
            }
        };
        match called {
            Ok(_) if self.signals.is_failed(index) => {
                self.fall_back(index, Reason::FilterFailed, Passage::Good).map(|()| Action::Continue)
            }
            Ok(action) => Ok(action),
            Err(Failure { reason, passage }) => {
                self.fall_back(index, reason, passage).map(|()| Action::Continue)
            }
        }
    }

    /// Members in the order a message meets them, with what they want to see of body and trailers.
    pub(super) fn stages(&self, direction: Direction) -> SmallVec<[StageInfo; INLINE_MEMBERS]> {
        let last = match direction {
            Direction::Request => self.reached.get().saturating_sub(1),
            Direction::Response => 0,
        };
        self.stages_to(direction, last)
    }

    /// The same, up to the member `last` and with it.
    pub(super) fn stages_to(
        &self,
        direction: Direction,
        last: usize,
    ) -> SmallVec<[StageInfo; INLINE_MEMBERS]> {
        let stage = |member: usize| {
            let running = self.members[member].running.as_ref()?;
            let at = usize::from(direction == Direction::Response);
            let shadow = self.members[member].shadow.borrow();
            let info = StageInfo {
                member,
                has_body: running.vm.callbacks.body[at],
                has_trailers: running.vm.callbacks.trailers[at],
                may_change_body: running.vm.callbacks.may_change_body,
                max_held_bytes: self.members[member].filter.spec.manifest.limits.body_bytes,
                has_shadow: shadow.is_some(),
            };
            let is_wanted = shadow.as_ref().is_some_and(|shadow| shadow.wants_body(direction));
            (info.has_body || info.has_trailers || is_wanted).then_some(info)
        };
        match direction {
            Direction::Request => (0..self.reached.get().min(last + 1)).filter_map(stage).collect(),
            Direction::Response => (last..self.reached.get()).rev().filter_map(stage).collect(),
        }
    }

    /// Tells the shadow of this member, if there is one.
    pub(super) fn shadow(&self, member: usize, tell: impl FnOnce(&mut Shadow)) {
        if let Some(shadow) = &mut *self.members[member].shadow.borrow_mut() {
            tell(shadow);
        }
    }

    pub(super) fn is_bypassed(&self, member: usize) -> bool {
        self.members[member].bypassed.get()
    }

    /// Whether what a member changed is to be taken back.
    pub(super) fn has_failed(&self, member: usize) -> bool {
        self.members[member].failed.get()
    }

    /// Whether a member fails open.
    pub(super) fn fails_open(&self, member: usize) -> bool {
        self.manifest(member).on_failure == FailurePolicy::Open
    }

    /// Runs the end-of-stream callbacks, once.
    pub(crate) fn finish(&self) {
        if self.finished.replace(true) {
            return;
        }
        self.stream.borrow_mut().writable = Writable::default();
        for (index, member) in self.members.iter().enumerate() {
            let Some(running) = &member.running else { continue };
            let last = running.vm.finish_stream(running.context);
            let passage = match (member.fault.get(), last) {
                (Some(fault), _) => fault,
                (None, Err(failure)) => failure.passage,
                (None, Ok(())) if index < self.reached.get() => Passage::Good,
                (None, Ok(())) => Passage::Nothing,
            };
            member.filter.guard.passed(member.is_try, passage);
            member.shadow.take();
        }
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        self.finish();
    }
}

/// One member as a body meets it.
pub(super) struct StageInfo {
    pub(super) member: usize,
    pub(super) has_body: bool,
    pub(super) has_trailers: bool,
    pub(super) may_change_body: bool,
    pub(super) max_held_bytes: usize,
    pub(super) has_shadow: bool,
}

/// With whether the stream tries a filter in quarantine.
fn start_member(
    filter: &Rc<FilterInstance>,
    stream: SharedStream,
    signals: &Rc<Signals>,
    index: usize,
) -> Result<(Running, bool), Reason> {
    let is_try = filter.guard.admit()?;
    filter.note_request();
    let failed = |Failure { reason, passage }| {
        filter.guard.passed(is_try, passage);
        reason
    };
    let vm = filter.vm_for_stream().map_err(failed)?;
    let context = vm.create_stream(stream, signals, index).map_err(failed)?;
    Ok((Running { vm, context }, is_try))
}
