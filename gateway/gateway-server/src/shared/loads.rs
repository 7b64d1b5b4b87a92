//! How many client connections each worker has, and which one a new connection is for.
//!
//! Touched when a connection is accepted and when it ends, never per request.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A worker may have this many connections more than the least loaded one ...
const MAX_LEAD: usize = 1;
/// ... and besides this share of that one's connections: one in four. Among many connections a few more or less make
/// no difference that would be worth moving one.
const MAX_LEAD_SHARE: usize = 4;

/// Connections of each worker.
#[derive(Debug)]
pub(crate) struct Loads(Box<[Load]>);

/// In a cache line of its own.
#[derive(Default, Debug)]
#[repr(align(64))]
struct Load(AtomicUsize);

/// The place of one connection at one worker; given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    loads: Arc<Loads>,
    pub(crate) worker: usize,
}

impl Loads {
    pub(crate) fn new(workers: usize) -> Arc<Self> {
        Arc::new(Self((0..workers).map(|_| Load::default()).collect()))
    }

    /// The connections of a worker now, those included that are on their way to it.
    pub(crate) fn of(&self, worker: usize) -> usize {
        self.0.get(worker).map_or(0, |load| load.0.load(Relaxed))
    }

    /// A place for a connection that `own` accepted: there, or at the least loaded worker if `own` is too far ahead.
    pub(crate) fn take_seat(self: &Arc<Self>, own: usize) -> Seat {
        let least = (0..self.0.len()).map(|worker| (self.of(worker), worker)).min();
        match least {
            Some((least, worker)) if self.of(own) + 1 > least + MAX_LEAD + least / MAX_LEAD_SHARE => {
                self.seat_at(worker)
            }
            _ => self.seat_at(own),
        }
    }

    /// A place at this worker, however many connections it has.
    pub(crate) fn seat_at(self: &Arc<Self>, worker: usize) -> Seat {
        if let Some(load) = self.0.get(worker) {
            load.0.fetch_add(1, Relaxed);
        }
        Seat { loads: self.clone(), worker }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(load) = self.loads.0.get(self.worker) {
            load.0.fetch_sub(1, Relaxed);
        }
    }
}

#[cfg(test)]
#[path = "loads_tests.rs"]
mod tests;
