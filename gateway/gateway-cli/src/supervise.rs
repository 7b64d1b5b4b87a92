//! The life of a serving process between start and exit: signals in, orders to the running gateway out.
//!
//! SIGTERM and SIGINT begin the drain and a second one ends it; SIGHUP reloads; SIGUSR1 reopens logs.

use std::io;
use std::thread;

use gateway_server::{Running, StopError};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// Why a gateway that was told to stop did not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SuperviseError {
    #[error("cannot start the thread that waits for the drain: {0}")]
    Thread(io::Error),
    #[error("stopped by a second signal; requests that were still in flight are cut off")]
    CutShort,
    #[error("{0}")]
    Stop(#[from] StopError),
    #[error("the gateway ended without a result; this is a defect, please report it with the log")]
    Vanished,
}

/// Signal handlers, in force from [`Supervisor::new`] on.
pub(crate) struct Supervisor {
    runtime: Runtime,
    signals: Signals,
}

impl Supervisor {
    /// To be called before the gateway starts, so that no signal meets its default action afterwards.
    pub(crate) fn new() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let guard = runtime.enter();
        let signals = Signals::install()?;
        drop(guard);
        Ok(Self { runtime, signals })
    }

    /// Serves until told to stop, then until drained.
    pub(crate) fn run(mut self, running: Running) -> Result<(), SuperviseError> {
        self.runtime.block_on(async {
            loop {
                match self.signals.next().await {
                    Order::Reload => running.reload(),
                    Order::ReopenLogs => running.reopen_logs(),
                    Order::Stop => break,
                }
            }
            running.stop();
            drained(running, &mut self.signals).await
        })
    }
}

/// `Running::wait` blocks, so it gets a thread of its own while this one listens for the second signal.
async fn drained(running: Running, signals: &mut Signals) -> Result<(), SuperviseError> {
    let (done, mut finished) = oneshot::channel();
    thread::Builder::new()
        .name("drain".into())
        .spawn(move || done.send(running.wait()))
        .map_err(SuperviseError::Thread)?;
    loop {
        tokio::select! {
            result = &mut finished => return Ok(result.map_err(|_| SuperviseError::Vanished)??),
            order = signals.next() => if order == Order::Stop { return Err(SuperviseError::CutShort) },
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Order {
    Stop,
    Reload,
    ReopenLogs,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user1: Signal,
}

impl Signals {
    fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
        })
    }

    async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.terminate.recv() => Order::Stop,
            _ = self.interrupt.recv() => Order::Stop,
            _ = self.hangup.recv() => Order::Reload,
            _ = self.user1.recv() => Order::ReopenLogs,
        }
    }
}
