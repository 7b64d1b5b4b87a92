//! Versions on their way through the gates that take long: compile, start, configure, the first request.
//!
//! They are tried beside the control loop, so that a module which takes minutes to compile keeps nobody from reloading
//! something else, or from stopping. A file that changes again calls its trial off.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::gate::{self, Candidate};
use super::{FileKey, Live};
use crate::process::Process;
use crate::refusal::{Gate, Refusal};
use crate::shared::Cancel;
use crate::snapshot::FilterSpec;

/// Trials that have a thread at the same time; further ones wait for one. More than are compiled at a time: those that take
/// long to compile must not keep others from it.
const MAX_AT_ONCE: usize = 8;

/// The trials of filters, by name: one for each, of its newest files.
pub(super) struct Trials {
    of: BTreeMap<String, Trial>,
    threads: Arc<Semaphore>,
    finished: Rc<Notify>,
}

struct Trial {
    key: FileKey,
    cancel: Cancel,
    state: State,
}

enum State {
    Running(JoinHandle<Result<FilterSpec, Refusal>>),
    Finished(Result<Rc<Live>, Refusal>),
}

impl Default for Trials {
    fn default() -> Self {
        Self { of: BTreeMap::new(), threads: Arc::new(Semaphore::new(MAX_AT_ONCE)), finished: Rc::default() }
    }
}

impl Trials {
    /// Notified whenever a trial has finished.
    pub(super) fn finished(&self) -> Rc<Notify> {
        self.finished.clone()
    }

    /// Whether these very files are tried or were.
    pub(super) fn has(&self, name: &str, key: &FileKey) -> bool {
        self.of.get(name).is_some_and(|trial| trial.key == *key)
    }

    pub(super) fn is_running(&self, name: &str) -> bool {
        self.of.get(name).is_some_and(|trial| matches!(trial.state, State::Running(_)))
    }

    /// Tries a version; another one of the same filter is called off.
    pub(super) fn begin(&mut self, process: &Arc<Process>, key: FileKey, candidate: Candidate) {
        let name = candidate.name.to_string();
        let cancel = candidate.cancel.clone();
        let (process, threads, finished) = (process.clone(), self.threads.clone(), self.finished.clone());
        let task = tokio::task::spawn_local(async move {
            // The semaphore is never closed.
            let thread = threads.acquire_owned().await;
            let outcome = gate::pass(&process, candidate).await;
            drop(thread);
            finished.notify_one();
            outcome
        });
        self.of.insert(name, Trial { key, cancel, state: State::Running(task) });
    }

    /// Waits for those that run, as long as `patience` lasts.
    pub(super) async fn settle(&mut self, patience: Duration) {
        let deadline = Instant::now() + patience;
        for (name, trial) in &mut self.of {
            trial.settle(name, deadline).await;
        }
    }

    /// The same for one of them.
    pub(super) async fn settle_one(&mut self, name: &str, patience: Duration) {
        if let Some(trial) = self.of.get_mut(name) {
            trial.settle(name, Instant::now() + patience).await;
        }
    }

    /// What came of these files, if that is known. The same at each call, until they are forgotten.
    pub(super) fn outcome(&self, name: &str, key: &FileKey) -> Option<Result<Rc<Live>, Refusal>> {
        match self.of.get(name).filter(|trial| trial.key == *key).map(|trial| &trial.state) {
            Some(State::Finished(outcome)) => Some(outcome.clone()),
            _ => None,
        }
    }

    /// Forgets all but these; those that run are called off.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&str, &FileKey) -> bool) {
        self.of.retain(|name, trial| keep(name, &trial.key));
    }

    pub(super) fn forget(&mut self, name: &str) {
        self.of.remove(name);
    }
}

impl Trial {
    async fn settle(&mut self, name: &str, deadline: Instant) {
        let State::Running(task) = &mut self.state else { return };
        let Ok(ended) = timeout_at(deadline, task).await else { return };
        let inside =
            |_| Err(Refusal::at(Gate::Compile, format!("{name}.wasm: trying it failed inside the gateway")));
        let outcome = ended.unwrap_or_else(inside);
        let live = outcome.map(|spec| Rc::new(Live { key: self.key.clone(), spec: Arc::new(spec) }));
        self.state = State::Finished(live);
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}
