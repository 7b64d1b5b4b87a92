//! A rate over all threads: so much per second, of which one second's worth may be used at once.
//!
//! One number tells all: the moment at which everything used so far would have come in at the rate. It lies in the future
//! while more is used than there is, and needs no timer to refill.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const SECOND_NS: u64 = 1_000_000_000;
/// What may be used at once after a pause, as time at the rate.
const BURST_NS: u64 = SECOND_NS;

/// A rate and what was used of it. In a cache line of its own; whoever uses it often keeps a share back.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Bucket {
    per_second: u64,
    /// Nanoseconds on the clock of those who ask.
    paid_at: AtomicU64,
}

impl Bucket {
    pub(crate) const fn new(per_second: u64) -> Self {
        Self { per_second, paid_at: AtomicU64::new(0) }
    }

    /// Uses `amount`, whether it is there or not: it was used already.
    pub(crate) fn spend(&self, now_ns: u64, amount: u64) {
        let cost_ns = self.cost_ns(amount);
        let paid = |paid_at: u64| Some(earliest(paid_at, now_ns).saturating_add(cost_ns));
        // The closure always has an answer.
        let _ = self.paid_at.fetch_update(Relaxed, Relaxed, paid);
    }

    /// Uses `amount` if it is there.
    pub(crate) fn take(&self, now_ns: u64, amount: u64) -> bool {
        let cost_ns = self.cost_ns(amount);
        let paid = |paid_at: u64| {
            let paid_at = earliest(paid_at, now_ns).saturating_add(cost_ns);
            (paid_at <= now_ns).then_some(paid_at)
        };
        self.paid_at.fetch_update(Relaxed, Relaxed, paid).is_ok()
    }

    /// How long it takes until nothing is owed; zero if nothing is.
    pub(crate) fn owed_ns(&self, now_ns: u64) -> u64 {
        self.paid_at.load(Relaxed).saturating_sub(now_ns)
    }

    fn cost_ns(&self, amount: u64) -> u64 {
        if self.per_second == 0 {
            return if amount == 0 { 0 } else { u64::MAX };
        }
        let cost_ns = u128::from(amount) * u128::from(SECOND_NS) / u128::from(self.per_second);
        u64::try_from(cost_ns).unwrap_or(u64::MAX)
    }
}

/// What was not used for longer than a burst is lost.
fn earliest(paid_at: u64, now_ns: u64) -> u64 {
    paid_at.max(now_ns.saturating_sub(BURST_NS))
}

#[cfg(test)]
#[path = "bucket_tests.rs"]
mod tests;
