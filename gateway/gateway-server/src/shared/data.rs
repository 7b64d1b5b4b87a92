//! Shared data of the Proxy-Wasm ABI: one key-value store per namespace, seen by all workers.
//!
//! Owns values and their versions. Never knows who may use which namespace: that is decided where a plugin is given its
//! [`Namespace`]. A namespace and its data last as long as somebody holds it, across versions of a filter.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};

use super::lock;
use super::lru::{Lru, NoRoom, Scarce};

/// How much there may be in a namespace when somebody has stored a value; what was used least recently goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct DataLimits {
    pub(crate) keys: usize,
    /// Of keys and values together.
    pub(crate) bytes: usize,
}

/// Why a value was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SetError {
    /// Somebody else stored a value since the version the caller knows.
    #[error("the value has changed: version {expected} was expected, {found} is stored")]
    CasMismatch {
        /// What the caller gave.
        expected: u32,
        /// What is stored.
        found: u32,
    },
    /// Key and value alone are more than there may be.
    #[error("key and value of {size} bytes are more than limits.sharedData or limits.sharedKeys allows")]
    TooLarge {
        /// Of both.
        size: usize,
        /// What there is too little of.
        scarce: Scarce,
    },
}

/// All namespaces.
#[derive(Default)]
pub(crate) struct SharedData {
    namespaces: Mutex<HashMap<Box<[u8]>, Weak<Namespace>>>,
    versions: Arc<Versions>,
}

impl SharedData {
    /// No namespaces yet.
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The namespace of that name; made if nobody holds it.
    pub(crate) fn namespace(&self, name: impl AsRef<[u8]>) -> Arc<Namespace> {
        let mut namespaces = lock(&self.namespaces);
        if let Some(found) = namespaces.get(name.as_ref()).and_then(Weak::upgrade) {
            return found;
        }
        namespaces.retain(|_, namespace| namespace.strong_count() > 0);
        let made = Arc::new(Namespace::new(Arc::clone(&self.versions)));
        namespaces.insert(name.as_ref().into(), Arc::downgrade(&made));
        made
    }
}

/// One store.
pub(crate) struct Namespace {
    entries: Mutex<Lru>,
    versions: Arc<Versions>,
}

impl Namespace {
    fn new(versions: Arc<Versions>) -> Self {
        Self { entries: Mutex::new(Lru::new(0, 0)), versions }
    }

    /// Appends the value of `key` to `out` and returns its version. An empty value is not a missing one.
    pub(crate) fn get(&self, key: &[u8], out: &mut Vec<u8>) -> Option<u32> {
        let mut entries = lock(&self.entries);
        let entry = entries.get(key)?;
        out.extend_from_slice(&entry.value);
        Some(entry.cas)
    }

    /// Stores a value under a new version. As in Envoy, `cas` 0 is unconditional, and a key that does not exist takes
    /// any `cas`. Says what others had to go for.
    ///
    /// # Errors
    /// See [`SetError`]; nothing is changed then.
    pub(crate) fn set(
        &self,
        key: &[u8],
        value: &[u8],
        cas: u32,
        limits: DataLimits,
    ) -> Result<Option<Scarce>, SetError> {
        let mut entries = lock(&self.entries);
        if let Some(found) =
            entries.peek(key).map(|entry| entry.cas).filter(|found| cas != 0 && *found != cas)
        {
            return Err(SetError::CasMismatch { expected: cas, found });
        }
        entries.limit(limits.keys, limits.bytes);
        entries
            .insert(key, value, self.versions.next())
            .map_err(|NoRoom(scarce)| SetError::TooLarge { size: key.len() + value.len(), scarce })
    }
}

/// Versions are unique over all namespaces until they wrap, and never 0, which would mean "unconditional".
#[derive(Default)]
struct Versions(AtomicU32);

impl Versions {
    fn next(&self) -> u32 {
        loop {
            let version = self.0.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            if version != 0 {
                return version;
            }
        }
    }
}

#[cfg(test)]
#[path = "data_tests.rs"]
mod tests;
