//! Upstreams as one worker sees them: which endpoint is next, and a connection to it.
//!
//! Owns balancing, the keep-alive pools and connection attempts. Knows nothing of routes, filters or retries of
//! requests: those decisions are made in `request`.

mod answer_first;
mod balance;
mod connect;
mod driver;
mod failure;
mod http2;
mod pool;
mod shared;

pub(crate) use balance::RoundRobin;
pub(crate) use connect::{ConnectError, Lease, Switch, Switched};
pub(crate) use driver::{Driver, poll_driven};
pub(crate) use failure::{SendFailure, of_hyper};
pub(crate) use http2::StreamSlot;

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use gateway_config::UpstreamProtocol;
use rustls::pki_types::ServerName;

use crate::request::Reason;
use crate::snapshot::ResolvedEndpoint;
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
    /// Why the newest attempt to connect failed; taken in the same turn by the request that it failed.
    connect_failure: Cell<Option<String>>,
    connect_timeout: Duration,
    transport: Transport<ClientTls>,
    idle: Duration,
    endpoints: Vec<Rc<Endpoint>>,
    round_robin: RoundRobin,
}

/// One address of an upstream, with this worker's unused connections to it.
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    /// The address for access lines.
    pub(crate) text: String,
    /// The name that it must prove to have, when TLS is spoken; `None` if it has none that a certificate could hold.
    server_name: Option<ServerName<'static>>,
    /// With HTTP/1.1, which serves one request at a time.
    idle: IdlePool,
    /// With HTTP/2.
    shared: SharedConnections,
    /// What it chose last, where it may choose.
    chose_http1: Cell<bool>,
}

impl Upstream {
    /// Takes over the pools of `previous` for endpoints that stay.
    pub(crate) fn new(
        config: &gateway_config::Upstream,
        addresses: &[ResolvedEndpoint],
        transport: &Transport<ClientTls>,
        worker: usize,
        registry: &Registry,
        previous: Option<&Self>,
    ) -> Self {
        // Connections made under other rules, or to a host of another name, are not used again.
        let previous =
            previous.filter(|old| old.transport.is_same(transport) && old.protocol == config.protocol);
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
                Rc::new(Endpoint {
                    address,
                    text,
                    server_name,
                    idle: IdlePool::default(),
                    shared: SharedConnections::default(),
                    chose_http1: Cell::new(false),
                })
            })
        };
        Self {
            name: config.name.clone(),
            metrics: Rc::new(UpstreamMetrics::new(registry, &config.name)),
            failure_log: LogBudget::new(MAX_FAILURES_LOGGED_PER_SECOND),
            protocol: config.protocol,
            connect_failure: Cell::new(None),
            connect_timeout: config.connect_timeout,
            transport: transport.clone(),
            idle: config.idle,
            endpoints: addresses.iter().map(endpoint).collect(),
            round_robin: RoundRobin::new(addresses.iter().map(|resolved| resolved.weight), worker),
        }
    }

    /// The next endpoint by weighted round-robin; `None` when no address is known.
    pub(crate) fn pick(&self) -> Option<&Rc<Endpoint>> {
        self.round_robin.next().and_then(|index| self.endpoints.get(index))
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

    pub(crate) fn endpoint_count(&self) -> usize {
        self.endpoints.len()
    }

    /// Drops connections that were unused for longer than the upstream's idle time.
    pub(crate) fn close_idle(&self) {
        for endpoint in &self.endpoints {
            endpoint.idle.close_older_than(self.idle);
            endpoint.shared.close_older_than(self.idle);
        }
    }
}
