//! What keeps a filter within its bounds, as the status shows it: its limits, how often each was reached, and its quarantine.

use serde_json::{Map, Value, json};

use crate::clock::CallClock;
use crate::shared::Limit;
use crate::snapshot::FilterSpec;

/// `limits` and `quarantine` of the status of a filter, as they are now.
pub(crate) fn of(spec: &FilterSpec) -> (Value, Value) {
    let limits: Map<String, Value> = Limit::ALL
        .iter()
        .map(|limit| {
            let value = json!({ "limit": allowed(spec, *limit), "hits": spec.containment.hits(*limit) });
            (limit.name().to_owned(), value)
        })
        .collect();
    let now_ns = CallClock::new().now_ns();
    let quarantine = spec
        .containment
        .quarantined_for(now_ns)
        .map(|wait| json!({ "nextTryMs": u64::try_from(wait.as_millis()).unwrap_or(u64::MAX) }));
    (Value::Object(limits), quarantine.unwrap_or(Value::Null))
}

/// What the manifest allows, in cores, bytes, or a number.
fn allowed(spec: &FilterSpec, limit: Limit) -> Value {
    let limits = &spec.manifest.limits;
    match limit {
        Limit::CpuPerSecond => json!(limits.cpu_per_second.as_secs_f64()),
        Limit::Memory => json!(limits.memory_bytes),
        Limit::MemorySoft => json!(limits.memory_soft_bytes),
        Limit::PendingCalls => json!(limits.pending_calls),
        Limit::LogLines => json!(limits.log_lines),
        Limit::LogBytes => json!(limits.log_bytes),
        Limit::Metrics => json!(limits.metrics),
        Limit::SharedData => json!(limits.shared_data_bytes),
        Limit::SharedKeys => json!(limits.shared_keys),
        Limit::QueueLength => json!(limits.queue_length),
    }
}
