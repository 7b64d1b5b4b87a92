//! The last of a version's gates before workers see it: start and configure, once, and freeze what comes out. Where there
//! can be no image, a start is made for each worker instead, so that no worker ever waits for one.

use std::rc::Rc;
use std::sync::Arc;

use gateway_config::{Isolation, Manifest, SharedRandomness};
use proxy_wasm_host::{Image, Module, NotFrozen, PluginConfig, StartError, Started};

use super::gate::gate_of_start;
use crate::filter::{Home, PluginServices, QueueHold};
use crate::process::Process;
use crate::refusal::{Gate, Refusal};

/// A version to be made ready.
pub(super) struct Candidate<'c> {
    pub(super) process: &'c Arc<Process>,
    pub(super) name: &'c Arc<str>,
    pub(super) manifest: &'c Manifest,
    pub(super) module: &'c Module,
    /// The file that the module was made of.
    pub(super) wasm: &'c [u8],
    pub(super) plugin: &'c Arc<PluginConfig>,
    pub(super) upstreams: &'c Arc<[Arc<str>]>,
    pub(super) queues: &'c Arc<QueueHold>,
}

/// What workers make machines of.
pub(super) struct Ready {
    pub(super) image: Result<Arc<Image>, String>,
    /// One for each worker if there is no image.
    pub(super) started: Vec<Started>,
}

/// Takes up to twice `limits.startCpu`, and a compilation: not for a thread that serves.
pub(super) fn ready(candidate: &Candidate<'_>) -> Result<Ready, Refusal> {
    let name = candidate.name;
    let refused = |error: StartError| Refusal::at(gate_of_start(&error), format!("{name}.wasm: {error}"));
    let mut first = candidate.start().map_err(refused)?;
    match candidate.freeze(&mut first) {
        Ok(image) => Ok(Ready { image: Ok(image), started: Vec::new() }),
        Err(reason) if candidate.manifest.isolation == Isolation::Stream => {
            let message = format!(
                "{name}.wasm: isolation: stream copies an image of the filter, and there is none: {reason}"
            );
            Err(Refusal::at(Gate::Start, message))
        }
        Err(reason) => {
            tracing::info!(filter = %name, "no image, each machine is started by itself: {reason}");
            let mut started =
                candidate.start_more(candidate.process.starts.workers() - 1).map_err(refused)?;
            started.push(first);
            Ok(Ready { image: Err(reason.to_string()), started })
        }
    }
}

impl Candidate<'_> {
    fn start(&self) -> Result<Started, StartError> {
        let home = Home::Gate { upstreams: self.upstreams.clone(), queues: self.queues.clone() };
        let services = PluginServices::new(self.process, self.name, self.manifest, home);
        Started::start(self.module, self.plugin.clone(), Rc::new(services))
    }

    fn freeze(&self, started: &mut Started) -> Result<Arc<Image>, NotFrozen> {
        let randomness = match self.manifest.shared_randomness {
            SharedRandomness::Refuse => proxy_wasm_host::SharedRandomness::Refuse,
            SharedRandomness::Accept => proxy_wasm_host::SharedRandomness::Accept,
        };
        Image::freeze(&self.process.engine, started, self.module, self.wasm, randomness)
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
