//! What the control thread tells a worker.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc::error::SendError;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::accept::BoundListener;
use super::state::PrepareError;
use crate::shared::Seat;
use crate::snapshot::{ListenerSocket, Snapshot};
use crate::telemetry::WorkerLog;

/// A worker holds a new state and waits for `Commit` or `Abort`.
#[derive(Debug)]
pub(crate) struct Prepared;

/// What the control thread tells a worker.
pub(crate) enum Command {
    /// Build the state of this snapshot beside the current one.
    Prepare {
        snapshot: Arc<Snapshot>,
        /// Sockets of listeners that are not open yet.
        sockets: Vec<BoundListener>,
        log: Option<WorkerLog>,
        reply: oneshot::Sender<Result<Prepared, PrepareError>>,
    },
    /// Serve what was prepared.
    Commit { reply: oneshot::Sender<()> },
    /// Forget what was prepared.
    Abort,
    /// Serve a connection that another worker accepted.
    Serve(Handed),
    /// A shared queue has an entry for a filter of this worker.
    QueueReady { filter: Arc<str>, queue: u32 },
    /// Stop accepting, let requests finish, end the thread.
    Drain { deadline: Instant },
}

/// A connection on its way from the worker that accepted it to another one.
pub(crate) struct Handed {
    /// Where it was accepted.
    pub(crate) listener: ListenerSocket,
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) seat: Seat,
}

/// The sending end: for the control thread, and for queues of filters on other workers.
///
/// Unbounded because the senders are bounded: reloads wait for replies, queues hold a limited number of entries, and
/// connections are handed to the worker that has the fewest, which counts those that are on their way.
#[derive(Clone)]
pub(crate) struct CommandSender(UnboundedSender<Command>);

/// A channel to one worker.
pub(crate) fn channel() -> (CommandSender, UnboundedReceiver<Command>) {
    let (sender, receiver) = unbounded_channel();
    (CommandSender(sender), receiver)
}

impl CommandSender {
    /// False when the worker is gone.
    pub(crate) fn send(&self, command: Command) -> bool {
        self.0.send(command).is_ok()
    }

    /// # Errors
    /// The connection, when the worker takes no more.
    pub(super) fn hand_over(&self, handed: Handed) -> Result<(), Option<Handed>> {
        self.0.send(Command::Serve(handed)).map_err(|SendError(command)| match command {
            Command::Serve(handed) => Some(handed),
            // What was sent is what comes back.
            _ => None,
        })
    }

    pub(crate) fn queue_ready(&self, filter: Arc<str>, queue: u32) {
        // A worker that is gone has no filter to tell.
        let _ = self.send(Command::QueueReady { filter, queue });
    }
}
