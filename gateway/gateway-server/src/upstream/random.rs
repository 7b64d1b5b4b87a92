//! Random numbers for spreading load and waits; not for secrets.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

/// A generator of one worker.
pub(crate) struct Random(Cell<u64>);

impl Random {
    /// Begins somewhere else each time.
    pub(crate) fn new() -> Self {
        // Any number but 0, where it would stay.
        Self(Cell::new(RandomState::new().hash_one(0_u8) | 1))
    }

    /// From 0 to `bound` - 1; 0 if there is nothing below `bound`.
    pub(crate) fn below(&self, bound: u64) -> u64 {
        // xorshift64* (Vigna 2016); of 64 bits, the bias for the small bounds here cannot be seen.
        let mut state = self.0.get();
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        self.0.set(state);
        state.wrapping_mul(0x2545_f491_4f6c_dd1d).checked_rem(bound).unwrap_or(0)
    }
}

#[cfg(test)]
#[path = "random_tests.rs"]
mod tests;
