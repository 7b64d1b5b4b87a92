//! One configuration, ready to serve: what the control thread compiles and every worker shares.
//!
//! Immutable, `Send + Sync`. Knows what a request could need (routes, addresses, compiled filters); knows nothing of
//! sockets, connections or virtual machines, which belong to workers.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use gateway_config::{Config, HostPattern, Isolation, Listener, Manifest};
use proxy_wasm_host::{Module, PluginConfig};

use crate::filter::QueueHold;
use crate::refusal::Refusal;
use crate::route::{RouteIndex, RoutePlan, RouteTable};
use crate::shared::{Containment, ImagePlace, StartedPool};
use crate::tls::{ClientTls, FileContent, ServerTls, Transport};
use crate::trial::Trial;

/// One configuration, ready to serve.
pub(crate) struct Snapshot {
    /// Counts up with each attempt to reload; for logs.
    pub(crate) revision: u64,
    pub(crate) config: Config,
    pub(crate) routes: RouteTable,
    /// In the order of the configuration's routes.
    pub(crate) plans: Vec<RoutePlan>,
    /// For each upstream of the configuration, the addresses that its endpoints resolved to.
    pub(crate) addresses: Vec<Vec<ResolvedEndpoint>>,
    pub(crate) tls: SnapshotTls,
    /// In chain order.
    pub(crate) filters: Vec<Arc<FilterSpec>>,
    /// For each of them, the version that is on trial beside it.
    pub(crate) trials: Vec<Option<Arc<Trial>>>,
    /// The filters of each virtual machine.
    pub(crate) shared_vms: Vec<VmSet>,
    /// For each route, the filters that may apply, as indices into `filters`, in chain order.
    pub(crate) route_filters: Vec<Vec<usize>>,
    /// Whether any route takes WebSockets.
    pub(crate) has_websockets: bool,
}

/// Filters that share a virtual machine. Most have one for themselves.
pub(crate) struct VmSet {
    /// Indices into the snapshot's filters, in chain order.
    pub(crate) members: Vec<usize>,
    /// Of several: starts for the workers, made before they see the snapshot.
    pub(crate) started: Arc<StartedPool>,
}

/// What is spoken on connections.
#[derive(Default)]
pub(crate) struct SnapshotTls {
    /// For each listener of the configuration.
    pub(crate) listeners: Vec<Transport<ServerTls>>,
    /// For each upstream of the configuration.
    pub(crate) upstreams: Vec<Transport<ClientTls>>,
    /// What all of it was made of: each certificate and each file of authorities, by its path.
    pub(crate) files: BTreeMap<Arc<str>, FileContent>,
}

/// Which socket a listener has: that of its address. Those that take any free port are told apart by their names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct ListenerSocket {
    pub(crate) bind: SocketAddr,
    name: Option<Arc<str>>,
}

impl ListenerSocket {
    pub(crate) fn of(listener: &Listener) -> Self {
        let has_any_port = listener.bind.port() == 0;
        Self { bind: listener.bind, name: has_any_port.then(|| listener.name.clone()) }
    }
}

/// An address to connect to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ResolvedEndpoint {
    pub(crate) address: SocketAddr,
    /// The name that led to it, if it was one.
    pub(crate) host: Option<Arc<str>>,
    pub(crate) weight: u32,
}

/// One version of one filter. The same `Arc` from snapshot to snapshot while file and manifest stay as they are.
pub(crate) struct FilterSpec {
    pub(crate) name: Arc<str>,
    /// Short hash of the module's content; `-` while nothing is live.
    pub(crate) version: Arc<str>,
    pub(crate) manifest: Manifest,
    /// What all workers know together of what it uses and how often it fails.
    pub(crate) containment: Arc<Containment>,
    /// What workers instantiate; the reason when there is nothing that could serve.
    pub(crate) live: Result<LiveFilter, Refusal>,
}

/// A filter that passed its gates.
pub(crate) struct LiveFilter {
    pub(crate) module: Arc<Module>,
    pub(crate) plugin: Arc<PluginConfig>,
    /// The module as it was read: what its code is called, and which lines it is from.
    pub(crate) wasm: Arc<[u8]>,
    /// What machines are copies of.
    pub(crate) image: Arc<ImagePlace>,
    /// In place of an image, as long as there is none: a start for each worker.
    pub(crate) started: Arc<StartedPool>,
    /// What copies have the ids of.
    pub(crate) queues: Arc<QueueHold>,
    /// Those that the configuration knew.
    pub(crate) upstreams: Arc<[Arc<str>]>,
    /// Of the module's content.
    pub(crate) sha256: [u8; 32],
}

impl FilterSpec {
    /// Whether the two may live in one virtual machine: the same `vmId` (a filter's own name unless it says otherwise),
    /// code, VM configuration, environment, capabilities and limits.
    fn shares_vm_with(&self, other: &Self) -> bool {
        match (&self.live, &other.live) {
            (Ok(own), Ok(others)) => {
                let is_of_worker = |spec: &Self| spec.manifest.isolation == Isolation::Worker;
                is_of_worker(self)
                    && is_of_worker(other)
                    && own.plugin.may_share_vm(&others.plugin)
                    && own.sha256 == others.sha256
                    && self.manifest.shared_with == other.manifest.shared_with
            }
            _ => false,
        }
    }
}

impl Snapshot {
    /// Before the first configuration.
    pub(crate) fn empty() -> Self {
        Self::new(0, Config::empty(), Vec::new(), SnapshotTls::default(), Vec::new())
    }

    pub(crate) fn new(
        revision: u64,
        config: Config,
        addresses: Vec<Vec<ResolvedEndpoint>>,
        tls: SnapshotTls,
        mut filters: Vec<Arc<FilterSpec>>,
    ) -> Self {
        filters.sort_by_key(|filter| chain_order(filter));
        let route_filters = config
            .routes
            .iter()
            .map(|route| {
                let applies = |(index, filter): (usize, &Arc<FilterSpec>)| {
                    let routes = &filter.manifest.applies_to.routes;
                    (routes.is_empty() || routes.contains(&route.name)).then_some(index)
                };
                filters.iter().enumerate().filter_map(applies).collect()
            })
            .collect();
        let routes = RouteTable::new(&config.routes);
        let plans = config.routes.iter().map(RoutePlan::new).collect();
        let has_websockets = config
            .routes
            .iter()
            .any(|route| route.upgrades.protocols.iter().any(|protocol| &**protocol == "websocket"));
        let shared_vms = shared_vms(&filters);
        let trials = vec![None; filters.len()];
        Self {
            trials,
            revision,
            config,
            routes,
            plans,
            addresses,
            tls,
            filters,
            shared_vms,
            route_filters,
            has_websockets,
        }
    }

    /// With these versions on trial, each in the place of the one that serves.
    pub(crate) fn trying(mut self, trials: &[Arc<Trial>]) -> Self {
        let of =
            |filter: &Arc<FilterSpec>| trials.iter().find(|trial| *trial.filter() == filter.name).cloned();
        self.trials = self.filters.iter().map(of).collect();
        self
    }

    /// Whether the same versions share a machine here as do in `set` of another snapshot.
    pub(crate) fn has_set(&self, other: &Self, set: &VmSet) -> bool {
        self.shared_vms.iter().any(|own| {
            own.members.len() == set.members.len()
                && own
                    .members
                    .iter()
                    .zip(&set.members)
                    .all(|(own, others)| Arc::ptr_eq(&self.filters[*own], &other.filters[*others]))
        })
    }

    /// The filters of a route in chain order, narrowed by listener and host.
    pub(crate) fn chain(
        &self,
        RouteIndex(route): RouteIndex,
        listener: &str,
        host: &str,
    ) -> impl Iterator<Item = usize> {
        self.route_filters[route].iter().copied().filter(move |&index| {
            let applies = &self.filters[index].manifest.applies_to;
            let on_listener =
                applies.listeners.is_empty() || applies.listeners.iter().any(|l| &**l == listener);
            on_listener
                && (applies.hosts.is_empty()
                    || applies.hosts.iter().any(|pattern| host_matches(pattern, host)))
        })
    }
}

fn shared_vms(filters: &[Arc<FilterSpec>]) -> Vec<VmSet> {
    let mut sets: Vec<Vec<usize>> = Vec::new();
    // By VM id, since comparing each with each takes long where there are many.
    let mut sets_of: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, filter) in filters.iter().enumerate() {
        let known = match &filter.live {
            Ok(live) => sets_of.entry(&live.plugin.vm_id).or_default(),
            Err(_) => {
                sets.push(vec![index]);
                continue;
            }
        };
        match known.iter().find(|set| filter.shares_vm_with(&filters[sets[**set][0]])) {
            Some(set) => sets[*set].push(index),
            None => {
                known.push(sets.len());
                sets.push(vec![index]);
            }
        }
    }
    sets.into_iter().map(|members| VmSet { members, started: Arc::default() }).collect()
}

/// Phase, then higher priority, then name: a total order, so that a chain never depends on the file system.
fn chain_order(filter: &FilterSpec) -> (gateway_config::Phase, std::cmp::Reverse<i32>, Arc<str>) {
    (filter.manifest.phase, std::cmp::Reverse(filter.manifest.priority), filter.name.clone())
}

fn host_matches(pattern: &HostPattern, host: &str) -> bool {
    match pattern {
        HostPattern::Exact(name) => &**name == host,
        HostPattern::Suffix(suffix) => host.len() > suffix.len() && host.ends_with(&**suffix),
    }
}
