//! VMs as copies of an image: nothing starts and nothing is configured, the guest goes on from where it was frozen.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use wasmtime::Store;

use super::exports::{Exports, Role};
use super::start::keep_time;
use super::vm::Vm;
use super::{CallError, Plugin, StartError};
use crate::host::Services;
use crate::image::{Image, ON_COPY};
use crate::services::{LocalServices, MetricIds};
use crate::state::HostState;

/// An image where its copies are made: with the services of one thread, which know its metrics and queues.
pub struct Template {
    image: Arc<Image>,
    services: Rc<dyn Services>,
    metrics: Arc<[u32]>,
}

impl Template {
    /// Tells the services what the plugin told those that it was started with.
    ///
    /// # Errors
    /// [`StartError::Restore`].
    pub fn new(image: Arc<Image>, services: Rc<dyn Services>) -> Result<Self, StartError> {
        let metrics = image.original().record.repeat(&*services)?.into();
        Ok(Self { image, services, metrics })
    }

    /// The plugin as it was after its start, with what it had asked for by then.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn plugin(&self) -> Result<Plugin, StartError> {
        self.copy(|state, image| {
            state.plugin.effects = image.original().effects.clone();
            state.calls = image.original().calls.clone();
        })
    }

    /// The same for one stream: what the plugin had asked for is another copy's to carry out.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn plugin_for_stream(&self) -> Result<Plugin, StartError> {
        self.copy(|_, _| {})
    }

    fn copy(&self, complete: impl FnOnce(&mut HostState, &Image)) -> Result<Plugin, StartError> {
        let cannot = |error: wasmtime::Error| StartError::Instantiate { reason: format!("{error:#}") };
        let image = &*self.image;
        let services = LocalServices::new(self.services.clone());
        let mut state = HostState::copy(image.original(), services, MetricIds::common(&self.metrics));
        complete(&mut state, image);
        let root = image.original().root;
        let mut store = Store::try_new(image.pre().module().engine(), state).map_err(cannot)?;
        keep_time(&mut store);
        let instance = image.pre().instantiate(&mut store).map_err(cannot)?;
        let found = image.exports().find(&instance, &mut store);
        let exports = Exports::of(&found, &store);
        let on_copy = found.typed::<(), ()>(&store, Role::OnCopy);
        let memory = image.exports().memory(&instance, &mut store);
        let state = store.data_mut();
        state.memory = memory;
        state.allocator = exports.allocator.clone();
        let mut vm = Vm::new(store, exports);
        if let Some(on_copy) = on_copy {
            vm.call_root(root, ON_COPY, &on_copy, ()).map_err(|error: CallError| StartError::Call(error))?;
        }
        let exports = vm.exports.clone();
        Ok(Plugin { vm: Rc::new(RefCell::new(vm)), exports, root })
    }
}
