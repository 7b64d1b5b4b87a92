//! Active health checks: requests of the gateway's own that find out which endpoints work.
//!
//! A task per endpoint, on the control thread, so that one process checks once, whatever its number of workers. What it
//! finds is one word in `shared`, which workers read when they choose an endpoint.

mod judge;
mod probe;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use gateway_config::{HealthCheck, ProxyVersion, Upstream};
use tokio::task::JoinHandle;

use crate::process::Process;
use crate::shared::{Health, SharedEndpoint};
use crate::snapshot::{ResolvedEndpoint, Snapshot};
use crate::telemetry::{Counter, families};
use crate::tls::{ClientTls, Transport};
use crate::upstream::Random;
use judge::Judge;
use probe::Probe;

/// The first check of an endpoint comes within this time, or its interval if that is shorter: not all at once.
const MAX_FIRST_DELAY: Duration = Duration::from_secs(1);
/// Waits between checks are up to this share longer or shorter, in percent.
const JITTER_PERCENT: u64 = 10;

/// The checks that run.
#[derive(Default)]
pub(crate) struct HealthChecks(HashMap<(Arc<str>, SocketAddr), Running>);

/// The checks of one endpoint; they end when this is dropped.
struct Running {
    check: HealthCheck,
    host: Option<Arc<str>>,
    transport: Transport<ClientTls>,
    proxy_protocol: Option<ProxyVersion>,
    shared: Arc<SharedEndpoint>,
    task: JoinHandle<()>,
}

/// What the checks of one endpoint need.
struct Checked {
    upstream: Arc<str>,
    address: SocketAddr,
    check: HealthCheck,
    probe: Probe,
    shared: Arc<SharedEndpoint>,
    attempts: Counter,
    successes: Counter,
    failures: Counter,
}

impl HealthChecks {
    /// Checks the endpoints of `snapshot`, going on with those that stay as they are.
    pub(crate) fn update(&mut self, snapshot: &Snapshot, process: &Process) {
        let mut before = std::mem::take(&mut self.0);
        let upstreams =
            snapshot.config.upstreams.iter().zip(&snapshot.addresses).zip(&snapshot.tls.upstreams);
        for ((upstream, addresses), transport) in upstreams {
            let Some(check) = &upstream.health_check else { continue };
            for endpoint in addresses {
                let key = (upstream.name.clone(), endpoint.address);
                if self.0.contains_key(&key) {
                    continue;
                }
                let kept = before.remove(&key);
                let running = match kept {
                    Some(kept) if kept.is_of(upstream, check, endpoint, transport) => kept,
                    _ => Running::start(upstream, check, endpoint, transport, process),
                };
                self.0.insert(key, running);
            }
        }
        for ended in before.into_values() {
            ended.shared.set_health(Health::Unknown);
        }
    }
}

impl Running {
    fn start(
        upstream: &Upstream,
        check: &HealthCheck,
        endpoint: &ResolvedEndpoint,
        transport: &Transport<ClientTls>,
        process: &Process,
    ) -> Self {
        let shared = process.upstreams.of(&upstream.name).endpoint(endpoint.address);
        let counter = |family| process.registry.counter(family, &[&upstream.name]);
        let checked = Checked {
            upstream: upstream.name.clone(),
            address: endpoint.address,
            check: check.clone(),
            probe: Probe::new(check, endpoint, transport, upstream.proxy_protocol),
            shared: shared.clone(),
            attempts: counter(&families::HEALTH_CHECK_ATTEMPT),
            successes: counter(&families::HEALTH_CHECK_SUCCESS),
            failures: counter(&families::HEALTH_CHECK_FAILURE),
        };
        let task = tokio::task::spawn_local(checked.run(Rc::new(Random::new())));
        Self {
            check: check.clone(),
            host: endpoint.host.clone(),
            transport: transport.clone(),
            proxy_protocol: upstream.proxy_protocol,
            shared,
            task,
        }
    }

    fn is_of(
        &self,
        upstream: &Upstream,
        check: &HealthCheck,
        endpoint: &ResolvedEndpoint,
        transport: &Transport<ClientTls>,
    ) -> bool {
        self.check == *check
            && self.host == endpoint.host
            && self.transport.is_same(transport)
            && self.proxy_protocol == upstream.proxy_protocol
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Checked {
    async fn run(self, random: Rc<Random>) {
        tokio::time::sleep(below(&random, self.check.interval.min(MAX_FIRST_DELAY))).await;
        let mut judge = Judge::new(self.shared.health());
        loop {
            self.attempts.inc();
            let outcome = tokio::time::timeout(self.check.timeout, self.probe.ask()).await;
            let outcome =
                outcome.unwrap_or_else(|_| Err(format!("no answer within {:?}", self.check.timeout)));
            match &outcome {
                Ok(()) => self.successes.inc(),
                Err(_) => self.failures.inc(),
            }
            if let Some(health) = judge.hear(outcome.is_ok(), &self.check) {
                self.shared.set_health(health);
                self.tell(health, outcome.err());
            }
            let jitter = self.check.interval * u32::try_from(JITTER_PERCENT).unwrap_or(0) / 100;
            tokio::time::sleep(self.check.interval - jitter + below(&random, jitter * 2)).await;
        }
    }

    fn tell(&self, health: Health, error: Option<String>) {
        let Self { upstream, address, .. } = self;
        match error {
            Some(error) => tracing::warn!(%upstream, endpoint = %address, "unhealthy: {error}"),
            None => tracing::info!(%upstream, endpoint = %address, "{health:?}"),
        }
    }
}

/// A random time shorter than `bound`.
fn below(random: &Random, bound: Duration) -> Duration {
    Duration::from_micros(random.below(u64::try_from(bound.as_micros()).unwrap_or(u64::MAX)))
}
