//! Starts of filters on threads that serve nothing: what a version needs for one, and the sets that are made before the
//! workers see them.

use std::rc::Rc;
use std::sync::Arc;

use proxy_wasm_host::{Module, PluginConfig, Services, StartError, Started};

use super::services::{Home, PluginServices, QueueHold};
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
        let home = Home::Gate { upstreams: self.upstreams.clone(), queues: self.queues.clone() };
        let spec = &self.spec;
        Rc::new(PluginServices::new(process, &spec.name, &spec.manifest, &spec.containment, home))
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
        let (count, into) = (process.starts.workers(), set.started.clone());
        let starting = tokio::task::spawn_blocking(move || {
            (0..count).try_for_each(|_| startable.start().map(|started| into.add(started)))
        });
        let name = &next.filters[set.members[0]].name;
        let inside = |_| InstanceError::NotLive {
            filter: name.clone(),
            reason: "starting it failed inside the gateway".to_owned(),
        };
        starting.await.map_err(inside)??;
    }
    Ok(())
}
