//! What the workers know of upstreams together: totals that are configured for all of them, and how endpoints do.
//!
//! By name, so that a reload keeps what is counted. A worker asks for its upstreams once per configuration and then
//! holds on to them; the request path takes no lock here, and touches these cells only for what was configured.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use gateway_config::Outlier;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::endpoints::{Ejection, SharedEndpoint};
use super::lock;
use crate::telemetry::cells::GaugeCell;

/// All upstreams, by name.
#[derive(Default)]
pub(crate) struct UpstreamTable(Mutex<HashMap<Arc<str>, Arc<SharedUpstream>>>);

/// One upstream.
pub(crate) struct SharedUpstream {
    pub(crate) retries: Arc<Total>,
    pub(crate) requests: Arc<Total>,
    /// Requests that wait for a connection.
    pub(crate) pending: Arc<Total>,
    pub(crate) connections: Arc<Total>,
    pub(crate) requests_active: Cells,
    endpoints: Mutex<HashMap<SocketAddr, Arc<SharedEndpoint>>>,
    /// What times are counted from.
    since: Instant,
}

/// Cells in which workers count, each its own.
#[derive(Default)]
pub(crate) struct Cells(Mutex<Vec<Weak<GaugeCell>>>);

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
        lock(&self.0).entry(name.clone()).or_insert_with(|| Arc::new(SharedUpstream::new())).clone()
    }

    /// Forgets upstreams that no configuration has any more.
    pub(crate) fn retain(&self, is_known: impl Fn(&str) -> bool) {
        lock(&self.0).retain(|name, _| is_known(name));
    }
}

impl SharedUpstream {
    fn new() -> Self {
        Self {
            retries: Arc::default(),
            requests: Arc::default(),
            pending: Arc::default(),
            connections: Arc::default(),
            requests_active: Cells::default(),
            endpoints: Mutex::default(),
            since: Instant::now(),
        }
    }

    /// The endpoint with that address.
    pub(crate) fn endpoint(&self, address: SocketAddr) -> Arc<SharedEndpoint> {
        lock(&self.endpoints).entry(address).or_default().clone()
    }

    /// Forgets endpoints that the upstream has no more.
    pub(crate) fn retain_endpoints(&self, is_known: impl Fn(SocketAddr) -> bool) {
        lock(&self.endpoints).retain(|address, _| is_known(*address));
    }

    /// Ejects `endpoint`, one of `all`, unless so many are ejected already as may be.
    pub(crate) fn eject<'a>(
        &self,
        endpoint: &SharedEndpoint,
        all: impl Iterator<Item = &'a SharedEndpoint>,
        rules: &Outlier,
    ) -> Ejection {
        // Locked, so that two workers cannot eject one more than may be between them.
        let _deciding = lock(&self.endpoints);
        let now_ms = self.now_ms();
        let (ejected, count) = all.fold((0, 0), |(ejected, count), other| {
            (ejected + usize::from(other.is_ejected_at(now_ms)), count + 1)
        });
        endpoint.eject_at(now_ms, ejected, count, rules)
    }

    /// Whether `endpoint` is ejected now.
    pub(crate) fn is_ejected(&self, endpoint: &SharedEndpoint) -> bool {
        // Nearly always it never was; then no clock is asked.
        endpoint.ejected_until_ms.load(Ordering::Relaxed) != 0 && endpoint.is_ejected_at(self.now_ms())
    }

    /// For how much longer `endpoint` is ejected.
    pub(crate) fn ejected_for(&self, endpoint: &SharedEndpoint) -> Option<Duration> {
        let left_ms = endpoint.ejected_until_ms.load(Ordering::Relaxed).checked_sub(self.now_ms());
        left_ms.filter(|left_ms| *left_ms > 0).map(Duration::from_millis)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Cells {
    /// One more cell to sum up, for as long as it lives.
    pub(crate) fn add(&self, cell: &Arc<GaugeCell>) {
        let mut cells = lock(&self.0);
        cells.retain(|cell| cell.strong_count() > 0);
        cells.push(Arc::downgrade(cell));
    }

    /// The sum over all workers. For what is rare: it looks at every worker's cell.
    pub(crate) fn sum(&self) -> usize {
        let sum: i64 = lock(&self.0).iter().filter_map(Weak::upgrade).map(|cell| cell.read()).sum();
        usize::try_from(sum).unwrap_or(0)
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
