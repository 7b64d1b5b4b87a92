//! What is done about filters that fail or use too much.

use std::time::Duration;

/// Budgets of a filter.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct FilterLimits {
    /// CPU time of one callback.
    pub callback_cpu: Duration,
    /// CPU time of start and configure together.
    pub start_cpu: Duration,
    /// CPU time per second of all its callbacks on all workers; over it the filter is shed by its policy.
    pub cpu_per_second: Duration,
    /// Guest memory per VM, in bytes.
    pub memory_bytes: usize,
    /// A VM with more memory than this is replaced once its streams have ended. At most `memory_bytes`.
    pub memory_soft_bytes: usize,
    /// Body bytes held back at a time per stream and direction. Over it: 413 (request) or 502 (response).
    pub body_bytes: usize,
    /// Longest time that headers, or a body that is there whole, are held back before the stream gets 504.
    pub pause: Duration,
    /// Callouts without an answer per VM; a further one is refused.
    pub pending_calls: usize,
    /// Lines per second that it may log on all workers; the rest is dropped.
    pub log_lines: u32,
    /// Bytes per second that it may log on all workers; the rest is dropped.
    pub log_bytes: u32,
    /// Metrics that it may define; a further one is refused.
    pub metrics: usize,
    /// Bytes of keys and values in its shared data; what was used least recently goes.
    pub shared_data_bytes: usize,
    /// Keys in its shared data; what was used least recently goes.
    pub shared_keys: usize,
    /// Entries that may wait in a queue; a further one is refused.
    pub queue_length: usize,
}

/// When a filter that keeps failing is not called for a while.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Quarantine {
    /// Share of the calls within the window that fail, in percent.
    pub share_percent: u32,
    /// So many calls have to be within the window.
    pub calls: u64,
    /// How far back calls count.
    pub window: Duration,
    /// The first wait before the filter is tried again.
    pub backoff: Duration,
    /// The longest wait; at least `backoff`.
    pub max_backoff: Duration,
    /// Tries that have to succeed in a row.
    pub probes: u32,
}
