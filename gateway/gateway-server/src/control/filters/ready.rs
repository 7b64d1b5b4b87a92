//! The last of a version's gates before workers see it: start and configure, once, and freeze what comes out. Where there
//! can be no image, a start is made for each worker instead, so that no worker ever waits for one.

use std::rc::Rc;
use std::sync::Arc;

use gateway_config::{Isolation, Manifest, SharedRandomness};
use proxy_wasm_host::{
    Frozen, Image, Module, NotFrozen, Plugin, PluginConfig, StartError, Started, Template,
};

use super::gate::{compiled, explained, gate_of_start};
use super::rehearsal::rehearse;
use crate::compile::{CompileLimits, Work};
use crate::filter::{Home, PluginServices, QueueHold};
use crate::process::Process;
use crate::refusal::{Gate, Refusal};
use crate::shared::{Cancel, Containment};

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
    pub(super) image: Result<Arc<Image>, String>,
    /// One for each worker if there is no image.
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
    match making.freeze(&mut first) {
        Ok(image) => {
            if making.manifest.rehearsal {
                let services = making.services();
                let copy =
                    Template::new(image.clone(), services.clone()).and_then(|template| template.plugin());
                making.rehearse(copy.map_err(refused)?, &services)?;
            }
            Ok(Ready { image: Ok(image), started: Vec::new() })
        }
        Err(reason) if making.manifest.isolation == Isolation::Stream => {
            let message = format!(
                "{name}.wasm: isolation: stream copies an image of the filter, and there is none: {reason}"
            );
            Err(Refusal::at(Gate::Start, message))
        }
        Err(reason) => {
            tracing::info!(filter = %name, "no image, each machine is started by itself: {reason}");
            if making.manifest.rehearsal {
                // It leaves its traces: what serves is another start.
                let services = making.services();
                let extra = Plugin::start(making.module, making.plugin.clone(), services.clone());
                making.rehearse(extra.map_err(refused)?, &services)?;
            }
            let mut started = making.start_more(making.process.starts.workers() - 1).map_err(refused)?;
            started.push(first);
            Ok(Ready { image: Err(reason.to_string()), started })
        }
    }
}

impl Making<'_> {
    fn services(&self) -> Rc<PluginServices> {
        let home = Home::Gate { upstreams: self.upstreams.clone(), queues: self.queues.clone() };
        Rc::new(PluginServices::new(self.process, self.name, self.manifest, self.containment, home))
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

    fn freeze(&self, started: &mut Started) -> Result<Arc<Image>, NotFrozen> {
        let randomness = match self.manifest.shared_randomness {
            SharedRandomness::Refuse => proxy_wasm_host::SharedRandomness::Refuse,
            SharedRandomness::Accept => proxy_wasm_host::SharedRandomness::Accept,
        };
        let frozen = Frozen::of(started, self.module, randomness)?;
        let work = Work { wasm: self.wasm.clone(), state: Some(frozen.state().clone()) };
        let made = compiled(self.process, &work, self.limits, self.cancel)
            .map_err(|error| NotFrozen::Compile { reason: error.to_string() })?;
        frozen.with_code(&self.process.engine, made.code).map(Arc::new)
    }

    /// As many at a time as there are cores.
    fn start_more(&self, count: usize) -> Result<Vec<Started>, StartError> {
        let at_a_time = std::thread::available_parallelism().map_or(1, usize::from);
        let mut started = Vec::with_capacity(count + 1);
        while started.len() < count {
            let now = at_a_time.min(count - started.len());
            let batch = std::thread::scope(|scope| {
                let starts: Vec<_> = (0..now).map(|_| scope.spawn(|| self.start())).collect();
                starts.into_iter().map(|start| start.join()).collect::<Vec<_>>()
            });
            for outcome in batch {
                // A panic is reported by the thread itself, and refuses the version as any start that fails.
                let failed = |_| StartError::Instantiate {
                    reason: "starting it failed inside the gateway".to_owned(),
                };
                started.push(outcome.map_err(failed)??);
            }
        }
        Ok(started)
    }
}
