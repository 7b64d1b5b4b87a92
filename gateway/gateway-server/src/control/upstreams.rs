//! What the admin API shows of upstreams: their endpoints, who of them may get requests, and how many are under way.
//!
//! Gauges are brought up to date when somebody looks: nothing has to watch for ejections that end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use gateway_config::Config;
use serde_json::{Value, json};

use crate::process::Process;
use crate::shared::{Health, SharedEndpoint, SharedUpstream};
use crate::snapshot::{ResolvedEndpoint, Snapshot};
use crate::telemetry::{Gauge, Registry, families};

/// All upstreams of the configuration that serves.
#[derive(Default)]
pub(crate) struct UpstreamStatus(Vec<Shown>);

struct Shown {
    name: Arc<str>,
    shared: Arc<SharedUpstream>,
    endpoints: Vec<ShownEndpoint>,
    ejects: bool,
    checks: bool,
    total: Gauge,
    healthy: Gauge,
    ejected: Gauge,
}

struct ShownEndpoint {
    address: SocketAddr,
    host: Option<Arc<str>>,
    weight: u32,
    shared: Arc<SharedEndpoint>,
}

impl UpstreamStatus {
    /// Those of `snapshot`, which all workers have. What no upstream has any more is forgotten.
    pub(crate) fn of(snapshot: &Snapshot, process: &Process) -> Self {
        let Config { upstreams, .. } = &snapshot.config;
        let is_known = |name: &str| upstreams.binary_search_by(|upstream| (*upstream.name).cmp(name)).is_ok();
        process.upstreams.retain(is_known);
        let shown = upstreams.iter().zip(&snapshot.addresses).map(|(upstream, addresses)| {
            let shared = process.upstreams.of(&upstream.name);
            shared.retain_endpoints(|address| addresses.iter().any(|known| known.address == address));
            Shown::new(upstream, shared, addresses, &process.registry)
        });
        Self(shown.collect())
    }

    /// Brings the gauges up to date.
    pub(crate) fn measure(&self) {
        for upstream in &self.0 {
            let count = |is: &dyn Fn(&ShownEndpoint) -> bool| {
                i64::try_from(upstream.endpoints.iter().filter(|endpoint| is(endpoint)).count())
                    .unwrap_or(i64::MAX)
            };
            upstream.total.set(count(&|_| true));
            upstream.healthy.set(count(&|endpoint| upstream.may_get_requests(endpoint)));
            upstream.ejected.set(count(&|endpoint| upstream.is_ejected(endpoint)));
        }
    }

    /// As JSON.
    pub(crate) fn json(&self) -> Value {
        let upstreams: Vec<_> = self.0.iter().map(Shown::json).collect();
        json!({ "upstreams": upstreams })
    }
}

impl Shown {
    fn new(
        upstream: &gateway_config::Upstream,
        shared: Arc<SharedUpstream>,
        addresses: &[ResolvedEndpoint],
        registry: &Registry,
    ) -> Self {
        let endpoint = |resolved: &ResolvedEndpoint| ShownEndpoint {
            address: resolved.address,
            host: resolved.host.clone(),
            weight: resolved.weight,
            shared: shared.endpoint(resolved.address),
        };
        let gauge = |family| registry.gauge(family, &[&upstream.name]);
        Self {
            name: upstream.name.clone(),
            endpoints: addresses.iter().map(endpoint).collect(),
            ejects: upstream.outlier.is_some(),
            checks: upstream.health_check.is_some(),
            total: gauge(&families::MEMBERSHIP_TOTAL),
            healthy: gauge(&families::MEMBERSHIP_HEALTHY),
            ejected: gauge(&families::EJECTIONS_ACTIVE),
            shared,
        }
    }

    fn is_ejected(&self, endpoint: &ShownEndpoint) -> bool {
        self.ejects && self.shared.is_ejected(&endpoint.shared)
    }

    fn health(&self, endpoint: &ShownEndpoint) -> &'static str {
        match endpoint.shared.health() {
            Health::Unhealthy if self.checks => "unhealthy",
            Health::Healthy if self.checks => "healthy",
            _ => "unchecked",
        }
    }

    fn may_get_requests(&self, endpoint: &ShownEndpoint) -> bool {
        !self.is_ejected(endpoint) && self.health(endpoint) != "unhealthy"
    }

    fn json(&self) -> Value {
        let endpoints: Vec<_> = self.endpoints.iter().map(|endpoint| self.endpoint_json(endpoint)).collect();
        json!({
            "name": &*self.name,
            "requestsActive": self.shared.requests_active.sum(),
            "retriesActive": self.shared.retries.used(),
            "endpoints": endpoints,
        })
    }

    fn endpoint_json(&self, endpoint: &ShownEndpoint) -> Value {
        let ejected_for = self.shared.ejected_for(&endpoint.shared).filter(|_| self.ejects);
        let until = ejected_for.map(|time| httpdate::fmt_http_date(SystemTime::now() + time));
        json!({
            "address": endpoint.address,
            "host": endpoint.host.as_deref(),
            "weight": endpoint.weight,
            "health": self.health(endpoint),
            "requestsActive": endpoint.shared.requests_active.sum(),
            "ejectedUntil": until,
        })
    }
}
