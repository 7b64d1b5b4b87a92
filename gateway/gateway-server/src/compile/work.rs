//! What is to be made of a filter's file, and what such work is called: equal work has equal digests, whatever files are named.

use std::sync::Arc;

use sha2::{Digest, Sha256};

/// A module to be compiled: so that its state can be read once it is started, or so that it begins in a state that was read.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    /// The filter's file.
    pub(crate) wasm: Arc<[u8]>,
    /// What was read of it after its start.
    pub(crate) state: Option<Arc<[u8]>>,
}

impl Work {
    /// Bytes that are to be read.
    pub(crate) fn size_bytes(&self) -> usize {
        self.wasm.len() + self.state.as_ref().map_or(0, |state| state.len())
    }

    /// What its results are kept under.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update([u8::from(self.state.is_some())]);
        hasher.update((self.wasm.len() as u64).to_le_bytes());
        hasher.update(&self.wasm);
        hasher.update(self.state.as_deref().unwrap_or_default());
        hasher.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_known_by_the_module_the_state_and_where_one_ends() {
        let work =
            |wasm: &[u8], state: Option<&[u8]>| Work { wasm: wasm.into(), state: state.map(Arc::from) };
        let all = [
            work(b"ab", None),
            work(b"ab", Some(b"")),
            work(b"a", Some(b"b")),
            work(b"", Some(b"ab")),
            work(b"ab", Some(b"c")),
        ];
        for (index, one) in all.iter().enumerate() {
            for (other_index, other) in all.iter().enumerate() {
                assert_eq!(one.digest() == other.digest(), index == other_index, "{one:?} {other:?}");
            }
        }
        assert_eq!(all[4].size_bytes(), 3);
    }
}
