//! From a module to a configured VM: instantiate, initialise, create the plugin's context, start, configure.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::{Instance, Store, StoreContextMut, TypedFunc, UpdateDeadline, WasmParams, WasmResults};

use super::exports::{Exports, Found, find};
use super::vm::{Vm, describe};
use super::{CallError, PluginConfig, StartError};
use crate::abi::ContextId;
use crate::deadline::thread_cpu_time;
use crate::failure::Failure;
use crate::host::Services;
use crate::module::Module;
use crate::services::LocalServices;
use crate::start_record::StartRecord;
use crate::state::{HostState, Phase};

/// `record` takes what has to be repeated where the plugin goes.
pub(super) fn start(
    module: &Module,
    config: Arc<PluginConfig>,
    services: Rc<dyn Services>,
    record: Option<Box<StartRecord>>,
) -> Result<(Vm, Instance, ContextId), StartError> {
    let budget = StartBudget { total: config.limits.start_cpu, started_at: thread_cpu_time() };
    let mut state = HostState::new(config, LocalServices::new(services), module);
    state.plugin.record = record;
    let root = state.plugin.root;
    let (mut store, instance) = instantiate(module, state)?;
    let exports = Exports::of(&Found::by_name(&instance, &mut store), &store);
    connect(&mut store, &instance, &exports);
    let initialisers = Initialisers::find(&instance, &mut store);
    let mut vm = Vm::new(store, exports);
    let mut starter = Starter { vm: &mut vm, root, budget };
    starter.initialise(&initialisers)?;
    starter.vm.state().phase = Phase::Running;
    starter.configure()?;
    Ok((vm, instance, root))
}

/// Starts another plugin in a VM that runs; `record` as for the first.
pub(super) fn add(
    vm: &mut Vm,
    config: Arc<PluginConfig>,
    services: Rc<dyn Services>,
    record: Option<Box<StartRecord>>,
) -> Result<ContextId, StartError> {
    let budget = StartBudget { total: config.limits.start_cpu, started_at: thread_cpu_time() };
    vm.check()?;
    if !vm.state().plugin.config.may_share_vm(&config) {
        return Err(StartError::OtherVm);
    }
    let root = vm.state().add_plugin(config, LocalServices::new(services), record);
    let configured = Starter { vm, root, budget }.configure();
    if let Err(error) = configured {
        vm.state().configuring = false;
        vm.state().remove_plugin(root);
        return Err(error);
    }
    Ok(root)
}

/// Runs the start section if there is one.
fn instantiate(module: &Module, state: HostState) -> Result<(Store<HostState>, Instance), StartError> {
    let cannot = |error: &wasmtime::Error| StartError::Instantiate { reason: format!("{error:#}") };
    let mut store = Store::try_new(module.pre().module().engine(), state).map_err(|error| cannot(&error))?;
    keep_time(&mut store);
    match module.pre().instantiate(&mut store) {
        Ok(instance) => Ok((store, instance)),
        // Only code that ran leaves a trace of the guest's stack.
        Err(error) if error.is::<wasmtime::WasmBacktrace>() => {
            let failure = Failure::of(&error, store.data().growth.has_refused());
            Err(describe("start section", &error, failure).into())
        }
        Err(error) => Err(cannot(&error)),
    }
}

/// Puts the bounds on a VM that hold whatever it runs.
pub(super) fn keep_time(store: &mut Store<HostState>) {
    store.limiter(|state| &mut state.growth);
    store.epoch_deadline_callback(|mut store: StoreContextMut<'_, HostState>| {
        store.data_mut().deadline.on_tick()?;
        Ok(UpdateDeadline::Continue(1))
    });
    store.set_epoch_deadline(1);
}

/// Tells host functions where the guest's memory and allocator are.
fn connect(store: &mut Store<HostState>, instance: &Instance, exports: &Exports) {
    let memory = instance.get_memory(&mut *store, "memory");
    let state = store.data_mut();
    state.memory = memory;
    state.allocator = exports.allocator.clone();
}

/// WASI entry points.
struct Initialisers {
    initialize: Option<TypedFunc<(), ()>>,
    start: Option<TypedFunc<(), ()>>,
    main: Option<TypedFunc<(u32, u32), u32>>,
    main_void: Option<TypedFunc<(), u32>>,
}

impl Initialisers {
    fn find(instance: &Instance, store: &mut Store<HostState>) -> Self {
        Self {
            initialize: find(instance, store, "_initialize"),
            start: find(instance, store, "_start"),
            main: find(instance, store, "main"),
            main_void: find(instance, store, "__main_void"),
        }
    }
}

/// All start-up calls of a plugin share one budget.
struct Starter<'v> {
    vm: &'v mut Vm,
    /// The plugin's own context.
    root: ContextId,
    budget: StartBudget,
}

struct StartBudget {
    total: Duration,
    /// CPU time of this thread when the start began.
    started_at: Duration,
}

impl Starter<'_> {
    /// A reactor's `_initialize` then its `main`, or else a command's `_start`.
    fn initialise(&mut self, functions: &Initialisers) -> Result<(), CallError> {
        if let Some(initialize) = &functions.initialize {
            self.call("_initialize", initialize, ())?;
            if let Some(main) = &functions.main {
                self.call("main", main, (0, 0))?;
            } else if let Some(main) = &functions.main_void {
                self.call("__main_void", main, ())?;
            }
        } else if let Some(start) = &functions.start {
            self.call("_start", start, ())?;
        }
        Ok(())
    }

    /// From a VM that runs to a plugin in it.
    fn configure(&mut self) -> Result<(), StartError> {
        let exports = self.vm.exports.clone();
        if let Some(create) = &exports.context_create {
            self.call("proxy_on_context_create", create, (self.root.0, 0))?;
        }
        let config = self.vm.state().plugin_mut(self.root).map(|plugin| plugin.config.clone());
        let config = config.unwrap_or_default();
        let size = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        if let Some(vm_start) = &exports.vm_start {
            self.ask("proxy_on_vm_start", vm_start, size(&config.vm_configuration))?;
        }
        if let Some(configure) = &exports.configure {
            self.vm.state().configuring = true;
            self.ask("proxy_on_configure", configure, size(&config.configuration))?;
            self.vm.state().configuring = false;
        }
        Ok(())
    }

    fn ask(
        &mut self,
        callback: &'static str,
        function: &TypedFunc<(u32, u32), u32>,
        size: u32,
    ) -> Result<(), StartError> {
        match self.call(callback, function, (self.root.0, size))? {
            0 => Err(StartError::Refused { callback }),
            _ => Ok(()),
        }
    }

    fn call<P: WasmParams, R: WasmResults>(
        &mut self,
        callback: &'static str,
        function: &TypedFunc<P, R>,
        params: P,
    ) -> Result<R, CallError> {
        let used = thread_cpu_time().saturating_sub(self.budget.started_at);
        let left = self.budget.total.saturating_sub(used);
        self.vm.call_with_budget(self.root, left, callback, function, params)
    }
}
