//! Bounds how often one source may write to the process log: a failure that repeats with every request must not fill a
//! disk or cost more than the request.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Log lines of one source on one worker.
pub(crate) struct LogBudget {
    lines_per_second: u32,
    window: Cell<Instant>,
    used: Cell<u32>,
}

impl LogBudget {
    pub(crate) fn new(lines_per_second: u32) -> Self {
        Self { lines_per_second, window: Cell::new(Instant::now()), used: Cell::new(0) }
    }

    /// Whether one more line may be written.
    pub(crate) fn take(&self) -> bool {
        let now = Instant::now();
        if now.duration_since(self.window.get()) >= Duration::from_secs(1) {
            self.window.set(now);
            self.used.set(0);
        }
        self.used.set(self.used.get().saturating_add(1));
        self.used.get() <= self.lines_per_second
    }
}
