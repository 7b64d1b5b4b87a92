//! What the process offers to one plugin: clocks, randomness, logs, metrics, shared data, queues.
//!
//! One instance per plugin and worker, so it knows who asks. Nothing here waits.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use gateway_config::Manifest;
use gateway_crypto::AwsLc;
use proxy_wasm_host::crypto::Cryptography;
use proxy_wasm_host::{HeaderList, LogLevel, Made, MetricKind, Services, SignedText, Status};

use super::foreign;
use super::guard::LimitHits;
use super::stream::{check_list, node};
use crate::clock::CallClock;
use crate::process::Process;
use crate::shared::{Containment, DataLimits, Limit, Namespace, QueueError, Scarce, SetError, SharedData};
use crate::telemetry::{GuestMetric, GuestMetricError, Kind, LogBudget, Registry};
use crate::worker::Worker;

/// Bytes of one log line; the rest is cut off.
const MAX_LOG_LINE_BYTES: usize = 8 * 1024;

/// Notes per second to the operator that a filter has reached a limit, per filter and worker; all are counted.
const MAX_NOTES_PER_SECOND: u32 = 1;

type MetricName = (MetricKind, Box<[u8]>);

/// What the process offers to one plugin.
pub(crate) struct PluginServices {
    filter: Arc<str>,
    /// The VM's id: names its shared data and queues.
    namespace: Arc<str>,
    process: Arc<Process>,
    home: Home,
    data: Arc<Namespace>,
    /// Set while a request is made up: what it does is seen by nobody else. It has shared data of its own then.
    rehearsal: OnceCell<Rehearsal>,
    /// By kind and name, with the index in `metrics`: copies of a plugin define the same again.
    metric_ids: RefCell<HashMap<MetricName, u32>>,
    metrics: RefCell<Vec<GuestMetric>>,
    containment: Arc<Containment>,
    clock: CallClock,
    hits: LimitHits,
    notes: LogBudget,
    max_metrics: usize,
    max_queue_length: usize,
    data_limits: DataLimits,
    queue_owner: u64,
}

/// What a made-up request has in place of what all share.
struct Rehearsal {
    data: Arc<Namespace>,
    registry: Arc<Registry>,
}

/// Where a plugin runs.
pub(crate) enum Home {
    /// Tried before any worker has it; what it asks for is never done.
    Gate {
        /// Those that the configuration knows.
        upstreams: Arc<[Arc<str>]>,
        /// Keeps its queues for the copies that will have their ids.
        queues: Arc<QueueHold>,
    },
    /// On a worker.
    Worker(Weak<Worker>),
    /// On a worker, seeing copies of requests: what it writes goes nowhere.
    Shadow,
}

/// Keeps the queues in being that a version registered when it started, for as long as there may be copies of it.
pub(crate) struct QueueHold {
    process: Arc<Process>,
    owner: u64,
}

impl QueueHold {
    pub(crate) fn new(process: &Arc<Process>) -> Arc<Self> {
        Arc::new(Self { process: process.clone(), owner: process.next_id() })
    }
}

impl Drop for QueueHold {
    fn drop(&mut self) {
        self.process.queues.release(self.owner);
    }
}

impl Home {
    fn worker(&self) -> Option<Rc<Worker>> {
        match self {
            Self::Gate { .. } | Self::Shadow => None,
            Self::Worker(worker) => worker.upgrade(),
        }
    }
}

impl PluginServices {
    /// Of a version that no worker has yet.
    pub(crate) fn at_gate(
        process: &Arc<Process>,
        filter: &Arc<str>,
        manifest: &Manifest,
        containment: &Arc<Containment>,
        (upstreams, queues): (&Arc<[Arc<str>]>, &Arc<QueueHold>),
    ) -> Rc<Self> {
        let home = Home::Gate { upstreams: upstreams.clone(), queues: queues.clone() };
        Rc::new(Self::new(process, filter, manifest, containment, home))
    }

    pub(super) fn new(
        process: &Arc<Process>,
        filter: &Arc<str>,
        manifest: &Manifest,
        containment: &Arc<Containment>,
        home: Home,
    ) -> Self {
        let limits = &manifest.limits;
        let namespace = manifest.vm_id.clone().unwrap_or_else(|| filter.clone());
        if let Home::Worker(_) = &home {
            process.queues.share(namespace.as_bytes(), &manifest.shared_with);
        }
        Self {
            filter: filter.clone(),
            process: process.clone(),
            home,
            data: process.shared_data.namespace(namespace.as_bytes()),
            rehearsal: OnceCell::new(),
            namespace,
            metric_ids: RefCell::default(),
            metrics: RefCell::default(),
            clock: CallClock::new(),
            hits: LimitHits::new(&process.registry, filter, containment),
            containment: containment.clone(),
            notes: LogBudget::new(MAX_NOTES_PER_SECOND),
            max_metrics: limits.metrics,
            max_queue_length: limits.queue_length,
            data_limits: DataLimits { keys: limits.shared_keys, bytes: limits.shared_data_bytes },
            queue_owner: process.next_id(),
        }
    }
}

impl Drop for PluginServices {
    fn drop(&mut self) {
        self.process.queues.release(self.queue_owner);
    }
}

impl Services for PluginServices {
    fn realtime_ns(&self) -> u64 {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
    }

    fn monotonic_ns(&self) -> u64 {
        u64::try_from(self.process.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn fill_random(&self, bytes: &mut [u8]) -> bool {
        let mut filled = 0;
        while filled < bytes.len() {
            let more =
                || rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty());
            match rustix::io::retry_on_intr(more) {
                Ok(count) => filled += count,
                // Some sandboxes forbid the call.
                Err(_) => return false,
            }
        }
        true
    }

    fn log(&self, level: LogLevel, message: &[u8]) {
        if self.is_rehearsal() {
            return;
        }
        let message = &message[..message.len().min(MAX_LOG_LINE_BYTES)];
        if let Err(limit) = self.containment.take_log_line(self.clock.now_ns(), message.len()) {
            return self.reached(limit, "log lines are dropped");
        }
        let message = String::from_utf8_lossy(message);
        // Control characters could forge lines or drive a terminal.
        let message: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let filter = &*self.filter;
        match level {
            LogLevel::Trace => tracing::trace!(target: "filter", filter, "{message}"),
            LogLevel::Debug => tracing::debug!(target: "filter", filter, "{message}"),
            LogLevel::Info => tracing::info!(target: "filter", filter, "{message}"),
            LogLevel::Warn => tracing::warn!(target: "filter", filter, "{message}"),
            LogLevel::Error | LogLevel::Critical => tracing::error!(target: "filter", filter, "{message}"),
        }
    }

    fn log_level(&self) -> LogLevel {
        if tracing::enabled!(target: "filter", tracing::Level::TRACE) {
            LogLevel::Trace
        } else if tracing::enabled!(target: "filter", tracing::Level::DEBUG) {
            LogLevel::Debug
        } else if tracing::enabled!(target: "filter", tracing::Level::INFO) {
            LogLevel::Info
        } else if tracing::enabled!(target: "filter", tracing::Level::WARN) {
            LogLevel::Warn
        } else {
            LogLevel::Error
        }
    }

    fn knows_upstream(&self, name: &[u8]) -> bool {
        match &self.home {
            Home::Gate { upstreams, .. } => upstreams.iter().any(|upstream| upstream.as_bytes() == name),
            // Its manifest names none, as the version would behave otherwise once it serves.
            Home::Shadow => false,
            Home::Worker(worker) => worker.upgrade().is_some_and(|worker| worker.knows_upstream(name)),
        }
    }

    fn check_headers(&self, made: Made, headers: &HeaderList) -> Result<(), Status> {
        check_list(made, headers)
    }

    fn property(&self, path: &[&[u8]], out: &mut Vec<u8>) -> Result<(), Status> {
        match path {
            [b"node", rest @ ..] | [b"xds", b"node", rest @ ..] => node(rest, out),
            _ => Err(Status::NotFound),
        }
    }

    fn shared_data(&self, key: &[u8], out: &mut Vec<u8>) -> Result<u32, Status> {
        let rehearsed = self.rehearsal.get().and_then(|own| own.data.get(key, out));
        rehearsed.or_else(|| self.data.get(key, out)).ok_or(Status::NotFound)
    }

    fn set_shared_data(&self, key: &[u8], value: &[u8], cas: u32) -> Result<(), Status> {
        if self.is_shadow() {
            return Ok(());
        }
        // What a rehearsal reads may be of before it; what it writes is its own.
        let (data, cas) = self.rehearsal.get().map_or((&self.data, cas), |own| (&own.data, 0));
        match data.set(key, value, cas, self.data_limits) {
            Ok(None) => Ok(()),
            Ok(Some(scarce)) => {
                self.reached(data_limit(scarce), "shared data that was used least recently goes");
                Ok(())
            }
            Err(SetError::CasMismatch { .. }) => Err(Status::CasMismatch),
            Err(SetError::TooLarge { scarce, .. }) => {
                self.reached(data_limit(scarce), "a value is not stored");
                Err(Status::InternalFailure)
            }
        }
    }

    fn register_queue(&self, name: &[u8]) -> Result<u32, Status> {
        if let Home::Gate { queues, .. } = &self.home {
            let held = self.process.queues.hold(self.namespace.as_bytes(), name, queues.owner);
            return held.map_err(|_| Status::InternalFailure);
        }
        if self.is_shadow()
            && let Some(queue) = self.process.queues.resolve(self.namespace.as_bytes(), name)
        {
            // It would take entries from the version that serves.
            return Ok(queue);
        }
        let commands = self.home.worker().map(|worker| worker.commands());
        let filter = self.filter.clone();
        let wake = Arc::new(move |queue| {
            if let Some(commands) = &commands {
                commands.queue_ready(filter.clone(), queue);
            }
        });
        self.process
            .queues
            .register(self.namespace.as_bytes(), name, self.queue_owner, wake, self.max_queue_length)
            .map_err(|_| Status::InternalFailure)
    }

    fn resolve_queue(&self, vm_id: &[u8], name: &[u8]) -> Result<u32, Status> {
        let own = self.namespace.as_bytes();
        let namespace = if vm_id.is_empty() { own } else { vm_id };
        let queue = self.process.queues.resolve(namespace, name).ok_or(Status::NotFound)?;
        self.check_queue(queue).map(|()| queue)
    }

    fn enqueue(&self, queue: u32, value: &[u8]) -> Result<(), Status> {
        self.check_queue(queue)?;
        if self.is_rehearsal() || self.is_shadow() {
            return Ok(());
        }
        let outcome = self.process.queues.enqueue(queue, value);
        if let Err(QueueError::Full(_)) = outcome {
            self.reached(Limit::QueueLength, "an entry is refused; whoever reads the queue is too slow");
        }
        outcome.map_err(queue_status)
    }

    fn dequeue(&self, queue: u32, out: &mut Vec<u8>) -> Result<(), Status> {
        self.check_queue(queue)?;
        if self.is_rehearsal() || self.is_shadow() {
            return Err(Status::Empty);
        }
        let value = self.process.queues.dequeue(queue).map_err(queue_status)?;
        out.extend_from_slice(&value);
        Ok(())
    }

    fn define_metric(&self, kind: MetricKind, name: &[u8]) -> Result<u32, Status> {
        let key = (kind, Box::from(name));
        if let Some(id) = self.metric_ids.borrow().get(&key) {
            return Ok(*id);
        }
        let kind_of = match kind {
            MetricKind::Counter => Kind::Counter,
            MetricKind::Gauge => Kind::Gauge,
            MetricKind::Histogram => Kind::Histogram,
        };
        let registry = self.rehearsal.get().map_or(&self.process.registry, |own| &own.registry);
        let metric = registry.guest(&self.filter, kind_of, name, self.max_metrics);
        let metric = metric.map_err(|error| match error {
            GuestMetricError::TooMany { .. } => {
                self.reached(
                    Limit::Metrics,
                    "a metric is not defined; does the filter put request data into names?",
                );
                Status::InternalFailure
            }
            error => {
                if self.notes.take() {
                    tracing::warn!(filter = %self.filter, "{error}");
                }
                Status::BadArgument
            }
        })?;
        let mut metrics = self.metrics.borrow_mut();
        let id = u32::try_from(metrics.len()).map_err(|_| Status::InternalFailure)?;
        metrics.push(metric);
        self.metric_ids.borrow_mut().insert(key, id);
        Ok(id)
    }

    fn refused_call(&self) {
        self.reached(Limit::PendingCalls, "a callout is refused");
    }

    fn increment_metric(&self, id: u32, offset: i64) -> Result<(), Status> {
        let metric = self.metric_of(id)?;
        if self.is_rehearsal() || self.is_shadow() {
            return Ok(());
        }
        metric.increment(offset).map_err(|_| Status::BadArgument)
    }

    fn record_metric(&self, id: u32, value: u64) -> Result<(), Status> {
        let metric = self.metric_of(id)?;
        if !self.is_rehearsal() && !self.is_shadow() {
            metric.record(value);
        }
        Ok(())
    }

    fn metric(&self, id: u32) -> Result<u64, Status> {
        self.metric_of(id)?.value().map_err(|_| Status::BadArgument)
    }

    fn cryptography(&self) -> Option<&dyn Cryptography> {
        Some(&AwsLc)
    }

    fn verify_signature(&self, given: &SignedText<'_>) -> Result<Result<(), String>, Status> {
        foreign::verify_signature(given)
    }

    fn compress(&self, bytes: &[u8], limit_bytes: usize, out: &mut Vec<u8>) -> Result<(), Status> {
        foreign::compress(bytes, limit_bytes, out)
    }

    fn uncompress(&self, bytes: &[u8], limit_bytes: usize, out: &mut Vec<u8>) -> Result<(), Status> {
        foreign::uncompress(bytes, limit_bytes, out)
    }
}

impl PluginServices {
    fn is_shadow(&self) -> bool {
        matches!(self.home, Home::Shadow)
    }

    /// Counts a limit that was reached, and tells the operator now and then.
    fn reached(&self, limit: Limit, consequence: &str) {
        if self.is_rehearsal() {
            return;
        }
        self.hits.hit(limit);
        if self.notes.take() {
            tracing::warn!(filter = %self.filter, "limits.{} is reached: {consequence}", limit.name());
        }
    }

    /// From here on, nothing that the plugin does is seen by anybody else.
    pub(crate) fn rehearse(&self) {
        self.rehearsal.get_or_init(|| Rehearsal {
            data: SharedData::new().namespace(self.namespace.as_bytes()),
            registry: Registry::new(),
        });
    }

    fn is_rehearsal(&self) -> bool {
        self.rehearsal.get().is_some()
    }

    /// A filter has the queues of its own namespace and of those that let it in; others do not exist for it.
    fn check_queue(&self, queue: u32) -> Result<(), Status> {
        let may_use = self.process.queues.may_use(queue, self.namespace.as_bytes(), &self.filter);
        if may_use { Ok(()) } else { Err(Status::NotFound) }
    }

    fn metric_of(&self, id: u32) -> Result<GuestMetric, Status> {
        self.metrics.borrow().get(id as usize).cloned().ok_or(Status::NotFound)
    }
}

const fn data_limit(scarce: Scarce) -> Limit {
    match scarce {
        Scarce::Keys => Limit::SharedKeys,
        Scarce::Bytes => Limit::SharedData,
    }
}

const fn queue_status(error: QueueError) -> Status {
    match error {
        QueueError::NotFound(_) => Status::NotFound,
        QueueError::Empty(_) => Status::Empty,
        _ => Status::InternalFailure,
    }
}
