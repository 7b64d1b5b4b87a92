//! The bridge to the Proxy-Wasm host: one running plugin, calls into it, and what it asked for.
//!
//! A guest is called synchronously and never re-entered: effects are drained after each call and turned into signals,
//! callout tasks and timers.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::time::Duration;

use gateway_config::FilterLimits;
use proxy_wasm_host::{
    CallAnswer, CallError, CallToken, Callback, ContextHasher, ContextId, Effect, HttpCall, Module, Plugin,
    SharedStream, Usage,
};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::guard::Passage;
use super::outcome::{CallOutcome, GuestCall, self_time};
use super::signals::Signals;
use super::vms::Mates;
use super::wasm::FilterInstance;
use crate::request::Reason;
use crate::shared::Limit;
use crate::telemetry::MachineCount;

/// Shortest period of a tick; a shorter one is raised to this.
const MIN_TICK: Duration = Duration::from_millis(10);
/// Longest wait for a callout's answer, also for one that asked for no limit.
const MAX_CALLOUT_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest that a replaced version may go on with what it has left to do (`proxy_done`).
const MAX_ENDING: Duration = Duration::from_secs(30);

/// One running plugin, most often alone in its machine.
pub(crate) struct Vm {
    plugin: RefCell<Plugin>,
    pub(super) mates: Option<Mates>,
    streams: RefCell<HashMap<ContextId, (Rc<Signals>, usize), ContextHasher>>,
    pub(super) callbacks: Callbacks,
    filter: Weak<FilterInstance>,
    soft_limit_bytes: usize,
    draining: Rc<RefCell<Weak<Self>>>,
    /// Why it failed, if it did.
    failed_for: Cell<Reason>,
    /// It is one stream's alone, and goes with it.
    is_for_stream: bool,
    tick: RefCell<Option<AbortHandle>>,
    retired: Cell<bool>,
    /// The plugin was asked to end.
    ending: Cell<bool>,
    /// The plugin has ended.
    ended: Cell<bool>,
    on_end: Notify,
    _counted: MachineCount,
}

/// What a module wants to see, asked once per version. Pairs are request, response.
#[derive(Clone, Copy)]
pub(super) struct Callbacks {
    pub(super) headers: [bool; 2],
    pub(super) body: [bool; 2],
    pub(super) trailers: [bool; 2],
    /// Whether the module can write bodies at all; some SDKs import the function in every module.
    pub(super) may_change_body: bool,
}

impl Callbacks {
    pub(super) fn of(plugin: &Plugin, module: &Module) -> Self {
        let handles = |callbacks: [Callback; 2]| callbacks.map(|callback| plugin.handles(callback));
        Self {
            headers: handles([Callback::RequestHeaders, Callback::ResponseHeaders]),
            body: handles([Callback::RequestBody, Callback::ResponseBody]),
            trailers: handles([Callback::RequestTrailers, Callback::ResponseTrailers]),
            may_change_body: module.info().imports.iter().any(|(_, name)| name == "proxy_set_buffer_bytes"),
        }
    }
}

/// What a machine is made for.
pub(super) struct Form {
    pub(super) callbacks: Callbacks,
    pub(super) mates: Option<Mates>,
    /// Its memory after the start.
    pub(super) started_bytes: usize,
    /// It is one stream's alone, and goes with it.
    pub(super) is_for_stream: bool,
}

/// A call that gave no result.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failure {
    pub(super) reason: Reason,
    /// Whether it counts against the filter.
    pub(super) passage: Passage,
}

const fn reason(error: &CallError, usage: &Usage) -> Reason {
    match error {
        CallError::Deadline { .. } => Reason::FilterDeadline,
        // What a guest does that gets no memory is to give up.
        _ if usage.was_refused_memory => Reason::FilterMemory,
        _ => Reason::FilterTrap,
    }
}

/// A machine that is large when it starts is to grow by something worth a new one.
fn soft_limit_bytes(limits: &FilterLimits, started_bytes: usize) -> usize {
    let soft = limits.memory_soft_bytes;
    if started_bytes <= soft / 2 {
        return soft;
    }
    soft.max(started_bytes + limits.memory_bytes.saturating_sub(started_bytes) / 2)
}

impl Vm {
    pub(super) fn new(filter: &Rc<FilterInstance>, plugin: Plugin, form: Form) -> Rc<Self> {
        let vm = Rc::new(Self {
            callbacks: form.callbacks,
            is_for_stream: form.is_for_stream,
            plugin: RefCell::new(plugin),
            mates: form.mates,
            streams: RefCell::default(),
            filter: Rc::downgrade(filter),
            soft_limit_bytes: soft_limit_bytes(&filter.spec.manifest.limits, form.started_bytes),
            draining: filter.draining.clone(),
            failed_for: Cell::new(Reason::FilterTrap),
            tick: RefCell::new(None),
            retired: Cell::new(false),
            ending: Cell::new(false),
            ended: Cell::new(false),
            on_end: Notify::new(),
            _counted: filter.metrics.machine(),
        });
        if let Some(mates) = &vm.mates {
            mates.borrow_mut().push(Rc::downgrade(&vm));
        }
        vm
    }

    /// Calls into the guest, then applies what it asked for.
    pub(super) fn call<T>(
        self: &Rc<Self>,
        callback: GuestCall,
        call: impl FnOnce(&mut Plugin) -> Result<T, CallError>,
    ) -> Result<T, Failure> {
        let filter = self.filter.upgrade();
        let start = filter.as_ref().map(|filter| filter.guard.clock.tick());
        let (result, usage) = {
            let mut plugin = self.plugin.borrow_mut();
            (call(&mut plugin), plugin.take_usage())
        };
        // A filter that is gone keeps no accounts.
        if let (Some(filter), Some(start)) = (&filter, start) {
            let self_time = self_time(filter.guard.clock.since(start), &usage);
            let Usage { memory_bytes, host_calls, .. } = usage;
            let outcome = CallOutcome { callback, self_time, memory_bytes, host_calls };
            filter.call_ended(self, &outcome);
            if usage.was_refused_memory {
                filter.guard.hits.hit(Limit::Memory);
            }
            if let Err(error) = &result {
                filter.call_failed(self, &outcome, error);
            }
        }
        let result = result.map_err(|error| self.failure(&error, &usage));
        self.settle();
        result
    }

    fn failure(&self, error: &CallError, usage: &Usage) -> Failure {
        match error {
            // Others of the machine made it fail, or there is nothing to call.
            CallError::Failed => Failure { reason: self.failed_for.get(), passage: Passage::Nothing },
            CallError::UnknownContext(_) => Failure { reason: Reason::FilterTrap, passage: Passage::Nothing },
            error => {
                let reason = reason(error, usage);
                self.failed_for.set(reason);
                Failure { reason, passage: Passage::Failed }
            }
        }
    }

    /// Beyond it the machine is replaced once its streams have ended.
    pub(super) fn soft_limit_bytes(&self) -> usize {
        self.soft_limit_bytes
    }

    /// Notes that it is to be replaced; false if it already is, or if another one has not ended yet.
    pub(super) fn begins_to_drain(self: &Rc<Self>) -> bool {
        if self.retired.get() || self.draining.borrow().strong_count() > 0 {
            return false;
        }
        *self.draining.borrow_mut() = Rc::downgrade(self);
        true
    }

    /// Takes back that it is to be replaced, if it still serves.
    pub(super) fn goes_on(&self) {
        let mut draining = self.draining.borrow_mut();
        if !self.retired.get() && std::ptr::eq(draining.as_ptr(), self) {
            *draining = Weak::new();
        }
    }

    /// Ends it when its last stream has.
    pub(super) fn retire(self: &Rc<Self>) {
        self.retired.set(true);
        self.shut_down_if_unused();
    }

    /// What follows from a call into the machine, for all that run in it.
    fn settle(self: &Rc<Self>) {
        self.settle_own();
        let Some(mates) = &self.mates else { return };
        // Nobody joins or leaves while effects are applied, but a retired one may be gone.
        let mates: Vec<_> = mates.borrow().iter().filter_map(Weak::upgrade).collect();
        for mate in mates.iter().filter(|mate| !Rc::ptr_eq(mate, self)) {
            mate.settle_own();
        }
    }

    fn settle_own(self: &Rc<Self>) {
        if self.plugin.borrow().failed() {
            if let Some(filter) = self.filter.upgrade() {
                filter.forget(self);
            }
            self.abandon_streams();
        } else {
            self.apply_effects();
        }
    }

    /// Creates the context of a stream; `signals` gets what the guest asks for that stream from now on.
    pub(super) fn create_stream(
        self: &Rc<Self>,
        stream: SharedStream,
        signals: &Rc<Signals>,
        member: usize,
    ) -> Result<ContextId, Failure> {
        let id = self.call(GuestCall::CreateStream, |plugin| plugin.create_stream(stream))?;
        self.streams.borrow_mut().insert(id, (signals.clone(), member));
        Ok(id)
    }

    /// Runs the end-of-stream callbacks and forgets the stream.
    pub(super) fn finish_stream(self: &Rc<Self>, id: ContextId) -> Result<(), Failure> {
        self.streams.borrow_mut().remove(&id);
        let ended = self.call(GuestCall::FinishStream, |plugin| plugin.finish_stream(id));
        self.shut_down_if_unused();
        ended
    }

    pub(super) fn apply_effects(self: &Rc<Self>) {
        loop {
            let Some(effect) = self.plugin.borrow_mut().next_effect() else { return };
            match effect {
                Effect::Resume { stream, direction } => {
                    self.signal(stream, |signals, member| signals.resume(member, direction));
                }
                Effect::Close { stream, .. } => self.signal(stream, Signals::close),
                Effect::Fail { stream, reason } => self.fail_stream(stream, &reason),
                Effect::LocalReply { stream, reply } => {
                    self.signal(stream, |signals, member| signals.reply(member, reply));
                }
                Effect::HttpCall { token, call, .. } => self.start_callout(token, call),
                Effect::TickPeriod(period) => self.set_tick(period),
                Effect::Done => {
                    self.ended.set(true);
                    self.on_end.notify_one();
                }
            }
        }
    }

    fn fail_stream(&self, stream: ContextId, reason: &[u8]) {
        if let Some(filter) = self.filter.upgrade()
            && filter.failure_log.take()
        {
            let reason = String::from_utf8_lossy(reason);
            tracing::warn!(filter = %filter.spec.name, version = %filter.spec.version, "the filter failed a stream: {}", reason.escape_debug());
        }
        self.signal(stream, Signals::fail);
    }

    fn signal(&self, stream: ContextId, tell: impl FnOnce(&Signals, usize)) {
        if let Some((signals, member)) = self.streams.borrow().get(&stream) {
            tell(signals, *member);
        }
    }

    /// A failed machine will never answer again: whoever waits for it must not hang.
    fn abandon_streams(&self) {
        if let Some(tick) = self.tick.borrow_mut().take() {
            tick.abort();
        }
        for (signals, member) in self.streams.borrow().values() {
            signals.vm_failed(*member, self.failed_for.get());
        }
    }

    fn set_tick(self: &Rc<Self>, period: Option<Duration>) {
        if let Some(tick) = self.tick.borrow_mut().take() {
            tick.abort();
        }
        let Some(period) = period else { return };
        let vm = Rc::downgrade(self);
        let task = tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(period.max(MIN_TICK)).await;
                let Some(vm) = vm.upgrade() else { return };
                let filter = vm.filter.upgrade();
                if filter.is_some_and(|filter| !filter.guard.may_work()) {
                    continue;
                }
                if vm.call(GuestCall::Tick, Plugin::on_tick).is_err() {
                    return;
                }
            }
        });
        *self.tick.borrow_mut() = Some(task.abort_handle());
    }

    fn start_callout(self: &Rc<Self>, token: CallToken, call: HttpCall) {
        let Some(worker) = self.filter.upgrade().and_then(|filter| filter.worker.upgrade()) else { return };
        let timeout = call.timeout.unwrap_or(MAX_CALLOUT_TIMEOUT).min(MAX_CALLOUT_TIMEOUT);
        // The task keeps a weak reference only: an answer for a machine that is gone has nobody to go to.
        let vm = Rc::downgrade(self);
        tokio::task::spawn_local(async move {
            let answer = crate::request::call_out(&worker, call, timeout).await;
            while let Some(wait) = vm.upgrade().and_then(|vm| vm.filter.upgrade()?.guard.wait()) {
                tokio::time::sleep(wait).await;
            }
            if let Some(vm) = vm.upgrade() {
                vm.deliver(token, answer);
            }
        });
    }

    fn deliver(self: &Rc<Self>, token: CallToken, answer: CallAnswer) {
        // A failure is counted and logged by the call; waiting streams are told by their signals.
        let _ = self.call(GuestCall::CallResponse, |plugin| plugin.on_http_call_response(token, answer));
    }

    fn shut_down_if_unused(self: &Rc<Self>) {
        if !self.retired.get() || !self.streams.borrow().is_empty() || self.ending.replace(true) {
            return;
        }
        self.plugin.borrow_mut().shutdown();
        self.settle();
        if self.ended.get() || self.plugin.borrow().failed() {
            return;
        }
        // It has work left: what holds it, and the filter that its callouts need, stays until it is done.
        let (vm, filter) = (self.clone(), self.filter.upgrade());
        tokio::task::spawn_local(async move {
            if tokio::time::timeout(MAX_ENDING, vm.on_end.notified()).await.is_err()
                && let Some(filter) = &filter
            {
                tracing::warn!(filter = %filter.spec.name, "a replaced version was not done after {MAX_ENDING:?}");
            }
        });
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        if let Some(tick) = self.tick.get_mut().take() {
            tick.abort();
        }
        if self.is_for_stream
            && let Some(filter) = self.filter.upgrade()
        {
            filter.supply.stream_gave_back();
        }
    }
}
