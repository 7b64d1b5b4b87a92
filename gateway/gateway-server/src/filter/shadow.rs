//! The copy of one request that a shadow sees, and how what it would do differs from what was done.
//!
//! The shadow's callbacks for the two heads run right after those of the version that serves, on copies of what that one
//! saw. Nothing of it reaches the stream: replies, edits and closes stay in the copy, its services keep writes and calls
//! back, and a head that it holds is let go of by nobody, so that there is nothing to compare.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use http::HeaderMap;
use proxy_wasm_host::{Action, ContextId, Direction};

use super::chain::Verdict;
use super::machine::Vm;
use super::on_trial::OnTrial;
use super::outcome::GuestCall;
use super::signals::Signals;
use super::stream::{StreamState, Writable};
use super::wasm::FilterInstance;
use crate::shared::Difference;

/// Names of headers in one difference; there may be more.
const MAX_NAMES: usize = 16;

/// The copy of one request.
pub(super) struct Shadow {
    on_trial: Rc<OnTrial>,
    stream: Rc<RefCell<StreamState>>,
    signals: Rc<Signals>,
    /// Absent when the shadow cannot run at all.
    running: Option<(Rc<Vm>, ContextId)>,
    /// It went on after the request head, and may see the response.
    goes_on: bool,
}

/// What a version does with a head.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Did {
    Continue,
    Reply(u16),
    Close,
    Hold,
    Fail(String),
}

impl Did {
    fn words(&self) -> String {
        match self {
            Self::Continue => "goes on".to_owned(),
            Self::Reply(status) => format!("answers {status}"),
            Self::Close => "closes the stream".to_owned(),
            Self::Hold => "holds it".to_owned(),
            Self::Fail(error) => format!("fails: {error}"),
        }
    }
}

impl Shadow {
    /// Copies the request that `filter` is about to see, if its shadow is to see it, too.
    pub(super) fn of(filter: &FilterInstance, stream: &Rc<RefCell<StreamState>>) -> Option<Box<Self>> {
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
        Some(Box::new(Self { on_trial, stream, signals, running, goes_on: false }))
    }

    /// Shows it the request head, and compares. `live` is the stream after the version that serves was done with it.
    pub(super) fn request(&mut self, live: &StreamState, verdict: &Verdict, end_of_stream: bool) {
        self.stream.borrow_mut().writable = Writable { request_head: true, ..Writable::default() };
        let count = self.stream.borrow().request_headers.len() + 3;
        let did = self.did(Direction::Request, count, end_of_stream);
        self.goes_on = did == Did::Continue;
        let mut names = Vec::new();
        {
            let copy = self.stream.borrow();
            if copy.method != live.method {
                names.push(":method".to_owned());
            }
            if copy.path != live.path {
                names.push(":path".to_owned());
            }
            differing(&live.request_headers, &copy.request_headers, &mut names);
        }
        self.compare(live, "request", verdict, did, names);
    }

    /// Copies the response head that the version that serves is about to see.
    pub(super) fn copy_response(&self, live: &StreamState) {
        let mut copy = self.stream.borrow_mut();
        copy.status = live.status;
        copy.response_headers = live.response_headers.clone();
        copy.writable = Writable { response_head: true, ..Writable::default() };
    }

    /// Shows it the response head, and compares.
    pub(super) fn response(&mut self, live: &StreamState, verdict: &Verdict, end_of_stream: bool) {
        if !self.goes_on {
            return;
        }
        let count = self.stream.borrow().response_headers.len() + 1;
        let did = self.did(Direction::Response, count, end_of_stream);
        let mut names = Vec::new();
        {
            let copy = self.stream.borrow();
            if copy.status != live.status {
                names.push(":status".to_owned());
            }
            differing(&live.response_headers, &copy.response_headers, &mut names);
        }
        self.compare(live, "response", verdict, did, names);
    }

    fn did(&self, direction: Direction, count: usize, end_of_stream: bool) -> Did {
        let Some((vm, context)) = &self.running else { return Did::Fail("it cannot be started".to_owned()) };
        let callback = match direction {
            Direction::Request => GuestCall::RequestHeaders,
            Direction::Response => GuestCall::ResponseHeaders,
        };
        let action = vm.call(callback, |plugin| match direction {
            Direction::Request => plugin.on_request_headers(*context, count, end_of_stream),
            Direction::Response => plugin.on_response_headers(*context, count, end_of_stream),
        });
        if let Some(reply) = self.signals.take_reply(0) {
            self.on_trial.candidate.note_reply();
            return Did::Reply(reply.status);
        }
        match action {
            Err(failure) => Did::Fail(failure.reason.code().to_owned()),
            Ok(_) if self.signals.is_closed(0) => Did::Close,
            Ok(Action::Continue) => Did::Continue,
            Ok(_) if self.signals.take_resumed(0, direction) => Did::Continue,
            Ok(_) => Did::Hold,
        }
    }

    fn compare(
        &self,
        live: &StreamState,
        phase: &'static str,
        verdict: &Verdict,
        did: Did,
        mut headers: Vec<String>,
    ) {
        let numbers = &self.on_trial.trial.numbers;
        let was = match verdict {
            Verdict::Continue => Did::Continue,
            Verdict::Reply(reply) => Did::Reply(reply.status),
        };
        if did == Did::Hold {
            return numbers.undecided();
        }
        if did != Did::Continue {
            // What it left of the head goes nowhere.
            headers.clear();
        }
        if was == did && headers.is_empty() {
            return numbers.compared(None);
        }
        headers.truncate(MAX_NAMES);
        numbers.compared(Some(Difference {
            route: live.route_name.clone().unwrap_or_else(|| Arc::from("")),
            method: live.method.to_string(),
            phase,
            live: was.words(),
            candidate: did.words(),
            headers,
        }));
    }
}

impl Drop for Shadow {
    fn drop(&mut self) {
        if let Some((vm, context)) = self.running.take() {
            self.stream.borrow_mut().writable = Writable::default();
            // What it does at the end is compared with nothing.
            let _ = vm.finish_stream(context);
        }
    }
}

/// Names of headers that do not have the same values in the same order.
fn differing(live: &HeaderMap, copy: &HeaderMap, names: &mut Vec<String>) {
    let differs = |name: &&http::HeaderName| !live.get_all(*name).iter().eq(copy.get_all(*name).iter());
    let only_copied = copy.keys().filter(|name| !live.contains_key(*name));
    names.extend(live.keys().filter(differs).chain(only_copied).map(ToString::to_string));
}
