//! Shared queues of the Proxy-Wasm ABI.
//!
//! Owns the entries, who registered, and who is told. Never knows what a waker does: it is called without the lock, on
//! the thread that enqueued, and must return at once.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use super::lock;

/// Bytes that wait in one queue.
pub(crate) const MAX_QUEUE_BYTES: usize = 1 << 20;

/// Queues per namespace.
pub(crate) const MAX_QUEUES_PER_NAMESPACE: usize = 256;

/// Longest queue name, in bytes.
pub(crate) const MAX_QUEUE_NAME_BYTES: usize = 1_024;

/// Tells a registrant that the queue of this id has a new entry.
pub(crate) type Waker = Arc<dyn Fn(u32) + Send + Sync>;

/// Why a queue operation was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QueueError {
    /// No such queue, or nobody who registered it is left.
    #[error("there is no queue {0}; the filter that registers it may be gone")]
    NotFound(u32),
    /// Nothing waits.
    #[error("queue {0} is empty")]
    Empty(u32),
    /// The entry does not fit.
    #[error(
        "queue {0} is full (limits.queueLength, or {MAX_QUEUE_BYTES} bytes); the filter that reads it is too slow"
    )]
    Full(u32),
    /// The namespace has no room for another queue.
    #[error("a filter may register {MAX_QUEUES_PER_NAMESPACE} queues")]
    TooManyQueues,
    /// The name is longer than allowed.
    #[error("a queue name of {0} bytes is longer than the {MAX_QUEUE_NAME_BYTES} allowed")]
    NameTooLong(usize),
}

/// All queues of the process.
#[derive(Default)]
pub(crate) struct Queues {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    /// By namespace.
    ids: HashMap<Box<[u8]>, IdsByName>,
    queues: HashMap<u32, Queue>,
    /// By namespace, the filters of others that may use its queues.
    guests: HashMap<Box<[u8]>, Vec<Arc<str>>>,
    last_id: u32,
}

type IdsByName = HashMap<Box<[u8]>, u32>;

struct Queue {
    namespace: Box<[u8]>,
    name: Box<[u8]>,
    entries: VecDeque<Box<[u8]>>,
    bytes: usize,
    max_entries: usize,
    /// In order of registration; the last one is told of new entries.
    registrants: Vec<(u64, Waker)>,
}

impl Queues {
    /// No queues yet.
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Registers a queue or finds it again, and makes `owner` the one that is told of new entries. `owner` is a number
    /// that identifies one VM among all workers, for [`Queues::release`]. From now on `max_entries` may wait in it.
    ///
    /// # Errors
    /// [`QueueError::TooManyQueues`], [`QueueError::NameTooLong`].
    pub(crate) fn register(
        &self,
        namespace: impl AsRef<[u8]>,
        name: &[u8],
        owner: u64,
        waker: Waker,
        max_entries: usize,
    ) -> Result<u32, QueueError> {
        if name.len() > MAX_QUEUE_NAME_BYTES {
            return Err(QueueError::NameTooLong(name.len()));
        }
        let mut table = lock(&self.table);
        let id = table.find_or_make(namespace.as_ref(), name)?;
        let queue = table.queues.get_mut(&id).ok_or(QueueError::NotFound(id))?;
        queue.registrants.retain(|(registrant, _)| *registrant != owner);
        queue.registrants.push((owner, waker));
        queue.max_entries = max_entries;
        Ok(id)
    }

    /// Lets filters of other namespaces use the queues of this one, and no others from now on.
    pub(crate) fn share(&self, namespace: &[u8], guests: &[Arc<str>]) {
        let mut table = lock(&self.table);
        if guests.is_empty() {
            table.guests.remove(namespace);
        } else {
            table.guests.insert(namespace.into(), guests.to_vec());
        }
    }

    /// Whether `filter`, at home in `namespace`, may use a queue.
    pub(crate) fn may_use(&self, id: u32, namespace: &[u8], filter: &str) -> bool {
        let table = lock(&self.table);
        let Some(queue) = table.queues.get(&id) else { return false };
        *queue.namespace == *namespace
            || table
                .guests
                .get(&queue.namespace)
                .is_some_and(|guests| guests.iter().any(|guest| **guest == *filter))
    }

    /// Finds a queue by the namespace it was registered in.
    pub(crate) fn resolve(&self, namespace: impl AsRef<[u8]>, name: &[u8]) -> Option<u32> {
        lock(&self.table).ids.get(namespace.as_ref())?.get(name).copied()
    }

    /// Appends an entry and tells the last registrant, once per entry.
    ///
    /// # Errors
    /// [`QueueError::NotFound`], [`QueueError::Full`].
    pub(crate) fn enqueue(&self, id: u32, value: &[u8]) -> Result<(), QueueError> {
        let waker = lock(&self.table).enqueue(id, value)?;
        if let Some(waker) = waker {
            waker(id);
        }
        Ok(())
    }

    /// Takes the oldest entry.
    ///
    /// # Errors
    /// [`QueueError::NotFound`], [`QueueError::Empty`].
    pub(crate) fn dequeue(&self, id: u32) -> Result<Box<[u8]>, QueueError> {
        let mut table = lock(&self.table);
        let queue = table.queues.get_mut(&id).ok_or(QueueError::NotFound(id))?;
        let value = queue.entries.pop_front().ok_or(QueueError::Empty(id))?;
        queue.bytes -= value.len();
        Ok(value)
    }

    /// Forgets a VM that is gone: the registrant before it is told of new entries from now on, and a queue that nobody
    /// registers any more goes with what waits in it.
    pub(crate) fn release(&self, owner: u64) {
        lock(&self.table).release(owner);
    }
}

impl Table {
    fn find_or_make(&mut self, namespace: &[u8], name: &[u8]) -> Result<u32, QueueError> {
        if let Some(id) = self.ids.get(namespace).and_then(|names| names.get(name)) {
            return Ok(*id);
        }
        let names = self.ids.entry(namespace.into()).or_default();
        if names.len() >= MAX_QUEUES_PER_NAMESPACE {
            return Err(QueueError::TooManyQueues);
        }
        // An id is never used twice, so that a filter with an old id cannot reach another filter's queue.
        self.last_id = self.last_id.checked_add(1).ok_or(QueueError::TooManyQueues)?;
        names.insert(name.into(), self.last_id);
        let queue = Queue {
            namespace: namespace.into(),
            name: name.into(),
            entries: VecDeque::new(),
            bytes: 0,
            max_entries: 0,
            registrants: Vec::new(),
        };
        self.queues.insert(self.last_id, queue);
        Ok(self.last_id)
    }

    fn enqueue(&mut self, id: u32, value: &[u8]) -> Result<Option<Waker>, QueueError> {
        let queue = self.queues.get_mut(&id).ok_or(QueueError::NotFound(id))?;
        if queue.entries.len() >= queue.max_entries || queue.bytes + value.len() > MAX_QUEUE_BYTES {
            return Err(QueueError::Full(id));
        }
        queue.bytes += value.len();
        queue.entries.push_back(value.into());
        Ok(queue.registrants.last().map(|(_, waker)| Arc::clone(waker)))
    }

    fn release(&mut self, owner: u64) {
        let ids = &mut self.ids;
        self.queues.retain(|_, queue| {
            queue.registrants.retain(|(registrant, _)| *registrant != owner);
            let kept = !queue.registrants.is_empty();
            if !kept && let Some(names) = ids.get_mut(&queue.namespace) {
                names.remove(&queue.name);
            }
            kept
        });
        ids.retain(|_, names| !names.is_empty());
    }
}

#[cfg(test)]
#[path = "queues_tests.rs"]
mod tests;
