//! What the two versions of a trial did so far: cells that workers write and the control thread sums.
//!
//! A cell has one writer and is written while its trial lasts, and by nobody else.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use super::lock;

/// Examples of differences that are kept; the newest are.
pub(crate) const MAX_EXAMPLES: usize = 10;

/// One of the two versions of a trial.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    /// The one that serves.
    Live,
    /// The one on trial.
    Candidate,
}

/// What one version did on one worker.
#[derive(Default)]
#[repr(align(64))]
pub(crate) struct SideCells {
    pub(crate) requests: Cell,
    pub(crate) traps: Cell,
    pub(crate) timeouts: Cell,
    pub(crate) replies: Cell,
    /// Nanoseconds that requests and responses spent in the filter's callbacks for heads, waits included.
    pub(crate) added_ns: Cell,
    pub(crate) calls: Cell,
    /// Nanoseconds in guest calls.
    pub(crate) busy_ns: Cell,
    /// Memory that machines gained after the first requests, in bytes.
    pub(crate) grown_bytes: Cell,
    /// Requests in which that was looked at.
    pub(crate) grown_requests: Cell,
}

/// A number with one writer.
#[derive(Default)]
pub(crate) struct Cell(AtomicU64);

impl Cell {
    /// For its writer: a plain add, without the cost of a locked instruction.
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What one version did on all workers.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Numbers {
    pub(crate) requests: u64,
    pub(crate) traps: u64,
    pub(crate) timeouts: u64,
    pub(crate) replies: u64,
    pub(crate) added_ns: u64,
    pub(crate) calls: u64,
    pub(crate) busy_ns: u64,
    pub(crate) grown_bytes: u64,
    pub(crate) grown_requests: u64,
}

/// What a shadow would have done otherwise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Difference {
    pub(crate) route: Arc<str>,
    pub(crate) method: String,
    /// `request`, `response`, `request body` or `response body`.
    pub(crate) phase: &'static str,
    /// What the version that serves did, and what the other one would have done.
    pub(crate) live: String,
    pub(crate) candidate: String,
    /// Names of headers, `:method` and `:path` among them, that they left with other values. No values: these may be secret.
    pub(crate) headers: Vec<String>,
}

/// All numbers of one trial.
#[derive(Default)]
pub(crate) struct TrialNumbers {
    cells: Mutex<Vec<(Side, Arc<SideCells>)>>,
    shadowed: Mutex<Shadowed>,
}

#[derive(Default)]
struct Shadowed {
    compared: u64,
    different: u64,
    undecided: u64,
    examples: VecDeque<Difference>,
}

/// What the copies of a shadow came to.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Comparison {
    pub(crate) compared: u64,
    pub(crate) different: u64,
    /// Heads and bodies that were held back, so that there was nothing to compare.
    pub(crate) undecided: u64,
    pub(crate) examples: Vec<Difference>,
}

impl TrialNumbers {
    /// Cells for one worker.
    pub(crate) fn open(&self, side: Side) -> Arc<SideCells> {
        let cells = Arc::<SideCells>::default();
        lock(&self.cells).push((side, cells.clone()));
        cells
    }

    /// The sum over all workers.
    pub(crate) fn total(&self, side: Side) -> Numbers {
        let mut sum = Numbers::default();
        for (_, cells) in lock(&self.cells).iter().filter(|(of, _)| *of == side) {
            sum.requests += cells.requests.read();
            sum.traps += cells.traps.read();
            sum.timeouts += cells.timeouts.read();
            sum.replies += cells.replies.read();
            sum.added_ns += cells.added_ns.read();
            sum.calls += cells.calls.read();
            sum.busy_ns += cells.busy_ns.read();
            sum.grown_bytes += cells.grown_bytes.read();
            sum.grown_requests += cells.grown_requests.read();
        }
        sum
    }

    /// Notes one head or body that both versions saw; `None` when they did the same.
    pub(crate) fn compared(&self, difference: Option<Difference>) {
        let mut shadowed = lock(&self.shadowed);
        shadowed.compared += 1;
        let Some(difference) = difference else { return };
        shadowed.different += 1;
        if shadowed.examples.len() == MAX_EXAMPLES {
            shadowed.examples.pop_front();
        }
        shadowed.examples.push_back(difference);
    }

    /// Notes one head or body that a version held back.
    pub(crate) fn undecided(&self) {
        lock(&self.shadowed).undecided += 1;
    }

    pub(crate) fn comparison(&self) -> Comparison {
        let shadowed = lock(&self.shadowed);
        Comparison {
            compared: shadowed.compared,
            different: shadowed.different,
            undecided: shadowed.undecided,
            examples: shadowed.examples.iter().cloned().collect(),
        }
    }
}
