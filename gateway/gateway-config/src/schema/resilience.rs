//! What users may write about upstreams that fail or have enough to do: retries and their budget, limits, connections.

use super::{Wait, WaitOrZero};
use crate::address::ServerName;
use crate::http_text::{Method, UrlPath};
use crate::read::{OneOrMany, ShortOr, section};
use crate::retry_text::RetryCondition;
use crate::status_text::StatusRange;
use crate::values::{Size, Span, Whole};

/// Retries of one request; more of them multiply the load of an upstream that is in trouble.
pub(crate) type RetryAttempts = Whole<1, 10>;
/// What is kept of a body is kept in memory, per request.
pub(crate) type ReplayBytes = Size<0, { 16 << 20 }>;
pub(crate) type Percent = Whole<0, 100>;
pub(crate) type FailureCount = Whole<1, 1_000>;
pub(crate) type CheckCount = Whole<1, 100>;
pub(crate) type Limit = Whole<1, 1_000_000>;
pub(crate) type IdleCount = Whole<0, 100_000>;
pub(crate) type RequestCount = Whole<1, 1_000_000_000>;
/// The operating system counts in seconds.
pub(crate) type ProbeTime = Span<1_000, 32_767_000>;
pub(crate) type ProbeCount = Whole<1, 127>;
pub(crate) type Concurrency = Whole<0, 1_000_000>;

section! {
    /// When and how a request is sent to the upstream again.
    Retry {
        /// Conditions, any of which is enough: connect-failure, refused-stream, reset, gateway-error, 5xx, retriable-4xx, or a status from 400 to 599. Default: gateway-error.
        optional "on" on: OneOrMany<RetryCondition>,
        /// Retries of one request, after the first try. Default: 2.
        optional "attempts" attempts: RetryAttempts,
        /// How long one try may take, from the end of the request to the head of the response. Default: only the timeout of the route.
        optional "perTryTimeout" per_try_timeout: Wait,
        /// Waits before retries.
        optional "backoff" backoff: Backoff,
        /// Methods that may be sent again though the upstream may have acted on them. Default: the idempotent ones (GET, HEAD, OPTIONS, TRACE, PUT, DELETE).
        optional "methods" methods: OneOrMany<Method>,
        /// Request bodies up to this size are kept for a retry; a larger one is sent once. Default: 64KiB.
        optional "replayBody" replay_body: ReplayBytes,
    }
}

section! {
    /// Waits before retries: random, up to a bound that doubles with each retry.
    Backoff {
        /// The bound before the first retry. Default: 25ms.
        optional "base" base: Wait,
        /// The bound never exceeds this. Default: ten times the base.
        optional "max" max: WaitOrZero,
    }
}

section! {
    /// How many retries may be under way to an upstream at a time, over all workers.
    RetryBudget {
        /// Share of the requests under way, in percent. Default: 20.
        optional "percent" percent: Percent,
        /// So many retries may be under way in any case. Default: 3.
        optional "minConcurrency" min_concurrency: Concurrency,
    }
}

section! {
    /// How much of an upstream may be in use at a time, over all workers. What exceeds it is answered with 503.
    UpstreamLimits {
        /// Open connections, unused ones included. Requests wait for one, as long as a connection attempt may take. Default: no limit.
        optional "connections" connections: Limit,
        /// Requests that wait for a connection, to be made or to become free. Default: no limit; 1024 with `connections`.
        optional "pendingRequests" pending_requests: Concurrency,
        /// Requests, from asking for a connection to the end of the response. Default: no limit.
        optional "requests" requests: Limit,
        /// Retries, beside what the retry budget allows. Default: no limit.
        optional "retries" retries: Concurrency,
    }
}

section! {
    /// How long connections are used, and how many are kept.
    Pool {
        /// Requests that are sent over one connection before it is closed. Default: no limit.
        optional "maxRequestsPerConnection" max_requests: RequestCount,
        /// How old a connection may become; one in use is closed after its response. Default: no limit.
        optional "maxAge" max_age: Wait,
        /// Unused connections that are kept per endpoint and worker. Default: 256.
        optional "maxIdle" max_idle: IdleCount,
    }
}

section! {
    /// Probes of the operating system on connections over which nothing is sent.
    TcpKeepalive {
        /// How long nothing is sent before the first probe. Default: 60s.
        optional "idle" idle: ProbeTime,
        /// From one probe to the next. Default: 10s.
        optional "interval" interval: ProbeTime,
        /// Probes without an answer before the connection is given up. Default: 3.
        optional "probes" probes: ProbeCount,
    }
}

section! {
    /// When an endpoint that fails gets no requests for a while.
    Outlier {
        /// Failures in a row: responses of 5xx, and requests without a response. Default: 5.
        optional "consecutiveFailures" consecutive_failures: FailureCount,
        /// An endpoint that behaves for this long is treated as if it had been ejected once less. Default: 10s.
        optional "interval" interval: Wait,
        /// How long it is ejected the first time; the second time twice as long, and so on. Default: 30s.
        optional "baseEjection" base_ejection: Wait,
        /// The longest that it is ejected. Default: 5m, or `baseEjection` if that is longer.
        optional "maxEjection" max_ejection: Wait,
        /// Share of the endpoints that may be ejected at a time; one may in any case. Default: 10.
        optional "maxEjectedPercent" max_ejected_percent: Percent,
    }
}

section! {
    /// Requests of the gateway's own that find out which endpoints work.
    HealthCheck {
        /// What is asked for: a path, or more.
        required "http" http: ShortOr<UrlPath, HttpCheck>,
        /// From one check of an endpoint to the next; a little more or less, so that checks spread. Default: 10s.
        optional "interval" interval: Wait,
        /// How long a check may take, the connection included. Default: 1s.
        optional "timeout" timeout: Wait,
        /// Checks in a row that must pass before an endpoint gets requests again. Default: 2.
        optional "healthy" healthy: CheckCount,
        /// Checks in a row that must fail before an endpoint gets none. Default: 3.
        optional "unhealthy" unhealthy: CheckCount,
    }
}

section! {
    /// A check by HTTP: `GET` over a connection of its own, with TLS if the upstream has it.
    HttpCheck {
        /// What is asked for.
        required "path" path: UrlPath,
        /// The `host` header. Default: the host of the endpoint, or its address.
        optional "host" host: ServerName,
        /// Statuses that pass, such as `200` or `200-399`. Default: 200-399.
        optional "expect" expect: OneOrMany<StatusRange>,
    }
}
