//! What the gateway tells its operator: metrics and the access log.
//!
//! This module owns names, cells and formats. It never decides anything about a request, and nothing on the request
//! path waits for it: a worker writes to memory that only it writes to, and a slow disk costs log lines, not latency.

pub(crate) mod access_log;
pub(crate) mod cells;
pub(crate) mod families;
pub(crate) mod filter_cells;
mod log_budget;
pub(crate) mod metrics;
pub(crate) mod prometheus;
mod sets;

pub(crate) use access_log::{AccessLine, AccessLogSink, Captured, Details, WorkerLog, rfc3339};
pub(crate) use filter_cells::{FilterMetrics, MachineCount};
pub(crate) use log_budget::LogBudget;
pub(crate) use metrics::{
    Counter, Gauge, GuestMetric, GuestMetricError, Histogram, Kind, Registry, TimeCounter,
};
pub(crate) use sets::{HandshakeResult, ListenerMetrics, ReplyMetrics, RouteMetrics, UpstreamMetrics};
