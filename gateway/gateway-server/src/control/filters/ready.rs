//! The last of a version's gates before workers see it: start and configure, once, and freeze what comes out. Where there
//! can be no image, or where it takes long to make, a start is made for each worker instead, so that no worker ever waits
//! for one.

use std::rc::Rc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use gateway_config::{Isolation, Manifest, SharedRandomness};
use proxy_wasm_host::{
    Frozen, Image, Module, NotFrozen, Plugin, PluginConfig, StartError, Started, Template,
};

use super::gate::{compiled, explained, gate_of_start};
use super::rehearsal::rehearse;
use crate::compile::{CompileLimits, GLANCE, Work};
use crate::filter::{PluginServices, QueueHold, start_each};
use crate::process::Process;
use crate::refusal::{Gate, Refusal};
use crate::shared::{Cancel, Containment, ImagePlace};

/// A version to be made ready.
pub(super) struct Making<'c> {
    pub(super) process: &'c Arc<Process>,
    pub(super) name: &'c Arc<str>,
    pub(super) manifest: &'c Manifest,
    pub(super) containment: &'c Arc<Containment>,
    pub(super) module: &'c Module,
    /// The file that the module was made of.
    pub(super) wasm: &'c Arc<[u8]>,
    pub(super) plugin: &'c Arc<PluginConfig>,
    pub(super) upstreams: &'c Arc<[Arc<str>]>,
    pub(super) queues: &'c Arc<QueueHold>,
    pub(super) limits: CompileLimits,
    pub(super) cancel: &'c Cancel,
}

/// What workers make machines of.
pub(super) struct Ready {
    pub(super) image: Arc<ImagePlace>,
    /// One for each worker if there is no image yet.
    pub(super) started: Vec<Started>,
}

/// Takes up to twice `limits.startCpu`, and a compilation: not for a thread that serves.
pub(super) fn ready(making: &Making<'_>) -> Result<Ready, Refusal> {
    let name = making.name;
    let refused = |error: StartError| {
        let message = format!("{name}.wasm: {}", explained(&error, making.wasm));
        Refusal::at(gate_of_start(&error), message)
    };
    let mut first = making.start().map_err(refused)?;
    let image = match making.freeze(&mut first) {
        Ok(frozen) => making.image(frozen),
        Err(reason) => ImagePlace::without(reason.to_string()),
    };
    if let Some(made) = image.image() {
        if making.manifest.rehearsal {
            let services = making.services();
            let copy = Template::new(made.clone(), services.clone()).and_then(|template| template.plugin());
            making.rehearse(copy.map_err(refused)?, &services)?;
        }
        return Ok(Ready { image, started: Vec::new() });
    }
    let reason = image.outcome().and_then(|outcome| outcome.as_ref().err());
    if making.manifest.isolation == Isolation::Stream {
        let reason = reason.map_or("making it was called off", |reason| reason);
        let message = format!(
            "{name}.wasm: isolation: stream copies an image of the filter, and there is none: {reason}"
        );
        return Err(Refusal::at(Gate::Start, message));
    }
    match reason {
        Some(reason) => {
            tracing::info!(filter = %name, "no image, each machine is started by itself: {reason}");
        }
        None => {
            tracing::info!(filter = %name, "its image takes long: until then each machine is started by itself")
        }
    }
    if making.manifest.rehearsal {
        // It leaves its traces: what serves is another start.
        let services = making.services();
        let extra = Plugin::start(making.module, making.plugin.clone(), services.clone());
        making.rehearse(extra.map_err(refused)?, &services)?;
    }
    let failed_inside = |reason| StartError::Instantiate { reason };
    let others = making.process.starts.workers() - 1;
    let mut started = start_each(others, || making.start(), failed_inside).map_err(refused)?;
    started.push(first);
    Ok(Ready { image, started })
}

impl Making<'_> {
    fn services(&self) -> Rc<PluginServices> {
        let gate = (self.upstreams, self.queues);
        PluginServices::at_gate(self.process, self.name, self.manifest, self.containment, gate)
    }

    fn start(&self) -> Result<Started, StartError> {
        Started::start(self.module, self.plugin.clone(), self.services())
    }

    /// A first request through a machine that nobody needs afterwards.
    fn rehearse(&self, mut plugin: Plugin, services: &PluginServices) -> Result<(), Refusal> {
        services.rehearse();
        rehearse(&mut plugin).map_err(|error| {
            let name = self.name;
            Refusal::at(
                Gate::Request,
                format!("{name}.wasm: a made-up request, before any real one, ended badly: {error}"),
            )
        })
    }

    fn freeze(&self, started: &mut Started) -> Result<Frozen, NotFrozen> {
        let randomness = match self.manifest.image.shared_randomness {
            SharedRandomness::Refuse => proxy_wasm_host::SharedRandomness::Refuse,
            SharedRandomness::Accept => proxy_wasm_host::SharedRandomness::Accept,
        };
        Frozen::of(started, self.module, randomness)
    }

    /// The image, if it is made in time; otherwise it comes later, unless the filter can do nothing without.
    fn image(&self, frozen: Frozen) -> Arc<ImagePlace> {
        let place = Arc::<ImagePlace>::default();
        let late = Late {
            process: self.process.clone(),
            name: self.name.clone(),
            wasm: self.wasm.clone(),
            manifest: self.manifest.clone(),
            containment: self.containment.clone(),
            upstreams: self.upstreams.clone(),
            queues: self.queues.clone(),
            limits: self.limits,
            place: Arc::downgrade(&place),
            cancel: place.cancel().clone(),
        };
        // Set when nobody waits for it any more; given back when it is made, or when that is called off.
        let among_late = Arc::new(OnceLock::new());
        let held = among_late.clone();
        // Without room in between: what nobody takes any more comes back.
        let (done, made) = mpsc::sync_channel(0);
        tokio::task::spawn_blocking(move || {
            if let Err(mpsc::SendError(outcome)) = done.send(late.make(frozen)) {
                late.came(outcome);
            }
            drop(held);
        });
        let is_patient = self.manifest.isolation == Isolation::Stream;
        let begun = Instant::now();
        while !self.cancel.is_cancelled() {
            if !is_patient
                && begun.elapsed() >= self.manifest.image.wait
                && let Some(late) = self.process.late_images.one_more()
            {
                // It was not set before.
                let _ = among_late.set(late);
                break;
            }
            match made.recv_timeout(GLANCE) {
                Ok(outcome) => place.fill(outcome),
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => {
                    place.fill(Err("making it failed inside the gateway".to_owned()));
                }
            }
            break;
        }
        place
    }
}

/// What an image needs that may come when the version has been live for long.
struct Late {
    process: Arc<Process>,
    name: Arc<str>,
    wasm: Arc<[u8]>,
    manifest: Manifest,
    containment: Arc<Containment>,
    upstreams: Arc<[Arc<str>]>,
    queues: Arc<QueueHold>,
    limits: CompileLimits,
    place: Weak<ImagePlace>,
    cancel: Cancel,
}

impl Late {
    fn make(&self, frozen: Frozen) -> Result<Arc<Image>, String> {
        let work = Work { wasm: self.wasm.clone(), state: Some(frozen.state().clone()) };
        let made = compiled(&self.process, &work, self.limits, &self.cancel)
            .map_err(|error| NotFrozen::Compile { reason: error.to_string() });
        let image = made.and_then(|made| frozen.with_code(&self.process.engine, made.code));
        image.map(Arc::new).map_err(|reason| reason.to_string())
    }

    /// The version serves without one. What cannot be copied must not take the place of what can be started.
    fn came(&self, outcome: Result<Arc<Image>, String>) {
        let Some(place) = self.place.upgrade() else { return };
        let outcome = outcome.and_then(|image| {
            let gate = (&self.upstreams, &self.queues);
            let services =
                PluginServices::at_gate(&self.process, &self.name, &self.manifest, &self.containment, gate);
            let template = Template::new(image.clone(), services);
            template.and_then(|template| template.plugin()).map(|_| image).map_err(|error| error.to_string())
        });
        match &outcome {
            Ok(_) => {
                tracing::info!(filter = %self.name, "its image is ready: machines are copies of it from now on")
            }
            Err(reason) => {
                tracing::info!(filter = %self.name, "no image, each machine is started by itself: {reason}");
            }
        }
        place.fill(outcome);
    }
}
