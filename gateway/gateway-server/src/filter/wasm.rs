//! The bridge to the Proxy-Wasm host: the plugin of each filter on a worker, calls into it, and what it asked for.
//!
//! A guest is called synchronously and never re-entered: effects are drained after each call and turned into signals,
//! callout tasks and timers. A virtual machine that failed is never called again; the next request finds a new one. Where
//! machines come from, and which plugins share one, is in `vms`.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use proxy_wasm_host::{
    CallAnswer, CallError, CallToken, Callback, ContextHasher, ContextId, Effect, HttpCall, Module, Plugin,
    PluginConfig, SharedStream, StartError,
};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::on_trial::{Attached, Meter, OnTrial, Phase};
use super::outcome::{CallClock, CallOutcome, GuestCall};
use super::services::{Home, PluginServices};
use super::signals::Signals;
use super::vms::{Mates, VmGroup};
use crate::request::{Reason, RequestError};
use crate::snapshot::{FilterSpec, LiveFilter};
use crate::telemetry::{FilterMetrics, LogBudget};
use crate::worker::Worker;

/// Shortest period of a tick; a shorter one is raised to this.
const MIN_TICK: Duration = Duration::from_millis(10);
/// Longest wait for a callout's answer, also for one that asked for no limit.
const MAX_CALLOUT_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest that a replaced version may go on with what it has left to do (`proxy_done`).
const MAX_ENDING: Duration = Duration::from_secs(30);

/// Failures of one filter on one worker that are logged per second; all of them are counted.
const MAX_FAILURES_LOGGED_PER_SECOND: u32 = 10;

/// One filter version on one worker.
pub(crate) struct FilterInstance {
    pub(crate) spec: Arc<FilterSpec>,
    pub(crate) metrics: FilterMetrics,
    worker: Weak<Worker>,
    services: Rc<PluginServices>,
    failure_log: LogBudget,
    clock: CallClock,
    /// Those that share its machine.
    pub(super) group: Rc<VmGroup>,
    /// Absent between a failure and the next request.
    vm: RefCell<Option<Rc<Vm>>>,
    /// While there is a trial of its filter.
    attached: RefCell<Option<Attached>>,
}

/// One running plugin, most often alone in its machine.
pub(crate) struct Vm {
    plugin: RefCell<Plugin>,
    pub(super) mates: Option<Mates>,
    streams: RefCell<HashMap<ContextId, (Rc<Signals>, usize), ContextHasher>>,
    pub(super) callbacks: Callbacks,
    filter: Weak<FilterInstance>,
    tick: RefCell<Option<AbortHandle>>,
    retired: Cell<bool>,
    /// The plugin was asked to end.
    ending: Cell<bool>,
    /// The plugin has ended.
    ended: Cell<bool>,
    on_end: Notify,
}

/// What a module wants to see, asked once per machine. Pairs are request, response.
pub(super) struct Callbacks {
    pub(super) body: [bool; 2],
    pub(super) trailers: [bool; 2],
    /// Whether the module can write bodies at all; some SDKs import the function in every module.
    pub(super) may_change_body: bool,
}

impl Callbacks {
    fn of(plugin: &Plugin, module: &Module) -> Self {
        let handles = |callbacks: [Callback; 2]| callbacks.map(|callback| plugin.handles(callback));
        Self {
            body: handles([Callback::RequestBody, Callback::ResponseBody]),
            trailers: handles([Callback::RequestTrailers, Callback::ResponseTrailers]),
            may_change_body: module.info().imports.iter().any(|(_, name)| name == "proxy_set_buffer_bytes"),
        }
    }
}

/// Why a filter has no virtual machine.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InstanceError {
    #[error("filter {filter}: {reason}")]
    NotLive { filter: Arc<str>, reason: String },
    #[error("filter {filter}@{version}: {error}")]
    Start { filter: Arc<str>, version: Arc<str>, error: StartError },
}

impl FilterInstance {
    pub(super) fn new(worker: &Rc<Worker>, spec: Arc<FilterSpec>, group: Rc<VmGroup>) -> Rc<Self> {
        Self::at(worker, spec, group, Home::Worker(Rc::downgrade(worker)))
    }

    pub(super) fn at(worker: &Rc<Worker>, spec: Arc<FilterSpec>, group: Rc<VmGroup>, home: Home) -> Rc<Self> {
        Rc::new(Self {
            metrics: FilterMetrics::new(&worker.process.registry, &spec.name),
            worker: Rc::downgrade(worker),
            services: Rc::new(PluginServices::new(&worker.process, &spec.name, &spec.manifest, home)),
            failure_log: LogBudget::new(MAX_FAILURES_LOGGED_PER_SECOND),
            clock: CallClock::new(),
            group,
            vm: RefCell::new(None),
            attached: RefCell::new(None),
            spec,
        })
    }

    /// The running machine, started anew when the last one failed.
    pub(crate) fn vm(self: &Rc<Self>) -> Result<Rc<Vm>, InstanceError> {
        match self.running() {
            Some(vm) => Ok(vm),
            None => self.group.restart(self),
        }
    }

    pub(super) fn running(&self) -> Option<Rc<Vm>> {
        self.vm.borrow().clone()
    }

    pub(super) fn services(&self) -> Rc<PluginServices> {
        self.services.clone()
    }

    pub(super) fn live(&self) -> Result<&LiveFilter, InstanceError> {
        self.spec.live.as_ref().map_err(|reason| InstanceError::NotLive {
            filter: self.spec.name.clone(),
            reason: reason.to_string(),
        })
    }

    pub(super) fn start_error(&self, error: StartError) -> InstanceError {
        InstanceError::Start { filter: self.spec.name.clone(), version: self.spec.version.clone(), error }
    }

    /// Takes a plugin that has just started.
    pub(super) fn run(self: &Rc<Self>, mut plugin: Plugin, module: &Module, mates: Option<Mates>) -> Rc<Vm> {
        // What the start took is not for the first call to pay.
        plugin.take_usage();
        let vm = Rc::new(Vm {
            callbacks: Callbacks::of(&plugin, module),
            plugin: RefCell::new(plugin),
            mates,
            streams: RefCell::default(),
            filter: Rc::downgrade(self),
            tick: RefCell::new(None),
            retired: Cell::new(false),
            ending: Cell::new(false),
            ended: Cell::new(false),
            on_end: Notify::new(),
        });
        if let Some(mates) = &vm.mates {
            mates.borrow_mut().push(Rc::downgrade(&vm));
        }
        *self.vm.borrow_mut() = Some(vm.clone());
        vm.apply_effects();
        vm
    }

    pub(super) fn not_restarted(&self, error: &InstanceError) {
        if self.failure_log.take() {
            tracing::error!("the filter cannot be started again: {error}");
        }
    }

    /// The running machine for a stream. A failure to start is for the operator, not for the client.
    pub(crate) fn vm_for_stream(self: &Rc<Self>) -> Result<Rc<Vm>, RequestError> {
        self.vm().map_err(|error| {
            self.not_restarted(&error);
            self.metered(Meter::trap);
            RequestError::filter(Reason::FilterNotLive)
        })
    }

    /// Delivers a queue notification to the plugin.
    pub(crate) fn queue_ready(self: &Rc<Self>, queue: u32) {
        if let Ok(vm) = self.vm() {
            // A failure is counted and logged by the call; there is no stream to answer for.
            let _ = vm.call(GuestCall::QueueReady, |plugin| plugin.on_queue_ready(queue));
        }
    }

    /// Ends the plugin when its version was replaced: streams that still run keep their machine alive.
    pub(crate) fn retire(&self) {
        if let Some(vm) = self.vm.borrow_mut().take() {
            vm.retired.set(true);
            vm.shut_down_if_unused();
        }
    }

    /// A call into the guest is over: all accounts are kept from here.
    fn call_ended(&self, outcome: &CallOutcome) {
        self.metrics.calls.inc();
        self.metered(|meter| meter.call(outcome));
    }

    pub(super) fn attach(&self, attached: Option<Attached>) {
        *self.attached.borrow_mut() = attached;
    }

    fn metered(&self, note: impl FnOnce(&Meter)) {
        if let Some(attached) = &*self.attached.borrow() {
            note(attached.meter());
        }
    }

    /// A request came to the filter.
    pub(super) fn note_request(&self) {
        self.metered(Meter::request);
    }

    /// The filter answered a request itself.
    pub(super) fn note_reply(&self) {
        self.metrics.local_replies.inc();
        self.metered(Meter::reply);
    }

    /// The trial whose candidate sees copies of this filter's requests.
    pub(super) fn shadow(&self) -> Option<Rc<OnTrial>> {
        self.attached.borrow().as_ref()?.shadow().cloned()
    }

    /// Times what the filter adds to a request, if there is somebody to compare it with.
    pub(super) fn phase(&self) -> Option<Phase> {
        self.attached.borrow().as_ref().map(Attached::phase)
    }

    /// Notes a failed call: what the operator reads, what is counted, and the end of the machine.
    fn call_failed(&self, vm: &Rc<Vm>, error: &CallError) {
        match error {
            CallError::Deadline { .. } => {
                self.metrics.timeouts.inc();
                self.metered(Meter::timeout);
            }
            CallError::Trap { .. } => {
                self.metrics.traps.inc();
                self.metered(Meter::trap);
            }
            CallError::UnknownContext(_) => return,
            // Counted and logged when it failed.
            CallError::Failed => {}
        }
        if *error != CallError::Failed && self.failure_log.take() {
            tracing::error!(filter = %self.spec.name, version = %self.spec.version, "filter failed: {error}");
        }
        self.forget(vm);
    }

    /// The next request finds another machine.
    fn forget(&self, vm: &Rc<Vm>) {
        let mut current = self.vm.borrow_mut();
        if current.as_ref().is_some_and(|current| Rc::ptr_eq(current, vm)) {
            *current = None;
        }
    }
}

/// What the reply to a failed call is, when the filter's policy is `closed`.
pub(crate) const fn failure(error: &CallError) -> RequestError {
    match error {
        CallError::Deadline { .. } => RequestError::filter(Reason::FilterDeadline),
        _ => RequestError::filter(Reason::FilterTrap),
    }
}

impl Vm {
    /// Starts another plugin in this one's machine.
    pub(super) fn start_beside(
        self: &Rc<Self>,
        config: Arc<PluginConfig>,
        services: Rc<PluginServices>,
    ) -> Result<Plugin, StartError> {
        let started = self.plugin.borrow().start_beside(config, services);
        self.settle();
        started
    }

    /// Calls into the guest, then applies what it asked for.
    pub(crate) fn call<T>(
        self: &Rc<Self>,
        callback: GuestCall,
        call: impl FnOnce(&mut Plugin) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        // A filter that is gone has nobody who would want to know.
        let Some(filter) = self.filter.upgrade() else {
            let result = call(&mut self.plugin.borrow_mut());
            self.settle();
            return result;
        };
        let start = filter.clock.start();
        let (result, usage) = {
            let mut plugin = self.plugin.borrow_mut();
            (call(&mut plugin), plugin.take_usage())
        };
        let self_time = filter.clock.self_time(start, &usage);
        filter.call_ended(&CallOutcome { callback, self_time, memory_bytes: usage.memory_bytes });
        if let Err(error) = &result {
            filter.call_failed(self, error);
        }
        self.settle();
        result
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
    pub(crate) fn create_stream(
        self: &Rc<Self>,
        stream: SharedStream,
        signals: &Rc<Signals>,
        member: usize,
    ) -> Result<ContextId, CallError> {
        let id = self.call(GuestCall::CreateStream, |plugin| plugin.create_stream(stream))?;
        self.streams.borrow_mut().insert(id, (signals.clone(), member));
        Ok(id)
    }

    /// Runs the end-of-stream callbacks and forgets the stream.
    pub(crate) fn finish_stream(self: &Rc<Self>, id: ContextId) {
        self.streams.borrow_mut().remove(&id);
        // The result is about other streams of this machine, which are told by their signals.
        let _ = self.call(GuestCall::FinishStream, |plugin| plugin.finish_stream(id));
        self.shut_down_if_unused();
    }

    fn apply_effects(self: &Rc<Self>) {
        loop {
            let Some(effect) = self.plugin.borrow_mut().next_effect() else { return };
            match effect {
                Effect::Resume { stream, direction } => {
                    self.signal(stream, |signals, member| signals.resume(member, direction));
                }
                Effect::Close { stream, .. } => self.signal(stream, Signals::close),
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
            signals.vm_failed(*member);
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
    }
}
