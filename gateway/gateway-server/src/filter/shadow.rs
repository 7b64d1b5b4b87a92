//! The copy of one request and its response that a shadow sees, and how what it would do differs from what was done.
//!
//! The shadow's callbacks run right before those of the version that serves, on copies of what that one is about to see.
//! Nothing of it reaches the stream: replies, edits and closes stay in the copy, its services keep writes and calls back.
//! What it holds is let go of by nobody but its own next callback.

mod compared;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use proxy_wasm_host::{Action, CallError, ContextId, Direction, Plugin};

use self::compared::{Compared, Did, Head, Message};
use super::chain::Verdict;
use super::machine::{Callbacks, Vm};
use super::message_call::{self, MessageCall};
use super::on_trial::OnTrial;
use super::signals::Signals;
use super::stream::{StreamState, Writable};
use super::wasm::FilterInstance;
use crate::request::Reason;
use crate::shared::Difference;

/// The copy of one request and its response.
pub(super) struct Shadow {
    on_trial: Rc<OnTrial>,
    stream: Rc<RefCell<StreamState>>,
    signals: Rc<Signals>,
    /// Absent when the shadow cannot run at all.
    running: Option<(Rc<Vm>, ContextId)>,
    request: Message,
    response: Message,
}

impl Shadow {
    /// Copies the request that `filter` is about to see, and shows its head to the filter's shadow, if that one is to see it.
    pub(super) fn of(
        filter: &FilterInstance,
        stream: &Rc<RefCell<StreamState>>,
        end_of_stream: bool,
    ) -> Option<Box<Self>> {
        let on_trial = filter.shadow()?;
        let seen = stream.borrow();
        if !on_trial.takes(seen.facts.client.ip(), &seen.request_headers) {
            return None;
        }
        let headers = seen.request_headers.clone();
        let mut copy = StreamState::new(seen.facts.clone(), seen.method.clone(), seen.path.clone(), headers);
        copy.route_name.clone_from(&seen.route_name);
        copy.upstream_name.clone_from(&seen.upstream_name);
        let stream = Rc::new(RefCell::new(copy));
        let signals = Signals::new(1);
        on_trial.candidate.note_request();
        let running = on_trial.candidate.vm().ok().and_then(|vm| {
            let context = vm.create_stream(stream.clone(), &signals, 0).ok()?;
            Some((vm, context))
        });
        let (request, response) = Default::default();
        let mut shadow = Box::new(Self { on_trial, stream, signals, running, request, response });
        shadow.request.head = Some(shadow.call_head(Direction::Request, end_of_stream));
        Some(shadow)
    }

    /// Shows it the response head that the version that serves is about to see, if it let the request go on.
    pub(super) fn response_head(&mut self, seen: &StreamState, end_of_stream: bool) {
        if self.request.head != Some(Did::Continue) || self.request.is_refused() {
            return;
        }
        {
            let mut copy = self.stream.borrow_mut();
            copy.status = seen.status;
            copy.response_headers = seen.response_headers.clone();
        }
        self.response.head = Some(self.call_head(Direction::Response, end_of_stream));
    }

    /// The version that serves is done with a head. `live` is the stream after it.
    pub(super) fn live_head(&mut self, direction: Direction, live: &StreamState, verdict: &Verdict) {
        let message = self.message(direction);
        message.live_is_past_head = true;
        if message.head.is_none() {
            return;
        }
        let did = match verdict {
            Verdict::Continue => Did::Continue,
            Verdict::Reply(reply) => Did::Reply(reply.status),
        };
        message.live_head = Some((did, Head::of(live, direction)));
        self.compare_heads(direction);
    }

    /// Whether it wants to see body or trailers, and gets them.
    pub(super) fn wants_body(&self, direction: Direction) -> bool {
        let body = self.handles(|callbacks| callbacks.body, direction);
        self.sees_body(direction) && (body || self.handles(|callbacks| callbacks.trailers, direction))
    }

    /// Shows it what the version that serves is about to see of a body.
    pub(super) fn body(&mut self, direction: Direction, bytes: &Bytes, end: bool) {
        if !self.sees_body(direction) {
            return;
        }
        let bytes = match self.message(direction).held.take() {
            Some(mut held) => {
                held.extend_from_slice(bytes);
                held.freeze()
            }
            None => bytes.clone(),
        };
        let (did, bytes) = self.call_body(direction, bytes, end);
        let max_held_bytes = self.on_trial.candidate.spec.manifest.limits.body_bytes;
        let message = self.message(direction);
        match did {
            Did::Hold if bytes.len() > max_held_bytes => message.refuse(Did::failed(Reason::BodyTooLarge)),
            Did::Hold => message.held = Some(BytesMut::from(bytes)),
            Did::Continue => {
                message.go_on(&bytes);
                if end {
                    message.copy.end(None);
                }
            }
            refusal => message.refuse(refusal),
        }
        self.compare_heads(direction);
    }

    /// Shows it the trailers that the version that serves is about to see, and with them the end of the body.
    pub(super) fn trailers(&mut self, direction: Direction, seen: &StreamState) {
        if !self.sees_body(direction) {
            return;
        }
        *self.stream.borrow_mut().trailers_mut(direction) = seen.trailers(direction).cloned();
        match self.call_trailers(direction) {
            Did::Hold => {
                self.message(direction).held.get_or_insert_default();
            }
            Did::Continue => {
                let trailers = self.stream.borrow().trailers(direction).cloned();
                let message = self.message(direction);
                let held = message.held.take().unwrap_or_default();
                message.go_on(&held);
                message.copy.end(trailers.as_ref());
            }
            refusal => self.message(direction).refuse(refusal),
        }
        self.compare_heads(direction);
    }

    /// The version that serves let go of bytes, and of the end of the body with them or not.
    pub(super) fn live_passed(&mut self, direction: Direction, bytes: &[u8], end: bool) {
        let live = &mut self.message(direction).live;
        live.pass(bytes);
        if end {
            live.end(None);
        }
    }

    /// The version that serves let go of the trailers, and of the end of the body with them.
    pub(super) fn live_passed_trailers(&mut self, direction: Direction, stream: &StreamState) {
        self.message(direction).live.end(stream.trailers(direction));
    }

    /// The version that serves answered: in its callback for a head, of which [`Shadow::live_head`] tells, or later.
    pub(super) fn live_replied(&mut self, status: u16) {
        let message = if self.response.live_is_past_head { &mut self.response } else { &mut self.request };
        if message.live_is_past_head {
            message.live.refuse(Did::Reply(status));
        }
    }

    fn call_head(&self, direction: Direction, end_of_stream: bool) -> Did {
        let count = self.stream.borrow().header_count(direction);
        self.call(direction, message_call::headers(direction, count, end_of_stream))
    }

    /// With what it made of the bytes.
    fn call_body(&self, direction: Direction, bytes: Bytes, end: bool) -> (Did, Bytes) {
        if !self.handles(|callbacks| callbacks.body, direction) {
            return (Did::Continue, bytes);
        }
        let size = bytes.len();
        self.stream.borrow_mut().body_mut(direction).open(bytes);
        let did = self.call(direction, message_call::body(direction, size, end));
        let (bytes, _) = self.stream.borrow_mut().body_mut(direction).close();
        (did, bytes)
    }

    fn call_trailers(&self, direction: Direction) -> Did {
        if !self.handles(|callbacks| callbacks.trailers, direction) {
            return Did::Continue;
        }
        let count = self.stream.borrow().trailers(direction).map_or(0, HeaderMap::len);
        self.call(direction, message_call::trailers(direction, count))
    }

    fn call(
        &self,
        direction: Direction,
        (callback, call): MessageCall<impl FnOnce(&mut Plugin, ContextId) -> Result<Action, CallError>>,
    ) -> Did {
        let Some((vm, context)) = &self.running else { return Did::Fail("it cannot be started".to_owned()) };
        self.stream.borrow_mut().writable = self.writable(direction);
        // A pause begins with a callback: a resume from before is none of it.
        self.signals.take_resumed(0, direction);
        let action = vm.call(callback, |plugin| call(plugin, *context));
        if let Some(reply) = self.signals.take_reply(0) {
            self.on_trial.candidate.note_reply();
            return Did::Reply(reply.status);
        }
        match action {
            Err(failure) => Did::failed(failure.reason),
            Ok(_) if self.signals.is_failed(0) => Did::failed(Reason::FilterFailed),
            Ok(_) if self.signals.is_closed(0) => Did::Close,
            Ok(Action::Continue) => Did::Continue,
            Ok(_) if self.signals.take_resumed(0, direction) => Did::Continue,
            Ok(_) => Did::Hold,
        }
    }

    /// A head can be changed until the shadow lets go of it.
    fn writable(&self, direction: Direction) -> Writable {
        let has_head = |message: &Message| matches!(message.head, None | Some(Did::Hold));
        match direction {
            Direction::Request => Writable {
                request_head: has_head(&self.request),
                request_trailers: self.request.head.is_some(),
                ..Writable::default()
            },
            Direction::Response => Writable {
                response_head: has_head(&self.response),
                request_trailers: true,
                response_trailers: self.response.head.is_some(),
                ..Writable::default()
            },
        }
    }

    fn handles(&self, of: impl FnOnce(&Callbacks) -> [bool; 2], direction: Direction) -> bool {
        let at = usize::from(direction == Direction::Response);
        self.running.as_ref().is_some_and(|(vm, _)| of(&vm.callbacks)[at])
    }

    /// Whether it gets the body: it let go of the head, or its manifest says that it gets it nevertheless.
    fn sees_body(&self, direction: Direction) -> bool {
        let (message, takes_body_early) = match direction {
            Direction::Request => (&self.request, self.on_trial.candidate.spec.manifest.body_while_paused),
            Direction::Response => (&self.response, false),
        };
        let is_there = match message.head {
            Some(Did::Continue) => true,
            Some(Did::Hold) => takes_body_early,
            _ => false,
        };
        is_there && !message.is_refused()
    }

    const fn message(&mut self, direction: Direction) -> &mut Message {
        match direction {
            Direction::Request => &mut self.request,
            Direction::Response => &mut self.response,
        }
    }

    fn compare_heads(&mut self, direction: Direction) {
        let stream = self.stream.clone();
        let compared = self.message(direction).compare_heads(|| Head::of(&stream.borrow(), direction));
        let phase = match direction {
            Direction::Request => "request",
            Direction::Response => "response",
        };
        self.note(phase, compared);
    }

    fn note(&self, phase: &'static str, compared: Option<Compared>) {
        let numbers = &self.on_trial.trial.numbers;
        match compared {
            None => {}
            Some(Compared::Undecided) => numbers.undecided(),
            Some(Compared::Same) => numbers.compared(None),
            Some(Compared::Different { live, candidate, headers }) => {
                let stream = self.stream.borrow();
                let route = stream.route_name.clone().unwrap_or_else(|| Arc::from(""));
                let method = stream.method.to_string();
                numbers.compared(Some(Difference { route, method, phase, live, candidate, headers }));
            }
        }
    }
}

impl Drop for Shadow {
    fn drop(&mut self) {
        self.note("request body", self.request.compare_rest());
        self.note("response body", self.response.compare_rest());
        if let Some((vm, context)) = self.running.take() {
            self.stream.borrow_mut().writable = Writable::default();
            // What it does at the end is compared with nothing.
            let _ = vm.finish_stream(context);
        }
    }
}
