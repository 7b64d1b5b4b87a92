//! What users may write about upstreams that fail: retries and their budget.

use super::{Wait, WaitOrZero};
use crate::http_text::Method;
use crate::read::{OneOrMany, section};
use crate::retry_text::RetryCondition;
use crate::values::{Size, Whole};

/// Retries of one request; more of them multiply the load of an upstream that is in trouble.
pub(crate) type RetryAttempts = Whole<1, 10>;
/// What is kept of a body is kept in memory, per request.
pub(crate) type ReplayBytes = Size<0, { 16 << 20 }>;
pub(crate) type Percent = Whole<0, 100>;
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
