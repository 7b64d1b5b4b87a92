//! The HTTP/2 connections of one worker to one endpoint: as few as their peers' stream limits allow.
//!
//! Requests take a stream of the first connection that has one. When none has, one request opens a further connection
//! and the others wait for it, so that a burst of requests does not become a burst of connections.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::timeout_at;

use super::breaker::ActiveRequest;
use super::connect::Wanted;
use super::http2::{Http2Stream, Multiplexed};
use super::{ConnectError, Endpoint, Lease, Upstream};

/// Connections per endpoint and worker; when all their streams are taken, requests wait.
const MAX_CONNECTIONS: usize = 64;

/// The connections that can be asked for streams.
#[derive(Default)]
pub(crate) struct SharedConnections {
    open: RefCell<Vec<Rc<Multiplexed>>>,
    opening: RefCell<Option<Rc<Attempt>>>,
    /// A stream or a connection has ended.
    freed: Notify,
}

/// A connection that is being opened, for those who wait for it.
#[derive(Default)]
struct Attempt {
    /// Stays empty when whoever opened it gave up.
    failure: OnceCell<Rc<ConnectError>>,
    ended: Notify,
}

/// What a request without a stream does.
enum Plan {
    Open(Opening),
    Await(Rc<Attempt>),
    AwaitStream,
}

/// The right to open a connection.
struct Opening {
    endpoint: Rc<Endpoint>,
    attempt: Rc<Attempt>,
}

impl Drop for Opening {
    fn drop(&mut self) {
        *self.endpoint.http2.opening.borrow_mut() = None;
        self.attempt.ended.notify_waiters();
    }
}

impl SharedConnections {
    /// A stream of a connection that is open.
    pub(super) fn stream(&self, endpoint: &Rc<Endpoint>) -> Option<Http2Stream> {
        self.open.borrow().iter().find_map(|connection| connection.stream(endpoint))
    }

    pub(super) fn add(&self, connection: Rc<Multiplexed>) {
        self.open.borrow_mut().push(connection);
    }

    /// Forgets connections that had no stream for longer than `age`; they close.
    pub(super) fn close_older_than(&self, age: Duration) {
        let Some(before) = Instant::now().checked_sub(age) else { return };
        self.forget(|connection| connection.is_unused_since(before));
    }

    pub(super) fn stream_ended(&self) {
        self.freed.notify_one();
    }

    /// Resolves when a stream or a connection ends.
    pub(super) fn freed(&self) -> Notified<'_> {
        self.freed.notified()
    }

    /// Closes a connection without streams, soon; false when there is none.
    pub(super) fn close_one(&self) -> bool {
        let mut open = self.open.borrow_mut();
        let unused = open.iter().position(|connection| connection.is_unused()).map(|at| open.remove(at));
        drop(open);
        unused.is_some()
    }

    /// Hands out no more streams of one connection, which closes after those that it has; false when there is none.
    pub(super) fn retire_one(&self) -> bool {
        let retired = self.open.borrow_mut().pop();
        retired.is_some()
    }

    pub(super) fn connection_ended(&self) {
        self.forget(|connection| !connection.is_open());
        self.freed.notify_waiters();
    }

    fn forget(&self, is_over: impl Fn(&Multiplexed) -> bool) {
        let mut open = self.open.borrow_mut();
        let forgotten: Vec<_> = open.extract_if(.., |connection| is_over(connection)).collect();
        drop(open);
        // Only now: what ends with a connection may look at the others.
        drop(forgotten);
    }

    fn plan(&self, endpoint: &Rc<Endpoint>) -> Plan {
        let mut opening = self.opening.borrow_mut();
        match &*opening {
            Some(attempt) => Plan::Await(attempt.clone()),
            None if self.open.borrow().len() >= MAX_CONNECTIONS => Plan::AwaitStream,
            None => {
                let attempt = Rc::new(Attempt::default());
                *opening = Some(attempt.clone());
                Plan::Open(Opening { endpoint: endpoint.clone(), attempt })
            }
        }
    }
}

impl Upstream {
    /// A stream to `endpoint`, or a connection of HTTP/1.1 if that is what it wants.
    pub(super) async fn lease_shared(
        &self,
        active: ActiveRequest,
        endpoint: &Rc<Endpoint>,
    ) -> Result<Lease, ConnectError> {
        let deadline = Instant::now() + self.connect_timeout;
        let timed_out = |_| ConnectError::Timeout(self.connect_timeout);
        loop {
            if let Some(stream) = endpoint.http2.stream(endpoint) {
                return Ok(Lease::of_stream(stream, endpoint, active));
            }
            if endpoint.chose_http1.get() {
                // Of no client in particular: those that are told of one speak HTTP/1.1 alone.
                return match self.pooled(active, endpoint, None).await {
                    Ok(lease) => Ok(lease),
                    Err(active) => self.connect_for(active, endpoint, Wanted::Any, None).await,
                };
            }
            match endpoint.http2.plan(endpoint) {
                Plan::Open(opening) => {
                    return self.connect_for(active, endpoint, Wanted::Any, None).await.map_err(|error| {
                        let error = opening.attempt.failure.get_or_init(|| Rc::new(error));
                        ConnectError::Shared(error.clone())
                    });
                }
                Plan::Await(attempt) => {
                    let ended = timeout_at(deadline.into(), attempt.ended.notified());
                    self.pending(async { ended.await.map_err(timed_out) }).await?;
                    if let Some(error) = attempt.failure.get() {
                        return Err(ConnectError::Shared(error.clone()));
                    }
                }
                Plan::AwaitStream => {
                    let freed = timeout_at(deadline.into(), endpoint.http2.freed());
                    let timed_out = |_| ConnectError::NoStream(self.connect_timeout);
                    self.pending(async { freed.await.map_err(timed_out) }).await?;
                }
            }
        }
    }
}
