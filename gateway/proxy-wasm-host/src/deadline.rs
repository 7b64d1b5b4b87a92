//! The CPU budget of one call into the guest, measured without a system call in calls that end before the next tick.
//!
//! Clocks are read only when a tick of the engine falls into the call: the first tick starts the measure, later ones
//! compare. A call may therefore use up to one tick more than its budget. CPU time, not wall time, decides, so that a
//! preempted guest is not punished; wall time is the backstop.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::limits::WALL_FACTOR;

pub(crate) struct Deadline {
    budget: Duration,
    /// Clocks at the first tick inside the current call.
    first_tick: Option<Clocks>,
    /// CPU time from the first tick to the end, over the calls that had one since it was last asked for.
    measured: Option<Duration>,
}

/// The guest used up its budget; ends the VM.
#[derive(Debug, thiserror::Error)]
#[error("the CPU budget of {budget:?} is used up")]
pub(crate) struct DeadlineExceeded {
    pub(crate) budget: Duration,
}

impl Deadline {
    pub(crate) fn new(budget: Duration) -> Self {
        Self { budget, first_tick: None, measured: None }
    }

    /// Starts a new call with its own budget.
    pub(crate) fn arm(&mut self, budget: Duration) {
        self.budget = budget;
        self.first_tick = None;
    }

    /// To be called at each tick that falls into the call.
    pub(crate) fn on_tick(&mut self) -> Result<(), DeadlineExceeded> {
        self.check(Clocks::now())
    }

    /// Ends the call: what a tick began to measure is measured to here.
    pub(crate) fn end(&mut self) {
        if let Some(first) = self.first_tick.take() {
            let used = thread_cpu_time().saturating_sub(first.cpu);
            self.measured = Some(self.measured.unwrap_or_default() + used);
        }
    }

    /// CPU time that was measured since this was last asked; `None` if no tick fell into a call.
    pub(crate) fn take_measured(&mut self) -> Option<Duration> {
        self.measured.take()
    }

    fn check(&mut self, now: Clocks) -> Result<(), DeadlineExceeded> {
        let first = *self.first_tick.get_or_insert(now);
        let cpu_used = now.cpu.saturating_sub(first.cpu);
        let wall_used = now.wall.saturating_sub(first.wall);
        if cpu_used > self.budget || wall_used > self.budget.saturating_mul(WALL_FACTOR) {
            return Err(DeadlineExceeded { budget: self.budget });
        }
        Ok(())
    }
}

/// CPU time this thread has used so far.
pub(crate) fn thread_cpu_time() -> Duration {
    read(ClockId::ThreadCPUTime)
}

#[derive(Clone, Copy)]
struct Clocks {
    cpu: Duration,
    wall: Duration,
}

impl Clocks {
    fn now() -> Self {
        Self { cpu: thread_cpu_time(), wall: read(ClockId::Monotonic) }
    }
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
#[path = "deadline_tests.rs"]
mod tests;
