//! What all threads of the process share for its whole life. Everything in here is `Send + Sync` and bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use proxy_wasm_host::Engine;

use crate::compile::Compile;
use crate::shared::{Events, LateImages, Queues, SharedData, Starts, TrapQueue, UpstreamTable};
use crate::telemetry::Registry;

/// What all threads share.
pub(crate) struct Process {
    pub(crate) started: Instant,
    pub(crate) engine: Engine,
    pub(crate) compile: Compile,
    pub(crate) registry: Arc<Registry>,
    pub(crate) events: Arc<Events>,
    pub(crate) shared_data: Arc<SharedData>,
    pub(crate) queues: Arc<Queues>,
    pub(crate) upstreams: UpstreamTable,
    /// How guests ended, for the control thread to make readable.
    pub(crate) traps: TrapQueue,
    /// True once required and expected filters are live, or were waited for long enough, until draining begins.
    ready: AtomicBool,
    ids: AtomicU64,
    pub(crate) starts: Starts,
    pub(crate) late_images: LateImages,
}

impl Process {
    pub(crate) fn new(engine: Engine, compile: Compile) -> Arc<Self> {
        let registry = Registry::new();
        Arc::new(Self {
            started: Instant::now(),
            engine,
            compile,
            events: Arc::new(Events::new(registry.clone())),
            registry,
            shared_data: SharedData::new(),
            queues: Queues::new(),
            upstreams: UpstreamTable::default(),
            traps: TrapQueue::default(),
            ready: AtomicBool::new(false),
            ids: AtomicU64::new(1),
            starts: Starts::default(),
            late_images: LateImages::default(),
        })
    }

    /// A number that nothing else in this process has. Not for the request path.
    pub(crate) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    pub(crate) fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }
}
