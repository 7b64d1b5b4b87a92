//! The facts of one request, gathered as decisions are made and read once at its end: access log, metrics, filters.

use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use gateway_config::Coding;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, StatusCode, Version};

use super::{Believed, Reason, grpc};
use crate::route::RouteIndex;
use crate::telemetry::Captured;
use crate::upstream::Endpoint;

/// The facts of one request.
pub(crate) struct RequestRecord {
    pub(crate) started: Instant,
    pub(crate) started_at: SystemTime,
    pub(crate) method: Method,
    pub(crate) path: Option<PathAndQuery>,
    /// Method and path are not known.
    pub(crate) is_unreadable: bool,
    pub(crate) version: Version,
    /// A call of gRPC, over HTTP/2.
    pub(crate) is_grpc: bool,
    /// The host that the client asked for; a client of HTTP/1.0 may have named none.
    pub(crate) authority: Option<HeaderValue>,
    pub(crate) user_agent: Option<HeaderValue>,
    pub(crate) request_id: Option<HeaderValue>,
    pub(crate) forwarded_for: Option<HeaderValue>,
    /// What a trusted peer says about who asks.
    pub(crate) believed: Option<Box<Believed>>,
    pub(crate) route: Option<RouteIndex>,
    /// Index of the upstream in the configuration.
    pub(crate) upstream: Option<usize>,
    /// Index into the destinations of the route.
    pub(crate) destination: Option<usize>,
    /// The site whose script asks, where the route wants to know.
    pub(crate) origin: Option<HeaderValue>,
    /// What the client accepts of what the route offers.
    pub(crate) coding: Option<Coding>,
    pub(crate) endpoint: Option<Rc<Endpoint>>,
    /// How often it was sent to the upstream; 0 if it never was.
    pub(crate) attempts: u32,
    /// The last of all retries that the route allows failed.
    pub(crate) retries_exhausted: bool,
    /// From sending the request to the upstream's response head.
    pub(crate) upstream_time: Option<Duration>,
    /// When the request was sent that the upstream answered.
    pub(crate) upstream_sent: Option<Instant>,
    /// Why there was no connection to the upstream.
    pub(crate) upstream_failure: Option<String>,
    /// What an access line of the operator's own shows of headers.
    pub(crate) captured: Option<Box<Captured>>,
    pub(crate) status: Option<StatusCode>,
    /// Set when the gateway or a filter answered, or the exchange was cut.
    pub(crate) reason: Option<Reason>,
    pub(crate) bytes_sent: u64,
}

/// Turns instants into times of day without asking the system for each: read anew every housekeeping tick.
#[derive(Clone, Copy)]
pub(crate) struct WallClock {
    instant: Instant,
    time: SystemTime,
}

impl WallClock {
    pub(crate) fn now() -> Self {
        Self { instant: Instant::now(), time: SystemTime::now() }
    }

    /// The time of day at `instant`, which is not before this clock was read.
    pub(crate) fn at(self, instant: Instant) -> SystemTime {
        self.time + instant.saturating_duration_since(self.instant)
    }
}

impl RequestRecord {
    pub(crate) fn new<B>(request: &Request<B>, clock: WallClock) -> Self {
        let started = Instant::now();
        Self {
            started,
            started_at: clock.at(started),
            method: request.method().clone(),
            path: request.uri().path_and_query().cloned(),
            is_unreadable: false,
            version: request.version(),
            is_grpc: grpc::is_call(request),
            // HTTP/2 and the absolute form have it beside the headers, where it wins over `host`.
            authority: match request.uri().authority() {
                Some(authority) => HeaderValue::from_str(authority.as_str()).ok(),
                None => request.headers().get(http::header::HOST).cloned(),
            },
            user_agent: request.headers().get(http::header::USER_AGENT).cloned(),
            request_id: None,
            forwarded_for: None,
            believed: None,
            route: None,
            upstream: None,
            destination: None,
            origin: None,
            coding: None,
            endpoint: None,
            attempts: 0,
            retries_exhausted: false,
            upstream_time: None,
            upstream_sent: None,
            upstream_failure: None,
            captured: None,
            status: None,
            reason: None,
            bytes_sent: 0,
        }
    }

    pub(crate) fn is_head(&self) -> bool {
        self.method == Method::HEAD
    }
}
