//! The numbers of one version of a filter on one worker: what it was called for, what that took, how it failed, what it
//! holds.
//!
//! One owner writes and pays a plain load and store for each number; others read at any time. Knows nothing of names of
//! metrics: `shared::filter_table` sums the cells up.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use proxy_wasm_host::FailureReason;

use crate::filter::{CallOutcome, GuestCall};

/// How many ways there are to fail.
pub(crate) const REASONS: usize = FailureReason::ALL.len();

/// The numbers of one version of a filter on one worker.
#[derive(Default)]
#[repr(align(64))]
pub(crate) struct FilterCells {
    calls: [CallCells; GuestCall::ALL.len()],
    failures: [AtomicU64; REASONS],
    local_replies: AtomicU64,
    reports_dropped: AtomicU64,
    memory_bytes: AtomicU64,
    memory_peak_bytes: AtomicU64,
    instances: AtomicU64,
    copies: AtomicU64,
    replaced: TimeCells,
}

/// What one kind of call came to.
#[derive(Default)]
struct CallCells {
    own: TimeCells,
    host_calls: AtomicU64,
    /// How long streams were held after calls of this kind.
    waits: TimeCells,
}

/// How often, how long in all, and how long at most.
#[derive(Default)]
struct TimeCells {
    count: AtomicU64,
    sum_ns: AtomicU64,
    max_ns: AtomicU64,
}

impl TimeCells {
    fn record(&self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        add(&self.count, 1);
        add(&self.sum_ns, nanoseconds);
        raise(&self.max_ns, nanoseconds);
    }
}

/// For a cell with a single writer: no locked instruction.
fn add(cell: &AtomicU64, n: u64) {
    cell.store(cell.load(Relaxed).wrapping_add(n), Relaxed);
}

fn raise(cell: &AtomicU64, n: u64) {
    if n > cell.load(Relaxed) {
        cell.store(n, Relaxed);
    }
}

/// The writing end, held by the filter on its worker. What it counted stays with the version when it is dropped.
pub(crate) struct FilterMetrics {
    cells: Arc<FilterCells>,
    owned: PhantomData<Cell<()>>,
}

/// A machine that exists.
pub(crate) struct MachineCount {
    cells: Arc<FilterCells>,
    owned: PhantomData<Cell<()>>,
}

impl FilterMetrics {
    /// The only one that writes to these cells.
    pub(crate) fn new(cells: Arc<FilterCells>) -> Self {
        Self { cells, owned: PhantomData }
    }

    /// A call into the guest is over, however it ended.
    pub(crate) fn called(&self, outcome: &CallOutcome) {
        let cells = &self.cells.calls[outcome.callback as usize];
        cells.own.record(outcome.self_time);
        add(&cells.host_calls, outcome.host_calls);
        self.cells.memory_bytes.store(outcome.memory_bytes as u64, Relaxed);
        raise(&self.cells.memory_peak_bytes, outcome.memory_bytes as u64);
    }

    pub(crate) fn failed(&self, reason: FailureReason) {
        add(&self.cells.failures[reason as usize], 1);
    }

    /// It answered in place of the upstream.
    pub(crate) fn replied(&self) {
        add(&self.cells.local_replies, 1);
    }

    /// It held a stream after such a call.
    pub(crate) fn held(&self, after: GuestCall, duration: Duration) {
        self.cells.calls[after as usize].waits.record(duration);
    }

    /// A failure is counted but nobody will read how it came about.
    pub(crate) fn report_dropped(&self) {
        add(&self.cells.reports_dropped, 1);
    }

    /// Another machine stands in for one that failed; making it took so long.
    pub(crate) fn replaced(&self, took: Duration) {
        self.cells.replaced.record(took);
    }

    /// Counts a machine for as long as it exists.
    pub(crate) fn machine(&self) -> MachineCount {
        add(&self.cells.instances, 1);
        MachineCount { cells: self.cells.clone(), owned: PhantomData }
    }
}

impl Drop for MachineCount {
    fn drop(&mut self) {
        let left = self.cells.instances.load(Relaxed).saturating_sub(1);
        self.cells.instances.store(left, Relaxed);
        if left == 0 {
            self.cells.memory_bytes.store(0, Relaxed);
        }
    }
}

/// What cells come to, over all workers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FilterTotals {
    pub(crate) calls: [CallTotals; GuestCall::ALL.len()],
    pub(crate) failures: [u64; REASONS],
    pub(crate) local_replies: u64,
    pub(crate) reports_dropped: u64,
    /// Of all machines together, as of the last call into each.
    pub(crate) memory_bytes: u64,
    /// Of the largest machine.
    pub(crate) memory_peak_bytes: u64,
    pub(crate) instances: u64,
    pub(crate) copies: u64,
    pub(crate) replaced: TimeTotals,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CallTotals {
    pub(crate) own: TimeTotals,
    pub(crate) host_calls: u64,
    pub(crate) waits: TimeTotals,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TimeTotals {
    pub(crate) count: u64,
    pub(crate) sum_ns: u64,
    pub(crate) max_ns: u64,
}

impl FilterTotals {
    /// Adds what one worker counted, and what its machines hold.
    pub(crate) fn add(&mut self, cells: &FilterCells) {
        self.add_counts(cells);
        self.memory_bytes += cells.memory_bytes.load(Relaxed);
        self.instances += cells.instances.load(Relaxed);
    }

    /// Adds what happened: it stays when machines are gone.
    pub(crate) fn add_counts(&mut self, cells: &FilterCells) {
        for (total, cells) in self.calls.iter_mut().zip(&cells.calls) {
            total.own.add(&cells.own);
            total.host_calls = total.host_calls.wrapping_add(cells.host_calls.load(Relaxed));
            total.waits.add(&cells.waits);
        }
        for (total, cell) in self.failures.iter_mut().zip(&cells.failures) {
            *total = total.wrapping_add(cell.load(Relaxed));
        }
        for (total, cell) in [
            (&mut self.local_replies, &cells.local_replies),
            (&mut self.reports_dropped, &cells.reports_dropped),
            (&mut self.copies, &cells.copies),
        ] {
            *total = total.wrapping_add(cell.load(Relaxed));
        }
        self.memory_peak_bytes = self.memory_peak_bytes.max(cells.memory_peak_bytes.load(Relaxed));
        self.replaced.add(&cells.replaced);
    }

    /// Calls of every kind.
    pub(crate) fn all_calls(&self) -> TimeTotals {
        let mut all = TimeTotals::default();
        for calls in &self.calls {
            all.count = all.count.wrapping_add(calls.own.count);
            all.sum_ns = all.sum_ns.wrapping_add(calls.own.sum_ns);
            all.max_ns = all.max_ns.max(calls.own.max_ns);
        }
        all
    }

    /// Ends for which `reason` stands.
    pub(crate) fn failed(&self, reason: FailureReason) -> u64 {
        self.failures[reason as usize]
    }

    /// Abnormal ends of all kinds but deadlines.
    pub(crate) fn traps(&self) -> u64 {
        self.failures.iter().sum::<u64>() - self.failed(FailureReason::Deadline)
    }
}

impl TimeTotals {
    fn add(&mut self, cells: &TimeCells) {
        self.count = self.count.wrapping_add(cells.count.load(Relaxed));
        self.sum_ns = self.sum_ns.wrapping_add(cells.sum_ns.load(Relaxed));
        self.max_ns = self.max_ns.max(cells.max_ns.load(Relaxed));
    }
}
