//! A worker: one core, one thread, one current-thread runtime, and everything that its connections need.
//!
//! State is `Rc` and `Cell`; nothing here is shared with another thread but what `Process` holds. Configurations arrive
//! in two phases: `Prepare` builds a [`WorkerState`] beside the current one and may fail, `Commit` swaps it in.

mod accept;
mod activity;
mod balance;
mod between;
mod commands;
mod connection;
mod date;
mod door;
mod finish;
mod http2;
mod http2_io;
mod io;
mod leftover;
mod patience;
mod proxied;
mod state;
mod watched;

pub(crate) use accept::BoundListener;
pub(crate) use balance::Crew;
pub(crate) use commands::{Command, CommandSender, Prepared, channel};
pub(crate) use connection::ClientConnection;
pub(crate) use door::Refused;
pub(crate) use leftover::MAX_DRAINED_BYTES;
pub(crate) use patience::Patience;
pub(crate) use state::{PrepareError, WorkerState};

pub(crate) use crate::filter::InstanceError;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::outbox::Outbox;
use crate::process::Process;
use crate::request::WallClock;
use crate::snapshot::Snapshot;
use crate::telemetry::{ReplyMetrics, WorkerLog};
use accept::Listeners;
use activity::Connections;
use balance::WorkerMetrics;
use date::DateHeader;
use http::HeaderValue;

/// How often timeouts of connections are looked at and the access log is flushed.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_millis(100);

/// One worker.
pub(crate) struct Worker {
    pub(crate) id: usize,
    pub(crate) process: Arc<Process>,
    current: RefCell<Rc<WorkerState>>,
    /// Upstreams that a filter may name: those of the newest configuration, also while it is being prepared.
    upstream_names: RefCell<Vec<Arc<str>>>,
    pub(crate) connections: Connections,
    pub(crate) outbox: Rc<Outbox>,
    pub(crate) replies: ReplyMetrics,
    draining: Cell<bool>,
    clock: Cell<WallClock>,
    date: RefCell<DateHeader>,
    crew: Crew,
    metrics: WorkerMetrics,
}

/// Starts the thread of a worker. It ends after a `Drain` command, or when `commands` is closed.
pub(crate) fn spawn(
    process: Arc<Process>,
    crew: Crew,
    commands: UnboundedReceiver<Command>,
) -> std::io::Result<JoinHandle<()>> {
    let id = crew.own;
    let runtime = move || Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    std::thread::Builder::new().name(format!("worker-{id}")).spawn(move || match runtime() {
        Ok(runtime) => runtime.block_on(Worker::new(process, crew).run(commands)),
        Err(error) => tracing::error!(worker = id, "no runtime for this worker: {error}"),
    })
}

impl Worker {
    fn new(process: Arc<Process>, crew: Crew) -> Rc<Self> {
        let metrics = WorkerMetrics::new(&process.registry, crew.own);
        Rc::new(Self {
            id: crew.own,
            process,
            current: RefCell::new(Rc::new(WorkerState::empty())),
            upstream_names: RefCell::default(),
            connections: Connections::default(),
            outbox: Rc::default(),
            replies: ReplyMetrics::default(),
            draining: Cell::new(false),
            clock: Cell::new(WallClock::now()),
            date: RefCell::new(DateHeader::new(SystemTime::now())),
            crew,
            metrics,
        })
    }

    /// The configuration of this moment. A request pins it once.
    pub(crate) fn state(&self) -> Rc<WorkerState> {
        self.current.borrow().clone()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Good for one housekeeping tick.
    pub(crate) fn clock(&self) -> WallClock {
        self.clock.get()
    }

    /// The `date` header of this second.
    pub(crate) fn date(&self) -> HeaderValue {
        self.date.borrow().value()
    }

    pub(crate) fn commands(&self) -> CommandSender {
        self.crew.workers[self.id].clone()
    }

    pub(crate) fn knows_upstream(&self, name: &[u8]) -> bool {
        self.upstream_names.borrow().iter().any(|upstream| upstream.as_bytes() == name)
    }

    async fn run(self: Rc<Self>, mut commands: UnboundedReceiver<Command>) {
        tokio::task::spawn_local(self.outbox.clone().carry());
        let mut listeners = Listeners::default();
        let mut prepared: Option<(WorkerState, Vec<BoundListener>)> = None;
        let mut housekeeping = tokio::time::interval(HOUSEKEEPING_INTERVAL);
        loop {
            let command = tokio::select! {
                command = commands.recv() => command,
                _ = housekeeping.tick() => {
                    self.keep_house();
                    continue;
                }
            };
            match command {
                Some(Command::Prepare { snapshot, sockets, log, reply }) => {
                    let outcome = self.prepare(snapshot, log).map(|state| {
                        prepared = Some((state, sockets));
                        Prepared
                    });
                    // Whoever asked may have given up; then no commit follows.
                    let _ = reply.send(outcome);
                }
                Some(Command::Commit { reply }) => {
                    if let Some((state, sockets)) = prepared.take() {
                        self.commit(state, sockets, &mut listeners);
                    }
                    let _ = reply.send(());
                }
                Some(Command::Abort) => {
                    prepared = None;
                    self.note_upstreams(&self.state().snapshot.clone());
                }
                Some(Command::Serve(handed)) => accept::take_over(&self, handed),
                Some(Command::QueueReady { filter, queue }) => self.state().queue_ready(&filter, queue),
                Some(Command::Drain { deadline }) => {
                    listeners.close_all().await;
                    self.take_last(&mut commands).await;
                    return self.drain(deadline).await;
                }
                None => return,
            }
        }
    }

    fn prepare(
        self: &Rc<Self>,
        snapshot: Arc<Snapshot>,
        log: Option<WorkerLog>,
    ) -> Result<WorkerState, PrepareError> {
        self.note_upstreams(&snapshot);
        WorkerState::build(self, snapshot, log, &self.state())
    }

    fn note_upstreams(&self, snapshot: &Arc<Snapshot>) {
        let names = snapshot.config.upstreams.iter().map(|upstream| upstream.name.clone()).collect();
        *self.upstream_names.borrow_mut() = names;
    }

    fn commit(self: &Rc<Self>, state: WorkerState, sockets: Vec<BoundListener>, listeners: &mut Listeners) {
        let state = Rc::new(state);
        let old = self.current.replace(state.clone());
        crate::filter::attach(&state.filters, &state.trials);
        for filter in old.running() {
            if !state.running().any(|kept| Rc::ptr_eq(kept, filter)) {
                filter.retire();
            }
        }
        listeners.update(self, &state.snapshot.config.listeners, sockets);
    }

    fn keep_house(&self) {
        self.clock.set(WallClock::now());
        self.date.borrow_mut().update(SystemTime::now());
        self.connections.close_overdue();
        self.metrics.update(self.crew.loads.of(self.id));
        let state = self.state();
        if let Some(log) = &state.log {
            log.flush();
        }
        let now = Instant::now();
        for upstream in &state.upstreams {
            upstream.tend_pools(now);
        }
        for filter in &state.filters {
            filter.tend();
        }
    }

    /// Takes connections that were handed over before this worker began to drain; none comes after that.
    async fn take_last(self: &Rc<Self>, commands: &mut UnboundedReceiver<Command>) {
        commands.close();
        while let Some(command) = commands.recv().await {
            if let Command::Serve(handed) = command {
                accept::take_over(self, handed);
            }
        }
        // Tasks run in the order in which they were spawned: after this one, all connections are known.
        let _ = tokio::task::spawn_local(async {}).await;
    }

    /// Lets requests under way finish until `deadline`, then cuts what is left.
    async fn drain(&self, deadline: Instant) {
        self.draining.set(true);
        self.connections.close_all_gracefully();
        let cut = self.connections.wait_until_empty(deadline).await;
        if cut > 0 {
            tracing::warn!(worker = self.id, connections = cut, "drain time is over: connections were cut");
        }
        self.keep_house();
    }
}
