//! One version of a filter on one worker: the machine that serves, and the accounts that are kept of it.
//!
//! A virtual machine that failed is never called again; the next request finds a new one. What a machine is, and how it is
//! called, is in `machine`; where machines come from, and which plugins share one, in `vms`.

use std::cell::{OnceCell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::SystemTime;

use gateway_config::Isolation;
use proxy_wasm_host::{CallError, Failure as GuestFailure, Module, Plugin, StartError};

use super::guard::{Guard, Passage};
use super::machine::{Callbacks, Failure, Form, Vm};
use super::on_trial::{Attached, Meter, OnTrial, Phase};
use super::outcome::{CallOutcome, GuestCall};
use super::services::{Home, PluginServices};
use super::starts::start_error;
use super::supply::Supply;
use super::vms::{Mates, VmGroup};
use crate::process::Process;
use crate::request::Reason;
use crate::shared::TrapRecord;
use crate::snapshot::{FilterSpec, LiveFilter};
use crate::telemetry::{FilterMetrics, LogBudget};
use crate::worker::Worker;

/// Failures of one filter on one worker that are logged per second; all of them are counted.
const MAX_FAILURES_LOGGED_PER_SECOND: u32 = 10;

/// One filter version on one worker.
pub(crate) struct FilterInstance {
    pub(crate) spec: Arc<FilterSpec>,
    pub(crate) metrics: FilterMetrics,
    pub(super) worker: Weak<Worker>,
    services: Rc<PluginServices>,
    pub(super) failure_log: LogBudget,
    pub(crate) guard: Guard,
    /// Those that share its machine.
    pub(super) group: Rc<VmGroup>,
    pub(super) supply: Supply,
    callbacks: OnceCell<Callbacks>,
    /// Absent between a failure and the next request.
    vm: RefCell<Option<Rc<Vm>>>,
    /// A machine that grew too large and has not ended yet.
    pub(super) draining: Rc<RefCell<Weak<Vm>>>,
    /// While there is a trial of its filter.
    attached: RefCell<Option<Attached>>,
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
        start_error(&self.spec, error)
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
        let callbacks = *self.callbacks.get_or_init(|| Callbacks::of(&plugin, module));
        Vm::new(self, plugin, Form { callbacks, mates, started_bytes, is_for_stream })
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
    pub(super) fn call_ended(self: &Rc<Self>, vm: &Rc<Vm>, outcome: &CallOutcome) {
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
    pub(super) fn call_failed(self: &Rc<Self>, vm: &Rc<Vm>, outcome: &CallOutcome, error: &CallError) {
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
    pub(super) fn forget(self: &Rc<Self>, vm: &Rc<Vm>) {
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
