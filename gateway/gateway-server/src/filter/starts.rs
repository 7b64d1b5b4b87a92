//! Starts of filters on threads that serve nothing: what a version needs for one, and the sets that are made before the
//! workers see them.

use std::rc::Rc;
use std::sync::Arc;

use proxy_wasm_host::{Module, PluginConfig, Services, StartError, Started};

use super::services::{PluginServices, QueueHold};
use super::wasm::InstanceError;
use crate::process::Process;
use crate::snapshot::{FilterSpec, Snapshot};

/// What a start of one version needs.
struct Version {
    spec: Arc<FilterSpec>,
    module: Arc<Module>,
    plugin: Arc<PluginConfig>,
    upstreams: Arc<[Arc<str>]>,
    queues: Arc<QueueHold>,
}

impl Version {
    /// None of a filter that is not live.
    fn of(spec: &Arc<FilterSpec>) -> Option<Self> {
        let live = spec.live.as_ref().ok()?;
        Some(Self {
            spec: spec.clone(),
            module: live.module.clone(),
            plugin: live.plugin.clone(),
            upstreams: live.upstreams.clone(),
            queues: live.queues.clone(),
        })
    }

    fn services(&self, process: &Arc<Process>) -> Rc<dyn Services> {
        let (spec, gate) = (&self.spec, (&self.upstreams, &self.queues));
        PluginServices::at_gate(process, &spec.name, &spec.manifest, &spec.containment, gate)
    }
}

/// Filters of one machine that can be started by any thread.
pub(super) struct Startable {
    process: Arc<Process>,
    first: Version,
    others: Vec<Version>,
}

impl Startable {
    /// None unless all of them are live.
    pub(super) fn of<'s>(
        process: &Arc<Process>,
        specs: impl IntoIterator<Item = &'s Arc<FilterSpec>>,
    ) -> Option<Self> {
        let mut versions = specs.into_iter().map(Version::of);
        let first = versions.next()??;
        Some(Self { process: process.clone(), first, others: versions.collect::<Option<_>>()? })
    }

    /// The error names the one that does not start.
    pub(super) fn start(&self) -> Result<Started, InstanceError> {
        let plugin = |version: &Version| (version.plugin.clone(), version.services(&self.process));
        let others = self.others.iter().map(plugin);
        Started::start_all(&self.first.module, plugin(&self.first), others).map_err(|(number, error)| {
            let failed = number.checked_sub(1).and_then(|number| self.others.get(number));
            start_error(&failed.unwrap_or(&self.first).spec, error)
        })
    }
}

pub(super) fn start_error(spec: &FilterSpec, error: StartError) -> InstanceError {
    InstanceError::Start { filter: spec.name.clone(), version: spec.version.clone(), error }
}

/// As many starts as asked for, as many at a time as there are cores. Takes as long as they do.
pub(crate) fn start_each<E: Send>(
    count: usize,
    start: impl Fn() -> Result<Started, E> + Sync,
    failed_inside: impl Fn(String) -> E,
) -> Result<Vec<Started>, E> {
    let at_a_time = std::thread::available_parallelism().map_or(1, usize::from);
    let mut started = Vec::with_capacity(count + 1);
    while started.len() < count {
        let now = at_a_time.min(count - started.len());
        let batch = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..now).map(|_| scope.spawn(&start)).collect();
            starts.into_iter().map(|start| start.join()).collect::<Vec<_>>()
        });
        for outcome in batch {
            // A panic is reported by the thread itself, and counts as any start that fails.
            let inside = |_| failed_inside("starting it failed inside the gateway".to_owned());
            started.push(outcome.map_err(inside)??);
        }
    }
    Ok(started)
}

/// Starts what shares a machine in `next` and did not in `previous`, once for each worker: only together do they show
/// whether they can.
pub(crate) async fn start_sets(
    process: &Arc<Process>,
    previous: &Snapshot,
    next: &Snapshot,
) -> Result<(), InstanceError> {
    for set in next.shared_vms.iter().filter(|set| set.members.len() > 1 && !previous.has_set(next, set)) {
        let specs = set.members.iter().map(|index| &next.filters[*index]);
        let Some(startable) = Startable::of(process, specs) else { continue };
        let (count, filter) = (process.starts.workers(), next.filters[set.members[0]].name.clone());
        let starting = tokio::task::spawn_blocking(move || {
            let failed_inside = |reason| InstanceError::NotLive { filter: filter.clone(), reason };
            start_each(count, || startable.start(), failed_inside)
        });
        if let Ok(started) = starting.await {
            started?.into_iter().for_each(|started| set.started.add(started));
        }
        // Else it was aborted: the process ends.
    }
    Ok(())
}
