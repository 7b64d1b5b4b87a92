//! Upstreams as one worker sees them: which endpoint is next, and a connection to it.
//!
//! Owns balancing, the keep-alive pools and connection attempts. Knows nothing of routes, filters or retries of
//! requests: those decisions are made in `request`.

mod balance;
mod breaker;
mod budget;
mod connect;
mod driver;
mod pool;
mod random;

use balance::Balancer;
pub(crate) use balance::RoundRobin;
use breaker::Terms;
pub(crate) use connect::{ConnectError, Lease};
pub(crate) use driver::{Driver, poll_driven};
pub(crate) use random::Random;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use gateway_config::RetryBudget;
use rustls::pki_types::ServerName;
use smallvec::SmallVec;
use socket2::TcpKeepalive;

use crate::shared::SharedUpstream;
use crate::snapshot::ResolvedEndpoint;
use crate::telemetry::cells::GaugeCell;
use crate::telemetry::{LogBudget, Registry, UpstreamMetrics};
use crate::tls::{ClientTls, Transport};
use pool::IdlePool;

/// Failed connections of one upstream on one worker that are logged per second; all of them are counted.
const MAX_FAILURES_LOGGED_PER_SECOND: u32 = 10;

/// One upstream of one worker.
pub(crate) struct Upstream {
    pub(crate) name: Arc<str>,
    pub(crate) metrics: Rc<UpstreamMetrics>,
    /// For failed connections: an upstream that is down fails with every request.
    pub(crate) failure_log: LogBudget,
    connect_timeout: Duration,
    transport: Transport<ClientTls>,
    idle: Duration,
    endpoints: Vec<Rc<Endpoint>>,
    balancer: Balancer,
    pub(crate) random: Random,
    retry_budget: RetryBudget,
    tcp_keepalive: Option<TcpKeepalive>,
    terms: Rc<Terms>,
}

/// Endpoints that one request was sent to.
#[derive(Default)]
pub(crate) struct Tried(SmallVec<[usize; 4]>);

/// One address of an upstream, with this worker's unused connections to it.
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    /// The address for access lines.
    pub(crate) text: String,
    /// This worker's requests under way.
    active: Arc<GaugeCell>,
    /// The name that it must prove to have, when TLS is spoken; `None` if it has none that a certificate could hold.
    server_name: Option<ServerName<'static>>,
    idle: IdlePool,
}

impl Endpoint {
    /// This worker's requests under way.
    fn requests_active(&self) -> u64 {
        u64::try_from(self.active.read()).unwrap_or(0)
    }
}

impl Upstream {
    /// Takes over the pools of `previous` for endpoints that stay.
    pub(crate) fn new(
        config: &gateway_config::Upstream,
        addresses: &[ResolvedEndpoint],
        transport: &Transport<ClientTls>,
        worker: usize,
        registry: &Registry,
        shared: Arc<SharedUpstream>,
        previous: Option<&Self>,
    ) -> Self {
        // Connections made under other rules, or to a host of another name, are not used again.
        let limits = config.limits;
        let is_limited = limits.connections.is_some();
        // Nor are those that were not counted, where they have to be.
        let previous = previous.filter(|old| {
            old.transport.is_same(transport) && old.terms.limits.connections.is_some() == is_limited
        });
        let endpoint = |resolved: &ResolvedEndpoint| {
            let address = resolved.address;
            let server_name = match transport {
                Transport::Tls(tls) => tls.server_name(resolved.host.as_deref(), address),
                Transport::Plain | Transport::Unusable => None,
            };
            let is_same = |old: &&Rc<Endpoint>| old.address == address && old.server_name == server_name;
            let kept = previous.and_then(|old| old.endpoints.iter().find(is_same));
            kept.cloned().unwrap_or_else(|| {
                let text = address.to_string();
                let active = Arc::default();
                Rc::new(Endpoint { address, text, active, server_name, idle: IdlePool::default() })
            })
        };
        let metrics = Rc::new(UpstreamMetrics::new(registry, &config.name));
        shared.count_requests_in(metrics.requests_active.cell());
        Self {
            name: config.name.clone(),
            terms: Terms::new(metrics.clone(), shared, limits, config.pool),
            tcp_keepalive: config.tcp_keepalive.as_ref().map(keepalive),
            metrics,
            failure_log: LogBudget::new(MAX_FAILURES_LOGGED_PER_SECOND),
            connect_timeout: config.connect_timeout,
            transport: transport.clone(),
            idle: config.idle,
            endpoints: addresses.iter().map(endpoint).collect(),
            balancer: Balancer::new(
                config.balancer,
                addresses.iter().map(|resolved| resolved.weight),
                worker,
            ),
            random: Random::new(),
            retry_budget: config.retry_budget,
        }
    }

    /// The endpoint whose turn it is, another than those tried where there is one; `None` when no address is known.
    pub(crate) fn pick(&self, tried: &mut Tried) -> Option<&Rc<Endpoint>> {
        let index = match tried.0.last() {
            None => self.balancer.next(&self.random, |index| self.endpoints[index].requests_active())?,
            // Takes nobody's turn: else the endpoint that fails would have the first turn of the next request too.
            Some(last) => self.untried_after(*last, tried),
        };
        tried.0.push(index);
        self.endpoints.get(index)
    }

    /// The next endpoint in order that was not tried; when all were, just the next one.
    fn untried_after(&self, last: usize, tried: &Tried) -> usize {
        let count = self.endpoints.len();
        let others = (1..count).map(|step| (last + step) % count);
        others
            .clone()
            .find(|other| !tried.0.contains(other))
            .or_else(|| others.clone().next())
            .unwrap_or(last)
    }

    pub(crate) fn endpoint_count(&self) -> usize {
        self.endpoints.len()
    }
}

fn keepalive(config: &gateway_config::TcpKeepalive) -> TcpKeepalive {
    TcpKeepalive::new().with_time(config.idle).with_interval(config.interval).with_retries(config.probes)
}
