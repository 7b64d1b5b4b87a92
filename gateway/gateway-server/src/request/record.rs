//! The facts of one request, gathered as decisions are made and read once at its end: access log, metrics, filters.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use http::uri::PathAndQuery;
use http::{HeaderValue, Method, StatusCode, Version};

use super::Reason;
use crate::route::RouteIndex;

/// The facts of one request.
pub(crate) struct RequestRecord {
    pub(crate) started: Instant,
    pub(crate) started_at: SystemTime,
    pub(crate) method: Method,
    pub(crate) path: Option<PathAndQuery>,
    pub(crate) version: Version,
    pub(crate) authority: Option<HeaderValue>,
    pub(crate) user_agent: Option<HeaderValue>,
    pub(crate) request_id: Option<HeaderValue>,
    pub(crate) forwarded_for: Option<HeaderValue>,
    pub(crate) route: Option<RouteIndex>,
    /// Index of the upstream in the configuration.
    pub(crate) upstream: Option<usize>,
    pub(crate) upstream_address: Option<SocketAddr>,
    /// From sending the request to the upstream's response head.
    pub(crate) upstream_time: Option<Duration>,
    pub(crate) status: Option<StatusCode>,
    /// Set when the gateway or a filter answered, or the exchange was cut.
    pub(crate) reason: Option<Reason>,
    pub(crate) bytes_sent: u64,
}

impl RequestRecord {
    pub(crate) fn new(parts: &http::request::Parts) -> Self {
        Self {
            started: Instant::now(),
            started_at: SystemTime::now(),
            method: parts.method.clone(),
            path: parts.uri.path_and_query().cloned(),
            version: parts.version,
            authority: parts.headers.get(http::header::HOST).cloned(),
            user_agent: parts.headers.get(http::header::USER_AGENT).cloned(),
            request_id: None,
            forwarded_for: None,
            route: None,
            upstream: None,
            upstream_address: None,
            upstream_time: None,
            status: None,
            reason: None,
            bytes_sent: 0,
        }
    }

    pub(crate) fn is_head(&self) -> bool {
        self.method == Method::HEAD
    }
}
