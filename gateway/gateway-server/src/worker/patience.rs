//! How long the gateway waits for what only a client can do: bring the rest of a body, make room for a response.
//!
//! Counted by the worker's housekeeping tick while there is a wait, so that waiting sets no timer and reads no clock.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use super::HOUSEKEEPING_INTERVAL;

/// Ticks in a second.
const TICKS_PER_SECOND: u64 = 1000 / HOUSEKEEPING_INTERVAL.as_millis() as u64;

/// What one request waits for. Every tick of waiting adds to a debt, what the client does takes from it; a debt over the
/// limit ends the wait.
pub(crate) struct Patience {
    is_waiting: Cell<bool>,
    debt: Cell<u64>,
    debt_per_tick: u64,
    max_debt: u64,
    is_over: Cell<bool>,
    has_ended: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// All that the requests of one connection wait for.
#[derive(Default)]
pub(super) struct Waits(RefCell<Vec<Weak<Patience>>>);

impl Patience {
    /// With a body that brings `bytes_per_second`; may fall short of that for `grace`.
    pub(super) fn at_rate(bytes_per_second: u64, grace: Duration) -> Rc<Self> {
        let per_tick = bytes_per_second.div_ceil(TICKS_PER_SECOND).max(1);
        Self::new(per_tick, per_tick.saturating_mul(u64::from(ticks(grace))))
    }

    /// With a client that takes nothing for `time`.
    pub(super) fn for_time(time: Duration) -> Rc<Self> {
        Self::new(1, u64::from(ticks(time)))
    }

    fn new(debt_per_tick: u64, max_debt: u64) -> Rc<Self> {
        Rc::new(Self {
            is_waiting: Cell::new(false),
            debt: Cell::new(0),
            debt_per_tick,
            max_debt,
            is_over: Cell::new(false),
            has_ended: Cell::new(false),
            waker: RefCell::new(None),
        })
    }

    /// It is the client's turn, from now on.
    pub(crate) fn wait(&self) {
        self.is_waiting.set(!self.has_ended.get());
    }

    /// Whom to wake when the wait is over.
    pub(crate) fn wake_by(&self, context: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(known) => known.clone_from(context.waker()),
            None => *waker = Some(context.waker().clone()),
        }
    }

    /// The client did so much.
    pub(crate) fn progressed(&self, amount: u64) {
        self.is_waiting.set(false);
        self.is_over.set(false);
        self.debt.set(self.debt.get().saturating_sub(amount));
    }

    /// It is the client's turn no more, and will not be again.
    pub(crate) fn end(&self) {
        self.has_ended.set(true);
        self.progressed(u64::MAX);
    }

    /// Whether the client took too long.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.get()
    }

    fn tick(&self) {
        if !self.is_waiting.get() || self.is_over.get() {
            return;
        }
        let debt = self.debt.get().saturating_add(self.debt_per_tick);
        self.debt.set(debt);
        if debt > self.max_debt {
            self.is_over.set(true);
            if let Some(waker) = self.waker.take() {
                waker.wake();
            }
        }
    }
}

impl Waits {
    pub(super) fn add(&self, patience: &Rc<Patience>) {
        self.0.borrow_mut().push(Rc::downgrade(patience));
    }

    /// The request is over.
    pub(super) fn remove(&self, patience: &Rc<Patience>) {
        let mut waits = self.0.borrow_mut();
        if let Some(index) = waits.iter().position(|wait| std::ptr::eq(wait.as_ptr(), Rc::as_ptr(patience))) {
            waits.swap_remove(index);
        }
    }

    pub(super) fn tick(&self) {
        for wait in &*self.0.borrow() {
            if let Some(patience) = wait.upgrade() {
                patience.tick();
            }
        }
    }
}

/// Since when a connection takes no bytes.
pub(crate) struct WriteClock {
    /// The tick, plus one; 0 while bytes are taken.
    since: AtomicU32,
    tick: Arc<AtomicU32>,
}

impl WriteClock {
    pub(super) const fn new(tick: Arc<AtomicU32>) -> Self {
        Self { since: AtomicU32::new(0), tick }
    }

    /// The connection took bytes, or there are none for it.
    pub(super) fn moves(&self) {
        if self.since.load(Ordering::Relaxed) != 0 {
            self.since.store(0, Ordering::Relaxed);
        }
    }

    /// It would not.
    pub(super) fn stalls(&self) {
        if self.since.load(Ordering::Relaxed) == 0 {
            self.since.store(self.tick.load(Ordering::Relaxed).wrapping_add(1).max(1), Ordering::Relaxed);
        }
    }

    /// Whether that lasts for more than `limit_ticks`.
    pub(super) fn is_overdue(&self, limit_ticks: u32) -> bool {
        let since = self.since.load(Ordering::Relaxed);
        since != 0 && self.tick.load(Ordering::Relaxed).wrapping_add(1).wrapping_sub(since) > limit_ticks
    }
}

/// Housekeeping ticks of a time, rounded up.
pub(super) fn ticks(time: Duration) -> u32 {
    u32::try_from(time.as_nanos().div_ceil(HOUSEKEEPING_INTERVAL.as_nanos())).unwrap_or(u32::MAX / 2)
}

#[cfg(test)]
#[path = "patience_tests.rs"]
mod tests;
