//! The counter of the CPU as a clock: what passed, without a system call. For what is timed too often for the system's clock.

use std::cell::Cell;
use std::time::Duration;

/// A clock of one thread. All of them show the same time, in nanoseconds since any moment before the process began.
pub(crate) struct CallClock {
    clock: quanta::Clock,
    /// When it was read last.
    last: Cell<u64>,
}

/// A moment.
#[derive(Clone, Copy)]
pub(crate) struct Tick(u64);

/// Compares the CPU's counter with the system's clock, which takes up to 200 ms; not for a worker.
pub(crate) fn calibrate() {
    quanta::Clock::new();
}

impl CallClock {
    /// Waits for the counter to be [calibrated](calibrate), once per process.
    pub(crate) fn new() -> Self {
        let clock = quanta::Clock::new();
        let last = Cell::new(clock.raw());
        Self { clock, last }
    }

    pub(crate) fn tick(&self) -> Tick {
        self.last.set(self.clock.raw());
        Tick(self.last.get())
    }

    /// What passed since then.
    pub(crate) fn since(&self, Tick(tick): Tick) -> Duration {
        let Tick(now) = self.tick();
        self.clock.delta(tick, now)
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.tick();
        self.last_ns()
    }

    /// When it was read last: for what may be a little old.
    pub(crate) fn last_ns(&self) -> u64 {
        self.clock.delta_as_nanos(0, self.last.get())
    }
}
