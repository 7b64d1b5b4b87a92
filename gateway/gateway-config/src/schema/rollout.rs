//! What users may write about new versions of filters, about events, and about changes over the admin interface.

use super::Wait;
use crate::address::ServerName;
use crate::http_text::{HeaderName, UrlPath};
use crate::read::{ShortOr, section};
use crate::share_text::Share;
use crate::values::{Name, OneOf, Size, Span, Whole, Word};

const SECOND: u64 = 1_000;

/// More than half would leave too few requests to compare with.
pub(crate) type TrialShare = Share<1, 5_000>;
pub(crate) type ShadowShare = Share<1, 10_000>;
pub(crate) type AllowedShare = Share<0, 10_000>;
pub(crate) type TrialWindow = Span<SECOND, { 24 * 3_600 * SECOND }>;
pub(crate) type TrialRequests = Whole<10, 100_000_000>;
pub(crate) type AllowedLatency = Span<1, { 60 * SECOND }>;
pub(crate) type AllowedCpu = Whole<1, 10_000>;
pub(crate) type AllowedGrowth = Size<1, { 1 << 30 }>;
pub(crate) type Attempts = Whole<1, 20>;

/// The short forms of `rollout`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    Off,
    Canary,
    Shadow,
}

impl Word for Mode {
    const WORDS: &'static [(&'static str, Self)] =
        &[("off", Self::Off), ("canary", Self::Canary), ("shadow", Self::Shadow)];
}

/// The short forms of `sticky`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StickyBy {
    Client,
    Request,
}

impl Word for StickyBy {
    const WORDS: &'static [(&'static str, Self)] = &[("client", Self::Client), ("request", Self::Request)];
}

section! {
    /// How a new version comes in place of the one that serves: exactly one of `canary` and `shadow`.
    Rollout {
        /// A share of the requests goes to the new version first; it is promoted or rolled back by how it does.
        optional "canary" canary: Canary,
        /// The new version sees copies of some heads, and what it would do is compared; it is promoted by hand.
        optional "shadow" shadow: Shadow,
    }
}

section! {
    /// A trial on a share of the requests.
    Canary {
        /// Share of the requests that the new version gets. Default: 5%.
        optional "share" share: TrialShare,
        /// How long the trial takes at least. Default: 60s.
        optional "window" window: TrialWindow,
        /// Requests that the new version must have had; until then it is held. Default: 500.
        optional "minRequests" min_requests: TrialRequests,
        /// Who stays with one version: `client` (by address), `{header: NAME}`, or `request` for nobody. Default: client.
        optional "sticky" sticky: ShortOr<OneOf<StickyBy>, StickyHeader>,
        /// How much worse than the version that serves the new one may be; worse is rolled back at once.
        optional "thresholds" thresholds: Thresholds,
    }
}

section! {
    /// Requests with the same value of a header stay with one version.
    StickyHeader {
        /// Name of the header; requests without it go by the client's address.
        required "header" header: HeaderName,
    }
}

section! {
    /// How much worse than the version that serves a new one may be.
    Thresholds {
        /// More requests that it failed, as a share of all. Default: 0.1%.
        optional "traps" traps: AllowedShare,
        /// More requests in which it used up its CPU budget. Default: 0.1%.
        optional "timeouts" timeouts: AllowedShare,
        /// More requests, or fewer, that it answered itself. Default: 5%.
        optional "replies" replies: AllowedShare,
        /// More time that it adds to a request, on average. Default: 5ms.
        optional "latency" latency: AllowedLatency,
        /// More CPU per call, in percent of what the other one needs. Default: 200.
        optional "cpuPercent" cpu_percent: AllowedCpu,
        /// More memory that it gains per request, on average. Default: 512B.
        optional "memory" memory: AllowedGrowth,
    }
}

section! {
    /// A trial on copies.
    Shadow {
        /// Share of the requests whose heads are copied. Default: 10%.
        optional "share" share: ShadowShare,
    }
}

section! {
    /// Who is told of events: versions of filters that were loaded, refused, tried, promoted, rolled back, and so on.
    Events {
        /// Each event as JSON by `POST` to an upstream. Default: nobody is told.
        optional "webhook" webhook: Webhook,
    }
}

section! {
    /// An endpoint that gets each event.
    Webhook {
        /// The name of an upstream.
        required "upstream" upstream: Name,
        /// Path of the request. Default: /.
        optional "path" path: UrlPath,
        /// Host of the request. Default: the host of the endpoint.
        optional "host" host: ServerName,
        /// How long one attempt may take. Default: 5s.
        optional "timeout" timeout: Wait,
        /// Attempts before an event is given up; between them 1s, then twice as long each time. Default: 5.
        optional "attempts" attempts: Attempts,
    }
}
