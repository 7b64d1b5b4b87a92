//! Unused keep-alive connections of one worker to one endpoint, the youngest first.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;

use gateway_wire::proxy_protocol::Proxied;
use tokio::task::AbortHandle;

use super::connect::UpstreamSender;
use super::door::Asked;
use super::driver::Driver;

/// Unused connections of one worker to one endpoint.
#[derive(Default)]
pub(crate) struct IdlePool {
    /// Oldest at the front.
    connections: RefCell<VecDeque<Idle>>,
}

/// A connection without a request.
pub(crate) struct Pooled {
    pub(super) sender: UpstreamSender,
    pub(super) driver: Option<Box<Driver>>,
    pub(super) opened: Instant,
    /// Requests that it has served.
    pub(super) served: u64,
    /// The client that the endpoint was told of; no other may use it.
    pub(super) client: Option<Box<Proxied>>,
    /// The task of a connection without a driver.
    pub(super) task: Option<AbortHandle>,
    pub(super) asked: Rc<Asked>,
}

struct Idle {
    connection: Pooled,
    since: Instant,
}

impl Pooled {
    /// False when the upstream has closed it, as far as is known by now.
    fn is_open(&mut self) -> bool {
        self.driver.as_mut().is_none_or(|driver| driver.poll()) && !self.sender.is_closed()
    }
}

impl IdlePool {
    /// The most recently used connection that is not known to be closed, of those that are for this client.
    pub(crate) fn take(&self, client: Option<&Proxied>) -> Option<Pooled> {
        let mut connections = self.connections.borrow_mut();
        let is_for = |idle: &Idle| idle.connection.client.as_deref() == client;
        while let Some(idle) = connections.iter().rposition(is_for).and_then(|at| connections.remove(at)) {
            // Not asked anew here: sending drives the connection, and has the request back if it turns out closed.
            if !idle.connection.sender.is_closed() {
                return Some(idle.connection);
            }
        }
        None
    }

    /// Keeps a connection, unless `most` are kept already.
    pub(super) fn put(&self, connection: Pooled, now: Instant, most: usize) {
        let mut connections = self.connections.borrow_mut();
        // Those of clients that do not come again must not keep out those of clients that do.
        if connection.client.is_some() && most > 0 && connections.len() >= most {
            connections.pop_front();
        }
        if connections.len() < most && !connection.sender.is_closed() {
            if let Some(driver) = &connection.driver {
                driver.rest();
            }
            connections.push_back(Idle { connection, since: now });
        }
    }

    /// Drops connections that are closed, and those not to be kept: `keeps` is told since when each is unused.
    pub(super) fn retain(&self, mut keeps: impl FnMut(&Pooled, Instant) -> bool) {
        self.connections
            .borrow_mut()
            .retain_mut(|idle| keeps(&idle.connection, idle.since) && idle.connection.is_open());
    }

    /// Closes the connection that was unused for longest; false when there is none.
    pub(super) fn close_one(&self) -> bool {
        let oldest = self.connections.borrow_mut().pop_front();
        oldest.is_some()
    }
}
