//! Candidates by host and path: one hash table for all hosts of a route table.
//!
//! With many hosts, memory is what a look-up waits for. A candidate therefore stands in its slot, beside all that tells
//! it apart: a look-up costs one access to the slots, and one to the text that confirms it.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::paths::Candidate;

/// Paths of one kind (exact ones or prefixes) of one host, as a number that no other has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place(NonZeroU32);

/// Those with one place and path are next to each other, in the order in which they were added.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// A power of two of them or none, at most two thirds of which are taken.
    slots: Box<[Option<Slot>]>,
    /// All paths, each once.
    text: Box<[u8]>,
}

/// Half a line of the processor's cache.
#[derive(Debug)]
struct Slot {
    /// Told apart by this, so that a search reads the text of one path and not of several.
    hash: u32,
    place: Place,
    /// The stretch of the text.
    start: u32,
    length: u32,
    candidate: Candidate,
}

impl Index {
    /// The candidates of one place and path, in the order in which they were added.
    #[inline]
    pub(super) fn at<'t, 'p>(
        &'t self,
        place: Place,
        path: &'p [u8],
    ) -> impl Iterator<Item = &'t Candidate> + use<'t, 'p> {
        let hash = hash(place, path);
        let found =
            move |slot: &&Slot| slot.hash == hash && slot.place == place && self.text_of(slot) == path;
        probes(hash, self.slots.len())
            .map_while(|index| self.slots[index].as_ref())
            .filter(found)
            .map(|slot| &slot.candidate)
    }

    fn text_of(&self, slot: &Slot) -> &[u8] {
        &self.text[slot.start as usize..][..slot.length as usize]
    }
}

/// An index while it grows. A configuration file is far smaller than what 32 bits count.
#[derive(Default)]
pub(super) struct Builder {
    places: u32,
    items: Vec<Slot>,
    text: Vec<u8>,
    starts: HashMap<Arc<str>, u32>,
}

impl Builder {
    /// A new place.
    pub(super) fn place(&mut self) -> Place {
        let place = Place(NonZeroU32::MIN.saturating_add(self.places));
        self.places += 1;
        place
    }

    /// Adds the next best candidate of a path.
    pub(super) fn add(&mut self, place: Place, path: &Arc<str>, candidate: Candidate) {
        let start = *self.starts.entry(path.clone()).or_insert_with(|| {
            self.text.extend_from_slice(path.as_bytes());
            (self.text.len() - path.len()) as u32
        });
        let hash = hash(place, path.as_bytes());
        self.items.push(Slot { hash, place, start, length: path.len() as u32, candidate });
    }

    pub(super) fn build(self) -> Index {
        if self.items.is_empty() {
            return Index::default();
        }
        let size = (self.items.len() + self.items.len() / 2 + 1).next_power_of_two();
        let mut slots: Box<[Option<Slot>]> = (0..size).map(|_| None).collect();
        for item in self.items {
            let free = probes(item.hash, size).find(|index| slots[*index].is_none());
            if let Some(free) = free {
                slots[free] = Some(item);
            }
        }
        Index { slots, text: self.text.into() }
    }
}

/// Where something with this hash may be, of `size` slots: from its own on to the next free one.
fn probes(hash: u32, size: usize) -> impl Iterator<Item = usize> {
    let mask = size.wrapping_sub(1);
    (0..size).map(move |step| (hash as usize).wrapping_add(step) & mask)
}

/// Spreads paths, eight bytes at a time. Clients gain nothing by collisions: equal hashes only cost a look at a text more.
#[inline]
fn hash(place: Place, path: &[u8]) -> u32 {
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: u64| (hash.rotate_left(5) ^ word).wrapping_mul(SPREAD);
    let (words, rest) = path.as_chunks::<8>();
    let hash = words.iter().fold(path.len() as u64, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let last = rest.iter().fold(0, |word, &byte| word << 8 | u64::from(byte));
    // The place comes last: it is what memory is waited for. The upper half has been reached by every byte.
    (mix(mix(hash, last), u64::from(place.0.get())) >> 32) as u32
}
