//! What an upstream's connections and requests are subject to: limits over all workers, and how long a connection is used.
//!
//! The limits are breakers as Envoy has them: they bound what is in use, and do not look at how it goes. A total is
//! shared by all workers and touched only where a limit on it is configured.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use gateway_config::{Pool, UpstreamLimits};
use gateway_wire::proxy_protocol::Proxied;
use tokio::sync::Notify;

use super::connect::Wanted;
use super::http2::Http2Stream;
use super::pool::Pooled;
use super::{ConnectError, Endpoint, Upstream};
use crate::shared::{Permit, SharedUpstream};
use crate::telemetry::UpstreamMetrics;

/// What an upstream's connections and requests are subject to.
pub(super) struct Terms {
    pub(super) metrics: Rc<UpstreamMetrics>,
    pub(super) shared: Arc<SharedUpstream>,
    pub(super) limits: UpstreamLimits,
    pub(super) pool: Pool,
    /// Requests of this worker that wait for a connection to become free.
    waiting: Cell<usize>,
    /// A connection of this worker became free.
    returned: Notify,
}

/// Counts a request for as long as it waits for its connection or has it.
pub(super) struct ActiveRequest {
    pub(super) terms: Rc<Terms>,
    endpoint: Rc<Endpoint>,
    _permit: Option<Permit>,
}

/// A way to a connection.
pub(super) enum Place {
    /// One may be opened.
    Open(Option<Permit>),
    /// One became free.
    Free(Pooled),
    /// The same over HTTP/2.
    Stream(Http2Stream),
}

impl Terms {
    pub(super) fn new(
        metrics: Rc<UpstreamMetrics>,
        shared: Arc<SharedUpstream>,
        limits: UpstreamLimits,
        pool: Pool,
    ) -> Rc<Self> {
        let (waiting, returned) = (Cell::new(0), Notify::new());
        Rc::new(Self { metrics, shared, limits, pool, waiting, returned })
    }

    /// Whether a connection is too old or has served enough.
    pub(super) fn is_spent(&self, connection: &Pooled, now: Instant) -> bool {
        self.pool.max_requests.is_some_and(|most| connection.served >= most)
            || self.pool.max_age.is_some_and(|age| now.duration_since(connection.opened) >= age)
    }

    /// Gives back a connection that may serve again.
    pub(super) fn give_back(&self, endpoint: &Endpoint, connection: Pooled, now: Instant) {
        if self.is_spent(&connection, now) {
            return;
        }
        if self.waiting.get() > 0 {
            endpoint.idle.put(connection, now, usize::MAX);
            self.returned.notify_one();
            return;
        }
        // Whoever waits on another worker cannot use this one, but can open one in its place.
        if self.awaited() == 0 {
            endpoint.idle.put(connection, now, self.pool.max_idle);
        }
    }

    /// A connection of HTTP/2 has no stream any more: whoever waits may close it.
    pub(super) fn unused(&self) {
        if self.waiting.get() > 0 {
            self.returned.notify_one();
        }
    }

    /// Requests on any worker that wait because all connections that may be open are.
    fn awaited(&self) -> usize {
        match self.limits.connections {
            Some(limit) if self.shared.connections.used() >= limit => self.shared.pending.used(),
            _ => 0,
        }
    }

    /// The right to wait for a connection.
    fn pending(&self) -> Result<Option<Permit>, ConnectError> {
        let Some(limit) = self.limits.pending_requests else { return Ok(None) };
        self.shared.pending.take(limit).map(Some).ok_or_else(|| self.overflow())
    }

    fn overflow(&self) -> ConnectError {
        self.metrics.pending_overflow.inc();
        ConnectError::Overflow
    }
}

impl ActiveRequest {
    pub(super) fn new(terms: &Rc<Terms>, endpoint: &Rc<Endpoint>) -> Result<Self, ConnectError> {
        let permit = match terms.limits.requests {
            None => None,
            Some(limit) => Some(terms.shared.requests.take(limit).ok_or_else(|| terms.overflow())?),
        };
        terms.metrics.requests_active.inc();
        endpoint.active.add_as_owner(1);
        Ok(Self { terms: terms.clone(), endpoint: endpoint.clone(), _permit: permit })
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.terms.metrics.requests_active.dec();
        self.endpoint.active.add_as_owner(-1);
    }
}

impl Upstream {
    /// Runs `connect` while the request counts as one that waits for a connection.
    pub(super) async fn pending<T>(
        &self,
        connect: impl Future<Output = Result<T, ConnectError>>,
    ) -> Result<T, ConnectError> {
        let _pending = self.terms.pending()?;
        connect.await
    }

    /// The right to open a connection, or one that became free meanwhile; waits as long as opening one may take.
    pub(super) async fn place(
        &self,
        endpoint: &Rc<Endpoint>,
        wanted: Wanted,
        client: Option<&Proxied>,
    ) -> Result<Place, ConnectError> {
        let Some(limit) = self.terms.limits.connections else { return Ok(Place::Open(None)) };
        if let Some(permit) = self.terms.shared.connections.take(limit) {
            return Ok(Place::Open(Some(permit)));
        }
        self.metrics.connections_overflow.inc();
        let waiting = self.wait_for_place(endpoint, limit, wanted, client);
        let outcome = tokio::time::timeout(self.connect_timeout, waiting).await;
        outcome.map_err(|_| self.terms.overflow())
    }

    async fn wait_for_place(
        &self,
        endpoint: &Rc<Endpoint>,
        limit: usize,
        wanted: Wanted,
        client: Option<&Proxied>,
    ) -> Place {
        let connections = &self.terms.shared.connections;
        let _waiting = Waiting::new(&self.terms.waiting);
        loop {
            // Asked for before looking, so that nothing that happens between the two is missed.
            let (mut freed, mut returned) = (pin!(connections.freed()), pin!(self.terms.returned.notified()));
            let mut stream_freed = pin!(endpoint.http2.freed());
            freed.as_mut().enable();
            returned.as_mut().enable();
            stream_freed.as_mut().enable();
            if wanted == Wanted::Any {
                if let Some(connection) = endpoint.idle.take(client) {
                    return Place::Free(connection);
                }
                if let Some(stream) = endpoint.http2.stream(endpoint) {
                    return Place::Stream(stream);
                }
            }
            if let Some(permit) = connections.take(limit) {
                return Place::Open(Some(permit));
            }
            // An unused connection to another endpoint stands in the way, or one that is not wanted.
            if self.endpoints.iter().any(|other| other.idle.close_one()) {
                continue;
            }
            // One of HTTP/2 takes leave of its peer first; then its place is free.
            self.close_one_of_http2();
            tokio::select! {
                () = freed => {}
                () = returned => {}
                () = stream_freed => {}
            }
        }
    }

    fn close_one_of_http2(&self) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.http2.close_one())
    }

    /// One housekeeping tick: unused connections that are too old, or that others wait for, are closed.
    pub(crate) fn tend_pools(&self, now: Instant) {
        for endpoint in &self.endpoints {
            endpoint.idle.retain(|connection, since| {
                now.duration_since(since) < self.idle && !self.terms.is_spent(connection, now)
            });
            endpoint.http2.close_older_than(self.idle);
        }
        for _ in 0..self.terms.awaited() {
            let closed_one = self.endpoints.iter().any(|endpoint| endpoint.idle.close_one());
            if !closed_one && !self.close_one_of_http2() {
                // None is unused. Over HTTP/2 one may never be, and would keep other workers out.
                if self.terms.waiting.get() == 0 {
                    self.endpoints.iter().any(|endpoint| endpoint.http2.retire_one());
                }
                break;
            }
        }
    }
}

/// Counts one that waits.
struct Waiting<'a>(&'a Cell<usize>);

impl<'a> Waiting<'a> {
    fn new(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
