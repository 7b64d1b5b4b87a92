//! How a new version of a filter comes in place of the one that serves, and what is told of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How a new version of a filter is taken up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Rollout {
    /// At once, when it has passed its gates.
    AtOnce,
    /// With a share of the requests first.
    Canary(Canary),
    /// With copies of some requests, until somebody promotes it.
    Shadow(Shadow),
}

/// A trial on a share of the requests.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Canary {
    /// Share of the requests that the new version gets, in hundredths of a percent.
    pub share: u32,
    /// How long the trial takes at least.
    pub window: Duration,
    /// Requests that the new version must have had.
    pub min_requests: u64,
    /// What decides which requests are in the share.
    pub sticky: Sticky,
    /// How much worse than the version that serves it may be.
    pub thresholds: Thresholds,
}

/// What decides which requests a version on trial gets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sticky {
    /// Each request by itself.
    Request,
    /// The client's address: a client stays with one version.
    Client,
    /// The value of this header (lower case); the client's address where there is none.
    Header(Arc<str>),
}

/// How much worse than the version that serves a new one may be. Shares are in hundredths of a percent.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Thresholds {
    /// More requests that it failed.
    pub traps: u32,
    /// More requests in which it used up its CPU budget.
    pub timeouts: u32,
    /// More requests, or fewer, that it answered itself.
    pub replies: u32,
    /// More time that it adds to a request, on average.
    pub latency: Duration,
    /// More CPU per call, in percent of what the other one needs.
    pub cpu_percent: u32,
    /// More memory that it gains per request, in bytes.
    pub memory_bytes: u64,
}

/// A trial on copies.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Shadow {
    /// Share of the requests that are copied, in hundredths of a percent.
    pub share: u32,
}

/// Who may change something through the admin interface.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct AdminChanges {
    /// The file with the token; `None` allows no changes over TCP.
    pub token_file: Option<PathBuf>,
    /// The Unix socket for the same user and root; `None` for none.
    pub socket: Option<PathBuf>,
}

/// Where the gateway keeps what it must know after a restart.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum StateDirectory {
    /// Where the system or the user keeps such things.
    #[default]
    Default,
    /// Here.
    At(PathBuf),
    /// Nowhere: it is forgotten with the process.
    Off,
}

/// Who is told of events.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Webhook {
    /// The name of an upstream.
    pub upstream: Arc<str>,
    /// Path of the request.
    pub path: Arc<str>,
    /// Host of the request; `None` is the endpoint's.
    pub host: Option<Arc<str>>,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// Attempts to deliver an event before it is given up.
    pub attempts: u32,
}
