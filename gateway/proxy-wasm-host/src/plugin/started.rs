//! Plugins of one VM that were started and configured on one thread and are to serve on another.

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

/// A VM with its plugins, started and configured, without services until a thread adopts them: [`Plugin::adopt`],
/// [`Plugin::adopt_all`].
pub struct Started {
    vm: Vm,
    instance: Instance,
    /// Of its plugins, in the order in which they were started.
    roots: Vec<ContextId>,
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
        Self::start_all(module, (config, services), []).map_err(|(_, error)| error)
    }

    /// The same for several plugins in one VM, as [`Plugin::start_beside`] starts them.
    ///
    /// # Errors
    /// The number of the plugin that does not start, 0 for the first, and why. Nothing is left of the others.
    pub fn start_all(
        module: &Module,
        (config, services): (Arc<PluginConfig>, Rc<dyn Services>),
        others: impl IntoIterator<Item = (Arc<PluginConfig>, Rc<dyn Services>)>,
    ) -> Result<Self, (usize, StartError)> {
        let record = || Some(Box::<StartRecord>::default());
        let (mut vm, instance, root) =
            start::start(module, config, services, record()).map_err(|error| (0, error))?;
        let mut roots = vec![root];
        for (config, services) in others {
            let root = start::add(&mut vm, config, services, record());
            roots.push(root.map_err(|error| (roots.len(), error))?);
        }
        // Only now: a guest may turn to any plugin of its VM.
        vm.state().plugins_mut().for_each(|plugin| plugin.services.let_go());
        Ok(Self { vm, instance, roots })
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

    /// Gives each plugin services of this thread, by its number; they are told what the start told its own.
    pub(super) fn adopt(
        mut self,
        services: impl Fn(usize) -> Rc<dyn Services>,
    ) -> Result<Vec<Plugin>, StartError> {
        for (number, root) in self.roots.iter().enumerate() {
            // A plugin leaves the VM by being dropped only, which needs an owner.
            let Some(plugin) = self.vm.state().plugin_mut(*root) else { continue };
            let services = services(number);
            if let Some(record) = plugin.record.take() {
                plugin.metrics.replace_all(record.repeat(&*services)?);
            }
            plugin.services = LocalServices::new(services);
        }
        let exports = self.vm.exports.clone();
        let vm = Rc::new(RefCell::new(self.vm));
        let plugin = |root| Plugin { vm: vm.clone(), exports: exports.clone(), root };
        Ok(self.roots.into_iter().map(plugin).collect())
    }
}
