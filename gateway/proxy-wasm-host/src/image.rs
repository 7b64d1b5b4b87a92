//! A configured VM, frozen: linear memory and globals as a module of its own, and what the host holds of the plugin.
//! Any thread makes copies of it, which share the pages that they do not write to.
//!
//! Freezing rewrites the module with `wasmtime-wizer`: first so that the state can be read (before the one compilation
//! that the start needs), then so that instances begin in that state. Both rewritings read all of a stranger's module, so that
//! they belong where compiling does; where the VM is, its state is only read. A module that is refused is started again for
//! each VM instead, and the refusal says why. Randomness that the guest drew before is never copied without somebody's word.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use wasmtime::InstancePre;
use wasmtime_wizer::{InstanceState, SnapshotVal, ValType, Wizer};

use crate::code::Code;
use crate::engine::Engine;
use crate::frozen_state::{self, FrozenState};
use crate::module::{LoadError, Module};
use crate::plugin::{ExportIndices, Started};
use crate::state::{Drawn, HostState, Original};

/// A configured VM that copies are made of; shared by all threads.
pub struct Image {
    pre: InstancePre<HostState>,
    exports: ExportIndices,
    original: Original,
}

/// The export that is called once in each copy before anything else, so that it can draw its own random numbers.
pub(crate) const ON_COPY: &str = "gateway_on_copy";

/// Why there is no image of a plugin. Its VMs are started one by one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFrozen {
    /// It has instructions that change state which cannot be read, or is built in a way that cannot be rewritten.
    #[error("its code cannot be frozen: {reason}")]
    Module {
        /// What it is.
        reason: String,
    },
    /// Its copies would all have the same random numbers.
    #[error(
        "it drew {bytes} random bytes while it started, which its copies would share; draw them later or by the SDK's `random`, or accept it in the manifest: image: {{sharedRandomness: accept}}"
    )]
    DrewRandomness {
        /// How many.
        bytes: u64,
    },
    /// It is not a fresh start of that module.
    #[error("the VM is not as it was after its start")]
    NotFresh,
    /// The frozen module was refused.
    #[error("the frozen module does not compile: {reason}")]
    Compile {
        /// The compiler's words.
        reason: String,
    },
}

/// What the operator says of random numbers that were drawn before the freeze.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum SharedRandomness {
    /// Copies must not share any.
    #[default]
    Refuse,
    /// Copies may share them: the filter has no use for them that matters.
    Accept,
}

impl NotFrozen {
    pub(crate) fn of_compiler(error: LoadError) -> Self {
        Self::Compile { reason: error.to_string() }
    }
}

/// What was read of a started VM, and not made code of yet.
pub struct Frozen {
    state: Arc<[u8]>,
    original: Original,
}

impl Frozen {
    /// Reads the state of a plugin that has just been started.
    ///
    /// # Errors
    /// See [`NotFrozen`]; the plugin is as good as before.
    pub fn of(
        started: &mut Started,
        module: &Module,
        randomness: SharedRandomness,
    ) -> Result<Self, NotFrozen> {
        module.freezable().map_err(|reason| NotFrozen::Module { reason: reason.to_owned() })?;
        check_randomness(started.drawn(), started.has_on_copy(), randomness)?;
        let original = started.store().data().original().ok_or(NotFrozen::NotFresh)?;
        let state = frozen_state::read(started).map_err(|reason| NotFrozen::Module { reason })?.into();
        Ok(Self { state, original })
    }

    /// The state, for [`Code::frozen`] or [`Compiler::frozen`](crate::Compiler::frozen).
    pub fn state(&self) -> &Arc<[u8]> {
        &self.state
    }

    /// The image, with code that was made of the module's file and of [`Frozen::state`].
    ///
    /// # Errors
    /// [`NotFrozen::Compile`].
    pub fn with_code(self, engine: &Engine, Code(module): Code) -> Result<Image, NotFrozen> {
        let compile = |error: wasmtime::Error| NotFrozen::Compile { reason: format!("{error:#}") };
        let pre = engine.offers().link(&module).map_err(compile)?;
        let exports = ExportIndices::of(&module);
        Ok(Image { pre, exports, original: self.original })
    }
}

impl Image {
    /// Freezes a plugin and compiles it here. `wasm` is the file that `module` was made of. Takes as long as compiling the
    /// filter itself.
    ///
    /// # Errors
    /// See [`NotFrozen`].
    pub fn freeze(
        engine: &Engine,
        started: &mut Started,
        module: &Module,
        wasm: &[u8],
        randomness: SharedRandomness,
    ) -> Result<Arc<Self>, NotFrozen> {
        let frozen = Frozen::of(started, module, randomness)?;
        let code = Code::frozen(engine, wasm, frozen.state())?;
        frozen.with_code(engine, code).map(Arc::new)
    }

    pub(crate) fn pre(&self) -> &InstancePre<HostState> {
        &self.pre
    }

    pub(crate) fn exports(&self) -> &ExportIndices {
        &self.exports
    }

    pub(crate) fn original(&self) -> &Original {
        &self.original
    }
}

fn check_randomness(drawn: Drawn, has_on_copy: bool, randomness: SharedRandomness) -> Result<(), NotFrozen> {
    let can_draw_anew = has_on_copy && drawn.bytes == drawn.by_function;
    if drawn.bytes == 0 || can_draw_anew || randomness == SharedRandomness::Accept {
        Ok(())
    } else {
        Err(NotFrozen::DrewRandomness { bytes: drawn.bytes })
    }
}

/// The module with its state made readable.
pub(crate) fn instrument(wasm: &[u8]) -> Result<Vec<u8>, String> {
    contained(|| Wizer::new().instrument(wasm).map(|(_, wasm)| wasm))
}

/// The module that begins in a state which was read of a VM of the same module.
pub(crate) fn write(wasm: &[u8], state: &[u8]) -> Result<Vec<u8>, NotFrozen> {
    let rewritten = contained(|| {
        let state =
            FrozenState::from_bytes(state).ok_or_else(|| wasmtime::format_err!("its state is damaged"))?;
        let wizer = Wizer::new();
        let (context, _) = wizer.instrument(wasm)?;
        let mut read = Read { state: &state, missing: None };
        let frozen = ready(wizer.snapshot(&context, &mut read))?;
        match read.missing {
            Some(name) => Err(wasmtime::format_err!("the VM has no {name}")),
            None => Ok(frozen),
        }
    });
    rewritten.map_err(|reason| NotFrozen::Module { reason })
}

/// Modules are strangers': one that the rewriting is not prepared for is not frozen, and does no harm.
fn contained<T>(rewrite: impl FnOnce() -> wasmtime::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(rewrite)) {
        Ok(outcome) => outcome.map_err(|error| format!("{error:#}")),
        Err(_) => Err("rewriting it failed inside the gateway".to_owned()),
    }
}

/// Runs a future that never waits, because what it asks is answered at once.
fn ready<T>(future: impl Future<Output = wasmtime::Result<T>>) -> wasmtime::Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => Err(wasmtime::format_err!("reading the state did not end")),
    }
}

/// The state as the rewriting reads it.
struct Read<'s> {
    state: &'s FrozenState,
    /// What it asked for in vain; then its result is worth nothing.
    missing: Option<String>,
}

impl InstanceState for Read<'_> {
    fn global_get(&mut self, name: &str, _: ValType) -> impl Future<Output = SnapshotVal> + Send {
        let value = self.state.global(name).unwrap_or_else(|| {
            self.missing = Some(name.to_owned());
            SnapshotVal::I32(0)
        });
        std::future::ready(value)
    }

    fn memory_contents(
        &mut self,
        name: &str,
        contents: impl FnOnce(&[u8]) + Send,
    ) -> impl Future<Output = ()> + Send {
        match self.state.memory(name) {
            Some(memory) => contents(memory),
            None => {
                self.missing = Some(name.to_owned());
                contents(&[]);
            }
        }
        std::future::ready(())
    }
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
