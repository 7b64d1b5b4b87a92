//! What host functions see of their VM: its plugins, the context in effect, pending callouts, wishes made.
//!
//! Lives inside the wasmtime store. Knows nothing of how guests are called; `plugin` does that.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use fragile::Fragile;
use wasmtime::{Memory, ResourceLimiter, TypedFunc};

use crate::abi::{AbiVersion, CallToken, ContextId, LogLevel, Status};
use crate::deadline::Deadline;
use crate::effects::{CallAnswer, EffectQueue};
use crate::engine::Users;
use crate::failure::Trace;
use crate::host::SharedStream;
use crate::limits::{Limits, SCRATCH_BYTES_KEPT, TABLES};
use crate::module::Module;
use crate::plugin::PluginConfig;
use crate::services::{LocalServices, MetricIds};
use crate::start_record::StartRecord;
use crate::stream::{Streams, Wish};

pub(crate) struct HostState {
    /// The plugin whose context is in effect.
    pub(crate) plugin: PluginState,
    /// Those that share the VM with it.
    others: Vec<PluginState>,
    pub(crate) abi: AbiVersion,
    /// The engine keeps time while this VM lives.
    users: Users,
    pub(crate) phase: Phase,
    /// Known once instantiated; before that (in a start section) it is looked up by name.
    pub(crate) memory: Option<Memory>,
    /// Taken out while it runs.
    pub(crate) allocator: Option<TypedFunc<u32, u32>>,

    pub(crate) streams: Streams,
    /// What host calls act on besides the plugin: a stream of it.
    pub(crate) stream: Option<(ContextId, Fragile<SharedStream>)>,
    /// Number of the current callback; wishes count once in each.
    pub(crate) callback: u64,
    /// Inside `proxy_on_configure`: the plugin configuration is readable.
    pub(crate) configuring: bool,
    /// Inside `proxy_on_http_call_response`: what maps 6 and 7, buffer 4 and `proxy_get_status` show.
    pub(crate) answer: Option<CallAnswer>,
    pub(crate) calls: PendingCalls,
    /// A plugin called `proxy_done` in the current callback.
    pub(crate) has_guest_done: bool,
    /// Random bytes that the guest was given so far.
    pub(crate) drawn: Drawn,

    /// Holds values on their way into the guest.
    pub(crate) scratch: Vec<u8>,
    pub(crate) deadline: Deadline,
    pub(crate) growth: GrowthLimiter,
    /// For the case that the guest ends abnormally.
    pub(crate) trace: Trace,
    /// Unsupported functions that were already reported.
    pub(crate) reported: HashSet<&'static str>,
}

/// One plugin of a VM.
pub(crate) struct PluginState {
    /// Its own context.
    pub(crate) root: ContextId,
    pub(crate) config: Arc<PluginConfig>,
    pub(crate) services: LocalServices,
    /// Its metrics, as the services know them.
    pub(crate) metrics: MetricIds,
    /// What it defines and registers, for as long as that may have to be repeated elsewhere.
    pub(crate) record: Option<Box<StartRecord>>,
    pub(crate) effects: EffectQueue,
    pub(crate) shutdown: Shutdown,
    /// Properties that it declared, and whether each may be set only once.
    pub(crate) declared: HashMap<Vec<u8>, bool>,
}

/// What the host holds of a VM with one configured plugin, apart from the guest's memory.
pub(crate) struct Original {
    abi: AbiVersion,
    users: Users,
    streams: Streams,
    callback: u64,
    pub(crate) calls: PendingCalls,
    reported: HashSet<&'static str>,
    pub(crate) root: ContextId,
    pub(crate) config: Arc<PluginConfig>,
    pub(crate) effects: EffectQueue,
    shutdown: Shutdown,
    declared: HashMap<Vec<u8>, bool>,
    pub(crate) record: StartRecord,
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
    pub(crate) fn new(config: Arc<PluginConfig>, services: LocalServices, module: &Module) -> Self {
        let mut streams = Streams::new();
        let root = streams.insert_root();
        Self {
            abi: module.info().abi,
            users: module.users(),
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
            drawn: Drawn::default(),
            scratch: Vec::new(),
            deadline: Deadline::new(config.limits.start_cpu),
            growth: GrowthLimiter::new(&config.limits),
            trace: Trace::default(),
            reported: HashSet::new(),
            plugin: PluginState::new(root, config, services),
            others: Vec::new(),
        }
    }

    /// The state of a copy: what `original` holds, and nothing that was under way.
    pub(crate) fn copy(original: &Original, services: LocalServices, metrics: MetricIds) -> Self {
        let config = original.config.clone();
        Self {
            abi: original.abi,
            users: original.users.clone(),
            phase: Phase::Running,
            memory: None,
            allocator: None,
            streams: original.streams.copy(),
            stream: None,
            callback: original.callback,
            configuring: false,
            answer: None,
            calls: PendingCalls { last_token: original.calls.last_token, ..PendingCalls::default() },
            has_guest_done: false,
            drawn: Drawn::default(),
            scratch: Vec::new(),
            deadline: Deadline::new(config.limits.callback_cpu),
            growth: GrowthLimiter::new(&config.limits),
            trace: Trace::default(),
            reported: original.reported.clone(),
            plugin: PluginState {
                root: original.root,
                services,
                metrics,
                record: None,
                effects: EffectQueue::default(),
                shutdown: original.shutdown,
                declared: original.declared.clone(),
                config,
            },
            others: Vec::new(),
        }
    }

    /// What copies of this VM begin with; `None` while a stream is under way or several plugins share it.
    pub(crate) fn original(&self) -> Option<Original> {
        if !self.streams.is_empty() || !self.others.is_empty() || self.stream.is_some() {
            return None;
        }
        Some(Original {
            abi: self.abi,
            users: self.users.clone(),
            streams: self.streams.copy(),
            callback: self.callback,
            calls: self.calls.clone(),
            reported: self.reported.clone(),
            root: self.plugin.root,
            config: self.plugin.config.clone(),
            effects: self.plugin.effects.clone(),
            shutdown: self.plugin.shutdown,
            declared: self.plugin.declared.clone(),
            record: self.plugin.record.as_deref().cloned().unwrap_or_default(),
        })
    }

    /// Adds a plugin that shares the VM.
    pub(crate) fn add_plugin(
        &mut self,
        config: Arc<PluginConfig>,
        services: LocalServices,
        record: Option<Box<StartRecord>>,
    ) -> ContextId {
        let root = self.streams.insert_root();
        self.others.push(PluginState { record, ..PluginState::new(root, config, services) });
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
        self.stream = stream.map(|(id, stream)| (id, Fragile::new(stream)));
        self.callback = self.callback.wrapping_add(1);
        self.deadline.arm(budget);
        self.trace.begin();
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
        self.stream = Some((context, Fragile::new(stream.clone())));
        self.activate(root);
        Ok(())
    }

    /// The stream in effect, unless a host call acts on the plugin itself.
    pub(crate) fn stream_id(&self) -> Option<ContextId> {
        self.stream.as_ref().map(|(id, _)| *id)
    }

    /// What the stream in effect has, unless a host call acts on the plugin itself.
    pub(crate) fn stream(&self) -> Option<&SharedStream> {
        self.stream.as_ref().map(|(_, stream)| stream.get())
    }

    /// Notes a wish of the stream in effect; false if there is none, or it made that wish already.
    pub(crate) fn wish(&mut self, wish: Wish) -> Option<ContextId> {
        let id = self.stream_id()?;
        self.streams.wish(id, self.callback, wish).then_some(id)
    }

    pub(crate) fn log(&mut self, level: LogLevel, message: &[u8]) {
        if level >= LogLevel::Error {
            self.trace.say(message);
        }
        let services = &self.plugin.services;
        if level >= services.log_level() {
            let kept = message.len().min(self.limits().log_line_bytes);
            services.log(level, &message[..kept]);
        }
    }
}

impl PluginState {
    fn new(root: ContextId, config: Arc<PluginConfig>, services: LocalServices) -> Self {
        Self {
            root,
            config,
            services,
            metrics: MetricIds::default(),
            record: None,
            effects: EffectQueue::default(),
            shutdown: Shutdown::NotAsked,
            declared: HashMap::new(),
        }
    }
}

/// Random bytes that a guest was given.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Drawn {
    /// All of them.
    pub(crate) bytes: u64,
    /// Those of them that it asked for by the foreign function `random`, and can therefore draw anew in a copy.
    pub(crate) by_function: u64,
}

/// Callouts without an answer.
#[derive(Clone, Default)]
pub(crate) struct PendingCalls {
    live: HashMap<u32, PendingCall>,
    last_token: u32,
    bytes: usize,
}

#[derive(Clone)]
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
    fn new(limits: &Limits) -> Self {
        let (memory_bytes, table_elements) = (limits.memory_bytes, limits.table_elements);
        Self { memory_bytes, table_elements, has_refused: false }
    }

    pub(crate) const fn has_refused(&self) -> bool {
        self.has_refused
    }

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
