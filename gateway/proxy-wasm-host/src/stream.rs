//! The streams of one VM: who lives under which context id, and what each already asked for in the current callback.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::abi::ContextId;
use crate::host::SharedStream;

/// The plugin's own context; streams come after it.
pub(crate) const ROOT: ContextId = ContextId(1);

/// A wish that counts once per stream and callback.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Wish {
    ResumeRequest = 1,
    ResumeResponse = 2,
    CloseRequest = 4,
    CloseResponse = 8,
    LocalReply = 16,
}

/// Hashes context ids for tables of the embedder's own that are keyed by [`ContextId`]: much cheaper than the default.
pub type ContextHasher = BuildHasherDefault<IdHasher>;

pub(crate) struct Streams {
    live: HashMap<u32, Entry, ContextHasher>,
    next: u32,
}

struct Entry {
    access: SharedStream,
    pending_calls: usize,
    /// The callback in which `wishes` were made.
    wished_in: u64,
    wishes: u8,
}

impl Streams {
    pub(crate) fn new() -> Self {
        Self { live: HashMap::default(), next: ROOT.0 + 1 }
    }

    /// Gives the stream an id that no living context has.
    pub(crate) fn insert(&mut self, access: SharedStream) -> ContextId {
        while self.next <= ROOT.0 || self.live.contains_key(&self.next) {
            self.next = self.next.wrapping_add(1);
        }
        let id = self.next;
        self.next = id.wrapping_add(1);
        self.live.insert(id, Entry { access, pending_calls: 0, wished_in: 0, wishes: 0 });
        ContextId(id)
    }

    pub(crate) fn get(&self, id: ContextId) -> Option<&SharedStream> {
        self.live.get(&id.0).map(|entry| &entry.access)
    }

    pub(crate) fn remove(&mut self, id: ContextId) {
        self.live.remove(&id.0);
    }

    /// Notes a wish; false if the stream is gone or made it already in this callback.
    pub(crate) fn wish(&mut self, id: ContextId, callback: u64, wish: Wish) -> bool {
        let Some(entry) = self.live.get_mut(&id.0) else { return false };
        if entry.wished_in != callback {
            entry.wished_in = callback;
            entry.wishes = 0;
        }
        let is_new = entry.wishes & wish as u8 == 0;
        entry.wishes |= wish as u8;
        is_new
    }

    /// Callouts of that stream without an answer.
    pub(crate) fn pending_calls(&mut self, id: ContextId) -> Option<&mut usize> {
        self.live.get_mut(&id.0).map(|entry| &mut entry.pending_calls)
    }
}

/// Spreads consecutive ids over the table. Ids are given by the host, so nobody can choose colliding ones.
#[derive(Clone, Default, Debug)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        }
    }

    fn write_u32(&mut self, id: u32) {
        self.0 = u64::from(id).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
