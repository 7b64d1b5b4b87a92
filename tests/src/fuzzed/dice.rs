//! Numbers that need not be good, the same on every run.

/// xorshift64 (Marsaglia 2003).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64, number: usize) -> Self {
        // Zero would stay zero. Neighbours are pulled apart by the golden ratio.
        Self((seed ^ (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1)
    }

    /// From zero up to, and without, the bound.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    /// So many times in a hundred.
    pub(super) fn percent(&mut self, share: usize) -> bool {
        self.below(100) < share
    }

    pub(super) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// So many bytes, each out of these.
    pub(super) fn out_of(&mut self, choices: &[u8], least: usize, most: usize) -> Vec<u8> {
        let count = least + self.below(most - least + 1);
        (0..count).map(|_| self.one_of(choices)).collect()
    }

    /// A value of a header: any octets that one may have (RFC 9110, section 5.5).
    pub(super) fn value(&mut self, most: usize) -> Vec<u8> {
        let count = self.below(most + 1);
        let mut octet = || match self.below(4) {
            // Half of them text, so that parsers of text get somewhere.
            0 | 1 => 0x20 + self.below(0x5f) as u8,
            2 => 0x80 + self.below(0x80) as u8,
            _ => self.one_of(b"\t ,;=:\"%&\\"),
        };
        (0..count).map(|_| octet()).collect()
    }

    pub(super) fn bytes(&mut self, most: usize) -> Vec<u8> {
        let count = self.below(most + 1);
        (0..count).map(|_| self.below(256) as u8).collect()
    }
}
