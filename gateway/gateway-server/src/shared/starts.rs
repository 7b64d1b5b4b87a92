//! Filters that were started away from the workers, and the threads on which that happens.

use std::sync::{Arc, Mutex, OnceLock};

use proxy_wasm_host::Started;
use tokio::runtime::Handle;

use super::lock;

/// Starts of what has one machine, made away from the workers, one for each; each takes one.
#[derive(Default)]
pub(crate) struct StartedPool(Mutex<Vec<Started>>);

impl StartedPool {
    pub(crate) fn new(started: Vec<Started>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(started)))
    }

    pub(crate) fn add(&self, started: Started) {
        lock(&self.0).push(started);
    }

    pub(crate) fn take(&self) -> Option<Started> {
        lock(&self.0).pop()
    }
}

/// Where filters are started while workers serve: on the control side's blocking threads.
#[derive(Default)]
pub(crate) struct Starts(OnceLock<(Handle, usize)>);

impl Starts {
    /// To be said once, by who has the threads.
    pub(crate) fn on(&self, control: Handle, workers: usize) {
        // A second time would be the same process's control thread again.
        let _ = self.0.set((control, workers));
    }

    /// Workers of the process.
    pub(crate) fn workers(&self) -> usize {
        self.0.get().map_or(1, |(_, workers)| *workers)
    }

    /// Runs this away from the caller's thread; `None` where there are no such threads.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        start: impl FnOnce() -> T + Send + 'static,
    ) -> Option<tokio::task::JoinHandle<T>> {
        self.0.get().map(|(control, _)| control.spawn_blocking(start))
    }
}
