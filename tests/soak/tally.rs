//! What clients saw, counted by all of them together.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Failures that are kept in words; all are counted.
const MAX_WORDS: usize = 20;

#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) served: AtomicU64,
    failed: AtomicU64,
    words: Mutex<Vec<String>>,
    over: AtomicBool,
}

impl Tally {
    pub(crate) fn note(&self) {
        self.served.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn fail(&self, what: String) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let mut words = self.words.lock().expect("nobody panics with it");
        if words.len() < MAX_WORDS {
            words.push(what);
        }
    }

    pub(crate) fn served(&self) -> u64 {
        self.served.load(Ordering::SeqCst)
    }

    /// How many failed, and the first of them in words.
    pub(crate) fn failures(&self) -> (u64, Vec<String>) {
        (self.failed.load(Ordering::SeqCst), self.words.lock().expect("nobody panics with it").clone())
    }

    /// Tells all clients to end after what they are at.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}
