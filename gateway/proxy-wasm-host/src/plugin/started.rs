//! A plugin that was started and configured on one thread and is to serve on another.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use wasmtime::{Instance, Store};

use super::exports::EXPORTS;
use super::vm::Vm;
use super::{Plugin, PluginConfig, StartError, start};
use crate::abi::ContextId;
use crate::host::Services;
use crate::image::ON_COPY;
use crate::module::Module;
use crate::services::LocalServices;
use crate::start_record::StartRecord;
use crate::state::{Drawn, HostState};

/// A plugin that was started and configured, without services until a thread [adopts](Plugin::adopt) it.
pub struct Started {
    vm: Vm,
    instance: Instance,
    root: ContextId,
}

// It is made to change threads.
const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<Started>();
};

impl Started {
    /// As [`Plugin::start`], for another thread to go on with. Nothing calls the guest in between.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(
        module: &Module,
        config: Arc<PluginConfig>,
        services: Rc<dyn Services>,
    ) -> Result<Self, StartError> {
        let (mut vm, instance, root) =
            start::start(module, config, services, Some(Box::<StartRecord>::default()))?;
        vm.state().plugin.services.let_go();
        Ok(Self { vm, instance, root })
    }

    /// Size of the guest's linear memory.
    pub fn memory_bytes(&self) -> usize {
        self.vm.memory_bytes()
    }

    pub(crate) fn store(&mut self) -> &mut Store<HostState> {
        self.vm.store()
    }

    pub(crate) fn instance(&self) -> &Instance {
        &self.instance
    }

    pub(crate) fn drawn(&mut self) -> Drawn {
        self.vm.state().drawn
    }

    pub(crate) fn has_on_copy(&mut self) -> bool {
        debug_assert!(EXPORTS.contains(&ON_COPY), "it is looked up in copies");
        self.instance.get_func(self.vm.store(), ON_COPY).is_some()
    }

    /// Gives it the services of this thread, which are told what the start told its own.
    pub(super) fn adopt(mut self, services: Rc<dyn Services>) -> Result<Plugin, StartError> {
        let plugin = &mut self.vm.state().plugin;
        if let Some(record) = plugin.record.take() {
            plugin.metrics.replace_all(record.repeat(&*services)?);
        }
        plugin.services = LocalServices::new(services);
        let exports = self.vm.exports.clone();
        Ok(Plugin { vm: Rc::new(RefCell::new(self.vm)), exports, root: self.root })
    }
}
