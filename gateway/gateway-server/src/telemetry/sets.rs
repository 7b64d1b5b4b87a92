//! The handles that one worker counts into, opened once per snapshot so that a request only adds.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use http::StatusCode;

use super::families as f;
use super::{Counter, Gauge, Histogram, Registry};
use crate::request::Reason;

/// One counter per class of status code.
pub(crate) struct ClassCounters([Counter; 5]);

const CLASSES: [&str; 5] = ["1", "2", "3", "4", "5"];
const CLASS_NAMES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

impl ClassCounters {
    fn new(mut open: impl FnMut(usize) -> Counter) -> Self {
        Self(std::array::from_fn(&mut open))
    }

    pub(crate) fn count(&self, status: StatusCode) {
        self.0[class_of(status)].inc();
    }
}

fn class_of(status: StatusCode) -> usize {
    // 6xx and above do not leave the gateway; the last class keeps this total.
    usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1
}

/// What is counted per listener.
pub(crate) struct ListenerMetrics {
    pub(crate) upgrades: Counter,
    pub(crate) upgrades_active: Gauge,
    pub(crate) requests: Counter,
    pub(crate) requests_active: Gauge,
    pub(crate) classes: ClassCounters,
    pub(crate) time: Histogram,
    pub(crate) http1: Counter,
    pub(crate) http2: Counter,
    completed: Counter,
    reset: Counter,
    too_slow: Counter,
    too_large: Counter,
    protocol_errors: Counter,
    by_name: ConnectionMetrics,
    by_address: ConnectionMetrics,
    closed: Counter,
    tls: Counter,
    /// Only where TLS is spoken.
    handshakes: Option<[Counter; HandshakeResult::ALL.len()]>,
}

/// Connections under one label.
struct ConnectionMetrics {
    total: Counter,
    active: Gauge,
    length: Histogram,
}

/// How a TLS handshake ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HandshakeResult {
    Success,
    Timeout,
    /// The client went away.
    Closed,
    /// No certificate where one is required, or one that is not accepted.
    ClientCertificate,
    Failure,
}

impl HandshakeResult {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Success, "success"),
        (Self::Timeout, "timeout"),
        (Self::Closed, "closed"),
        (Self::ClientCertificate, "client_certificate"),
        (Self::Failure, "failure"),
    ];
}

impl ListenerMetrics {
    pub(crate) fn new(registry: &Registry, listener: &str, bind: SocketAddr, is_tls: bool) -> Self {
        let labels = &[listener];
        // As Envoy writes it: the colon would end the name of a metric there.
        let address = bind.to_string().replace(':', "_");
        let address = &[address.as_str()];
        let handshake = |(_, result): (_, &str)| registry.counter(&f::TLS_HANDSHAKES, &[listener, result]);
        Self {
            upgrades: registry.counter(&f::DOWNSTREAM_CX_UPGRADES_TOTAL, labels),
            upgrades_active: registry.gauge(&f::DOWNSTREAM_CX_UPGRADES_ACTIVE, labels),
            requests: registry.counter(&f::DOWNSTREAM_RQ_TOTAL, labels),
            requests_active: registry.gauge(&f::DOWNSTREAM_RQ_ACTIVE, labels),
            classes: ClassCounters::new(|class| {
                registry.counter(&f::DOWNSTREAM_RQ_XX, &[listener, CLASSES[class]])
            }),
            time: registry.histogram(&f::DOWNSTREAM_RQ_TIME, labels),
            http1: registry.counter(&f::DOWNSTREAM_CX_HTTP1, labels),
            http2: registry.counter(&f::DOWNSTREAM_CX_HTTP2, labels),
            completed: registry.counter(&f::DOWNSTREAM_RQ_COMPLETED, labels),
            reset: registry.counter(&f::DOWNSTREAM_RQ_RX_RESET, labels),
            too_slow: registry.counter(&f::DOWNSTREAM_RQ_TIMEOUT, labels),
            too_large: registry.counter(&f::DOWNSTREAM_RQ_TOO_LARGE, labels),
            protocol_errors: registry.counter(&f::DOWNSTREAM_CX_PROTOCOL_ERROR, labels),
            by_name: ConnectionMetrics {
                total: registry.counter(&f::DOWNSTREAM_CX_TOTAL, labels),
                active: registry.gauge(&f::DOWNSTREAM_CX_ACTIVE, labels),
                length: registry.histogram(&f::DOWNSTREAM_CX_LENGTH, labels),
            },
            by_address: ConnectionMetrics {
                total: registry.counter(&f::LISTENER_CX_TOTAL, address),
                active: registry.gauge(&f::LISTENER_CX_ACTIVE, address),
                length: registry.histogram(&f::LISTENER_CX_LENGTH, address),
            },
            closed: registry.counter(&f::DOWNSTREAM_CX_DESTROY, labels),
            tls: registry.counter(&f::DOWNSTREAM_CX_SSL, labels),
            handshakes: is_tls.then(|| HandshakeResult::ALL.map(handshake)),
        }
    }

    /// A connection was accepted.
    pub(crate) fn opened(&self) {
        for metrics in [&self.by_name, &self.by_address] {
            metrics.total.inc();
            metrics.active.inc();
        }
    }

    /// A connection ended.
    pub(crate) fn closed(&self, after: Duration) {
        for metrics in [&self.by_name, &self.by_address] {
            metrics.active.dec();
            metrics.length.record(after);
        }
        self.closed.inc();
    }

    /// A request ended, with a response or without.
    pub(crate) fn finished(&self, status: Option<StatusCode>, reason: Option<Reason>) {
        if let Some(status) = status {
            self.classes.count(status);
            if reason != Some(Reason::ClientClosed) {
                self.completed.inc();
            }
        }
        match reason {
            Some(Reason::ClientClosed) => self.reset.inc(),
            Some(Reason::HeadTimeout | Reason::BodyTimeout) => self.too_slow.inc(),
            Some(Reason::BodyTooLarge) => self.too_large.inc(),
            _ => {}
        }
    }

    /// A connection ended because of what it sent.
    pub(crate) fn protocol_error(&self) {
        self.protocol_errors.inc();
    }

    pub(crate) fn handshake(&self, result: HandshakeResult) {
        if result == HandshakeResult::Success {
            self.tls.inc();
        }
        if let Some(handshakes) = &self.handshakes {
            handshakes[result as usize].inc();
        }
    }
}

/// What is counted per route. A series begins with its first request: there may be more routes than a family has series.
#[derive(Default)]
pub(crate) struct RouteMetrics([OnceCell<Counter>; CLASS_NAMES.len()]);

impl RouteMetrics {
    pub(crate) fn count(&self, registry: &Registry, route: &str, status: StatusCode) {
        let class = class_of(status);
        let open = || registry.counter(&f::ROUTE_REQUESTS, &[route, CLASS_NAMES[class]]);
        self.0[class].get_or_init(open).inc();
    }
}

/// What is counted per upstream.
pub(crate) struct UpstreamMetrics {
    pub(crate) connections: Counter,
    pub(crate) connections_active: Gauge,
    /// How long a connection was open.
    pub(crate) connection_length: Histogram,
    pub(crate) connections_closed: Counter,
    pub(crate) connect_time: Histogram,
    pub(crate) connect_fail: Counter,
    pub(crate) connections_overflow: Counter,
    pub(crate) pending_overflow: Counter,
    pub(crate) panics: Counter,
    pub(crate) ejections: Counter,
    pub(crate) ejections_overflow: Counter,
    pub(crate) connect_timeout: Counter,
    pub(crate) requests: Counter,
    /// From asking for a connection to giving it back or dropping it.
    pub(crate) requests_active: Gauge,
    pub(crate) timeouts: Counter,
    pub(crate) retries: Counter,
    pub(crate) retry_success: Counter,
    pub(crate) retry_overflow: Counter,
    pub(crate) retry_limit_exceeded: Counter,
    pub(crate) retry_backoff: Counter,
    pub(crate) per_try_timeout: Counter,
    classes: ClassCounters,
    completed: Counter,
    /// From sending a request to the end of its response.
    pub(crate) time: Histogram,
}

impl UpstreamMetrics {
    pub(crate) fn new(registry: &Registry, upstream: &str) -> Self {
        let labels = &[upstream];
        Self {
            connections: registry.counter(&f::UPSTREAM_CX_TOTAL, labels),
            connections_active: registry.gauge(&f::UPSTREAM_CX_ACTIVE, labels),
            connection_length: registry.histogram(&f::UPSTREAM_CX_LENGTH, labels),
            connections_closed: registry.counter(&f::UPSTREAM_CX_DESTROY, labels),
            connect_time: registry.histogram(&f::UPSTREAM_CX_CONNECT_MS, labels),
            connect_fail: registry.counter(&f::UPSTREAM_CX_CONNECT_FAIL, labels),
            connections_overflow: registry.counter(&f::UPSTREAM_CX_OVERFLOW, labels),
            pending_overflow: registry.counter(&f::UPSTREAM_RQ_PENDING_OVERFLOW, labels),
            panics: registry.counter(&f::LB_HEALTHY_PANIC, labels),
            ejections: registry.counter(&f::EJECTIONS, labels),
            ejections_overflow: registry.counter(&f::EJECTIONS_OVERFLOW, labels),
            connect_timeout: registry.counter(&f::UPSTREAM_CX_CONNECT_TIMEOUT, labels),
            requests: registry.counter(&f::UPSTREAM_RQ_TOTAL, labels),
            requests_active: registry.gauge(&f::UPSTREAM_RQ_ACTIVE, labels),
            timeouts: registry.counter(&f::UPSTREAM_RQ_TIMEOUT, labels),
            retries: registry.counter(&f::UPSTREAM_RQ_RETRY, labels),
            retry_success: registry.counter(&f::UPSTREAM_RQ_RETRY_SUCCESS, labels),
            retry_overflow: registry.counter(&f::UPSTREAM_RQ_RETRY_OVERFLOW, labels),
            retry_limit_exceeded: registry.counter(&f::UPSTREAM_RQ_RETRY_LIMIT_EXCEEDED, labels),
            retry_backoff: registry.counter(&f::UPSTREAM_RQ_RETRY_BACKOFF, labels),
            per_try_timeout: registry.counter(&f::UPSTREAM_RQ_PER_TRY_TIMEOUT, labels),
            classes: ClassCounters::new(|class| {
                registry.counter(&f::UPSTREAM_RQ_XX, &[upstream, CLASSES[class]])
            }),
            completed: registry.counter(&f::UPSTREAM_RQ_COMPLETED, labels),
            time: registry.histogram(&f::UPSTREAM_RQ_TIME, labels),
        }
    }

    /// A response head arrived.
    pub(crate) fn answered(&self, status: StatusCode) {
        self.classes.count(status);
        self.completed.inc();
    }
}

/// Replies that the gateway made itself, by reason. Series appear with the first reply of their reason.
#[derive(Default)]
pub(crate) struct ReplyMetrics(RefCell<HashMap<Reason, Counter>>);

impl ReplyMetrics {
    pub(crate) fn count(&self, registry: &Registry, reason: Reason) {
        self.0
            .borrow_mut()
            .entry(reason)
            .or_insert_with(|| registry.counter(&f::REPLIES, &[reason.code()]))
            .inc();
    }
}
