//! Unused keep-alive connections of one worker to one endpoint, the youngest first.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::connect::UpstreamSender;

/// Unused connections kept per endpoint and worker; a further one is closed.
const MAX_IDLE: usize = 256;

/// Unused connections of one worker to one endpoint.
#[derive(Default)]
pub(crate) struct IdlePool {
    /// Oldest at the front.
    connections: RefCell<VecDeque<Idle>>,
}

struct Idle {
    sender: UpstreamSender,
    since: Instant,
}

impl IdlePool {
    /// The most recently used connection that is not known to be closed.
    pub(crate) fn take(&self) -> Option<UpstreamSender> {
        let mut connections = self.connections.borrow_mut();
        while let Some(idle) = connections.pop_back() {
            if !idle.sender.is_closed() {
                return Some(idle.sender);
            }
        }
        None
    }

    pub(crate) fn put(&self, sender: UpstreamSender, now: Instant) {
        let mut connections = self.connections.borrow_mut();
        if connections.len() < MAX_IDLE && !sender.is_closed() {
            connections.push_back(Idle { sender, since: now });
        }
    }

    pub(crate) fn close_older_than(&self, age: Duration) {
        let now = Instant::now();
        self.connections
            .borrow_mut()
            .retain(|idle| !idle.sender.is_closed() && now.duration_since(idle.since) < age);
    }
}
