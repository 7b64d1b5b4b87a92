//! Where the machines of one filter on one worker come from, or of those that share one: copies of its image, or starts
//! that were made away from the worker, of which one is kept in reserve.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use proxy_wasm_host::{Plugin, StartError, Started, Template};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::chain::FilterList;
use super::starts::Startable;
use super::wasm::{FilterInstance, InstanceError};
use crate::shared::StartedPool;
use crate::snapshot::LiveFilter;

/// After a start that failed, none is tried for as long.
const START_BACKOFF: Duration = Duration::from_secs(1);

/// The supply of machines of one filter on one worker. Of those that share one, that of the first.
#[derive(Default)]
pub(super) struct Supply {
    template: OnceCell<Template>,
    /// Started away from here, for when the machine that serves fails.
    spare: RefCell<Option<Started>>,
    /// The version was replaced; streams that run may still need one.
    is_closed: Cell<bool>,
    /// One is being started.
    is_asked: Cell<bool>,
    /// What serves was started, not copied.
    has_start: Cell<bool>,
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
        let Some(image) = live.image.image() else { return Ok(None) };
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
    /// The plugins of all `members` in a machine that serves the streams of this worker. This is the first of them.
    pub(super) fn supply_plugins(
        self: &Rc<Self>,
        members: &[Rc<Self>],
        pool: &StartedPool,
    ) -> Result<Vec<Plugin>, InstanceError> {
        if let [_] = members
            && let Some(template) =
                self.supply.template(self, self.live()?).map_err(|error| self.start_error(error))?
        {
            self.metrics.copied();
            self.supply.has_start.set(false);
            return template.plugin().map(|plugin| vec![plugin]).map_err(|error| self.start_error(error));
        }
        let started = self.supply.spare.take().or_else(|| pool.take());
        if !self.supply.is_closed.get() {
            self.ask_for_spare(members);
        }
        let started = started.ok_or_else(|| self.is_starting())?;
        self.supply.has_start.set(true);
        Plugin::adopt_all(started, |number| members[number].services())
            .map_err(|error| self.start_error(error))
    }

    pub(super) fn is_starting(&self) -> InstanceError {
        InstanceError::Starting { filter: self.spec.name.clone(), version: self.spec.version.clone() }
    }

    /// To be called several times per second.
    pub(crate) fn tend(self: &Rc<Self>) {
        self.guard.tend();
        self.may_drain();
        self.take_image();
    }

    /// A machine that is to go and still serves, since nothing could take its place, may be asked again.
    fn may_drain(&self) {
        if let Some(vm) = self.running() {
            vm.goes_on();
        }
    }

    /// Once there is an image, what was started makes room for a copy, as soon as its streams have ended.
    fn take_image(self: &Rc<Self>) {
        let has_image = |live: &LiveFilter| live.image.image().is_some();
        if !self.supply.has_start.get()
            || !self.group.is_single()
            || !self.spec.live.as_ref().is_ok_and(has_image)
        {
            return;
        }
        self.supply.spare.take();
        if let Some(vm) = self.running()
            && vm.begins_to_drain()
        {
            self.group.renew(self, &vm);
        }
    }

    /// A copy of the configured plugin, for one stream.
    pub(super) fn supply_plugin_for_stream(&self, live: &LiveFilter) -> Result<Plugin, InstanceError> {
        if self.supply.instances() >= self.spec.manifest.limits.instances {
            return Err(InstanceError::Busy { filter: self.spec.name.clone() });
        }
        let template = self.supply.template(self, live).map_err(|error| self.start_error(error))?;
        // The gate refuses a filter that would need one and has none.
        let template = template.ok_or_else(|| self.is_starting())?;
        self.metrics.copied();
        template.plugin_for_stream().map_err(|error| self.start_error(error))
    }

    /// Has a machine for `members` started away from here, if there is none in reserve and none under way.
    fn ask_for_spare(self: &Rc<Self>, members: &[Rc<Self>]) {
        let supply = &self.supply;
        let is_too_early = supply.not_before.get().is_some_and(|not_before| Instant::now() < not_before);
        if is_too_early || supply.spare.borrow().is_some() || supply.is_asked.get() {
            return;
        }
        let Some(process) = self.process() else { return };
        let specs = members.iter().map(|member| &member.spec);
        let Some(startable) = Startable::of(&process, specs) else { return };
        let Some(start) = process.starts.spawn(move || startable.start()) else { return };
        supply.is_asked.set(true);
        let filter = Rc::downgrade(self);
        tokio::task::spawn_local(async move {
            let outcome = start.await;
            let Some(filter) = filter.upgrade() else { return };
            filter.supply.is_asked.set(false);
            match outcome {
                Ok(Ok(started)) => {
                    *filter.supply.spare.borrow_mut() = Some(started);
                    filter.may_drain();
                    filter.supply.room.notify_waiters();
                }
                Ok(Err(error)) => {
                    filter.supply.not_before.set(Some(Instant::now() + START_BACKOFF));
                    filter.not_restarted(&error);
                }
                // The process ends.
                Err(_) => {}
            }
        });
    }

    /// Whether a stream that comes now gets a machine at once, as far as that can be said beforehand.
    fn has_room(self: &Rc<Self>) -> bool {
        // Of one that is not live, its policy answers.
        let Ok(live) = &self.spec.live else { return true };
        if self.has_machine_per_stream() {
            return self.supply.instances() < self.spec.manifest.limits.instances;
        }
        if self.is_running() || (live.image.image().is_some() && self.group.is_single()) {
            return true;
        }
        let members = self.group.members();
        let Some(first) = members.first() else { return true };
        if first.supply.spare.borrow().is_some() {
            return true;
        }
        first.ask_for_spare(&members);
        false
    }

    /// Told whenever there may be room.
    async fn room(&self) {
        match self.group.members().first() {
            Some(first) => first.supply.room.notified().await,
            None => self.supply.room.notified().await,
        }
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
        if tokio::time::timeout_at(until, filter.room()).await.is_err() {
            return;
        }
    }
}
