//! A map bounded by keys and bytes that forgets what was used least recently.
//!
//! Owns recency and the limits. No lock and no clock: whoever holds it serialises the access, and order of use is all
//! that counts. Entries form a doubly linked list by index, so that every operation takes constant time.

use std::collections::HashMap;
use std::sync::Arc;

/// Marks the end of the list.
const NONE: u32 = u32::MAX;

pub(super) struct Lru {
    by_key: HashMap<Arc<[u8]>, u32>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    newest: u32,
    oldest: u32,
    bytes: usize,
    max_keys: usize,
    max_bytes: usize,
}

/// What there was too little of, so that others had to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scarce {
    Keys,
    Bytes,
}

/// The entry alone is more than there may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NoRoom(pub(super) Scarce);

#[derive(Clone)]
pub(super) struct Entry {
    pub(super) value: Vec<u8>,
    pub(super) cas: u32,
}

struct Slot {
    key: Arc<[u8]>,
    entry: Entry,
    newer: u32,
    older: u32,
}

impl Lru {
    pub(super) fn new(max_keys: usize, max_bytes: usize) -> Self {
        Self {
            by_key: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            newest: NONE,
            oldest: NONE,
            bytes: 0,
            max_keys: max_keys.min(NONE as usize),
            max_bytes,
        }
    }

    /// Looks without counting as use.
    pub(super) fn peek(&self, key: &[u8]) -> Option<&Entry> {
        self.by_key.get(key).map(|index| &self.slots[*index as usize].entry)
    }

    pub(super) fn get(&mut self, key: &[u8]) -> Option<&Entry> {
        let index = *self.by_key.get(key)?;
        self.unlink(index);
        self.link_newest(index);
        Some(&self.slots[index as usize].entry)
    }

    /// Changes how much there may be, from the next entry on.
    pub(super) fn limit(&mut self, max_keys: usize, max_bytes: usize) {
        self.max_keys = max_keys.min(NONE as usize);
        self.max_bytes = max_bytes;
    }

    /// Stores an entry and makes room for it. An entry that could never fit is refused and nothing changes.
    pub(super) fn insert(&mut self, key: &[u8], value: &[u8], cas: u32) -> Result<Option<Scarce>, NoRoom> {
        if self.max_keys == 0 {
            return Err(NoRoom(Scarce::Keys));
        }
        if key.len() + value.len() > self.max_bytes {
            return Err(NoRoom(Scarce::Bytes));
        }
        match self.by_key.get(key) {
            Some(index) => self.overwrite(*index, value, cas),
            None => self.add(key, value, cas),
        }
        let mut scarce = None;
        // Never the newest: that one fits alone.
        loop {
            if self.by_key.len() > self.max_keys {
                scarce = Some(Scarce::Keys);
            } else if self.bytes > self.max_bytes {
                scarce = Some(Scarce::Bytes);
            } else {
                return Ok(scarce);
            }
            self.remove(self.oldest);
        }
    }

    /// In its place: buckets and counters are stored again in each request.
    fn overwrite(&mut self, index: u32, value: &[u8], cas: u32) {
        let entry = &mut self.slots[index as usize].entry;
        self.bytes = self.bytes - entry.value.len() + value.len();
        // One of another length leaves no room behind that nobody counts.
        if entry.value.len() == value.len() {
            entry.value.copy_from_slice(value);
        } else {
            entry.value = value.to_vec();
        }
        entry.cas = cas;
        self.unlink(index);
        self.link_newest(index);
    }

    fn add(&mut self, key: &[u8], value: &[u8], cas: u32) {
        self.bytes += key.len() + value.len();
        let key: Arc<[u8]> = key.into();
        let entry = Entry { value: value.to_vec(), cas };
        let index = self.place(Slot { key: Arc::clone(&key), entry, newer: NONE, older: NONE });
        self.by_key.insert(key, index);
        self.link_newest(index);
    }

    /// Bytes of all keys and values.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn place(&mut self, slot: Slot) -> u32 {
        if let Some(index) = self.free.pop() {
            self.slots[index as usize] = slot;
            return index;
        }
        self.slots.push(slot);
        // `max_keys` is below `u32::MAX`, so that the index always fits.
        u32::try_from(self.slots.len() - 1).unwrap_or(NONE)
    }

    fn remove(&mut self, index: u32) {
        self.unlink(index);
        let slot = &mut self.slots[index as usize];
        self.by_key.remove(&slot.key);
        self.bytes -= slot.key.len() + slot.entry.value.len();
        slot.key = Arc::new([]);
        slot.entry.value = Vec::new();
        self.free.push(index);
    }

    fn unlink(&mut self, index: u32) {
        let (newer, older) = (self.slots[index as usize].newer, self.slots[index as usize].older);
        match self.slots.get_mut(newer as usize) {
            Some(slot) => slot.older = older,
            None => self.newest = older,
        }
        match self.slots.get_mut(older as usize) {
            Some(slot) => slot.newer = newer,
            None => self.oldest = newer,
        }
    }

    fn link_newest(&mut self, index: u32) {
        let older = std::mem::replace(&mut self.newest, index);
        match self.slots.get_mut(older as usize) {
            Some(slot) => slot.newer = index,
            None => self.oldest = index,
        }
        let slot = &mut self.slots[index as usize];
        (slot.newer, slot.older) = (NONE, older);
    }
}
