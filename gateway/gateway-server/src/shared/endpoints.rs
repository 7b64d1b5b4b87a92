//! How one endpoint does, as all workers see it: what checks found, failures in a row, ejections.
//!
//! Plain atomics, written only when something changes: a request to an endpoint that is well reads one cache line that
//! nobody writes.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use gateway_config::Outlier;

use super::upstreams::Cells;

/// How one endpoint does.
#[derive(Default)]
pub(crate) struct SharedEndpoint {
    pub(crate) requests_active: Cells,
    /// What checks found: one of [`Health`].
    health: AtomicU8,
    /// Failures in a row.
    failures: AtomicU32,
    /// In milliseconds of the upstream's clock; 0 if it never was ejected. The past is kept: see [`Self::eject_at`].
    pub(super) ejected_until_ms: AtomicU64,
    /// How often it was ejected, less what good behaviour took off.
    ejections: AtomicU32,
}

/// What the gateway's own checks found out about an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Health {
    /// Nothing yet: it gets requests.
    Unknown = 0,
    Healthy = 1,
    Unhealthy = 2,
}

/// What came of ejecting an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ejection {
    /// It gets no requests for so long.
    For(Duration),
    /// It was ejected already.
    Already,
    /// So many are ejected already as may be.
    TooMany,
}

impl SharedEndpoint {
    pub(crate) fn health(&self) -> Health {
        match self.health.load(Ordering::Relaxed) {
            1 => Health::Healthy,
            2 => Health::Unhealthy,
            _ => Health::Unknown,
        }
    }

    pub(crate) fn set_health(&self, health: Health) {
        self.health.store(health as u8, Ordering::Relaxed);
    }

    /// A request went well.
    pub(crate) fn succeeded(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// A request failed; true when that were `most` in a row, which are then forgotten.
    pub(crate) fn failed(&self, most: u32) -> bool {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let is_over = failures >= most;
        if is_over {
            self.failures.store(0, Ordering::Relaxed);
        }
        is_over
    }

    pub(super) fn is_ejected_at(&self, now_ms: u64) -> bool {
        self.ejected_until_ms.load(Ordering::Relaxed) > now_ms
    }

    /// Ejects it for the base time, times how often it was: each interval since the last time takes one off. Decided
    /// under the upstream's lock.
    pub(super) fn eject_at(&self, now_ms: u64, ejected: usize, count: usize, rules: &Outlier) -> Ejection {
        if self.is_ejected_at(now_ms) {
            return Ejection::Already;
        }
        let may_be = (count * usize::from(rules.max_ejected_percent) / 100).max(1);
        if ejected >= may_be {
            return Ejection::TooMany;
        }
        let behaved_ms = now_ms - self.ejected_until_ms.load(Ordering::Relaxed);
        let interval_ms = millis(rules.interval).max(1);
        let taken_off = u32::try_from(behaved_ms / interval_ms).unwrap_or(u32::MAX);
        let times = self.ejections.load(Ordering::Relaxed).saturating_sub(taken_off).saturating_add(1);
        let time = rules.base_ejection.saturating_mul(times).min(rules.max_ejection);
        self.ejections.store(times, Ordering::Relaxed);
        self.ejected_until_ms.store(now_ms.saturating_add(millis(time)), Ordering::Relaxed);
        Ejection::For(time)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "endpoints_tests.rs"]
mod tests;
