//! What keeps a filter within its bounds on one worker: CPU time, quarantine, what is counted of limits and failures.
//!
//! What all workers have to know together is in [`Containment`]; here is what a worker keeps to itself, so that a request
//! costs two look-ups there.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use gateway_config::FailurePolicy;

use super::machine::Vm;
use super::outcome::{CallOutcome, GuestCall};
use super::wasm::FilterInstance;
use crate::clock::CallClock;
use crate::request::{Reason, RequestError};
use crate::shared::{Admission, CallCounts, Containment, Limit, TryEnd};
use crate::telemetry::{Counter, Registry, families};

/// CPU time is accounted for in shares of this part of a second's worth ...
const SHARES_PER_SECOND: u128 = 100;
/// ... within these bounds.
const SHARE_NS: (u64, u64) = (10_000, 1_000_000);

/// Streams that a filter has begun with go on until it owes so much of its CPU time; new ones do not come to it from the
/// first moment on.
const OVERDRAFT_NS: u64 = 1_000_000_000;

/// What keeps one filter within its bounds on one worker.
pub(crate) struct Guard {
    pub(super) clock: CallClock,
    shared: Arc<Containment>,
    counts: Arc<CallCounts>,
    /// CPU time that is not accounted for yet.
    unspent_ns: Cell<u64>,
    share_ns: u64,
    pub(super) hits: LimitHits,
    failures: RefCell<HashMap<Reason, Counter>>,
    registry: Arc<Registry>,
}

/// How a filter's part in a stream ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Passage {
    Good,
    /// By its own doing.
    Failed,
    /// It was not called, or others in its machine failed.
    Nothing,
}

impl Guard {
    pub(super) fn new(
        registry: &Arc<Registry>,
        filter: &Arc<str>,
        shared: &Arc<Containment>,
        cpu_per_second: Duration,
    ) -> Self {
        let share_ns = u64::try_from(cpu_per_second.as_nanos() / SHARES_PER_SECOND).unwrap_or(u64::MAX);
        Self {
            clock: CallClock::new(),
            counts: shared.counts(),
            unspent_ns: Cell::new(0),
            share_ns: share_ns.clamp(SHARE_NS.0, SHARE_NS.1),
            hits: LimitHits::new(registry, filter, shared),
            failures: RefCell::default(),
            registry: registry.clone(),
            shared: shared.clone(),
        }
    }

    /// Whether a new stream may come to the filter, and whether it is to try it.
    pub(super) fn admit(&self) -> Result<bool, Reason> {
        if self.owes_more_than(0) {
            self.hits.hit(Limit::CpuPerSecond);
            return Err(Reason::FilterShed);
        }
        if !self.shared.is_quarantined() {
            return Ok(false);
        }
        match self.shared.admit(self.clock.now_ns()) {
            Admission::Serve => Ok(false),
            Admission::Try => Ok(true),
            Admission::Refuse => Err(Reason::FilterQuarantined),
        }
    }

    /// Whether a stream that the filter has begun with may go on in it.
    pub(super) fn may_go_on(&self) -> Result<(), Reason> {
        if self.owes_more_than(OVERDRAFT_NS) {
            self.hits.hit(Limit::CpuPerSecond);
            return Err(Reason::FilterShed);
        }
        Ok(())
    }

    /// Whether work that no request waits for may be done.
    pub(super) fn may_work(&self) -> bool {
        let owes = self.owes_more_than(0);
        if owes {
            self.hits.hit(Limit::CpuPerSecond);
        }
        !owes && !self.shared.is_quarantined()
    }

    /// How long work that cannot be left undone has to wait.
    pub(super) fn wait(&self) -> Option<Duration> {
        let owed_ns = self.shared.owed_cpu_ns(self.clock.now_ns());
        (owed_ns > OVERDRAFT_NS).then(|| Duration::from_nanos(owed_ns - OVERDRAFT_NS))
    }

    fn owes_more_than(&self, allowed_ns: u64) -> bool {
        // The clock is read only where an older time says so.
        self.shared.owed_cpu_ns(self.clock.last_ns()) > allowed_ns
            && self.shared.owed_cpu_ns(self.clock.now_ns()) > allowed_ns
    }

    pub(super) fn charge(&self, outcome: &CallOutcome) {
        let used_ns = u64::try_from(outcome.self_time.as_nanos()).unwrap_or(u64::MAX);
        let unspent_ns = self.unspent_ns.get().saturating_add(used_ns);
        if unspent_ns >= self.share_ns {
            self.unspent_ns.set(0);
            self.shared.spend_cpu(self.clock.last_ns(), unspent_ns);
        } else {
            self.unspent_ns.set(unspent_ns);
        }
    }

    /// A stream is through with the filter.
    pub(super) fn passed(&self, is_try: bool, passage: Passage) {
        match (is_try, passage) {
            (true, passage) => {
                let end = match passage {
                    Passage::Good => TryEnd::Succeeded,
                    Passage::Failed => TryEnd::Failed,
                    Passage::Nothing => TryEnd::NotTried,
                };
                self.shared.tried(&self.counts, self.clock.now_ns(), end);
            }
            (false, Passage::Good) => self.shared.called(&self.counts, self.clock.last_ns(), false),
            (false, Passage::Failed) => self.shared.called(&self.counts, self.clock.now_ns(), true),
            (false, Passage::Nothing) => {}
        }
    }

    /// A call failed; those of streams count with their streams.
    pub(super) fn call_failed(&self, callback: GuestCall) {
        if callback.is_background() {
            self.shared.called(&self.counts, self.clock.now_ns(), true);
        }
    }

    /// To be called several times per second.
    pub(crate) fn tend(&self) {
        self.shared.tend(self.clock.now_ns());
    }
}

impl FilterInstance {
    /// What a request gets in the filter's place. Closed: the error stands. Open: it goes on without the filter.
    pub(crate) fn fall_back(&self, reason: Reason) -> Result<(), RequestError> {
        let manifest = &self.spec.manifest;
        let policy = match manifest.on_failure {
            FailurePolicy::Closed => "closed",
            FailurePolicy::Open => "open",
        };
        let labels = [&*self.spec.name, reason.code(), policy];
        let open = || self.guard.registry.counter(&families::FILTER_FAILED_STREAMS, &labels);
        self.guard.failures.borrow_mut().entry(reason).or_insert_with(open).inc();
        match manifest.on_failure {
            FailurePolicy::Closed => Err(RequestError::filter(reason).with_status(manifest.failure_status)),
            FailurePolicy::Open => Ok(()),
        }
    }

    /// Has a machine replaced that grew too large. It ends with its streams; until then no other takes its place, so that
    /// there are two at most.
    pub(super) fn check_memory(self: &Rc<Self>, vm: &Rc<Vm>, memory_bytes: usize) {
        if memory_bytes <= vm.soft_limit_bytes() || !vm.begins_to_drain() {
            return;
        }
        self.guard.hits.hit(Limit::MemorySoft);
        let (filter, vm) = (self.clone(), vm.clone());
        // Not within a call: others of the machine may be about to be called, too.
        tokio::task::spawn_local(async move { filter.group.renew(&filter, &vm) });
    }
}

/// Counts how often limits are reached, for metrics and status.
pub(crate) struct LimitHits {
    shared: Arc<Containment>,
    registry: Arc<Registry>,
    filter: Arc<str>,
    counters: [OnceCell<Counter>; Limit::ALL.len()],
}

impl LimitHits {
    pub(super) fn new(registry: &Arc<Registry>, filter: &Arc<str>, shared: &Arc<Containment>) -> Self {
        let (shared, registry, filter) = (shared.clone(), registry.clone(), filter.clone());
        Self { shared, registry, filter, counters: std::array::from_fn(|_| OnceCell::new()) }
    }

    pub(super) fn hit(&self, limit: Limit) {
        self.shared.hit(limit);
        let labels = [&*self.filter, limit.name()];
        let open = || self.registry.counter(&families::FILTER_LIMIT_HITS, &labels);
        self.counters[limit as usize].get_or_init(open).inc();
    }
}
