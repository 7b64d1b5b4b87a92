//! Owns the comparison of a presented key with all known ones, in a time that tells nothing about them.

use gateway_sdk::Secret;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// The longest key, in bytes.
pub(crate) const MAX_KEY_BYTES: usize = 256;
/// The most keys of all consumers together. The time of a comparison grows with this.
pub(crate) const MAX_KEYS: usize = 1_000;
const MAX_WORDS: usize = MAX_KEY_BYTES / 8;

/// Every key of every consumer, each padded to the length of the longest one.
pub(crate) struct KeyRing {
    width_words: usize,
    keys: Vec<Key>,
}

struct Key {
    words: Vec<u64>,
    len_bytes: u64,
    owner: u32,
}

impl KeyRing {
    /// Takes each consumer's keys; consumers are known by their place from then on.
    pub(crate) fn new<'a>(consumers: impl Iterator<Item = &'a [Secret]> + Clone) -> Self {
        let longest = consumers.clone().flatten().map(|key| key.reveal().len()).max().unwrap_or(0);
        let width_words = longest.div_ceil(8).min(MAX_WORDS);
        let keys = (0..).zip(consumers).flat_map(|(owner, keys)| {
            keys.iter().map(move |key| Key {
                words: words(key.reveal().as_bytes())[..width_words].to_vec(),
                len_bytes: key.reveal().len() as u64,
                owner,
            })
        });
        Self { width_words, keys: keys.collect() }
    }

    /// The place of the consumer with this key. Looks at every byte of every key, whether one matches or not: the time
    /// depends on the number of keys and the length of the longest one alone.
    pub(crate) fn owner(&self, presented: &[u8]) -> Option<usize> {
        let presented_words = words(presented);
        let presented_words = &presented_words[..self.width_words];
        let presented_len_bytes = presented.len() as u64;
        let mut owner = 0_u32;
        let mut found = Choice::from(0);
        for key in &self.keys {
            let same = key.words.ct_eq(presented_words) & key.len_bytes.ct_eq(&presented_len_bytes);
            owner.conditional_assign(&key.owner, same);
            found |= same;
        }
        bool::from(found).then_some(owner as usize)
    }
}

/// The first words of `bytes`, filled up with zeros.
fn words(bytes: &[u8]) -> [u64; MAX_WORDS] {
    let mut words = [0; MAX_WORDS];
    for (word, chunk) in words.iter_mut().zip(bytes.chunks(8)) {
        let mut filled = [0; 8];
        filled[..chunk.len()].copy_from_slice(chunk);
        *word = u64::from_le_bytes(filled);
    }
    words
}
