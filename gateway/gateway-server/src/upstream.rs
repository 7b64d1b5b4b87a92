//! Upstreams as one worker sees them: which endpoint is next, and a connection to it.
//!
//! Owns balancing, the keep-alive pools and connection attempts. Knows nothing of routes, filters or retries of
//! requests: those decisions are made in `request`.

mod answer_first;
mod balance;
mod breaker;
mod budget;
mod connect;
mod door;
mod driver;
mod ends;
mod failure;
mod http2;
mod outlier;
mod pick;
mod pool;
pub(crate) mod proxied;
mod random;
mod shared;

use balance::Balancer;
pub(crate) use balance::RoundRobin;
use breaker::Terms;
pub(crate) use connect::{ConnectError, Lease, Switch, Switched};
pub(crate) use driver::{Driver, poll_driven};
pub(crate) use ends::{ConnectionEnds, UpstreamTls};
pub(crate) use failure::{SendFailure, of_hyper};
pub(crate) use http2::StreamSlot;
pub(crate) use pick::Tried;
pub(crate) use random::Random;

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use gateway_config::{Outlier, ProxyVersion, RetryBudget, UpstreamProtocol};
use rustls::pki_types::ServerName;
use socket2::TcpKeepalive;

use crate::outbox::Outbox;
use crate::request::Reason;
use crate::shared::{SharedEndpoint, SharedUpstream};
use crate::snapshot::ResolvedEndpoint;
use crate::telemetry::cells::GaugeCell;
use crate::telemetry::{LogBudget, Registry, UpstreamMetrics};
use crate::tls::{ClientTls, Transport};
use pool::IdlePool;
use shared::SharedConnections;

/// Failed connections of one upstream on one worker that are logged per second; all of them are counted.
const MAX_FAILURES_LOGGED_PER_SECOND: u32 = 10;

/// One upstream of one worker.
pub(crate) struct Upstream {
    pub(crate) name: Arc<str>,
    pub(crate) metrics: Rc<UpstreamMetrics>,
    /// For failed connections: an upstream that is down fails with every request.
    pub(crate) failure_log: LogBudget,
    protocol: UpstreamProtocol,
    /// Endpoints are told who the client is, in this version of the PROXY protocol.
    proxy_protocol: Option<ProxyVersion>,
    /// Why the newest attempt to connect failed; taken in the same turn by the request that it failed.
    connect_failure: Cell<Option<String>>,
    connect_timeout: Duration,
    transport: Transport<ClientTls>,
    outbox: Rc<Outbox>,
    idle: Duration,
    endpoints: Vec<Rc<Endpoint>>,
    balancer: Balancer,
    pub(crate) random: Random,
    retry_budget: RetryBudget,
    tcp_keepalive: Option<TcpKeepalive>,
    outlier: Option<Outlier>,
    /// Whether its endpoints are checked.
    is_checked: bool,
    panic_threshold: u8,
    terms: Rc<Terms>,
}

/// The worker that an upstream belongs to.
pub(crate) struct Site<'a> {
    pub(crate) worker: usize,
    pub(crate) registry: &'a Registry,
    pub(crate) outbox: &'a Rc<Outbox>,
}

/// One address of an upstream, with this worker's unused connections to it.
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    /// The address for access lines.
    pub(crate) text: String,
    /// This worker's requests under way.
    active: Arc<GaugeCell>,
    /// What all workers know of it.
    known: Arc<SharedEndpoint>,
    /// The name that it must prove to have, when TLS is spoken; `None` if it has none that a certificate could hold.
    server_name: Option<ServerName<'static>>,
    /// With HTTP/1.1, which serves one request at a time.
    idle: IdlePool,
    /// With HTTP/2.
    http2: SharedConnections,
    /// What it chose last, where it may choose.
    chose_http1: Cell<bool>,
}

impl Endpoint {
    /// This worker's requests under way.
    fn requests_active(&self) -> u64 {
        u64::try_from(self.active.read()).unwrap_or(0)
    }
}

impl Upstream {
    /// Takes over what `previous` counts, and its pools for endpoints that stay.
    pub(crate) fn new(
        config: &gateway_config::Upstream,
        addresses: &[ResolvedEndpoint],
        transport: &Transport<ClientTls>,
        Site { worker, registry, outbox }: Site<'_>,
        shared: Arc<SharedUpstream>,
        previous: Option<&Self>,
    ) -> Self {
        let counted = previous.map(|old| old.metrics.clone());
        let limits = config.limits;
        let previous = previous.filter(|old| {
            let before = ConnectionRules {
                protocol: old.protocol,
                proxy_protocol: old.proxy_protocol,
                are_counted: old.terms.limits.connections.is_some(),
            };
            keeps_connections((&old.transport, before), (transport, ConnectionRules::of(config)))
        });
        let endpoint = |resolved: &ResolvedEndpoint| {
            let address = resolved.address;
            let server_name = server_name(transport, resolved);
            let is_same = |old: &&Rc<Endpoint>| old.address == address && old.server_name == server_name;
            let kept = previous.and_then(|old| old.endpoints.iter().find(is_same));
            kept.cloned().unwrap_or_else(|| {
                let text = address.to_string();
                let (active, known) = (Arc::default(), shared.endpoint(address));
                known.requests_active.add(&active);
                Rc::new(Endpoint {
                    address,
                    text,
                    active,
                    known,
                    server_name,
                    idle: IdlePool::default(),
                    http2: SharedConnections::default(),
                    chose_http1: Cell::new(false),
                })
            })
        };
        let endpoints = addresses.iter().map(endpoint).collect();
        let metrics = counted.unwrap_or_else(|| {
            let metrics = Rc::new(UpstreamMetrics::new(registry, &config.name));
            shared.requests_active.add(metrics.requests_active.cell());
            metrics
        });
        Self {
            name: config.name.clone(),
            terms: Terms::new(metrics.clone(), shared, limits, config.pool),
            tcp_keepalive: config.tcp_keepalive.as_ref().map(keepalive),
            metrics,
            failure_log: LogBudget::new(MAX_FAILURES_LOGGED_PER_SECOND),
            protocol: config.protocol,
            proxy_protocol: config.proxy_protocol,
            connect_failure: Cell::new(None),
            connect_timeout: config.connect_timeout,
            transport: transport.clone(),
            outbox: outbox.clone(),
            idle: config.idle,
            endpoints,
            balancer: Balancer::new(
                config.balancer,
                addresses.iter().map(|resolved| resolved.weight),
                worker,
            ),
            random: Random::new(),
            retry_budget: config.retry_budget,
            outlier: config.outlier,
            is_checked: config.health_check.is_some(),
            panic_threshold: config.panic_threshold,
        }
    }

    pub(crate) fn note_connect_failure(&self, error: &ConnectError) {
        self.connect_failure.set(Some(error.to_string()));
    }

    /// Why there was no connection, if `reason` says that there was none.
    pub(crate) fn take_connect_failure(&self, reason: Reason) -> Option<String> {
        let failure = self.connect_failure.take();
        let is_meant = [Reason::ConnectFailed, Reason::ConnectTimeout, Reason::UpstreamTls].contains(&reason);
        failure.filter(|_| is_meant)
    }

    /// Whether a connection may change to another protocol: only those of HTTP/1.1 can (RFC 9113, section 8.6).
    pub(crate) fn can_switch(&self) -> bool {
        self.protocol == UpstreamProtocol::Http1
    }

    /// Whether endpoints are told by the PROXY protocol who the client is.
    pub(crate) fn tells_of_clients(&self) -> bool {
        self.proxy_protocol.is_some()
    }

    pub(crate) fn endpoint_count(&self) -> usize {
        self.endpoints.len()
    }
}

/// What connections are made under besides TLS.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConnectionRules {
    protocol: UpstreamProtocol,
    proxy_protocol: Option<ProxyVersion>,
    /// Those that were not counted are not used where they have to be.
    are_counted: bool,
}

impl ConnectionRules {
    pub(crate) const fn of(config: &gateway_config::Upstream) -> Self {
        Self {
            protocol: config.protocol,
            proxy_protocol: config.proxy_protocol,
            are_counted: config.limits.connections.is_some(),
        }
    }
}

/// Whether connections that were made under one set of rules are used under another: to the endpoints that stay, by
/// address and [`server_name`].
pub(crate) fn keeps_connections(
    (old_transport, old): (&Transport<ClientTls>, ConnectionRules),
    (transport, new): (&Transport<ClientTls>, ConnectionRules),
) -> bool {
    old_transport.is_same(transport) && old == new
}

/// The name that an endpoint must prove to have, when TLS is spoken.
pub(crate) fn server_name(
    transport: &Transport<ClientTls>,
    endpoint: &ResolvedEndpoint,
) -> Option<ServerName<'static>> {
    match transport {
        Transport::Tls(tls) => tls.server_name(endpoint.host.as_deref(), endpoint.address),
        Transport::Plain | Transport::Unusable => None,
    }
}

fn keepalive(config: &gateway_config::TcpKeepalive) -> TcpKeepalive {
    TcpKeepalive::new().with_time(config.idle).with_interval(config.interval).with_retries(config.probes)
}
