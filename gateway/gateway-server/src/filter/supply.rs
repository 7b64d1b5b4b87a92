//! Where the machines of one filter on one worker come from, when it shares them with no other filter: copies of its
//! image, or starts that were made away from the worker, of which one is kept in reserve.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use proxy_wasm_host::{Module, Plugin, PluginConfig, StartError, Started, Template};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::chain::FilterList;
use super::services::{Home, PluginServices, QueueHold};
use super::wasm::{FilterInstance, InstanceError};
use crate::process::Process;
use crate::snapshot::{FilterSpec, LiveFilter};

/// After a start that failed, none is tried for as long.
const START_BACKOFF: Duration = Duration::from_secs(1);

/// The supply of machines of one filter on one worker.
#[derive(Default)]
pub(super) struct Supply {
    template: OnceCell<Template>,
    /// Started away from here, for when the machine that serves fails.
    spare: RefCell<Option<Started>>,
    /// The version was replaced; streams that run may still need one.
    is_closed: Cell<bool>,
    /// One is being started.
    is_asked: Cell<bool>,
    not_before: Cell<Option<Instant>>,
    /// Machines that streams have.
    instances: Cell<usize>,
    /// There is a spare, or one machine of a stream less.
    room: Notify,
    /// When the machine failed that has no successor yet.
    lost_at: Cell<Option<Instant>>,
}

impl Supply {
    fn template(&self, filter: &FilterInstance, live: &LiveFilter) -> Result<Option<&Template>, StartError> {
        let Ok(image) = &live.image else { return Ok(None) };
        if self.template.get().is_none() {
            let template = Template::new(image.clone(), filter.services())?;
            // Nobody else could have set it.
            let _ = self.template.set(template);
        }
        Ok(self.template.get())
    }

    /// The version was replaced: nothing is kept in reserve any more.
    pub(super) fn close(&self) {
        self.is_closed.set(true);
    }

    pub(super) fn instances(&self) -> usize {
        self.instances.get()
    }

    pub(super) fn stream_has_one(&self) {
        self.instances.set(self.instances.get() + 1);
    }

    pub(super) fn stream_gave_back(&self) {
        self.instances.set(self.instances.get().saturating_sub(1));
        self.room.notify_waiters();
    }

    pub(super) fn lost(&self) {
        self.lost_at.set(Some(Instant::now()));
    }

    /// How long there was none, if there was a time without.
    pub(super) fn replaced(&self) -> Option<Duration> {
        self.lost_at.take().map(|lost_at| lost_at.elapsed())
    }
}

impl FilterInstance {
    /// A plugin in a machine of its own, that serves the streams of this worker.
    pub(super) fn supply_plugin(self: &Rc<Self>, live: &LiveFilter) -> Result<Plugin, InstanceError> {
        let template = self.supply.template(self, live).map_err(|error| self.start_error(error))?;
        if let Some(template) = template {
            self.metrics.copied();
            return template.plugin().map_err(|error| self.start_error(error));
        }
        let started = self.supply.spare.take().or_else(|| live.started.take());
        let Some(started) = started else {
            self.ask_for_spare();
            return Err(InstanceError::Starting {
                filter: self.spec.name.clone(),
                version: self.spec.version.clone(),
            });
        };
        let adopted = Plugin::adopt(started, self.services());
        if !self.supply.is_closed.get() {
            self.ask_for_spare();
        }
        adopted.map_err(|error| self.start_error(error))
    }

    /// A copy of the configured plugin, for one stream.
    pub(super) fn supply_plugin_for_stream(&self, live: &LiveFilter) -> Result<Plugin, InstanceError> {
        if self.supply.instances() >= self.spec.manifest.limits.instances {
            return Err(InstanceError::Busy { filter: self.spec.name.clone() });
        }
        let template = self.supply.template(self, live).map_err(|error| self.start_error(error))?;
        // The gate refuses a filter that would need one and has none.
        let Some(template) = template else {
            return Err(InstanceError::Starting {
                filter: self.spec.name.clone(),
                version: self.spec.version.clone(),
            });
        };
        self.metrics.copied();
        template.plugin_for_stream().map_err(|error| self.start_error(error))
    }

    /// Has a machine started away from here, if there is none in reserve and none under way.
    fn ask_for_spare(self: &Rc<Self>) {
        let supply = &self.supply;
        let is_too_early = supply.not_before.get().is_some_and(|not_before| Instant::now() < not_before);
        if is_too_early || supply.spare.borrow().is_some() || supply.is_asked.get() {
            return;
        }
        let Some(process) = self.process() else { return };
        let Ok(live) = &self.spec.live else { return };
        let version = Version {
            spec: self.spec.clone(),
            module: live.module.clone(),
            plugin: live.plugin.clone(),
            upstreams: live.upstreams.clone(),
            queues: live.queues.clone(),
        };
        let on = process.clone();
        let Some(start) = process.starts.spawn(move || start_elsewhere(&on, &version)) else { return };
        supply.is_asked.set(true);
        let filter = Rc::downgrade(self);
        tokio::task::spawn_local(async move {
            let outcome = start.await;
            let Some(filter) = filter.upgrade() else { return };
            filter.supply.is_asked.set(false);
            match outcome {
                Ok(Ok(started)) => {
                    *filter.supply.spare.borrow_mut() = Some(started);
                    filter.supply.room.notify_waiters();
                }
                Ok(Err(error)) => {
                    filter.supply.not_before.set(Some(Instant::now() + START_BACKOFF));
                    filter.not_restarted(&filter.start_error(error));
                }
                // The process ends.
                Err(_) => {}
            }
        });
    }

    /// Whether a stream that comes now gets a machine at once, as far as that can be said beforehand.
    fn has_room(self: &Rc<Self>) -> bool {
        if self.has_machine_per_stream() {
            return self.supply.instances() < self.spec.manifest.limits.instances;
        }
        let is_at_once = |live: &LiveFilter| live.image.is_ok() || !self.group.is_single();
        if self.is_running()
            || self.supply.spare.borrow().is_some()
            || self.spec.live.as_ref().is_ok_and(is_at_once)
        {
            return true;
        }
        self.ask_for_spare();
        false
    }
}

/// Whether a stream of all these filters gets its machines at once.
pub(crate) fn have_machines(filters: &FilterList) -> bool {
    filters.iter().all(FilterInstance::has_room)
}

/// Waits until all of these filters have a machine for a stream, each for as long as it may take. One that has none by
/// then answers by its policy.
pub(crate) async fn wait_for_machines(filters: &FilterList) {
    let mut began = None;
    while let Some(filter) = filters.iter().find(|filter| !filter.has_room()) {
        let began = *began.get_or_insert_with(Instant::now);
        let until = began + filter.spec.manifest.limits.instance_wait;
        if tokio::time::timeout_at(until, filter.supply.room.notified()).await.is_err() {
            return;
        }
    }
}

/// Starts a filter on a thread that serves nothing.
fn start_elsewhere(process: &Arc<Process>, version: &Version) -> Result<Started, StartError> {
    let home = Home::Gate { upstreams: version.upstreams.clone(), queues: version.queues.clone() };
    let services = PluginServices::new(
        process,
        &version.spec.name,
        &version.spec.manifest,
        &version.spec.containment,
        home,
    );
    Started::start(&version.module, version.plugin.clone(), Rc::new(services))
}

/// What a start needs.
struct Version {
    spec: Arc<FilterSpec>,
    module: Arc<Module>,
    plugin: Arc<PluginConfig>,
    upstreams: Arc<[Arc<str>]>,
    queues: Arc<QueueHold>,
}
