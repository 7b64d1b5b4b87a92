//! What is done about filters that fail or use too much.

use std::time::Duration;

use super::duration;
use crate::diagnostic::Report;
use crate::read::{Field, Marked};
use crate::resolved::{FailurePolicy, FilterLimits, Quarantine};
use crate::schema;
use crate::values::{Cores, Size, Switch, Whole, show_size};

const DEFAULT_CALLBACK_CPU: Duration = Duration::from_millis(10);
const DEFAULT_START_CPU: Duration = Duration::from_secs(30);
const DEFAULT_CPU_PER_SECOND: Duration = Duration::from_secs(1);
const DEFAULT_MEMORY_BYTES: u64 = 128 << 20;
/// Of the hard limit, in percent.
const DEFAULT_MEMORY_SOFT: u64 = 75;
const DEFAULT_BODY_BYTES: u64 = 1 << 20;
const DEFAULT_PAUSE: Duration = Duration::from_secs(60);
const DEFAULT_PENDING_CALLS: i64 = 1_024;
const DEFAULT_LOG_LINES: i64 = 1_000;
const DEFAULT_LOG_BYTES: u64 = 1 << 20;
const DEFAULT_METRICS: i64 = 1_000;
const DEFAULT_SHARED_DATA_BYTES: u64 = 16 << 20;
const DEFAULT_SHARED_KEYS: i64 = 100_000;
const DEFAULT_QUEUE_LENGTH: i64 = 1_024;

const DEFAULT_FAILURE_STATUS: u16 = 503;
const DEFAULT_SHARE_PERCENT: i64 = 50;
const DEFAULT_CALLS: i64 = 20;
const DEFAULT_WINDOW: Duration = Duration::from_secs(10);
const DEFAULT_BACKOFF: Duration = Duration::from_secs(1);
const DEFAULT_MAX_BACKOFF: Duration = Duration::from_secs(60);
const DEFAULT_PROBES: i64 = 3;

pub(super) fn limits(written: Field<schema::FilterLimits>, report: &mut Report<'_>) -> FilterLimits {
    match written.given() {
        None => default_limits(),
        Some(written) => given_limits(written.value, report),
    }
}

pub(super) fn default_limits() -> FilterLimits {
    FilterLimits {
        callback_cpu: DEFAULT_CALLBACK_CPU,
        start_cpu: DEFAULT_START_CPU,
        cpu_per_second: DEFAULT_CPU_PER_SECOND,
        memory_bytes: DEFAULT_MEMORY_BYTES as usize,
        memory_soft_bytes: soft_share(DEFAULT_MEMORY_BYTES) as usize,
        body_bytes: DEFAULT_BODY_BYTES as usize,
        pause: DEFAULT_PAUSE,
        pending_calls: DEFAULT_PENDING_CALLS as usize,
        log_lines: DEFAULT_LOG_LINES as u32,
        log_bytes: DEFAULT_LOG_BYTES as u32,
        metrics: DEFAULT_METRICS as usize,
        shared_data_bytes: DEFAULT_SHARED_DATA_BYTES as usize,
        shared_keys: DEFAULT_SHARED_KEYS as usize,
        queue_length: DEFAULT_QUEUE_LENGTH as usize,
    }
}

fn given_limits(written: schema::FilterLimits, report: &mut Report<'_>) -> FilterLimits {
    let memory = written.memory.or(Size(DEFAULT_MEMORY_BYTES)).0;
    let soft = match written.memory_soft.given() {
        None => soft_share(memory),
        Some(Marked { mark, value: Size(soft) }) if soft > memory => {
            let (soft, memory) = (show_size(soft), show_size(memory));
            report.error(
                mark,
                format!("memorySoft {soft} is more than memory {memory}"),
                Some("the filter could never get there: lower `memorySoft` or raise `memory`".to_owned()),
            );
            soft_share(DEFAULT_MEMORY_BYTES)
        }
        Some(soft) => soft.value.0,
    };
    FilterLimits {
        callback_cpu: duration(written.callback_cpu, DEFAULT_CALLBACK_CPU),
        start_cpu: duration(written.start_cpu, DEFAULT_START_CPU),
        cpu_per_second: written.cpu_per_second.or(Cores(DEFAULT_CPU_PER_SECOND)).0,
        memory_bytes: memory as usize,
        memory_soft_bytes: soft as usize,
        body_bytes: written.body.or(Size(DEFAULT_BODY_BYTES)).0 as usize,
        pause: duration(written.pause, DEFAULT_PAUSE),
        pending_calls: written.pending_calls.or(Whole(DEFAULT_PENDING_CALLS)).0 as usize,
        log_lines: written.log_lines.or(Whole(DEFAULT_LOG_LINES)).0 as u32,
        log_bytes: written.log_bytes.or(Size(DEFAULT_LOG_BYTES)).0 as u32,
        metrics: written.metrics.or(Whole(DEFAULT_METRICS)).0 as usize,
        shared_data_bytes: written.shared_data.or(Size(DEFAULT_SHARED_DATA_BYTES)).0 as usize,
        shared_keys: written.shared_keys.or(Whole(DEFAULT_SHARED_KEYS)).0 as usize,
        queue_length: written.queue_length.or(Whole(DEFAULT_QUEUE_LENGTH)).0 as usize,
    }
}

const fn soft_share(memory: u64) -> u64 {
    memory / 100 * DEFAULT_MEMORY_SOFT
}

/// The status of policy `closed`. One that nobody would ever see is an oversight.
pub(super) fn failure_status(
    written: Field<schema::FailureStatus>,
    policy: FailurePolicy,
    report: &mut Report<'_>,
) -> u16 {
    let Some(Marked { mark, value: Whole(status) }) = written.given() else { return DEFAULT_FAILURE_STATUS };
    if policy == FailurePolicy::Open {
        report.error(
            mark,
            "failureStatus is for filters that fail closed, and this one fails open",
            Some("remove it, or write `onFailure: closed`".to_owned()),
        );
    }
    status as u16
}

pub(super) const fn default_failure_status() -> u16 {
    DEFAULT_FAILURE_STATUS
}

/// `None` where it is switched off.
pub(super) fn quarantine(written: Field<schema::Quarantine>, report: &mut Report<'_>) -> Option<Quarantine> {
    let Some(Marked { value: written, .. }) = written.given() else { return default_quarantine() };
    if !written.enabled.or(Switch(true)).0 {
        return None;
    }
    let backoff = duration(written.backoff, DEFAULT_BACKOFF);
    let max_backoff = match written.max_backoff.given() {
        None => DEFAULT_MAX_BACKOFF.max(backoff),
        Some(max) if max.value.0 < backoff => {
            report.error(
                max.mark,
                format!("maxBackoff {:?} is shorter than backoff {backoff:?}", max.value.0),
                Some("the wait doubles from `backoff` up to `maxBackoff`".to_owned()),
            );
            backoff
        }
        Some(max) => max.value.0,
    };
    Some(Quarantine {
        share_percent: written.share.or(Whole(DEFAULT_SHARE_PERCENT)).0 as u32,
        calls: written.calls.or(Whole(DEFAULT_CALLS)).0 as u64,
        window: duration(written.window, DEFAULT_WINDOW),
        backoff,
        max_backoff,
        probes: written.probes.or(Whole(DEFAULT_PROBES)).0 as u32,
    })
}

pub(super) const fn default_quarantine() -> Option<Quarantine> {
    Some(Quarantine {
        share_percent: DEFAULT_SHARE_PERCENT as u32,
        calls: DEFAULT_CALLS as u64,
        window: DEFAULT_WINDOW,
        backoff: DEFAULT_BACKOFF,
        max_backoff: DEFAULT_MAX_BACKOFF,
        probes: DEFAULT_PROBES as u32,
    })
}
