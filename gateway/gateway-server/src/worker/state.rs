//! One configuration as one worker serves it: pools, balancers, running filters, metric handles.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use gateway_config::{Compression, Identity, IpNet, ListenerLimits, PathPolicy, RouteAction};

use super::Worker;
use crate::filter::{self, FilterInstance, InstanceError, OnTrial};
use crate::snapshot::{ListenerSocket, Snapshot};
use crate::telemetry::{ListenerMetrics, RouteMetrics, WorkerLog};
use crate::tls::{ServerTls, Transport};
use crate::upstream::{RoundRobin, Site, Upstream};

/// One configuration as one worker serves it.
pub(crate) struct WorkerState {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) listeners: Vec<Rc<ListenerState>>,
    /// By index of the configuration.
    pub(crate) upstreams: Vec<Rc<Upstream>>,
    /// By index of the snapshot.
    pub(crate) filters: Vec<Rc<FilterInstance>>,
    /// For each of them, the version that is on trial beside it.
    pub(crate) trials: Vec<Option<Rc<OnTrial>>>,
    /// Turns over the destinations of each route.
    pub(crate) splits: Vec<RoundRobin>,
    /// By index of the configuration.
    pub(crate) route_metrics: Vec<Rc<RouteMetrics>>,
    pub(crate) log: Option<WorkerLog>,
}

/// What connections of one listener share.
pub(crate) struct ListenerState {
    pub(super) socket: ListenerSocket,
    pub(crate) name: Arc<str>,
    pub(crate) transport: Transport<ServerTls>,
    pub(crate) limits: ListenerLimits,
    pub(crate) compression: Option<Compression>,
    pub(crate) paths: PathPolicy,
    pub(crate) identity: Identity,
    /// Where connections come from that begin with a header of the PROXY protocol.
    pub(crate) proxy_protocol: Vec<IpNet>,
    pub(crate) metrics: ListenerMetrics,
}

/// Why a worker cannot serve a snapshot.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrepareError {
    #[error(transparent)]
    Filter(#[from] InstanceError),
    #[error("worker {0} is gone")]
    WorkerGone(usize),
}

impl WorkerState {
    /// The state before the first configuration: nothing listens, nothing is routed.
    pub(crate) fn empty() -> Self {
        Self {
            snapshot: Arc::new(Snapshot::empty()),
            listeners: Vec::new(),
            upstreams: Vec::new(),
            filters: Vec::new(),
            trials: Vec::new(),
            splits: Vec::new(),
            route_metrics: Vec::new(),
            log: None,
        }
    }

    /// Builds the state of `snapshot`, keeping filters, pools and connections of `previous` that did not change.
    pub(super) fn build(
        worker: &Rc<Worker>,
        snapshot: Arc<Snapshot>,
        log: Option<WorkerLog>,
        previous: &Self,
    ) -> Result<Self, PrepareError> {
        let registry = &worker.process.registry;
        let config = &snapshot.config;
        let upstream = |((upstream, addresses), transport): ((&gateway_config::Upstream, &Vec<_>), &_)| {
            // Both are in order of name.
            let kept = previous.upstreams.binary_search_by(|old| old.name.cmp(&upstream.name));
            let kept = kept.ok().map(|index| &*previous.upstreams[index]);
            let shared = worker.process.upstreams.of(&upstream.name);
            let site = Site { worker: worker.id, registry, outbox: &worker.outbox };
            Rc::new(Upstream::new(upstream, addresses, transport, site, shared, kept))
        };
        let listener = |(listener, transport): (&gateway_config::Listener, &Transport<ServerTls>)| {
            Rc::new(ListenerState {
                socket: ListenerSocket::of(listener),
                name: listener.name.clone(),
                transport: transport.clone(),
                limits: listener.limits.clone(),
                compression: listener.compression.clone(),
                paths: listener.paths,
                identity: listener.identity.clone(),
                proxy_protocol: listener.proxy_protocol.clone(),
                metrics: ListenerMetrics::new(
                    registry,
                    &listener.name,
                    listener.bind,
                    listener.tls.is_some(),
                ),
            })
        };
        let split = |route: &gateway_config::Route| match &route.action {
            RouteAction::Forward(to) => RoundRobin::new(to.iter().map(|to| to.weight), worker.id),
            RouteAction::Respond(_) | RouteAction::Redirect(_) => RoundRobin::new(std::iter::empty(), 0),
        };
        Ok(Self {
            listeners: config.listeners.iter().zip(&snapshot.tls.listeners).map(listener).collect(),
            upstreams: config
                .upstreams
                .iter()
                .zip(&snapshot.addresses)
                .zip(&snapshot.tls.upstreams)
                .map(upstream)
                .collect(),
            splits: config.routes.iter().map(split).collect(),
            route_metrics: route_metrics(&config.routes, previous),
            log,
            filters: filter::instances(worker, &snapshot, &previous.instances())?,
            trials: filter::trials(worker, &snapshot, &previous.trials)?,
            snapshot,
        })
    }

    /// All that may serve in the next configuration: a canary that is promoted keeps its machine.
    pub(super) fn instances(&self) -> Vec<Rc<FilterInstance>> {
        let heirs = self.trials.iter().flatten().filter_map(|trial| trial.heir());
        self.filters.iter().chain(heirs).cloned().collect()
    }

    /// All that runs, shadows among it.
    pub(super) fn running(&self) -> impl Iterator<Item = &Rc<FilterInstance>> {
        self.filters.iter().chain(self.trials.iter().flatten().map(|trial| &trial.candidate))
    }

    pub(super) fn listener(&self, socket: &ListenerSocket) -> Option<&Rc<ListenerState>> {
        self.listeners.iter().find(|listener| listener.socket == *socket)
    }

    pub(super) fn queue_ready(&self, filter: &str, queue: u32) {
        if let Some(filter) = self.filters.iter().find(|candidate| &*candidate.spec.name == filter) {
            filter.queue_ready(queue);
        }
    }
}

/// Those of routes that were there before, by name, go on.
fn route_metrics(routes: &[gateway_config::Route], previous: &WorkerState) -> Vec<Rc<RouteMetrics>> {
    let before = previous.snapshot.config.routes.iter().map(|route| &*route.name);
    let known: HashMap<&str, &Rc<RouteMetrics>> = before.zip(&previous.route_metrics).collect();
    let of = |route: &gateway_config::Route| known.get(&*route.name).map(|kept| Rc::clone(kept));
    routes.iter().map(|route| of(route).unwrap_or_default()).collect()
}
