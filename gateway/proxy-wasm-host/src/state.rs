//! What host functions see of their VM: the plugin's identity, the context in effect, pending callouts, wishes made.
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
use crate::stream::{ROOT, Streams, Wish};

pub(crate) struct HostState {
    pub(crate) config: Arc<PluginConfig>,
    pub(crate) services: Rc<dyn Services>,
    pub(crate) abi: AbiVersion,
    /// The engine keeps time while this VM lives.
    _users: Users,
    pub(crate) phase: Phase,
    /// Known once instantiated; before that (in a start section) it is looked up by name.
    pub(crate) memory: Option<Memory>,
    /// Taken out while it runs.
    pub(crate) allocator: Option<TypedFunc<u32, u32>>,

    pub(crate) streams: Streams,
    /// The context that host calls act on, and its stream unless it is the root.
    pub(crate) context: ContextId,
    pub(crate) stream: Option<SharedStream>,
    /// Number of the current callback; wishes count once in each.
    pub(crate) callback: u64,
    /// Inside `proxy_on_configure`: the plugin configuration is readable.
    pub(crate) configuring: bool,
    /// Inside `proxy_on_http_call_response`: what maps 6 and 7, buffer 4 and `proxy_get_status` show.
    pub(crate) answer: Option<CallAnswer>,

    pub(crate) effects: EffectQueue,
    pub(crate) calls: PendingCalls,
    pub(crate) shutdown: Shutdown,

    /// Holds values on their way into the guest.
    pub(crate) scratch: Vec<u8>,
    pub(crate) deadline: Deadline,
    pub(crate) growth: GrowthLimiter,
    /// Properties that the plugin declared, and whether each may be set only once.
    pub(crate) declared: HashMap<Vec<u8>, bool>,
    /// Unsupported functions that were already reported.
    pub(crate) reported: HashSet<&'static str>,
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
    pub(crate) fn new(config: Arc<PluginConfig>, services: Rc<dyn Services>, module: &Module) -> Self {
        let limits = &config.limits;
        Self {
            abi: module.info().abi,
            _users: module.users(),
            phase: Phase::Starting,
            memory: None,
            allocator: None,
            streams: Streams::new(),
            context: ROOT,
            stream: None,
            callback: 0,
            configuring: false,
            answer: None,
            effects: EffectQueue::default(),
            calls: PendingCalls::default(),
            shutdown: Shutdown::NotAsked,
            scratch: Vec::new(),
            deadline: Deadline::new(limits.start_cpu),
            growth: GrowthLimiter {
                memory_bytes: limits.memory_bytes,
                table_elements: limits.table_elements,
            },
            declared: HashMap::new(),
            reported: HashSet::new(),
            config,
            services,
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.config.limits
    }

    /// Prepares for a callback into the given context.
    pub(crate) fn enter(&mut self, context: ContextId, stream: Option<SharedStream>, budget: Duration) {
        self.context = context;
        self.stream = stream;
        self.callback = self.callback.wrapping_add(1);
        self.deadline.arm(budget);
    }

    /// Cleans up after a callback.
    pub(crate) fn leave(&mut self) {
        self.stream = None;
        if self.scratch.capacity() > SCRATCH_BYTES_KEPT {
            self.scratch = Vec::new();
        }
    }

    /// Makes another living context the one that host calls act on.
    pub(crate) fn switch_context(&mut self, context: ContextId) -> Result<(), Status> {
        // Envoy knows the VM itself as context 0, which is no stream either.
        if context.0 == 0 {
            self.stream = None;
            self.context = ROOT;
            return Ok(());
        }
        self.stream = if context == ROOT {
            None
        } else {
            Some(self.streams.get(context).ok_or(Status::BadArgument)?.clone())
        };
        self.context = context;
        Ok(())
    }

    /// The stream in effect, unless a host call acts on the plugin itself.
    pub(crate) fn stream_id(&self) -> Option<ContextId> {
        (self.context != ROOT).then_some(self.context)
    }

    /// Notes a wish of the stream in effect; false if there is none, or it made that wish already.
    pub(crate) fn wish(&mut self, wish: Wish) -> Option<ContextId> {
        let id = self.stream_id()?;
        self.streams.wish(id, self.callback, wish).then_some(id)
    }

    pub(crate) fn log(&self, level: LogLevel, message: &[u8]) {
        if level >= self.services.log_level() {
            let kept = message.len().min(self.limits().log_line_bytes);
            self.services.log(level, &message[..kept]);
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

struct PendingCall {
    stream: Option<ContextId>,
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
    pub(crate) fn insert(&mut self, stream: Option<ContextId>, bytes: usize) -> CallToken {
        loop {
            self.last_token = self.last_token.wrapping_add(4);
            if self.last_token != 0 && !self.live.contains_key(&self.last_token) {
                break;
            }
        }
        self.bytes += bytes;
        self.live.insert(self.last_token, PendingCall { stream, bytes });
        CallToken(self.last_token)
    }

    /// Ends a callout and says which stream started it; `None` for a token that is not pending.
    pub(crate) fn remove(&mut self, token: CallToken) -> Option<Option<ContextId>> {
        let call = self.live.remove(&token.0)?;
        self.bytes -= call.bytes;
        Some(call.stream)
    }
}

/// Refuses growth of memory and tables beyond the plugin's limits; the guest sees -1.
pub(crate) struct GrowthLimiter {
    memory_bytes: usize,
    table_elements: usize,
}

impl ResourceLimiter for GrowthLimiter {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= self.memory_bytes)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= self.table_elements)
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
