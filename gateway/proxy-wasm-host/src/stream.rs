//! The contexts of one VM: who lives under which id, and what each stream already asked for in the current callback.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use fragile::Fragile;

use crate::abi::ContextId;
use crate::host::SharedStream;

/// A wish that counts once per stream and callback.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Wish {
    ResumeRequest = 1,
    ResumeResponse = 2,
    CloseRequest = 4,
    CloseResponse = 8,
    LocalReply = 16,
    Fail = 32,
}

/// Hashes context ids for tables of the embedder's own that are keyed by [`ContextId`]: much cheaper than the default.
pub type ContextHasher = BuildHasherDefault<IdHasher>;

pub(crate) struct Streams {
    live: HashMap<u32, Entry, ContextHasher>,
    /// Contexts of plugins.
    roots: Vec<ContextId>,
    next: u32,
}

struct Entry {
    /// The plugin it belongs to.
    root: ContextId,
    /// Streams stay on their thread; a VM moves to another one only while it has none.
    access: Fragile<SharedStream>,
    pending_calls: usize,
    /// The callback in which `wishes` were made.
    wished_in: u64,
    wishes: u8,
}

impl Streams {
    pub(crate) fn new() -> Self {
        Self { live: HashMap::default(), roots: Vec::new(), next: 1 }
    }

    /// Gives a plugin an id.
    pub(crate) fn insert_root(&mut self) -> ContextId {
        let root = self.free_id();
        self.roots.push(root);
        root
    }

    /// Gives a stream an id.
    pub(crate) fn insert(&mut self, root: ContextId, access: SharedStream) -> ContextId {
        let id = self.free_id();
        self.live.insert(
            id.0,
            Entry { root, access: Fragile::new(access), pending_calls: 0, wished_in: 0, wishes: 0 },
        );
        id
    }

    /// An id that no living context has.
    fn free_id(&mut self) -> ContextId {
        loop {
            let id = ContextId(self.next);
            self.next = self.next.wrapping_add(1);
            if id.0 != 0 && !self.live.contains_key(&id.0) && !self.roots.contains(&id) {
                return id;
            }
        }
    }

    /// The plugin of a stream, and the stream.
    pub(crate) fn get(&self, id: ContextId) -> Option<(ContextId, &SharedStream)> {
        self.live.get(&id.0).map(|entry| (entry.root, entry.access.get()))
    }

    /// Whether there is any stream.
    pub(crate) fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// The same plugins under the same ids, and the next ids as they are here.
    pub(crate) fn copy(&self) -> Self {
        Self { live: HashMap::default(), roots: self.roots.clone(), next: self.next }
    }

    pub(crate) fn remove(&mut self, id: ContextId) {
        self.live.remove(&id.0);
    }

    /// Forgets a plugin with its streams.
    pub(crate) fn remove_root(&mut self, root: ContextId) {
        self.roots.retain(|known| *known != root);
        self.live.retain(|_, entry| entry.root != root);
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
