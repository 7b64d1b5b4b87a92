//! Which worker a new connection is for. The kernel spreads connections by a hash of their addresses, which says nothing
//! of how long they stay: a worker that is ahead of the others hands a socket over right after it was accepted.
//!
//! A socket is handed over once at most, before a byte of it was read.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::net::TcpStream;

use super::commands::{CommandSender, Handed};
use crate::shared::{Loads, Seat};
use crate::snapshot::ListenerSocket;
use crate::telemetry::{Counter, Gauge, Registry, TimeCounter, families};

/// The workers of this process, as one of them sees them.
pub(crate) struct Crew {
    pub(crate) own: usize,
    pub(crate) loads: Arc<Loads>,
    /// By number of the worker.
    pub(crate) workers: Arc<[CommandSender]>,
}

/// Who serves a connection that was accepted.
pub(super) enum Placed {
    Here(TcpStream, Seat),
    Elsewhere,
    /// The socket is dead.
    Lost,
}

impl Crew {
    /// Finds a worker for a connection that was accepted here.
    pub(super) fn place(&self, listener: &ListenerSocket, stream: TcpStream, peer: SocketAddr) -> Placed {
        let seat = self.loads.take_seat(self.own);
        let Some(other) = self.workers.get(seat.worker).filter(|_| seat.worker != self.own) else {
            return Placed::Here(stream, seat);
        };
        let Ok(stream) = stream.into_std() else { return Placed::Lost };
        let handed = Handed { listener: listener.clone(), stream, peer, seat };
        match other.hand_over(handed) {
            Ok(()) => Placed::Elsewhere,
            // It is about to end, as this one will be.
            Err(handed) => match handed.and_then(|handed| TcpStream::from_std(handed.stream).ok()) {
                Some(stream) => Placed::Here(stream, self.seat()),
                None => Placed::Lost,
            },
        }
    }

    /// A place for a connection that is served here in any case.
    pub(super) fn seat(&self) -> Seat {
        self.loads.seat_at(self.own)
    }
}

/// What is counted per worker.
pub(super) struct WorkerMetrics {
    connections: Gauge,
    pub(super) handed_over: Counter,
    busy: TimeCounter,
    /// Of the thread's processor time, what was counted so far.
    counted: Cell<Duration>,
}

impl WorkerMetrics {
    pub(super) fn new(registry: &Registry, worker: usize) -> Self {
        let number = worker.to_string();
        let labels = &[number.as_str()];
        Self {
            connections: registry.gauge(&families::WORKER_CONNECTIONS, labels),
            handed_over: registry.counter(&families::WORKER_HANDED_OVER, labels),
            busy: registry.time_counter(&families::WORKER_BUSY, labels),
            counted: Cell::default(),
        }
    }

    /// On the worker's own thread, every now and then.
    pub(super) fn update(&self, connections: usize) {
        self.connections.set(i64::try_from(connections).unwrap_or(i64::MAX));
        let used = clock_gettime(ClockId::ThreadCPUTime);
        let used = Duration::try_from(used).unwrap_or_default();
        self.busy.add(used.saturating_sub(self.counted.replace(used)));
    }
}
