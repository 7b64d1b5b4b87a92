//! What a call into a guest was, and what it took.
//!
//! Each call is timed by the counter of the CPU, which costs no system call. In a call that lasts until a tick of the engine
//! the host measures CPU time, which counts in place of the time that passed: the kernel may have run something else.

use std::time::Duration;

use proxy_wasm_host::{Engine, Usage};

/// What a guest was called for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum GuestCall {
    /// A context for a stream.
    CreateStream,
    RequestHeaders,
    RequestBody,
    RequestTrailers,
    ResponseHeaders,
    ResponseBody,
    ResponseTrailers,
    /// The end of a callout.
    CallResponse,
    Tick,
    QueueReady,
    /// Log, done and delete of a stream.
    FinishStream,
}

/// One call into a guest that is over, however it ended.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "read by those who keep accounts")]
pub(crate) struct CallOutcome {
    pub(crate) callback: GuestCall,
    /// CPU time, or the time that passed if that was less than a tick. Host functions are in it.
    pub(crate) self_time: Duration,
    /// The machine's linear memory after it.
    pub(crate) memory_bytes: usize,
}

/// Times calls into guests. Making one waits for the counter to be calibrated, once per process; see [`calibrate`].
pub(super) struct CallClock(quanta::Clock);

/// When a call began.
#[derive(Clone, Copy)]
pub(super) struct CallStart(u64);

/// Compares the CPU's counter with the system's clock, which takes up to 200 ms; not for a worker.
pub(crate) fn calibrate() {
    quanta::Clock::new();
}

impl CallClock {
    pub(super) fn new() -> Self {
        Self(quanta::Clock::new())
    }

    pub(super) fn start(&self) -> CallStart {
        CallStart(self.0.raw())
    }

    /// What the call took that began at `start`.
    pub(super) fn self_time(&self, CallStart(start): CallStart, usage: &Usage) -> Duration {
        let passed = self.0.delta(start, self.0.raw());
        match usage.measured_cpu {
            None => passed,
            // The host began to measure with the first tick.
            Some(measured) => passed.min(measured + Engine::TICK),
        }
    }
}
