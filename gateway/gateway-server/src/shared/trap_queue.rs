//! How guests ended, on the way from the workers to whoever makes it readable.
//!
//! Bounded: a worker never waits, and what finds no room is counted where it happened.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use proxy_wasm_host::Failure;
use tokio::sync::Notify;

use super::lock;
use crate::snapshot::FilterSpec;

/// Records that wait at a time.
const MAX_WAITING: usize = 128;

/// How one guest ended.
pub(crate) struct TrapRecord {
    pub(crate) spec: Arc<FilterSpec>,
    pub(crate) at: SystemTime,
    pub(crate) worker: usize,
    /// The export that was called.
    pub(crate) callback: &'static str,
    pub(crate) failure: Failure,
}

/// Records that wait.
#[derive(Default)]
pub(crate) struct TrapQueue {
    waiting: Mutex<VecDeque<TrapRecord>>,
    arrived: Notify,
}

impl TrapQueue {
    /// False when there is no room.
    pub(crate) fn push(&self, record: TrapRecord) -> bool {
        let mut waiting = lock(&self.waiting);
        if waiting.len() >= MAX_WAITING {
            return false;
        }
        waiting.push_back(record);
        drop(waiting);
        self.arrived.notify_one();
        true
    }

    pub(crate) fn pop(&self) -> Option<TrapRecord> {
        lock(&self.waiting).pop_front()
    }

    /// Resolves when there may be one.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }
}
