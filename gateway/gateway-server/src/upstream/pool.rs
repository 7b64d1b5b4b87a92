//! Unused keep-alive connections of one worker to one endpoint, the youngest first.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

use super::connect::UpstreamSender;
use super::driver::Driver;

/// Unused connections kept per endpoint and worker; a further one is closed.
const MAX_IDLE: usize = 256;

/// Unused connections of one worker to one endpoint.
#[derive(Default)]
pub(crate) struct IdlePool {
    /// Oldest at the front.
    connections: RefCell<VecDeque<Idle>>,
}

/// A connection without a request.
pub(crate) struct Pooled {
    pub(super) sender: UpstreamSender,
    pub(super) driver: Option<Driver>,
    /// The task of a connection without a driver.
    pub(super) task: Option<AbortHandle>,
}

struct Idle {
    connection: Pooled,
    since: Instant,
}

impl Pooled {
    /// False when the upstream has closed it, as far as is known by now.
    fn is_open(&mut self) -> bool {
        self.driver.as_mut().is_none_or(Driver::poll) && !self.sender.is_closed()
    }
}

impl IdlePool {
    /// The most recently used connection that is not known to be closed.
    pub(crate) fn take(&self) -> Option<Pooled> {
        let mut connections = self.connections.borrow_mut();
        while let Some(idle) = connections.pop_back() {
            // Not asked anew here: sending drives the connection, and has the request back if it turns out closed.
            if !idle.connection.sender.is_closed() {
                return Some(idle.connection);
            }
        }
        None
    }

    pub(crate) fn put(&self, connection: Pooled, now: Instant) {
        let mut connections = self.connections.borrow_mut();
        if connections.len() < MAX_IDLE && !connection.sender.is_closed() {
            if let Some(driver) = &connection.driver {
                driver.rest();
            }
            connections.push_back(Idle { connection, since: now });
        }
    }

    /// Drops connections that are closed or were unused for longer than `age`.
    pub(crate) fn close_older_than(&self, age: Duration) {
        let now = Instant::now();
        self.connections
            .borrow_mut()
            .retain_mut(|idle| now.duration_since(idle.since) < age && idle.connection.is_open());
    }
}
