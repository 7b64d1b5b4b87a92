//! What is done about upstreams that fail.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::Place;

/// When and how a request is sent to the upstream again.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Retry {
    /// Any of these is enough.
    pub on: RetryConditions,
    /// Retries after the first try; at least 1.
    pub attempts: u32,
    /// How long one try may take; `None` is only the timeout of the route.
    pub per_try_timeout: Option<Duration>,
    /// Where that was written.
    pub per_try_timeout_place: Option<Place>,
    /// Bound of the wait before the first retry; it doubles with each further one.
    pub backoff_base: Duration,
    /// The bound never exceeds this.
    pub backoff_max: Duration,
    /// Methods, in upper case, that may be sent again though the upstream may have acted on them; `None` are the
    /// idempotent ones (RFC 9110, section 9.2.2).
    pub methods: Option<Vec<Arc<str>>>,
    /// Request bodies up to so many bytes are kept for a retry.
    pub replay_bytes: usize,
    /// Where it was written.
    pub place: Place,
}

/// What a retry may follow.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct RetryConditions {
    /// No connection could be made.
    pub connect_failure: bool,
    /// The upstream did not take the request.
    pub refused_stream: bool,
    /// No response: the connection was closed or reset, or the try took too long.
    pub reset: bool,
    /// Every status from 500 to 599.
    pub server_errors: bool,
    /// These statuses, sorted.
    pub statuses: Vec<u16>,
}

/// How requests are spread over the endpoints of an upstream, by weight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Balancer {
    /// In turn.
    RoundRobin,
    /// Of two endpoints at random, the one with fewer requests under way.
    LeastRequest,
}

/// How many retries may be under way to an upstream at a time, over all workers: the larger of the two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct RetryBudget {
    /// Share of the requests under way, in percent.
    pub percent: u8,
    /// In any case.
    pub min_concurrency: u32,
}

impl RetryConditions {
    /// Whether a response with this status is one.
    pub fn has_status(&self, status: u16) -> bool {
        (self.server_errors && (500..600).contains(&status)) || self.statuses.binary_search(&status).is_ok()
    }
}

/// How much of an upstream may be in use at a time, over all workers. `None` is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct UpstreamLimits {
    /// Open connections, unused ones included.
    pub connections: Option<usize>,
    /// Requests that wait for a connection.
    pub pending_requests: Option<usize>,
    /// Requests, from asking for a connection to the end of the response.
    pub requests: Option<usize>,
    /// Retries, beside what the budget allows.
    pub retries: Option<usize>,
}

/// How long connections are used, and how many are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Pool {
    /// Requests over one connection.
    pub max_requests: Option<u64>,
    /// Age of a connection.
    pub max_age: Option<Duration>,
    /// Unused connections per endpoint and worker.
    pub max_idle: usize,
}

/// Probes of the operating system on connections over which nothing is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct TcpKeepalive {
    /// How long nothing is sent before the first probe.
    pub idle: Duration,
    /// From one probe to the next.
    pub interval: Duration,
    /// Probes without an answer before the connection is given up.
    pub probes: u32,
}

/// When an endpoint that fails gets no requests for a while.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Outlier {
    /// Failures in a row.
    pub consecutive_failures: u32,
    /// An endpoint that behaves for this long is treated as if it had been ejected once less.
    pub interval: Duration,
    /// How long it is ejected the first time; multiplied by the times.
    pub base_ejection: Duration,
    /// The longest that it is ejected.
    pub max_ejection: Duration,
    /// Share of the endpoints that may be ejected at a time; one may in any case.
    pub max_ejected_percent: u8,
}

/// How the gateway finds out which endpoints work: `GET` requests of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct HealthCheck {
    /// What is asked for.
    pub path: Arc<str>,
    /// The `host` header; `None` is the host of the endpoint, or its address.
    pub host: Option<Arc<str>>,
    /// Statuses that pass; never empty.
    pub expect: Vec<RangeInclusive<u16>>,
    /// From one check of an endpoint to the next.
    pub interval: Duration,
    /// How long a check may take.
    pub timeout: Duration,
    /// Checks in a row that must pass before an endpoint gets requests again.
    pub healthy: u32,
    /// Checks in a row that must fail before an endpoint gets none.
    pub unhealthy: u32,
}
