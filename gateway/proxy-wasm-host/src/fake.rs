//! In-memory stand-ins for the two traits of [`host`](crate::host), and a ticking thread: for tests of this crate and of
//! those that embed it. They check as little as possible, so that a test sees what the guest really did.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crate::abi::{LogLevel, MetricKind, Status, StreamBuffer, StreamMap};
use crate::crypto::Cryptography;
use crate::effects::HeaderList;
use crate::engine::Engine;
use crate::host::{Made, Services, StreamAccess};

/// One stream whose parts a test can set and read.
#[derive(Clone, Debug, Default)]
pub struct FakeStream {
    /// By the number of [`StreamMap`]; `None` is "not available in this phase".
    pub maps: [Option<HeaderList>; 4],
    /// By the number of [`StreamBuffer`]; `None` is "no body callback under way".
    pub bodies: [Option<Vec<u8>>; 2],
    /// Values by path, its segments joined by dots.
    pub properties: HashMap<String, Vec<u8>>,
}

impl FakeStream {
    /// A stream in its request headers phase.
    pub fn with_request_headers(lines: &[(&str, &str)]) -> Self {
        let mut stream = Self::default();
        stream.set_map(StreamMap::RequestHeaders, lines);
        stream
    }

    /// Makes a map available with these lines.
    pub fn set_map(&mut self, map: StreamMap, lines: &[(&str, &str)]) {
        let line = |(name, value): &(&str, &str)| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        // With room for more, as hosts have.
        let mut list = Vec::with_capacity(2 * lines.len());
        list.extend(lines.iter().map(line));
        self.maps[map as usize] = Some(list);
    }

    /// All lines of a map as text; empty if it is not available.
    pub fn lines(&self, map: StreamMap) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let lines = self.maps[map as usize].iter().flatten();
        lines.map(|(name, value)| (text(name), text(value))).collect()
    }

    fn map(&self, map: StreamMap) -> Result<&HeaderList, Status> {
        self.maps[map as usize].as_ref().ok_or(Status::BadArgument)
    }

    fn map_mut(&mut self, map: StreamMap) -> Result<&mut HeaderList, Status> {
        self.maps[map as usize].as_mut().ok_or(Status::BadArgument)
    }
}

impl StreamAccess for FakeStream {
    fn header(&self, map: StreamMap, name: &[u8]) -> Result<Option<&[u8]>, Status> {
        let line = self.map(map)?.iter().find(|(candidate, _)| candidate == name);
        Ok(line.map(|(_, value)| value.as_slice()))
    }

    fn visit_headers(&self, map: StreamMap, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), Status> {
        self.map(map)?.iter().for_each(|(name, value)| visit(name, value));
        Ok(())
    }

    fn set_headers(&mut self, map: StreamMap, entries: &[(&[u8], &[u8])]) -> Result<(), Status> {
        *self.map_mut(map)? = entries.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        Ok(())
    }

    fn add_header(&mut self, map: StreamMap, name: &[u8], value: &[u8]) -> Result<(), Status> {
        self.map_mut(map)?.push((name.to_vec(), value.to_vec()));
        Ok(())
    }

    fn replace_header(&mut self, map: StreamMap, name: &[u8], value: &[u8]) -> Result<(), Status> {
        self.remove_header(map, name)?;
        self.add_header(map, name, value)
    }

    fn remove_header(&mut self, map: StreamMap, name: &[u8]) -> Result<(), Status> {
        self.map_mut(map)?.retain(|(candidate, _)| candidate != name);
        Ok(())
    }

    fn body(&self, buffer: StreamBuffer) -> &[u8] {
        self.bodies[buffer as usize].as_deref().unwrap_or_default()
    }

    fn splice_body(&mut self, buffer: StreamBuffer, range: Range<usize>, data: &[u8]) -> Result<(), Status> {
        let body = self.bodies[buffer as usize].as_mut().ok_or(Status::BadArgument)?;
        body.splice(range, data.iter().copied());
        Ok(())
    }

    fn property(&self, path: &[&[u8]], out: &mut Vec<u8>) -> Result<(), Status> {
        let header = |map, name| self.header(map, name).ok().flatten();
        let of_head = match path {
            [b"request", b"method"] => header(StreamMap::RequestHeaders, b":method"),
            [b"request", b"headers", name] => header(StreamMap::RequestHeaders, name),
            [b"response", b"headers", name] => header(StreamMap::ResponseHeaders, name),
            [b"response", b"code"] => {
                let status = header(StreamMap::ResponseHeaders, b":status").unwrap_or_default();
                if let Some(code) = str::from_utf8(status).ok().and_then(|status| status.parse::<u64>().ok())
                {
                    out.extend_from_slice(&code.to_le_bytes());
                    return Ok(());
                }
                None
            }
            _ => None,
        };
        out.extend_from_slice(of_head.or_else(|| found(&self.properties, path)).ok_or(Status::NotFound)?);
        Ok(())
    }

    fn set_property(&mut self, path: &[&[u8]], value: &[u8]) -> Result<(), Status> {
        self.properties.insert(joined(path), value.to_vec());
        Ok(())
    }
}

/// There are few, and a name would have to be put together: a host has less work with it, and benches count it.
fn found<'a>(properties: &'a HashMap<String, Vec<u8>>, path: &[&[u8]]) -> Option<&'a [u8]> {
    let is_meant = |name: &str| name.split('.').map(str::as_bytes).eq(path.iter().copied());
    properties.iter().find(|(name, _)| is_meant(name)).map(|(_, value)| value.as_slice())
}

fn joined(path: &[&[u8]]) -> String {
    path.iter().map(|segment| String::from_utf8_lossy(segment)).collect::<Vec<_>>().join(".")
}

/// A process with clocks that stand still, counting random numbers, and a log that can be read.
#[derive(Debug, Default)]
pub struct FakeServices {
    /// Answer of both clocks.
    pub now_ns: Cell<u64>,
    /// What was logged.
    pub logs: RefCell<Vec<(LogLevel, String)>>,
    /// Lines below are not taken; `None` is trace.
    pub log_level: Cell<Option<LogLevel>>,
    /// Upstreams that exist.
    pub upstreams: RefCell<Vec<String>>,
    /// Properties outside of streams, by path joined by dots.
    pub properties: RefCell<HashMap<String, Vec<u8>>>,
    /// Values by key.
    pub shared: RefCell<HashMap<Vec<u8>, FakeValue>>,
    /// The id of a queue is its index plus one.
    pub queues: RefCell<Vec<FakeQueue>>,
    /// Kind, name and value; the id of a metric is its index plus one. A histogram holds the sum of its records.
    pub metrics: RefCell<Vec<(MetricKind, String, u64)>>,
    cryptography: Option<Rc<dyn Cryptography>>,
    last_version: Cell<u32>,
    random: Cell<u8>,
}

/// A shared value.
#[derive(Clone, Debug, Default)]
pub struct FakeValue {
    /// What was stored.
    pub bytes: Vec<u8>,
    /// Grows with each store of any key.
    pub version: u32,
}

/// A shared queue.
#[derive(Clone, Debug, Default)]
pub struct FakeQueue {
    /// What it was registered as.
    pub name: Vec<u8>,
    /// Oldest first.
    pub entries: VecDeque<Vec<u8>>,
}

impl FakeServices {
    /// Offers the foreign functions `crypto_...`, too.
    pub fn with_cryptography(cryptography: Rc<dyn Cryptography>) -> Self {
        Self { cryptography: Some(cryptography), ..Self::default() }
    }

    /// The text of all log lines at that level.
    pub fn lines_at(&self, level: LogLevel) -> Vec<String> {
        let logs = self.logs.borrow();
        logs.iter().filter(|(candidate, _)| *candidate == level).map(|(_, line)| line.clone()).collect()
    }
}

impl Services for FakeServices {
    fn realtime_ns(&self) -> u64 {
        self.now_ns.get()
    }

    fn monotonic_ns(&self) -> u64 {
        self.now_ns.get()
    }

    fn fill_random(&self, bytes: &mut [u8]) -> bool {
        for byte in bytes {
            self.random.set(self.random.get().wrapping_add(1));
            *byte = self.random.get();
        }
        true
    }

    fn log(&self, level: LogLevel, message: &[u8]) {
        self.logs.borrow_mut().push((level, String::from_utf8_lossy(message).into_owned()));
    }

    fn log_level(&self) -> LogLevel {
        self.log_level.get().unwrap_or(LogLevel::Trace)
    }

    /// Enough to see that an embedder's verdict reaches the guest.
    fn check_headers(&self, _made: Made, headers: &HeaderList) -> Result<(), Status> {
        let has_control = |(name, value): &(Vec<u8>, Vec<u8>)| {
            name.iter().any(u8::is_ascii_control) || value.iter().any(u8::is_ascii_control)
        };
        if headers.iter().any(has_control) { Err(Status::BadArgument) } else { Ok(()) }
    }

    fn knows_upstream(&self, name: &[u8]) -> bool {
        self.upstreams.borrow().iter().any(|upstream| upstream.as_bytes() == name)
    }

    fn property(&self, path: &[&[u8]], out: &mut Vec<u8>) -> Result<(), Status> {
        out.extend_from_slice(found(&self.properties.borrow(), path).ok_or(Status::NotFound)?);
        Ok(())
    }

    fn shared_data(&self, key: &[u8], out: &mut Vec<u8>) -> Result<u32, Status> {
        let shared = self.shared.borrow();
        let value = shared.get(key).ok_or(Status::NotFound)?;
        out.extend_from_slice(&value.bytes);
        Ok(value.version)
    }

    fn set_shared_data(&self, key: &[u8], value: &[u8], cas: u32) -> Result<(), Status> {
        let mut shared = self.shared.borrow_mut();
        if cas != 0 && shared.get(key).is_some_and(|value| value.version != cas) {
            return Err(Status::CasMismatch);
        }
        let version = self.last_version.get() + 1;
        self.last_version.set(version);
        match shared.get_mut(key) {
            Some(known) => {
                known.bytes.clear();
                known.bytes.extend_from_slice(value);
                known.version = version;
            }
            None => {
                shared.insert(key.to_vec(), FakeValue { bytes: value.to_vec(), version });
            }
        }
        Ok(())
    }

    fn register_queue(&self, name: &[u8]) -> Result<u32, Status> {
        if let Ok(id) = self.resolve_queue(b"", name) {
            return Ok(id);
        }
        self.queues.borrow_mut().push(FakeQueue { name: name.to_vec(), entries: VecDeque::new() });
        self.resolve_queue(b"", name)
    }

    fn resolve_queue(&self, _vm_id: &[u8], name: &[u8]) -> Result<u32, Status> {
        let index = self.queues.borrow().iter().position(|queue| queue.name == name);
        index.and_then(|index| u32::try_from(index + 1).ok()).ok_or(Status::NotFound)
    }

    fn enqueue(&self, queue: u32, value: &[u8]) -> Result<(), Status> {
        let mut queues = self.queues.borrow_mut();
        let entries = &mut queues.get_mut(index(queue)?).ok_or(Status::NotFound)?.entries;
        entries.push_back(value.to_vec());
        Ok(())
    }

    fn dequeue(&self, queue: u32, out: &mut Vec<u8>) -> Result<(), Status> {
        let mut queues = self.queues.borrow_mut();
        let entries = &mut queues.get_mut(index(queue)?).ok_or(Status::NotFound)?.entries;
        out.extend_from_slice(&entries.pop_front().ok_or(Status::Empty)?);
        Ok(())
    }

    fn define_metric(&self, kind: MetricKind, name: &[u8]) -> Result<u32, Status> {
        let mut metrics = self.metrics.borrow_mut();
        let name = String::from_utf8_lossy(name).into_owned();
        if let Some(known) = metrics.iter().position(|(of, known, _)| *of == kind && *known == name) {
            return u32::try_from(known + 1).map_err(|_| Status::InternalFailure);
        }
        metrics.push((kind, name, 0));
        u32::try_from(metrics.len()).map_err(|_| Status::InternalFailure)
    }

    fn increment_metric(&self, id: u32, offset: i64) -> Result<(), Status> {
        let mut metrics = self.metrics.borrow_mut();
        let (kind, _, value) = metrics.get_mut(index(id)?).ok_or(Status::NotFound)?;
        if *kind == MetricKind::Histogram || (*kind == MetricKind::Counter && offset <= 0) {
            return Err(Status::BadArgument);
        }
        *value = value.wrapping_add_signed(offset);
        Ok(())
    }

    fn record_metric(&self, id: u32, recorded: u64) -> Result<(), Status> {
        let mut metrics = self.metrics.borrow_mut();
        let (kind, _, value) = metrics.get_mut(index(id)?).ok_or(Status::NotFound)?;
        *value = if *kind == MetricKind::Gauge { recorded } else { value.wrapping_add(recorded) };
        Ok(())
    }

    fn cryptography(&self) -> Option<&dyn Cryptography> {
        self.cryptography.as_deref()
    }

    fn metric(&self, id: u32) -> Result<u64, Status> {
        let metrics = self.metrics.borrow();
        match metrics.get(index(id)?).ok_or(Status::NotFound)? {
            (MetricKind::Histogram, ..) => Err(Status::BadArgument),
            (_, _, value) => Ok(*value),
        }
    }
}

fn index(id: u32) -> Result<usize, Status> {
    (id as usize).checked_sub(1).ok_or(Status::NotFound)
}

/// Ticks an engine on a thread of its own until dropped.
pub struct Ticker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Starts ticking.
    pub fn start(engine: &Engine) -> Self {
        let (engine, stop) = (engine.clone(), Arc::new(AtomicBool::new(false)));
        let seen = stop.clone();
        let thread = thread::spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                thread::park_timeout(Engine::TICK);
                engine.tick();
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic of that thread has been reported already.
            drop(thread.join());
        }
    }
}
