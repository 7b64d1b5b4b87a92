//! Listening sockets of one worker: opened by the control thread, kept over reloads, emptied before they close.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::time::Duration;

use gateway_config::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::balance::Placed;
use super::commands::Handed;
use super::{Worker, connection};
use crate::shared::Seat;
use crate::snapshot::ListenerSocket;

/// Pause after a failed accept (out of file descriptors, most often), so that it does not spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Connections taken from a backlog when its socket closes.
const MAX_TAKEN_AT_CLOSE: usize = 4096;

/// A socket that the control thread bound for this worker.
pub(crate) struct BoundListener {
    pub(crate) listener: ListenerSocket,
    pub(crate) socket: StdListener,
}

/// The listeners of one worker.
#[derive(Default)]
pub(crate) struct Listeners {
    open: HashMap<ListenerSocket, Accepting>,
}

struct Accepting {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Listeners {
    /// Starts on new sockets, stops on those that the configuration no longer has.
    pub(crate) fn update(&mut self, worker: &Rc<Worker>, wanted: &[Listener], sockets: Vec<BoundListener>) {
        self.open.retain(|socket, _| wanted.iter().any(|listener| ListenerSocket::of(listener) == *socket));
        for bound in sockets {
            match TcpListener::from_std(bound.socket) {
                Ok(listener) => {
                    let (stop, stopped) = oneshot::channel();
                    let accepting = accept(worker.clone(), listener, bound.listener.clone(), stopped);
                    let task = tokio::task::spawn_local(accepting);
                    self.open.insert(bound.listener, Accepting { stop, task });
                }
                Err(error) => {
                    tracing::error!(listener = %bound.listener.bind, "the runtime refuses the socket: {error}");
                }
            }
        }
    }

    /// Closes all sockets; connections that wait in a backlog are taken first.
    pub(crate) async fn close_all(&mut self) {
        for (_, Accepting { stop, task }) in self.open.drain() {
            drop(stop);
            // A listener task that failed has no socket any more.
            let _ = task.await;
        }
    }
}

/// Accepts until `stopped` resolves (also when its sender is dropped), then empties the backlog.
async fn accept(
    worker: Rc<Worker>,
    listener: TcpListener,
    socket: ListenerSocket,
    mut stopped: oneshot::Receiver<()>,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            _ = &mut stopped => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => match worker.crew.place(&socket, stream, peer) {
                Placed::Here(stream, seat) => start(&worker, &socket, stream, peer, seat),
                Placed::Elsewhere => worker.metrics.handed_over.inc(),
                Placed::Lost => {}
            },
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(listener = %socket.bind, "cannot accept connections: {error}; trying again");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
    // Closing the socket resets connections that were not accepted, so those that wait are taken now. Asked directly:
    // the runtime's readiness may be older than the newest connection.
    let Ok(listener) = listener.into_std() else { return };
    for _ in 0..MAX_TAKEN_AT_CLOSE {
        let Ok((stream, peer)) = listener.accept() else { return };
        if stream.set_nonblocking(true).is_ok()
            && let Ok(stream) = TcpStream::from_std(stream)
        {
            start(&worker, &socket, stream, peer, worker.crew.seat());
        }
    }
}

/// Serves a connection that another worker accepted.
pub(super) fn take_over(worker: &Rc<Worker>, Handed { listener, stream, peer, seat }: Handed) {
    // Fails only without a runtime or on a dead socket.
    if let Ok(stream) = TcpStream::from_std(stream) {
        start(worker, &listener, stream, peer, seat);
    }
}

fn start(worker: &Rc<Worker>, socket: &ListenerSocket, stream: TcpStream, peer: SocketAddr, seat: Seat) {
    let state = worker.state();
    // Gone from the configuration: what waited in its backlog is turned away.
    let Some(listener) = state.listener(socket).cloned() else { return };
    tokio::task::spawn_local(connection::serve(worker.clone(), listener, stream, peer, seat));
}

/// The client went away before it was accepted.
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}
