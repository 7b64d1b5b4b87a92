//! The wasmtime engine as every filter of the process shares it: features, host functions, and the clock of deadlines.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails};

use crate::hostcalls::{self, Offers};
use crate::limits::{
    BACKTRACE_FRAMES, GUEST_STACK_BYTES, IMAGE_BYTES, INSTANCE_BYTES, SLOT_BYTES_KEPT, TABLE_SLOT_ELEMENTS,
    TABLES, WARM_SLOTS,
};
use crate::module::{LoadError, ModuleInfo};

/// Compiles modules and times their VMs. Clones share everything.
#[derive(Clone)]
pub struct Engine {
    engine: wasmtime::Engine,
    offers: Arc<Offers>,
    users: Arc<Users>,
}

/// Counts the modules and VMs of an engine: its own handle and one in each of them.
#[derive(Clone, Default)]
pub(crate) struct Users(Arc<()>);

/// The engine could not be set up on this machine.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the WebAssembly engine: {reason}; this CPU or kernel may be unsupported")]
pub struct EngineError {
    reason: String,
}

impl Engine {
    /// The period at which [`Engine::tick`] is to be called, and the grain of CPU budgets.
    pub const TICK: Duration = Duration::from_millis(5);

    /// The period that is enough while [`Engine::is_unused`]: the first module may come within it.
    pub const IDLE_TICK: Duration = Duration::from_millis(50);

    /// Sets up compiler, memory and host functions. Costs a few milliseconds.
    ///
    /// # Errors
    /// The machine cannot run compiled WebAssembly.
    pub fn new() -> Result<Self, EngineError> {
        Self::with(&configuration())
    }

    /// As [`Engine::new`], with room for `slots` VMs reserved beforehand: making one is much cheaper then, and giving
    /// its memory back is not seen by other threads. There are never more VMs than that.
    ///
    /// # Errors
    /// Also where the process has not the address space, 4 GiB for each slot (`ulimit -v`, small virtual addresses).
    pub fn with_slots(slots: u32) -> Result<Self, EngineError> {
        let mut config = configuration();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(slots)));
        Self::with(&config)
    }

    fn with(config: &Config) -> Result<Self, EngineError> {
        let engine = wasmtime::Engine::new(config).map_err(EngineError::from_wasmtime)?;
        let offers = hostcalls::offers(&engine).map_err(EngineError::from_wasmtime)?;
        Ok(Self { engine, offers: Arc::new(offers), users: Arc::default() })
    }

    /// Advances the clock of deadlines. Without a thread that calls this every [`Engine::TICK`], a guest that loops is
    /// never stopped.
    pub fn tick(&self) {
        self.engine.increment_epoch();
    }

    /// Whether there is neither a module nor a VM whose time would have to be kept.
    pub fn is_unused(&self) -> bool {
        // Clones of the engine share the handle inside.
        Arc::strong_count(&self.users.0) == 1
    }

    /// Refuses a module with an import that does not exist here, as [`Module::compile`](crate::Module::compile) would.
    ///
    /// # Errors
    /// [`LoadError::UnknownImport`], of the first one.
    pub fn check_imports(&self, module: &ModuleInfo) -> Result<(), LoadError> {
        self.offers.check(&module.imports)
    }

    pub(crate) fn users(&self) -> Users {
        Users::clone(&self.users)
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.engine
    }

    pub(crate) fn offers(&self) -> &Offers {
        &self.offers
    }
}

impl EngineError {
    pub(crate) fn from_wasmtime(error: wasmtime::Error) -> Self {
        Self { reason: format!("{error:#}") }
    }
}

/// What Proxy-Wasm needs and nothing more: each further feature is attack surface. Threads, garbage collection,
/// exceptions and components are not even compiled in (an atomic wait could not be interrupted).
pub(crate) fn configuration() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(GUEST_STACK_BYTES)
        .wasm_tail_call(false)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false)
        .concurrency_support(false)
        // File and line would need the guest's own debug information parsed on the worker after each trap; function
        // names come from the name section at no such cost.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_backtrace_max_frames(NonZeroUsize::new(BACKTRACE_FRAMES))
        // Images of large heaps are sparse, and must not be written out anew in each copy.
        .memory_guaranteed_dense_image_size(IMAGE_BYTES);
    config
}

/// A slot never keeps what its last user left. Pages that a VM wrote to are given back to the system when it ends; where the
/// kernel can tell which those are (`PAGEMAP_SCAN`, Linux 6.7), the first [`SLOT_BYTES_KEPT`] of them are written over with
/// what the next user is to find, which costs less than to have them again.
fn pool(slots: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(slots)
        .total_memories(slots)
        .total_tables(slots)
        .max_unused_warm_slots(WARM_SLOTS)
        .max_core_instance_size(INSTANCE_BYTES)
        .max_memories_per_module(1)
        .max_tables_per_module(TABLES as u32)
        .table_elements(TABLE_SLOT_ELEMENTS)
        .max_memory_size(1 << 32);
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        pool.pagemap_scan(Enabled::Yes)
            .linear_memory_keep_resident(SLOT_BYTES_KEPT)
            .table_keep_resident(SLOT_BYTES_KEPT);
    }
    pool
}
