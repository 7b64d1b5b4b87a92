//! Machine code of a module: compiled in this process, or taken over from another process of the same build.
//!
//! The only part of this crate with `unsafe` in it: machine code that is taken over is run as it is. Whether its bytes are
//! those of a compiler cannot be seen in them; who takes them over must know where they come from.

#![allow(
    unsafe_code,
    reason = "taking over machine code is an act of trust that no check of its bytes can replace"
)]

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::engine::{Engine, EngineError, configuration};
use crate::image::{self, NotFrozen};
use crate::module::{self, Freezable, LoadError};

/// Machine code of a module, not yet checked against the ABI; cheap to clone.
#[derive(Clone)]
pub struct Code(pub(crate) wasmtime::Module);

/// Artifact bytes that this engine cannot take over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("compiled code that does not fit this build: {reason}; it has to be compiled again")]
pub struct ForeignCode {
    reason: String,
}

impl Code {
    /// Compiles in this process. Uses all cores for up to seconds: not for a thread that serves traffic.
    ///
    /// # Errors
    /// [`LoadError::Compile`].
    pub fn compile(engine: &Engine, wasm: &[u8]) -> Result<Self, LoadError> {
        wasmtime::Module::from_binary(engine.wasmtime(), wasm).map(Self).map_err(refused)
    }

    /// The same of a filter's file, rewritten so that its state can be read once it is started, where that is possible.
    ///
    /// # Errors
    /// [`LoadError::Compile`], of the file as it is.
    pub fn readable(engine: &Engine, wasm: &[u8]) -> Result<(Self, Freezable), LoadError> {
        module::readable(wasm, |wasm| Self::compile(engine, wasm))
    }

    /// The same of a filter's file with the state that [`Frozen`](crate::Frozen) has read in it.
    ///
    /// # Errors
    /// See [`NotFrozen`].
    pub fn frozen(engine: &Engine, wasm: &[u8], state: &[u8]) -> Result<Self, NotFrozen> {
        Self::compile(engine, &image::write(wasm, state)?).map_err(NotFrozen::of_compiler)
    }

    /// Takes over what a [`Compiler`] made.
    ///
    /// # Errors
    /// Another version of the engine, other settings, or another kind of processor.
    ///
    /// # Safety
    /// `artifact` is, unchanged, the code that a function of [`Compiler`] returned, in whichever process. Anything else may run
    /// as machine code of this process.
    pub unsafe fn load(engine: &Engine, artifact: &[u8]) -> Result<Self, ForeignCode> {
        // SAFETY: by this function's own contract the bytes are those of `Engine::precompile_module`, which is what
        // `Module::deserialize` asks for.
        let module = unsafe { wasmtime::Module::deserialize(engine.wasmtime(), artifact) };
        module.map(Self).map_err(|error| ForeignCode { reason: format!("{error:#}") })
    }
}

/// A compiler alone, without host functions, memory for machines or threads: for a process that does nothing else.
pub struct Compiler {
    engine: wasmtime::Engine,
}

impl Compiler {
    /// Sets up the compiler with the settings of every [`Engine`] of this build.
    ///
    /// # Errors
    /// The machine cannot run compiled WebAssembly.
    pub fn new() -> Result<Self, EngineError> {
        let mut config = configuration();
        // How machines get their memory is no matter of code, and setting much of it aside could exceed limits.
        config.allocation_strategy(wasmtime::InstanceAllocationStrategy::OnDemand);
        // One thread is enough for work that nobody waits for, and a process of one thread is easily confined.
        config.parallel_compilation(false);
        let engine = wasmtime::Engine::new(&config).map_err(EngineError::from_wasmtime)?;
        Ok(Self { engine })
    }

    /// Compiles to bytes for [`Code::load`].
    ///
    /// # Errors
    /// [`LoadError::Compile`].
    pub fn compile(&self, wasm: &[u8]) -> Result<Vec<u8>, LoadError> {
        // Text would be taken for a module as well.
        if !wasm.starts_with(b"\0asm") {
            return Err(LoadError::Compile { reason: "not a WebAssembly module".to_owned() });
        }
        self.engine.precompile_module(wasm).map_err(refused)
    }

    /// As [`Code::readable`], to bytes.
    ///
    /// # Errors
    /// [`LoadError::Compile`], of the file as it is.
    pub fn readable(&self, wasm: &[u8]) -> Result<(Vec<u8>, Freezable), LoadError> {
        module::readable(wasm, |wasm| self.compile(wasm))
    }

    /// As [`Code::frozen`], to bytes.
    ///
    /// # Errors
    /// See [`NotFrozen`].
    pub fn frozen(&self, wasm: &[u8], state: &[u8]) -> Result<Vec<u8>, NotFrozen> {
        self.compile(&image::write(wasm, state)?).map_err(NotFrozen::of_compiler)
    }
}

impl Engine {
    /// Names what compiled code depends on: the engine's version, its settings, the kind of processor. Equal numbers say
    /// that code may fit; [`Code::load`] looks again.
    pub fn code_version(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.wasmtime().precompile_compatibility_hash().hash(&mut hasher);
        hasher.finish()
    }
}

fn refused(error: wasmtime::Error) -> LoadError {
    LoadError::Compile { reason: format!("{error:#}") }
}

#[cfg(test)]
#[path = "code_tests.rs"]
mod tests;
