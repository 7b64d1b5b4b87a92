//! The bridge to the Proxy-Wasm host: the plugin of each filter on a worker, calls into it, and what it asked for.
//!
//! A guest is called synchronously and never re-entered: effects are drained after each call and turned into signals,
//! callout tasks and timers. A virtual machine that failed is never called again; the next request finds a new one. Where
//! machines come from, and which plugins share one, is in `vms`.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gateway_config::{FilterLimits, Isolation};
use proxy_wasm_host::{
    CallAnswer, CallError, CallToken, Callback, ContextHasher, ContextId, Effect, Failure as GuestFailure,
    HttpCall, Module, Plugin, PluginConfig, SharedStream, StartError, Usage,
};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::guard::{Guard, Passage};
use super::on_trial::{Attached, Meter, OnTrial, Phase};
use super::outcome::{CallOutcome, GuestCall, self_time};
use super::services::{Home, PluginServices};
use super::signals::Signals;
use super::supply::Supply;
use super::vms::{Mates, VmGroup};
use crate::process::Process;
use crate::request::Reason;
use crate::shared::{Limit, TrapRecord};
use crate::snapshot::{FilterSpec, LiveFilter};
use crate::telemetry::{FilterMetrics, LogBudget, MachineCount};
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
    pub(crate) guard: Guard,
    /// Those that share its machine.
    pub(super) group: Rc<VmGroup>,
    pub(super) supply: Supply,
    callbacks: OnceCell<Callbacks>,
    /// Absent between a failure and the next request.
    vm: RefCell<Option<Rc<Vm>>>,
    /// A machine that grew too large and has not ended yet.
    draining: Rc<RefCell<Weak<Vm>>>,
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
    fn of(plugin: &Plugin, module: &Module) -> Self {
        let handles = |callbacks: [Callback; 2]| callbacks.map(|callback| plugin.handles(callback));
        Self {
            headers: handles([Callback::RequestHeaders, Callback::ResponseHeaders]),
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
    #[error("filter {filter}@{version}: its machine is being started")]
    Starting { filter: Arc<str>, version: Arc<str> },
    #[error("filter {filter}: all its machines are in use (limits.instances)")]
    Busy { filter: Arc<str> },
}

impl FilterInstance {
    pub(super) fn new(worker: &Rc<Worker>, spec: Arc<FilterSpec>, group: Rc<VmGroup>) -> Rc<Self> {
        Self::at(worker, spec, group, Home::Worker(Rc::downgrade(worker)))
    }

    pub(super) fn at(worker: &Rc<Worker>, spec: Arc<FilterSpec>, group: Rc<VmGroup>, home: Home) -> Rc<Self> {
        let registry = &worker.process.registry;
        Rc::new(Self {
            metrics: metrics(worker, &spec),
            worker: Rc::downgrade(worker),
            services: Rc::new(PluginServices::new(
                &worker.process,
                &spec.name,
                &spec.manifest,
                &spec.containment,
                home,
            )),
            failure_log: LogBudget::new(MAX_FAILURES_LOGGED_PER_SECOND),
            guard: Guard::new(registry, &spec.name, &spec.containment, spec.manifest.limits.cpu_per_second),
            group,
            supply: Supply::default(),
            callbacks: OnceCell::new(),
            vm: RefCell::new(None),
            draining: Rc::default(),
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

    pub(super) fn is_running_in(&self, vm: &Rc<Vm>) -> bool {
        self.vm.borrow().as_ref().is_some_and(|current| Rc::ptr_eq(current, vm))
    }

    /// Puts a machine in the place of the one that there is.
    pub(super) fn replace_vm(&self, vm: Option<Rc<Vm>>) -> Option<Rc<Vm>> {
        self.vm.replace(vm)
    }

    pub(super) fn is_running(&self) -> bool {
        self.vm.borrow().is_some()
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
        let started_bytes = plugin.take_usage().memory_bytes;
        let vm = self.machine(plugin, module, mates, started_bytes, false);
        *self.vm.borrow_mut() = Some(vm.clone());
        if let Some(without) = self.supply.replaced() {
            self.metrics.replaced(without);
        }
        vm.apply_effects();
        vm
    }

    /// A copy of the configured machine for one stream, which sees nothing of the others.
    fn run_for_stream(self: &Rc<Self>) -> Result<Rc<Vm>, InstanceError> {
        let live = self.live()?;
        let mut plugin = self.supply_plugin_for_stream(live)?;
        let started_bytes = plugin.take_usage().memory_bytes;
        self.supply.stream_has_one();
        Ok(self.machine(plugin, &live.module, None, started_bytes, true))
    }

    fn machine(
        self: &Rc<Self>,
        plugin: Plugin,
        module: &Module,
        mates: Option<Mates>,
        started_bytes: usize,
        is_for_stream: bool,
    ) -> Rc<Vm> {
        let vm = Rc::new(Vm {
            callbacks: *self.callbacks.get_or_init(|| Callbacks::of(&plugin, module)),
            is_for_stream,
            plugin: RefCell::new(plugin),
            mates,
            streams: RefCell::default(),
            filter: Rc::downgrade(self),
            soft_limit_bytes: soft_limit_bytes(&self.spec.manifest.limits, started_bytes),
            draining: self.draining.clone(),
            failed_for: Cell::new(Reason::FilterTrap),
            tick: RefCell::new(None),
            retired: Cell::new(false),
            ending: Cell::new(false),
            ended: Cell::new(false),
            on_end: Notify::new(),
            _counted: self.metrics.machine(),
        });
        if let Some(mates) = &vm.mates {
            mates.borrow_mut().push(Rc::downgrade(&vm));
        }
        vm
    }

    pub(super) fn process(&self) -> Option<Arc<Process>> {
        self.worker.upgrade().map(|worker| worker.process.clone())
    }

    pub(super) fn has_machine_per_stream(&self) -> bool {
        self.spec.manifest.isolation == Isolation::Stream
    }

    pub(super) fn not_restarted(&self, error: &InstanceError) {
        if self.failure_log.take() {
            tracing::error!("the filter cannot be started again: {error}");
        }
    }

    /// The running machine for a stream. A failure to start is for the operator, not for the client.
    pub(super) fn vm_for_stream(self: &Rc<Self>) -> Result<Rc<Vm>, Failure> {
        let vm = if self.has_machine_per_stream() { self.run_for_stream() } else { self.vm() };
        vm.map_err(|error| match error {
            // That there are so many requests is not the filter's doing.
            InstanceError::Busy { .. } => Failure { reason: Reason::FilterBusy, passage: Passage::Nothing },
            error => {
                self.not_restarted(&error);
                self.metered(Meter::trap);
                Failure { reason: Reason::FilterNotLive, passage: Passage::Failed }
            }
        })
    }

    /// Delivers a queue notification to the plugin.
    pub(crate) fn queue_ready(self: &Rc<Self>, queue: u32) {
        if self.guard.may_work()
            && let Ok(vm) = self.vm()
        {
            // A failure is counted and logged by the call; there is no stream to answer for.
            let _ = vm.call(GuestCall::QueueReady, |plugin| plugin.on_queue_ready(queue));
        }
    }

    /// Ends the plugin when its version was replaced: streams that still run keep their machine alive.
    pub(crate) fn retire(&self) {
        self.supply.close();
        if let Some(vm) = self.vm.borrow_mut().take() {
            vm.retire();
        }
    }

    /// A call into the guest is over: all accounts are kept from here.
    fn call_ended(self: &Rc<Self>, vm: &Rc<Vm>, outcome: &CallOutcome) {
        self.metrics.called(outcome);
        self.metered(|meter| meter.call(outcome));
        self.guard.charge(outcome);
        self.check_memory(vm, outcome.memory_bytes);
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
        self.metrics.replied();
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
    fn call_failed(self: &Rc<Self>, vm: &Rc<Vm>, outcome: &CallOutcome, error: &CallError) {
        match error {
            CallError::Deadline { .. } => self.metered(Meter::timeout),
            CallError::Trap { .. } => self.metered(Meter::trap),
            CallError::UnknownContext(_) | CallError::Failed => {}
        }
        if !matches!(error, CallError::UnknownContext(_) | CallError::Failed) {
            self.guard.call_failed(outcome.callback);
        }
        match error {
            CallError::Deadline { callback, failure, .. } | CallError::Trap { callback, failure } => {
                self.report(callback, failure);
            }
            CallError::UnknownContext(_) => return,
            // Counted and reported when it failed.
            CallError::Failed => {}
        }
        self.forget(vm);
    }

    /// Counts a failure, and hands it to those who have the time to make it readable.
    fn report(&self, callback: &'static str, failure: &GuestFailure) {
        self.metrics.failed(failure.reason);
        let is_sent = self.failure_log.take()
            && self.worker.upgrade().is_some_and(|worker| {
                worker.process.traps.push(TrapRecord {
                    spec: self.spec.clone(),
                    at: SystemTime::now(),
                    worker: worker.id,
                    callback,
                    failure: failure.clone(),
                })
            });
        if !is_sent {
            self.metrics.report_dropped();
        }
    }

    /// The next request finds another machine.
    fn forget(self: &Rc<Self>, vm: &Rc<Vm>) {
        if self.is_running_in(vm) {
            self.replace_vm(None);
            self.supply.lost();
            if self.group.is_single() {
                self.replace_soon();
            }
        }
    }

    /// Ticks and queues need a machine, too, and not only when a request comes.
    fn replace_soon(self: &Rc<Self>) {
        let filter = Rc::downgrade(self);
        tokio::task::spawn_local(async move {
            if let Some(filter) = filter.upgrade()
                && let Err(error) = filter.vm()
                && !matches!(error, InstanceError::Starting { .. })
            {
                filter.not_restarted(&error);
            }
        });
    }
}

/// Its numbers; without anything that runs there are none.
fn metrics(worker: &Worker, spec: &FilterSpec) -> FilterMetrics {
    match spec.live {
        Ok(_) => {
            let limit = spec.manifest.limits.memory_bytes;
            worker.process.registry.filter(&spec.name, &spec.version, limit)
        }
        Err(_) => FilterMetrics::new(Arc::default()),
    }
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

    fn apply_effects(self: &Rc<Self>) {
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
