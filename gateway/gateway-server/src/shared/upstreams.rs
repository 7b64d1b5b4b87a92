//! What the workers know of upstreams together: totals that are configured for all of them.
//!
//! By name, so that a reload keeps what is counted. A worker asks for its upstreams once per configuration and then
//! holds on to them; the request path takes no lock here, and touches these cells only for what was configured.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::lock;
use crate::telemetry::cells::GaugeCell;

/// All upstreams, by name.
#[derive(Default)]
pub(crate) struct UpstreamTable(Mutex<HashMap<Arc<str>, Arc<SharedUpstream>>>);

/// One upstream.
#[derive(Default)]
pub(crate) struct SharedUpstream {
    pub(crate) retries: Arc<Total>,
    pub(crate) requests: Arc<Total>,
    /// Requests that wait for a connection.
    pub(crate) pending: Arc<Total>,
    pub(crate) connections: Arc<Total>,
    /// The cells in which workers count requests under way.
    active: Mutex<Vec<Weak<GaugeCell>>>,
}

/// How much of something is in use now, over all workers.
#[derive(Default)]
pub(crate) struct Total {
    used: AtomicUsize,
    freed: Notify,
}

/// One of a [`Total`]; given back when dropped.
pub(crate) struct Permit(Arc<Total>);

impl UpstreamTable {
    /// The upstream of that name.
    pub(crate) fn of(&self, name: &Arc<str>) -> Arc<SharedUpstream> {
        lock(&self.0).entry(name.clone()).or_default().clone()
    }

    /// Forgets upstreams that no configuration has any more.
    pub(crate) fn retain(&self, is_known: impl Fn(&str) -> bool) {
        lock(&self.0).retain(|name, _| is_known(name));
    }
}

impl SharedUpstream {
    /// One more cell to sum up, for as long as it lives.
    pub(crate) fn count_requests_in(&self, cell: &Arc<GaugeCell>) {
        let mut cells = lock(&self.active);
        cells.retain(|cell| cell.strong_count() > 0);
        cells.push(Arc::downgrade(cell));
    }

    /// Requests under way on all workers. For decisions that are rare: it looks at every worker's cell.
    pub(crate) fn requests_active(&self) -> usize {
        let cells = lock(&self.active);
        let active: i64 = cells.iter().filter_map(Weak::upgrade).map(|cell| cell.read()).sum();
        usize::try_from(active).unwrap_or(0)
    }
}

impl Total {
    /// One more, unless `limit` are in use.
    pub(crate) fn take(self: &Arc<Self>, limit: usize) -> Option<Permit> {
        let more = |used| (used < limit).then_some(used + 1);
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.ok().map(|_| Permit(self.clone()))
    }

    /// How many are in use.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Resolves when one is given back after this was first asked; of several who wait, one is told.
    pub(crate) fn freed(&self) -> Notified<'_> {
        self.freed.notified()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.used.fetch_sub(1, Ordering::Relaxed);
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
#[path = "upstreams_tests.rs"]
mod tests;
