//! The store of one VM and the one way into its guest: set the context, arm the deadline, call, and turn a trap into an
//! error that ends the VM.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::{Store, TypedFunc, WasmParams, WasmResults};

use super::{CallError, Exports, HeadersCallback, StreamCallback};
use crate::abi::{Action, ContextId};
use crate::deadline::DeadlineExceeded;
use crate::effects::Effect;
use crate::failure::{Failure, tamed_name};
use crate::host::SharedStream;
use crate::state::{HostState, Shutdown};

pub(super) struct Vm {
    store: Store<HostState>,
    pub(super) failed: bool,
    callback_cpu: Duration,
    pub(super) exports: Arc<Exports>,
}

impl Vm {
    pub(super) fn new(store: Store<HostState>, exports: Exports) -> Self {
        let callback_cpu = store.data().limits().callback_cpu;
        Self { store, failed: false, callback_cpu, exports: Arc::new(exports) }
    }

    pub(super) fn state(&mut self) -> &mut HostState {
        self.store.data_mut()
    }

    pub(super) fn store(&mut self) -> &mut Store<HostState> {
        &mut self.store
    }

    pub(super) fn check(&self) -> Result<(), CallError> {
        if self.failed { Err(CallError::Failed) } else { Ok(()) }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.store.data().memory.map_or(0, |memory| memory.data_size(&self.store))
    }

    pub(super) fn call_headers(
        &mut self,
        callback: &Option<HeadersCallback>,
        id: ContextId,
        headers: usize,
        end_of_stream: bool,
    ) -> Result<Action, CallError> {
        match callback {
            None => self.check_stream(id),
            Some(HeadersCallback::WithEnd(callback)) => {
                self.call_action(callback, id, (id.0, count(headers), u32::from(end_of_stream)), HEADERS)
            }
            Some(HeadersCallback::WithoutEnd(callback)) => {
                self.call_action(callback, id, (id.0, count(headers)), HEADERS)
            }
        }
    }

    pub(super) fn call_body(
        &mut self,
        callback: &Option<StreamCallback<(u32, u32, u32)>>,
        id: ContextId,
        size: usize,
        end_of_stream: bool,
    ) -> Result<Action, CallError> {
        match callback {
            None => self.check_stream(id),
            Some(callback) => {
                self.call_action(callback, id, (id.0, count(size), u32::from(end_of_stream)), BODY)
            }
        }
    }

    pub(super) fn call_trailers(
        &mut self,
        callback: &Option<StreamCallback<(u32, u32)>>,
        id: ContextId,
        trailers: usize,
    ) -> Result<Action, CallError> {
        match callback {
            None => self.check_stream(id),
            Some(callback) => self.call_action(callback, id, (id.0, count(trailers)), TRAILERS),
        }
    }

    /// Log, done and delete of a stream, as far as the VM survives them.
    pub(super) fn end_stream(&mut self, exports: &Exports, id: ContextId) -> Result<(), CallError> {
        self.check()?;
        if let Some(log) = &exports.log {
            self.call_stream("proxy_on_log", log, id, id.0)?;
        }
        if let Some(done) = &exports.done {
            self.call_stream("proxy_on_done", done, id, id.0)?;
        }
        if let Some(delete) = &exports.delete {
            self.call_stream("proxy_on_delete", delete, id, id.0)?;
        }
        Ok(())
    }

    /// Delete of a plugin's own context, after which the plugin is done.
    pub(super) fn finish_root(&mut self, root: ContextId) -> Result<(), CallError> {
        if let Some(plugin) = self.state().plugin_mut(root) {
            plugin.shutdown = Shutdown::Finished;
        }
        let exports = self.exports.clone();
        if let Some(delete) = &exports.delete {
            self.call(root, None, self.callback_cpu, "proxy_on_delete", delete, root.0)?;
        }
        if let Some(plugin) = self.state().plugin_mut(root) {
            plugin.effects.push(Effect::Done);
        }
        Ok(())
    }

    /// Calls into a plugin's own context.
    pub(super) fn call_root<P: WasmParams, R: WasmResults>(
        &mut self,
        root: ContextId,
        callback: &'static str,
        function: &TypedFunc<P, R>,
        params: P,
    ) -> Result<R, CallError> {
        let result = self.call(root, None, self.callback_cpu, callback, function, params)?;
        self.settle().map(|()| result)
    }

    /// Calls into the context of a stream.
    pub(super) fn call_stream<P: WasmParams, R: WasmResults>(
        &mut self,
        callback: &'static str,
        function: &TypedFunc<P, R>,
        id: ContextId,
        params: P,
    ) -> Result<R, CallError> {
        self.check()?;
        let (root, stream) = self.store.data().streams.get(id).ok_or(CallError::UnknownContext(id))?;
        let stream = Some((id, stream.clone()));
        let result = self.call(root, stream, self.callback_cpu, callback, function, params)?;
        self.settle().map(|()| result)
    }

    /// Calls into a plugin's own context with a budget of its own.
    pub(super) fn call_with_budget<P: WasmParams, R: WasmResults>(
        &mut self,
        root: ContextId,
        budget: Duration,
        callback: &'static str,
        function: &TypedFunc<P, R>,
        params: P,
    ) -> Result<R, CallError> {
        self.call(root, None, budget, callback, function, params)
    }

    fn call_action<P: WasmParams>(
        &mut self,
        callback: &StreamCallback<P>,
        id: ContextId,
        params: P,
        answers: Answers,
    ) -> Result<Action, CallError> {
        let answer = self.call_stream(callback.name, &callback.function, id, params)?;
        if answers.go_on.contains(&answer) {
            Ok(Action::Continue)
        } else if answer <= answers.last {
            Ok(Action::Pause)
        } else {
            // Taken as a stop, as Envoy does, it would hold the stream for ever; a guest that answers so is broken.
            self.end();
            let stream = self.store.data().streams.get(id).map(|(_, stream)| stream.clone());
            let cause = format!("it answered {answer}, which is no action (0 to {})", answers.last);
            let failure = self.known(Failure::bad_answer(cause), stream.as_ref());
            Err(CallError::Trap { callback: callback.name, failure: Box::new(failure) })
        }
    }

    fn check_stream(&self, id: ContextId) -> Result<Action, CallError> {
        self.check()?;
        match self.store.data().streams.get(id) {
            Some(_) => Ok(Action::Continue),
            None => Err(CallError::UnknownContext(id)),
        }
    }

    /// Carries out a `proxy_done` that the callback called.
    fn settle(&mut self) -> Result<(), CallError> {
        while std::mem::take(&mut self.state().has_guest_done) {
            let done = self.state().plugins_mut().find(|plugin| plugin.shutdown == Shutdown::GuestDone);
            if let Some(root) = done.map(|plugin| plugin.root) {
                // There may be another.
                self.state().has_guest_done = true;
                self.finish_root(root)?;
            }
        }
        Ok(())
    }

    fn call<P: WasmParams, R: WasmResults>(
        &mut self,
        root: ContextId,
        stream: Option<(ContextId, SharedStream)>,
        budget: Duration,
        callback: &'static str,
        function: &TypedFunc<P, R>,
        params: P,
    ) -> Result<R, CallError> {
        self.check()?;
        self.store.data_mut().enter(root, stream, budget);
        self.store.set_epoch_deadline(1);
        let result = function.call(&mut self.store, params);
        let result = match result {
            Ok(result) => Ok(result),
            Err(error) => Err(self.fail(callback, &error)),
        };
        self.store.data_mut().leave();
        result
    }

    #[cold]
    fn fail(&mut self, callback: &'static str, error: &wasmtime::Error) -> CallError {
        self.end();
        let stream = self.store.data().stream().cloned();
        let was_refused_memory = self.store.data().growth.has_refused();
        let failure = self.known(Failure::of(error, was_refused_memory), stream.as_ref());
        describe(callback, error, failure)
    }

    /// Adds what the host knows of the callback.
    fn known(&self, failure: Failure, stream: Option<&SharedStream>) -> Failure {
        let state = self.store.data();
        Failure {
            host_calls: state.trace.last_calls(),
            last_words: state.trace.last_words(),
            request_id: stream.and_then(request_id),
            memory_bytes: self.memory_bytes(),
            ..failure
        }
    }

    /// A guest that ended abnormally may have left anything behind: nothing it asked for counts, nothing calls it again.
    fn end(&mut self) {
        self.failed = true;
        self.state().plugins_mut().for_each(|plugin| plugin.effects.clear());
    }
}

/// The error for a guest that ended abnormally.
pub(super) fn describe(callback: &'static str, error: &wasmtime::Error, failure: Failure) -> CallError {
    let failure = Box::new(failure);
    match error.downcast_ref::<DeadlineExceeded>() {
        Some(exceeded) => CallError::Deadline { callback, budget: exceeded.budget, failure },
        None => CallError::Trap { callback, failure },
    }
}

/// What the embedder knows the stream's request by.
fn request_id(stream: &SharedStream) -> Option<String> {
    let mut id = Vec::new();
    stream.try_borrow().ok()?.property(&[b"request", b"id"], &mut id).ok()?;
    (!id.is_empty()).then(|| tamed_name(&String::from_utf8_lossy(&id)))
}

/// What a callback may answer: those that go on, and the last number that means anything. The others stop.
#[derive(Clone, Copy)]
struct Answers {
    go_on: &'static [u32],
    last: u32,
}

/// 2 is "continue and end stream", which Envoy treats as continue; 3 and 4 stop.
const HEADERS: Answers = Answers { go_on: &[0, 2], last: 4 };
const BODY: Answers = Answers { go_on: &[0], last: 3 };
const TRAILERS: Answers = Answers { go_on: &[0], last: 1 };

fn count(items: usize) -> u32 {
    u32::try_from(items).unwrap_or(u32::MAX)
}
