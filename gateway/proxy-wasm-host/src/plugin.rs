//! Plugins in their VMs, and the callbacks into them. A VM belongs to one thread and shares nothing with others but what
//! [`Services`](crate::Services) offers; several plugins may live in one, see [`Plugin::start_beside`].
//!
//! A VM that trapped or used up its budget has *failed*: it is never called again, the queued effects of its plugins are
//! gone, and the embedder replaces it. Callbacks that the module does not export cost nothing and answer
//! [`Action::Continue`].

mod copy;
mod exports;
mod start;
mod started;
mod vm;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::abi::{Action, CallToken, ContextId, LogLevel};
use crate::effects::{CallAnswer, Effect};
use crate::failure::Failure;
use crate::host::{Services, SharedStream};
use crate::limits::Limits;
use crate::module::Module;
use crate::state::{PluginState, Shutdown};
use exports::{Exports, HeadersCallback, StreamCallback};
use vm::Vm;

pub use copy::Template;
pub(crate) use exports::ExportIndices;
pub use started::Started;

/// A started filter: one plugin, alone in its VM or beside others. Dropping it ends its streams and callouts without a
/// callback, and the VM if it is the last one in it.
pub struct Plugin {
    vm: Rc<RefCell<Vm>>,
    exports: Arc<Exports>,
    /// Its own context.
    root: ContextId,
}

/// What a plugin is started with: the same in each VM that it is started in.
#[derive(Clone, Default)]
pub struct PluginConfig {
    /// Property `plugin_name`.
    pub name: String,
    /// Property `plugin_root_id`; some SDKs choose the root context by it.
    pub root_id: String,
    /// Property `plugin_vm_id`.
    pub vm_id: String,
    /// Given to `proxy_on_vm_start`.
    pub vm_configuration: Vec<u8>,
    /// Given to `proxy_on_configure`.
    pub configuration: Vec<u8>,
    /// The guest's environment variables.
    pub env: Vec<(String, String)>,
    /// Upstreams it may call.
    pub callouts: Vec<String>,
    /// Names of headers (lower case) that do not exist for it, in any map or property.
    pub hidden_headers: Vec<String>,
    /// Its limits.
    pub limits: Limits,
}

/// Without what may be secret: configurations and the environment.
impl std::fmt::Debug for PluginConfig {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("PluginConfig")
            .field("name", &self.name)
            .field("root_id", &self.root_id)
            .field("vm_id", &self.vm_id)
            .field("callouts", &self.callouts)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl PluginConfig {
    /// Whether plugins with these two may live in one VM, if their code is the same: that is so when everything is equal
    /// that the VM has or may do. Contexts of one VM are not isolated from each other.
    pub fn may_share_vm(&self, other: &Self) -> bool {
        self.vm_id == other.vm_id
            && self.vm_configuration == other.vm_configuration
            && self.env == other.env
            && self.callouts == other.callouts
            && self.hidden_headers == other.hidden_headers
            && self.limits == other.limits
    }
}

/// Why a plugin could not be started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// Not even an instance of the module could be made.
    #[error(
        "the VM cannot be set up: {reason}; compare the module's initial memory with limits.memory_bytes"
    )]
    Instantiate {
        /// What the engine said.
        reason: String,
    },
    /// A start-up function failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// `proxy_on_vm_start` or `proxy_on_configure` answered false.
    #[error(
        "{callback} refused to start; the filter's own log lines should say why, most often it is the configuration"
    )]
    Refused {
        /// Which one.
        callback: &'static str,
    },
    /// The other plugin's VM is not one for this plugin.
    #[error(
        "it cannot share the VM: VM id, VM configuration, environment, capabilities and limits have to be equal"
    )]
    OtherVm,
    /// What the start defined or registered cannot be had again where the plugin is to serve.
    #[error(
        "the {what} {name:?} that it has from its start is not to be had on a worker; is it in use by others, or are there too many?"
    )]
    Restore {
        /// Metric or queue.
        what: &'static str,
        /// Its name.
        name: String,
    },
}

/// Why a callback gave no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The guest ended abnormally.
    #[error("the filter failed in {callback}: {failure}")]
    Trap {
        /// The export that was called.
        callback: &'static str,
        /// What is known of it.
        failure: Box<Failure>,
    },
    /// The guest used up its CPU budget.
    #[error(
        "the filter used up its CPU budget of {budget:?} in {callback}; look for a loop, or raise its limit"
    )]
    Deadline {
        /// The export that was called.
        callback: &'static str,
        /// The budget of this call.
        budget: Duration,
        /// Where it was at the end, and what else is known.
        failure: Box<Failure>,
    },
    /// The VM failed before and is not called any more.
    #[error("the filter's VM failed before and is waiting to be replaced")]
    Failed,
    /// The stream was finished, or belongs to another VM.
    #[error("there is no context {} in this VM", .0.0)]
    UnknownContext(ContextId),
}

/// What a VM used.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Usage {
    /// Size of the linear memory now; it never shrinks.
    pub memory_bytes: usize,
    /// CPU time of the calls into which a tick of the engine fell, each from its first tick on; what went before it was less
    /// than [`Engine::TICK`](crate::Engine::TICK) of CPU. `None` if no call took that long: then the embedder's own clock
    /// tells as well.
    pub measured_cpu: Option<Duration>,
    /// Memory or a table was to grow beyond its limit.
    pub was_refused_memory: bool,
    /// Host functions that it called.
    pub host_calls: u64,
}

impl CallError {
    /// What is known of a guest that ended abnormally; `None` for an error that is not the guest's.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Trap { failure, .. } | Self::Deadline { failure, .. } => Some(failure),
            Self::Failed | Self::UnknownContext(_) => None,
        }
    }

    /// The export that was called when it ended.
    pub fn callback(&self) -> Option<&'static str> {
        match self {
            Self::Trap { callback, .. } | Self::Deadline { callback, .. } => Some(callback),
            Self::Failed | Self::UnknownContext(_) => None,
        }
    }
}

/// Callbacks an embedder may want to know about before it prepares for them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Callback {
    /// `proxy_on_request_headers`
    RequestHeaders,
    /// `proxy_on_request_body`
    RequestBody,
    /// `proxy_on_request_trailers`
    RequestTrailers,
    /// `proxy_on_response_headers`
    ResponseHeaders,
    /// `proxy_on_response_body`
    ResponseBody,
    /// `proxy_on_response_trailers`
    ResponseTrailers,
    /// `proxy_on_tick`
    Tick,
    /// `proxy_on_queue_ready`
    QueueReady,
}

impl Plugin {
    /// Makes a VM, starts and configures it. Takes up to `limits.start_cpu`; effects may be queued already.
    ///
    /// # Errors
    /// See [`StartError`]; the VM is gone then.
    pub fn start(
        module: &Module,
        config: Arc<PluginConfig>,
        services: Rc<dyn Services>,
    ) -> Result<Self, StartError> {
        let (vm, _, root) = start::start(module, config, services, None)?;
        let exports = vm.exports.clone();
        Ok(Self { vm: Rc::new(RefCell::new(vm)), exports, root })
    }

    /// Takes over a plugin that another thread started. What the start told its services is told to these; what the plugin
    /// asked for meanwhile is queued.
    ///
    /// # Errors
    /// [`StartError::Restore`]; the plugin is gone then.
    pub fn adopt(started: Started, services: Rc<dyn Services>) -> Result<Self, StartError> {
        let mut plugins = started.adopt(|_| services.clone())?;
        // Every start has a first plugin; further ones are not wanted here, and end.
        Ok(plugins.swap_remove(0))
    }

    /// The same for all plugins of the VM, in the order of their start; `services` has those of each, by its number.
    ///
    /// # Errors
    /// [`StartError::Restore`]; the plugins are gone then.
    pub fn adopt_all(
        started: Started,
        services: impl Fn(usize) -> Rc<dyn Services>,
    ) -> Result<Vec<Self>, StartError> {
        started.adopt(services)
    }

    /// Starts and configures another plugin in the VM of this one, as Envoy does for plugins with equal VMs: a context of
    /// its own, then `proxy_on_vm_start` and `proxy_on_configure` for it.
    ///
    /// A guest that traps here takes all plugins of the VM with it; one that refuses leaves them as they were. Effects for
    /// any of them may be queued.
    ///
    /// # Errors
    /// See [`StartError`]; there is no new plugin then.
    pub fn start_beside(
        &self,
        config: Arc<PluginConfig>,
        services: Rc<dyn Services>,
    ) -> Result<Self, StartError> {
        let root = start::add(&mut self.vm.borrow_mut(), config, services, None)?;
        Ok(Self { vm: self.vm.clone(), exports: self.exports.clone(), root })
    }

    /// Makes the context of a new stream.
    ///
    /// # Errors
    /// See [`CallError`]; no context exists then.
    pub fn create_stream(&mut self, stream: SharedStream) -> Result<ContextId, CallError> {
        let mut vm = self.vm.borrow_mut();
        vm.check()?;
        let id = vm.state().streams.insert(self.root, stream);
        if let Some(create) = &self.exports.context_create {
            let created = vm.call_stream("proxy_on_context_create", create, id, (id.0, self.root.0));
            if created.is_err() {
                vm.state().streams.remove(id);
            }
            created?;
        }
        Ok(id)
    }

    /// Request headers arrived: `headers` lines.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn on_request_headers(
        &mut self,
        id: ContextId,
        headers: usize,
        end_of_stream: bool,
    ) -> Result<Action, CallError> {
        self.vm.borrow_mut().call_headers(&self.exports.request_headers, id, headers, end_of_stream)
    }

    /// Request body bytes arrived: `size` of them, with earlier ones if the body is paused.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn on_request_body(
        &mut self,
        id: ContextId,
        size: usize,
        end_of_stream: bool,
    ) -> Result<Action, CallError> {
        self.vm.borrow_mut().call_body(&self.exports.request_body, id, size, end_of_stream)
    }

    /// Request trailers arrived: `trailers` lines.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn on_request_trailers(&mut self, id: ContextId, trailers: usize) -> Result<Action, CallError> {
        self.vm.borrow_mut().call_trailers(&self.exports.request_trailers, id, trailers)
    }

    /// Response headers arrived: `headers` lines.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn on_response_headers(
        &mut self,
        id: ContextId,
        headers: usize,
        end_of_stream: bool,
    ) -> Result<Action, CallError> {
        self.vm.borrow_mut().call_headers(&self.exports.response_headers, id, headers, end_of_stream)
    }

    /// Response body bytes arrived: `size` of them, with earlier ones if the body is paused.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn on_response_body(
        &mut self,
        id: ContextId,
        size: usize,
        end_of_stream: bool,
    ) -> Result<Action, CallError> {
        self.vm.borrow_mut().call_body(&self.exports.response_body, id, size, end_of_stream)
    }

    /// Response trailers arrived: `trailers` lines.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn on_response_trailers(&mut self, id: ContextId, trailers: usize) -> Result<Action, CallError> {
        self.vm.borrow_mut().call_trailers(&self.exports.response_trailers, id, trailers)
    }

    /// Ends a stream: log, done, delete (Envoy's order for HTTP; what done answers does not matter), then forgets it even
    /// if one of them fails.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn finish_stream(&mut self, id: ContextId) -> Result<(), CallError> {
        let mut vm = self.vm.borrow_mut();
        let ended = vm.end_stream(&self.exports, id);
        vm.state().streams.remove(id);
        ended
    }

    /// The tick period has passed.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn on_tick(&mut self) -> Result<(), CallError> {
        match &self.exports.tick {
            Some(tick) => self.vm.borrow_mut().call_root(self.root, "proxy_on_tick", tick, self.root.0),
            None => self.vm.borrow().check(),
        }
    }

    /// An entry arrived in a queue that this plugin registered.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn on_queue_ready(&mut self, queue: u32) -> Result<(), CallError> {
        match &self.exports.queue_ready {
            Some(ready) => {
                let params = (self.root.0, queue);
                self.vm.borrow_mut().call_root(self.root, "proxy_on_queue_ready", ready, params)
            }
            None => self.vm.borrow().check(),
        }
    }

    /// A callout ended. Goes to the plugin that asked for it, even if the stream that started it is gone; a token that is
    /// not pending is ignored.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn on_http_call_response(&mut self, token: CallToken, answer: CallAnswer) -> Result<(), CallError> {
        let mut vm = self.vm.borrow_mut();
        vm.check()?;
        let state = vm.state();
        let Some(call) = state.calls.remove(token) else { return Ok(()) };
        if let Some(pending) = call.stream.and_then(|stream| state.streams.pending_calls(stream)) {
            *pending = pending.saturating_sub(1);
        }
        let Some(callback) = &self.exports.http_call_response else { return Ok(()) };
        let count = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        let params = (
            call.root.0,
            token.0,
            count(answer.headers.len()),
            count(answer.body.len()),
            count(answer.trailers.len()),
        );
        state.answer = Some(answer);
        let result = vm.call_root(call.root, "proxy_on_http_call_response", callback, params);
        vm.state().answer = None;
        result
    }

    /// Asks the plugin to end. [`Effect::Done`] follows: at once, or, if the guest has work left, when it calls
    /// `proxy_done`; keep ticks and callouts going until then, for as long as patience lasts.
    pub fn shutdown(&mut self) {
        let mut vm = self.vm.borrow_mut();
        let asked = |plugin: &PluginState| plugin.shutdown != Shutdown::NotAsked;
        if vm.failed || vm.state().plugin_mut(self.root).is_none_or(|plugin| asked(plugin)) {
            return;
        }
        let answered = match &self.exports.done {
            Some(done) => vm.call_root(self.root, "proxy_on_done", done, self.root.0),
            None => Ok(1),
        };
        let ended = match answered {
            Ok(0) => {
                if let Some(plugin) = vm.state().plugin_mut(self.root) {
                    plugin.shutdown = Shutdown::AwaitingGuest;
                }
                Ok(())
            }
            Ok(_) => vm.finish_root(self.root),
            Err(error) => Err(error),
        };
        // There is no result to return: only the log can tell of a failure.
        if let Err(error) = ended
            && error != CallError::Failed
        {
            vm.state().log(LogLevel::Critical, error.to_string().as_bytes());
        }
    }

    /// The next thing the guest asked for in the name of this plugin, oldest first. To be drained after each call into
    /// the plugin, or into another one of its VM: contexts of one VM can act for each other.
    pub fn next_effect(&mut self) -> Option<Effect> {
        self.vm.borrow_mut().state().plugin_mut(self.root)?.effects.pop()
    }

    /// Whether the module exports that callback.
    pub fn handles(&self, callback: Callback) -> bool {
        match callback {
            Callback::RequestHeaders => self.exports.request_headers.is_some(),
            Callback::RequestBody => self.exports.request_body.is_some(),
            Callback::RequestTrailers => self.exports.request_trailers.is_some(),
            Callback::ResponseHeaders => self.exports.response_headers.is_some(),
            Callback::ResponseBody => self.exports.response_body.is_some(),
            Callback::ResponseTrailers => self.exports.response_trailers.is_some(),
            Callback::Tick => self.exports.tick.is_some(),
            Callback::QueueReady => self.exports.queue_ready.is_some(),
        }
    }

    /// Whether the VM trapped or used up its budget.
    pub fn failed(&self) -> bool {
        self.vm.borrow().failed
    }

    /// What the VM used since this was last asked, for whoever accounts for it. To be asked after each call.
    pub fn take_usage(&mut self) -> Usage {
        let mut vm = self.vm.borrow_mut();
        let memory_bytes = vm.memory_bytes();
        let state = vm.state();
        Usage {
            memory_bytes,
            measured_cpu: state.deadline.take_measured(),
            was_refused_memory: state.growth.take_refused(),
            host_calls: state.trace.take_count(),
        }
    }

    /// Size of the guest's linear memory, which never shrinks.
    pub fn memory_bytes(&self) -> usize {
        self.vm.borrow().memory_bytes()
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        // Borrowed only when an embedder drops it from within a call into the VM, which then keeps it.
        if let Ok(mut vm) = self.vm.try_borrow_mut() {
            vm.state().remove_plugin(self.root);
        }
    }
}

#[cfg(test)]
#[path = "plugin_tests.rs"]
mod tests;
