//! What all workers know together of one version of one filter: what it used of its budgets, which of its limits were
//! reached, and whether it is in quarantine.
//!
//! A request reads two numbers here and writes none: workers count calls in cells of their own, and account for CPU time in
//! shares. The lock is taken when a call fails, by requests in quarantine, and a few times per second.

mod bucket;
mod quarantine;

pub(crate) use quarantine::{Admission, TryEnd};

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gateway_config::Manifest;

use super::lock;
use crate::telemetry::{Counter, Gauge, Registry, families};
use bucket::Bucket;
use quarantine::{Change, Quarantine, Totals};

/// A limit of a manifest that can be reached while the filter goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Limit {
    CpuPerSecond,
    Memory,
    MemorySoft,
    PendingCalls,
    LogLines,
    LogBytes,
    Metrics,
    SharedData,
    SharedKeys,
    QueueLength,
}

impl Limit {
    pub(crate) const ALL: [Self; 10] = [
        Self::CpuPerSecond,
        Self::Memory,
        Self::MemorySoft,
        Self::PendingCalls,
        Self::LogLines,
        Self::LogBytes,
        Self::Metrics,
        Self::SharedData,
        Self::SharedKeys,
        Self::QueueLength,
    ];

    /// As the manifest calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::CpuPerSecond => "cpuPerSecond",
            Self::Memory => "memory",
            Self::MemorySoft => "memorySoft",
            Self::PendingCalls => "pendingCalls",
            Self::LogLines => "logLines",
            Self::LogBytes => "logBytes",
            Self::Metrics => "metrics",
            Self::SharedData => "sharedData",
            Self::SharedKeys => "sharedKeys",
            Self::QueueLength => "queueLength",
        }
    }
}

/// What all workers know together of one version of a filter. Times are nanoseconds of [`CallClock`](crate::clock::CallClock).
pub(crate) struct Containment {
    filter: Arc<str>,
    cpu: Bucket,
    log_lines: Bucket,
    log_bytes: Bucket,
    hits: [AtomicU64; Limit::ALL.len()],
    /// Requests have to ask the quarantine.
    is_quarantined: AtomicBool,
    /// When the quarantine wants to see the totals again.
    next_sample_ns: AtomicU64,
    guarded: Mutex<Guarded>,
}

struct Guarded {
    /// Absent where it is switched off.
    quarantine: Option<Quarantine>,
    live: Vec<Arc<CallCounts>>,
    /// Of those who are gone.
    retired: Totals,
    /// Absent in a process that measures nothing.
    metrics: Option<Metrics>,
}

struct Metrics {
    quarantined: Gauge,
    quarantines: Counter,
}

/// The calls that one worker made; only it writes.
#[derive(Default)]
#[repr(align(64))]
pub(crate) struct CallCounts {
    calls: AtomicU64,
    failed: AtomicU64,
}

impl CallCounts {
    fn add(&self, has_failed: bool) {
        let add = |cell: &AtomicU64| cell.store(cell.load(Relaxed).wrapping_add(1), Relaxed);
        add(&self.calls);
        if has_failed {
            add(&self.failed);
        }
    }

    fn totals(&self) -> Totals {
        // In this order: a failure that is seen is seen as a call, too.
        let failed = self.failed.load(Relaxed);
        Totals { calls: self.calls.load(Relaxed).max(failed), failed }
    }
}

impl Containment {
    /// `registry` is where the quarantine is measured.
    pub(crate) fn new(filter: &Arc<str>, manifest: &Manifest, registry: Option<&Registry>) -> Arc<Self> {
        let limits = &manifest.limits;
        let per_second = u64::try_from(limits.cpu_per_second.as_nanos()).unwrap_or(u64::MAX);
        let metrics = registry.map(|registry| Metrics {
            quarantined: registry.gauge(&families::FILTER_QUARANTINED, &[filter]),
            quarantines: registry.counter(&families::FILTER_QUARANTINES, &[filter]),
        });
        Arc::new(Self {
            filter: filter.clone(),
            cpu: Bucket::new(per_second),
            log_lines: Bucket::new(limits.log_lines.into()),
            log_bytes: Bucket::new(limits.log_bytes.into()),
            hits: std::array::from_fn(|_| AtomicU64::new(0)),
            is_quarantined: AtomicBool::new(false),
            next_sample_ns: AtomicU64::new(0),
            guarded: Mutex::new(Guarded {
                quarantine: manifest.quarantine.map(Quarantine::new),
                live: Vec::new(),
                retired: Totals::default(),
                metrics,
            }),
        })
    }

    /// Where one worker counts its calls.
    pub(crate) fn counts(&self) -> Arc<CallCounts> {
        let counts = Arc::<CallCounts>::default();
        lock(&self.guarded).live.push(counts.clone());
        counts
    }

    /// CPU time that was used.
    pub(crate) fn spend_cpu(&self, now_ns: u64, nanoseconds: u64) {
        self.cpu.spend(now_ns, nanoseconds);
    }

    /// How long it takes until the CPU time that was used is there; zero while there is some left.
    pub(crate) fn owed_cpu_ns(&self, now_ns: u64) -> u64 {
        self.cpu.owed_ns(now_ns)
    }

    /// Whether a line of that length may be logged.
    pub(crate) fn take_log_line(&self, now_ns: u64, bytes: usize) -> Result<(), Limit> {
        if !self.log_lines.take(now_ns, 1) {
            return Err(Limit::LogLines);
        }
        if !self.log_bytes.take(now_ns, bytes as u64) {
            return Err(Limit::LogBytes);
        }
        Ok(())
    }

    pub(crate) fn hit(&self, limit: Limit) {
        self.hits[limit as usize].fetch_add(1, Relaxed);
    }

    /// How often a limit was reached.
    pub(crate) fn hits(&self, limit: Limit) -> u64 {
        self.hits[limit as usize].load(Relaxed)
    }

    /// Whether requests have to [ask](Containment::admit).
    pub(crate) fn is_quarantined(&self) -> bool {
        self.is_quarantined.load(Relaxed)
    }

    /// What a request gets while the filter is in quarantine.
    pub(crate) fn admit(&self, now_ns: u64) -> Admission {
        match &mut lock(&self.guarded).quarantine {
            Some(quarantine) => quarantine.admit(Duration::from_nanos(now_ns)),
            None => Admission::Serve,
        }
    }

    /// Counts a call that is over; `counts` are those of the worker.
    pub(crate) fn called(&self, counts: &CallCounts, now_ns: u64, has_failed: bool) {
        counts.add(has_failed);
        if has_failed {
            self.observe(now_ns);
        }
    }

    /// Counts a try that is over.
    pub(crate) fn tried(&self, counts: &CallCounts, now_ns: u64, end: TryEnd) {
        if end != TryEnd::NotTried {
            counts.add(end == TryEnd::Failed);
        }
        self.change(|quarantine, totals| quarantine.tried(Duration::from_nanos(now_ns), end, totals));
    }

    /// To be called by each worker, several times per second.
    pub(crate) fn tend(&self, now_ns: u64) {
        if now_ns >= self.next_sample_ns.load(Relaxed) {
            self.observe(now_ns);
        }
    }

    /// How long until the next try of a filter in quarantine; zero while one is under way.
    pub(crate) fn quarantined_for(&self, now_ns: u64) -> Option<Duration> {
        let guarded = lock(&self.guarded);
        let quarantine = guarded.quarantine.as_ref().filter(|quarantine| !quarantine.is_serving())?;
        Some(quarantine.wait(Duration::from_nanos(now_ns)).unwrap_or_default())
    }

    fn observe(&self, now_ns: u64) {
        self.change(|quarantine, totals| {
            let step = u64::try_from(quarantine.step().as_nanos()).unwrap_or(u64::MAX);
            self.next_sample_ns.store(now_ns.saturating_add(step), Relaxed);
            quarantine.observe(Duration::from_nanos(now_ns), totals)
        });
    }

    fn change(&self, act: impl FnOnce(&mut Quarantine, Totals) -> Option<Change>) {
        let change = {
            let guarded = &mut *lock(&self.guarded);
            let totals = guarded.totals();
            let Some(quarantine) = &mut guarded.quarantine else { return };
            let change = act(quarantine, totals);
            let is_quarantined = !quarantine.is_serving();
            self.is_quarantined.store(is_quarantined, Relaxed);
            if let (Some(metrics), Some(change)) = (&guarded.metrics, &change) {
                metrics.quarantined.set(i64::from(is_quarantined));
                if matches!(change, Change::Entered { .. }) {
                    metrics.quarantines.inc();
                }
            }
            change
        };
        if let Some(change) = change {
            self.tell(change);
        }
    }

    fn tell(&self, change: Change) {
        let filter = &*self.filter;
        match change {
            Change::Entered { seen: Totals { calls, failed }, next_try } => tracing::error!(
                filter,
                failed,
                calls,
                "filter quarantined: {failed} of {calls} calls failed; its failure policy answers, and it is tried again in {next_try:?}"
            ),
            Change::Prolonged { next_try } => {
                tracing::warn!(
                    filter,
                    "filter still quarantined: a try failed; the next one is in {next_try:?}"
                );
            }
            Change::Left => {
                tracing::info!(filter, "filter serves again: the tries in its quarantine succeeded")
            }
        }
    }
}

impl Guarded {
    fn totals(&mut self) -> Totals {
        let mut totals = self.retired;
        let mut retired = self.retired;
        self.live.retain_mut(|counts| {
            let is_gone = Arc::get_mut(counts).is_some();
            let own = counts.totals();
            for sum in std::iter::once(&mut totals).chain(is_gone.then_some(&mut retired)) {
                sum.calls += own.calls;
                sum.failed += own.failed;
            }
            !is_gone
        });
        self.retired = retired;
        totals
    }
}
