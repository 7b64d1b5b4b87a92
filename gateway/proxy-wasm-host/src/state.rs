//! What host functions see of their VM: its plugins, the context in effect, pending callouts, wishes made.
//!
//! Lives inside the wasmtime store. Knows nothing of how guests are called; `plugin` does that.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::{Memory, ResourceLimiter, TypedFunc};

use crate::abi::{AbiVersion, CallToken, ContextId, LogLevel, Status};
use crate::deadline::Deadline;
use crate::effects::{CallAnswer, EffectQueue};
use crate::engine::Users;
use crate::host::{Services, SharedStream};
use crate::limits::{Limits, SCRATCH_BYTES_KEPT, TABLES};
use crate::module::Module;
use crate::plugin::PluginConfig;
use crate::stream::{Streams, Wish};

pub(crate) struct HostState {
    /// The plugin whose context is in effect.
    pub(crate) plugin: PluginState,
    /// Those that share the VM with it.
    others: Vec<PluginState>,
    pub(crate) abi: AbiVersion,
    /// The engine keeps time while this VM lives.
    _users: Users,
    pub(crate) phase: Phase,
    /// Known once instantiated; before that (in a start section) it is looked up by name.
    pub(crate) memory: Option<Memory>,
    /// Taken out while it runs.
    pub(crate) allocator: Option<TypedFunc<u32, u32>>,

    pub(crate) streams: Streams,
    /// What host calls act on besides the plugin: a stream of it.
    pub(crate) stream: Option<(ContextId, SharedStream)>,
    /// Number of the current callback; wishes count once in each.
    pub(crate) callback: u64,
    /// Inside `proxy_on_configure`: the plugin configuration is readable.
    pub(crate) configuring: bool,
    /// Inside `proxy_on_http_call_response`: what maps 6 and 7, buffer 4 and `proxy_get_status` show.
    pub(crate) answer: Option<CallAnswer>,
    pub(crate) calls: PendingCalls,
    /// A plugin called `proxy_done` in the current callback.
    pub(crate) has_guest_done: bool,

    /// Holds values on their way into the guest.
    pub(crate) scratch: Vec<u8>,
    pub(crate) deadline: Deadline,
    pub(crate) growth: GrowthLimiter,
    /// Unsupported functions that were already reported.
    pub(crate) reported: HashSet<&'static str>,
}

/// One plugin of a VM.
pub(crate) struct PluginState {
    /// Its own context.
    pub(crate) root: ContextId,
    pub(crate) config: Arc<PluginConfig>,
    pub(crate) services: Rc<dyn Services>,
    pub(crate) effects: EffectQueue,
    pub(crate) shutdown: Shutdown,
    /// Properties that it declared, and whether each may be set only once.
    pub(crate) declared: HashMap<Vec<u8>, bool>,
}

/// What the VM is doing, which decides the host functions it may call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Start section, `_initialize`, `_start`, `main`: there is no context yet.
    Starting,
    /// Inside a callback, or idle.
    Running,
    /// Inside the guest's allocator, called from a host function.
    Allocating,
}

/// How far the plugin's own end has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shutdown {
    NotAsked,
    /// `proxy_on_done` answered false: waits for `proxy_done`.
    AwaitingGuest,
    /// `proxy_done` was called; `proxy_on_delete` is due after this callback.
    GuestDone,
    Finished,
}

impl HostState {
    /// The state of a VM with its first plugin.
    pub(crate) fn new(config: Arc<PluginConfig>, services: Rc<dyn Services>, module: &Module) -> Self {
        let mut streams = Streams::new();
        let root = streams.insert_root();
        Self {
            abi: module.info().abi,
            _users: module.users(),
            phase: Phase::Starting,
            memory: None,
            allocator: None,
            streams,
            stream: None,
            callback: 0,
            configuring: false,
            answer: None,
            calls: PendingCalls::default(),
            has_guest_done: false,
            scratch: Vec::new(),
            deadline: Deadline::new(config.limits.start_cpu),
            growth: GrowthLimiter {
                memory_bytes: config.limits.memory_bytes,
                table_elements: config.limits.table_elements,
                has_refused: false,
            },
            reported: HashSet::new(),
            plugin: PluginState::new(root, config, services),
            others: Vec::new(),
        }
    }

    /// Adds a plugin that shares the VM.
    pub(crate) fn add_plugin(&mut self, config: Arc<PluginConfig>, services: Rc<dyn Services>) -> ContextId {
        let root = self.streams.insert_root();
        self.others.push(PluginState::new(root, config, services));
        root
    }

    /// Forgets a plugin with its streams and callouts. The last one stays: its VM goes with it.
    pub(crate) fn remove_plugin(&mut self, root: ContextId) {
        if self.plugin.root == root
            && let Some(other) = self.others.last().map(|other| other.root)
        {
            self.activate(other);
        }
        if self.plugin.root != root {
            self.others.retain(|other| other.root != root);
            self.streams.remove_root(root);
            self.calls.remove_root(root);
        }
    }

    /// Limits are those of the VM: plugins with others do not share it.
    pub(crate) fn limits(&self) -> &Limits {
        &self.plugin.config.limits
    }

    /// The plugin with that context.
    pub(crate) fn plugin_mut(&mut self, root: ContextId) -> Option<&mut PluginState> {
        if self.plugin.root == root {
            return Some(&mut self.plugin);
        }
        self.others.iter_mut().find(|other| other.root == root)
    }

    pub(crate) fn plugins_mut(&mut self) -> impl Iterator<Item = &mut PluginState> {
        std::iter::once(&mut self.plugin).chain(&mut self.others)
    }

    /// Puts the plugin with that context in effect; false if there is none.
    fn activate(&mut self, root: ContextId) -> bool {
        if self.plugin.root == root {
            return true;
        }
        match self.others.iter_mut().find(|other| other.root == root) {
            Some(other) => {
                std::mem::swap(&mut self.plugin, other);
                true
            }
            None => false,
        }
    }

    /// Prepares for a callback into a plugin, or into one of its streams.
    pub(crate) fn enter(
        &mut self,
        root: ContextId,
        stream: Option<(ContextId, SharedStream)>,
        budget: Duration,
    ) {
        self.activate(root);
        self.stream = stream;
        self.callback = self.callback.wrapping_add(1);
        self.deadline.arm(budget);
    }

    /// Cleans up after a callback.
    pub(crate) fn leave(&mut self) {
        self.stream = None;
        self.deadline.end();
        if self.scratch.capacity() > SCRATCH_BYTES_KEPT {
            self.scratch = Vec::new();
        }
    }

    /// Makes another living context the one that host calls act on.
    pub(crate) fn switch_context(&mut self, context: ContextId) -> Result<(), Status> {
        // Envoy knows the VM itself as context 0, which is no stream either.
        if context.0 == 0 || self.activate(context) {
            self.stream = None;
            return Ok(());
        }
        let (root, stream) = self.streams.get(context).ok_or(Status::BadArgument)?;
        self.stream = Some((context, stream.clone()));
        self.activate(root);
        Ok(())
    }

    /// The stream in effect, unless a host call acts on the plugin itself.
    pub(crate) fn stream_id(&self) -> Option<ContextId> {
        self.stream.as_ref().map(|(id, _)| *id)
    }

    /// What the stream in effect has, unless a host call acts on the plugin itself.
    pub(crate) fn stream(&self) -> Option<&SharedStream> {
        self.stream.as_ref().map(|(_, stream)| stream)
    }

    /// Notes a wish of the stream in effect; false if there is none, or it made that wish already.
    pub(crate) fn wish(&mut self, wish: Wish) -> Option<ContextId> {
        let id = self.stream_id()?;
        self.streams.wish(id, self.callback, wish).then_some(id)
    }

    pub(crate) fn log(&self, level: LogLevel, message: &[u8]) {
        let services = &self.plugin.services;
        if level >= services.log_level() {
            let kept = message.len().min(self.limits().log_line_bytes);
            services.log(level, &message[..kept]);
        }
    }
}

impl PluginState {
    fn new(root: ContextId, config: Arc<PluginConfig>, services: Rc<dyn Services>) -> Self {
        Self {
            root,
            config,
            services,
            effects: EffectQueue::default(),
            shutdown: Shutdown::NotAsked,
            declared: HashMap::new(),
        }
    }
}

/// Callouts without an answer.
#[derive(Default)]
pub(crate) struct PendingCalls {
    live: HashMap<u32, PendingCall>,
    last_token: u32,
    bytes: usize,
}

pub(crate) struct PendingCall {
    /// The plugin that gets the answer.
    pub(crate) root: ContextId,
    /// The stream that was in effect.
    pub(crate) stream: Option<ContextId>,
    bytes: usize,
}

impl PendingCalls {
    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Tokens are 4, 8, 12 and so on: Envoy keeps the kind of callout in the two low bits, zero for HTTP.
    pub(crate) fn insert(&mut self, root: ContextId, stream: Option<ContextId>, bytes: usize) -> CallToken {
        loop {
            self.last_token = self.last_token.wrapping_add(4);
            if self.last_token != 0 && !self.live.contains_key(&self.last_token) {
                break;
            }
        }
        self.bytes += bytes;
        self.live.insert(self.last_token, PendingCall { root, stream, bytes });
        CallToken(self.last_token)
    }

    /// Ends a callout; `None` for a token that is not pending.
    pub(crate) fn remove(&mut self, token: CallToken) -> Option<PendingCall> {
        let call = self.live.remove(&token.0)?;
        self.bytes -= call.bytes;
        Some(call)
    }

    /// Forgets the callouts of a plugin that is gone.
    fn remove_root(&mut self, root: ContextId) {
        self.live.retain(|_, call| call.root != root);
        self.bytes = self.live.values().map(|call| call.bytes).sum();
    }
}

/// Refuses growth of memory and tables beyond the plugin's limits; the guest sees -1.
pub(crate) struct GrowthLimiter {
    memory_bytes: usize,
    table_elements: usize,
    /// Since it was last asked for.
    has_refused: bool,
}

impl GrowthLimiter {
    /// Whether a growth was refused since this was last asked.
    pub(crate) fn take_refused(&mut self) -> bool {
        std::mem::take(&mut self.has_refused)
    }

    fn grant(&mut self, desired: usize, limit: usize) -> bool {
        self.has_refused |= desired > limit;
        desired <= limit
    }
}

impl ResourceLimiter for GrowthLimiter {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grant(desired, self.memory_bytes))
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grant(desired, self.table_elements))
    }

    fn instances(&self) -> usize {
        1
    }

    fn memories(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        TABLES
    }
}
