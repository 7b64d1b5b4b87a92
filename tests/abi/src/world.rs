//! What the smallest embedder offers to a plugin: the host crate's stand-in, with notifications of queues and seeded bugs.

use std::cell::RefCell;

use proxy_wasm_host::fake::FakeServices;
use proxy_wasm_host::{HeaderList, LogLevel, Made, MetricKind, Services, Status};

use crate::bugs::Bug;
use crate::stream::check;

pub(crate) struct World {
    fake: FakeServices,
    bug: Option<Bug>,
    /// Queues with an entry that was not told yet.
    pub(crate) ready: RefCell<Vec<u32>>,
}

impl World {
    pub(crate) fn new(bug: Option<Bug>) -> Self {
        let fake = FakeServices::default();
        fake.upstreams.borrow_mut().extend([
            "origin".to_owned(),
            "refused".to_owned(),
            "forbidden".to_owned(),
        ]);
        fake.now_ns.set(1_700_000_000_000_000_000);
        Self { fake, bug, ready: RefCell::default() }
    }

    pub(crate) fn logged(&self) -> String {
        let logs = self.fake.logs.borrow();
        logs.iter().map(|(_, line)| line.as_str()).collect::<Vec<_>>().join("\n")
    }
}

impl Services for World {
    fn realtime_ns(&self) -> u64 {
        self.fake.realtime_ns()
    }

    fn monotonic_ns(&self) -> u64 {
        self.fake.monotonic_ns()
    }

    fn fill_random(&self, bytes: &mut [u8]) -> bool {
        self.fake.fill_random(bytes)
    }

    fn log(&self, level: LogLevel, message: &[u8]) {
        self.fake.log(level, message);
    }

    fn log_level(&self) -> LogLevel {
        LogLevel::Warn
    }

    fn check_headers(&self, _made: Made, headers: &HeaderList) -> Result<(), Status> {
        headers.iter().try_for_each(|(name, value)| check(name, value))
    }

    fn knows_upstream(&self, name: &[u8]) -> bool {
        self.fake.knows_upstream(name)
    }

    fn property(&self, path: &[&[u8]], out: &mut Vec<u8>) -> Result<(), Status> {
        self.fake.property(path, out)
    }

    fn shared_data(&self, key: &[u8], out: &mut Vec<u8>) -> Result<u32, Status> {
        self.fake.shared_data(key, out)
    }

    fn set_shared_data(&self, key: &[u8], value: &[u8], cas: u32) -> Result<(), Status> {
        let cas = if self.bug == Some(Bug::VersionsAreIgnored) { 0 } else { cas };
        self.fake.set_shared_data(key, value, cas)
    }

    fn register_queue(&self, name: &[u8]) -> Result<u32, Status> {
        self.fake.register_queue(name)
    }

    fn resolve_queue(&self, vm_id: &[u8], name: &[u8]) -> Result<u32, Status> {
        if !vm_id.is_empty() && vm_id != b"abi" {
            return Err(Status::NotFound);
        }
        self.fake.resolve_queue(vm_id, name)
    }

    fn enqueue(&self, queue: u32, value: &[u8]) -> Result<(), Status> {
        self.fake.enqueue(queue, value)?;
        if self.bug == Some(Bug::QueuesAreStacks) {
            let mut queues = self.fake.queues.borrow_mut();
            // It was found a moment ago.
            if let Some(queue) = queues.get_mut(queue as usize - 1) {
                queue.entries.rotate_right(1);
            }
        }
        self.ready.borrow_mut().push(queue);
        Ok(())
    }

    fn dequeue(&self, queue: u32, out: &mut Vec<u8>) -> Result<(), Status> {
        self.fake.dequeue(queue, out)
    }

    fn define_metric(&self, kind: MetricKind, name: &[u8]) -> Result<u32, Status> {
        let known = self
            .fake
            .metrics
            .borrow()
            .iter()
            .position(|(of, known, _)| *of == kind && known.as_bytes() == name);
        match known {
            Some(at) => u32::try_from(at + 1).map_err(|_| Status::InternalFailure),
            None => self.fake.define_metric(kind, name),
        }
    }

    fn increment_metric(&self, id: u32, offset: i64) -> Result<(), Status> {
        match self.fake.increment_metric(id, offset) {
            Err(Status::BadArgument) if self.bug == Some(Bug::CountersGoDown) => Ok(()),
            outcome => outcome,
        }
    }

    fn record_metric(&self, id: u32, value: u64) -> Result<(), Status> {
        self.fake.record_metric(id, value)
    }

    fn metric(&self, id: u32) -> Result<u64, Status> {
        self.fake.metric(id)
    }
}
