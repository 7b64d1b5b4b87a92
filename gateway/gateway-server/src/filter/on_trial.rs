//! A trial as one worker runs it: an instance of the candidate beside the one that serves, and the meters of both.
//!
//! A filter without a trial pays one look at an empty option per request and call.

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;

use super::outcome::CallOutcome;
use super::vms;
use super::wasm::{FilterInstance, InstanceError};
use crate::shared::{Side, SideCells};
use crate::snapshot::Snapshot;
use crate::trial::{Plan, Trial};
use crate::worker::Worker;

/// Requests of a worker after which growth of memory counts: what is set up once is no leak.
const WARM_REQUESTS: u64 = 25;

/// A trial on this worker.
pub(crate) struct OnTrial {
    pub(crate) trial: Arc<Trial>,
    pub(crate) candidate: Rc<FilterInstance>,
    meters: [Rc<Meter>; 2],
    /// Requests that were asked about, begun at another number on each worker.
    count: Cell<u64>,
}

/// Writes down what one version does on this worker.
pub(super) struct Meter {
    cells: Arc<SideCells>,
    warm: Cell<u64>,
    /// The machine's memory after the last call; 0 before the first.
    memory_bytes: Cell<usize>,
}

/// What hangs on an instance while there is a trial of its filter.
pub(super) struct Attached {
    meter: Rc<Meter>,
    /// The trial that the serving version's requests are copied for.
    shadow: Option<Rc<OnTrial>>,
}

/// Time that a filter adds to a request, from its beginning to its drop.
pub(super) struct Phase {
    meter: Rc<Meter>,
    begun: Instant,
}

/// The trials of a snapshot on a worker, by its indices: those that go on, and the others with their candidate started.
pub(crate) fn trials(
    worker: &Rc<Worker>,
    snapshot: &Snapshot,
    previous: &[Option<Rc<OnTrial>>],
) -> Result<Vec<Option<Rc<OnTrial>>>, InstanceError> {
    let on_worker = |trial: &Option<Arc<Trial>>| {
        let Some(trial) = trial else { return Ok(None) };
        let same = |known: &&Rc<OnTrial>| Arc::ptr_eq(&known.trial, trial);
        if let Some(known) = previous.iter().flatten().find(same) {
            return Ok(Some(known.clone()));
        }
        let candidate = vms::candidate(worker, &trial.candidate, matches!(trial.plan, Plan::Shadow(_)))?;
        Ok(Some(OnTrial::new(trial.clone(), candidate, worker.id as u64)))
    };
    snapshot.trials.iter().map(on_worker).collect()
}

/// Hangs the meters on the instances, and takes them off those whose trial is over.
pub(crate) fn attach(filters: &[Rc<FilterInstance>], trials: &[Option<Rc<OnTrial>>]) {
    for (index, filter) in filters.iter().enumerate() {
        let trial = trials.get(index).and_then(Option::as_ref);
        filter.attach(trial.map(|trial| trial.to_live()));
        if let Some(trial) = trial {
            let [_, own] = &trial.meters;
            trial.candidate.attach(Some(Attached { meter: own.clone(), shadow: None }));
        }
    }
}

impl OnTrial {
    fn new(trial: Arc<Trial>, candidate: Rc<FilterInstance>, worker: u64) -> Rc<Self> {
        let meters = [Side::Live, Side::Candidate].map(|side| {
            let cells = trial.numbers.open(side);
            Rc::new(Meter { cells, warm: Cell::new(0), memory_bytes: Cell::new(0) })
        });
        Rc::new(Self { trial, candidate, meters, count: Cell::new(worker << 48) })
    }

    /// The candidate, if it gets this request.
    pub(crate) fn pick(&self, client: IpAddr, headers: &HeaderMap) -> Option<&Rc<FilterInstance>> {
        let is_canary = matches!(self.trial.plan, Plan::Canary(_));
        (is_canary && self.takes(client, headers)).then_some(&self.candidate)
    }

    /// The instance that goes on serving when the trial ends well: a shadow's writes went nowhere, so that it begins anew.
    pub(crate) fn heir(&self) -> Option<&Rc<FilterInstance>> {
        matches!(self.trial.plan, Plan::Canary(_)).then_some(&self.candidate)
    }

    pub(super) fn takes(&self, client: IpAddr, headers: &HeaderMap) -> bool {
        self.count.set(self.count.get().wrapping_add(1));
        self.trial.takes(client, headers, self.count.get())
    }

    fn to_live(self: &Rc<Self>) -> Attached {
        let [live, _] = &self.meters;
        let is_shadow = matches!(self.trial.plan, Plan::Shadow(_));
        Attached { meter: live.clone(), shadow: is_shadow.then(|| self.clone()) }
    }
}

impl Attached {
    pub(super) fn meter(&self) -> &Meter {
        &self.meter
    }

    pub(super) fn shadow(&self) -> Option<&Rc<OnTrial>> {
        self.shadow.as_ref()
    }

    pub(super) fn phase(&self) -> Phase {
        Phase { meter: self.meter.clone(), begun: Instant::now() }
    }
}

impl Meter {
    /// A request came to the filter.
    pub(super) fn request(&self) {
        self.cells.requests.add(1);
        self.warm.set(self.warm.get() + 1);
        if self.warm.get() > WARM_REQUESTS {
            self.cells.grown_requests.add(1);
        }
    }

    /// The filter failed a request: it trapped, or could not be asked.
    pub(super) fn trap(&self) {
        self.cells.traps.add(1);
    }

    /// The filter used up its CPU budget.
    pub(super) fn timeout(&self) {
        self.cells.timeouts.add(1);
    }

    /// The filter answered a request itself.
    pub(super) fn reply(&self) {
        self.cells.replies.add(1);
    }

    pub(super) fn call(&self, outcome: &CallOutcome) {
        self.cells.calls.add(1);
        self.cells.busy_ns.add(u64::try_from(outcome.self_time.as_nanos()).unwrap_or(u64::MAX));
        let before = self.memory_bytes.replace(outcome.memory_bytes);
        // A memory never shrinks: less of it is another machine.
        if before > 0 && outcome.memory_bytes > before && self.warm.get() > WARM_REQUESTS {
            self.cells.grown_bytes.add((outcome.memory_bytes - before) as u64);
        }
    }
}

impl Drop for Phase {
    fn drop(&mut self) {
        self.meter.cells.added_ns.add(u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
}
