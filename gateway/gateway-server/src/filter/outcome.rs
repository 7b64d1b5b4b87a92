//! What a call into a guest was, and what it took.
//!
//! Each call is timed by the counter of the CPU. In a call that lasts until a tick of the engine
//! the host measures CPU time, which counts in place of the time that passed: the kernel may have run something else.

use std::time::Duration;

use proxy_wasm_host::{Direction, Engine, Usage};

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

impl GuestCall {
    pub(crate) const fn headers(direction: Direction) -> Self {
        match direction {
            Direction::Request => Self::RequestHeaders,
            Direction::Response => Self::ResponseHeaders,
        }
    }

    pub(crate) const fn body(direction: Direction) -> Self {
        match direction {
            Direction::Request => Self::RequestBody,
            Direction::Response => Self::ResponseBody,
        }
    }

    pub(crate) const fn trailers(direction: Direction) -> Self {
        match direction {
            Direction::Request => Self::RequestTrailers,
            Direction::Response => Self::ResponseTrailers,
        }
    }

    /// Whether it serves no one stream.
    pub(crate) const fn is_background(self) -> bool {
        matches!(self, Self::CallResponse | Self::Tick | Self::QueueReady)
    }

    /// All there are, by their number.
    pub(crate) const ALL: [Self; 11] = [
        Self::CreateStream,
        Self::RequestHeaders,
        Self::RequestBody,
        Self::RequestTrailers,
        Self::ResponseHeaders,
        Self::ResponseBody,
        Self::ResponseTrailers,
        Self::CallResponse,
        Self::Tick,
        Self::QueueReady,
        Self::FinishStream,
    ];

    /// Its name in metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::CreateStream => "create_stream",
            Self::RequestHeaders => "request_headers",
            Self::RequestBody => "request_body",
            Self::RequestTrailers => "request_trailers",
            Self::ResponseHeaders => "response_headers",
            Self::ResponseBody => "response_body",
            Self::ResponseTrailers => "response_trailers",
            Self::CallResponse => "call_response",
            Self::Tick => "tick",
            Self::QueueReady => "queue_ready",
            Self::FinishStream => "finish_stream",
        }
    }
}

/// One call into a guest that is over, however it ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallOutcome {
    pub(crate) callback: GuestCall,
    /// CPU time, or the time that passed if that was less than a tick. Host functions are in it.
    pub(crate) self_time: Duration,
    /// The machine's linear memory after it.
    pub(crate) memory_bytes: usize,
    /// Host functions that it called.
    pub(crate) host_calls: u64,
}

/// What a call took that passed so much time.
pub(super) fn self_time(passed: Duration, usage: &Usage) -> Duration {
    match usage.measured_cpu {
        None => passed,
        // The host began to measure with the first tick.
        Some(measured) => passed.min(measured + Engine::TICK),
    }
}
