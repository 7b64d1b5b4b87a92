//! Starting and stopping the whole: which threads there are, in which order they begin and end.

use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::Instant;

use gateway_config::{CacheDirectory, Config};
use proxy_wasm_host::Engine;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;

use crate::compile::{Compile, Compiling};
use crate::control::{
    Admin, AdminSocket, ApplyError, BindError, ConfigSource, Control, Request, SocketError, TokenError,
    TrapReader, bind_admin, prepare_token,
};
use crate::process::Process;
use crate::shared::{Loads, OpenListener, Published};
use crate::telemetry::families;
use crate::worker::{self, Command, CommandSender, Crew};

/// How to start a gateway.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the configuration comes from.
    pub source: ConfigSource,
    /// Number of workers; wins over the configuration. Default: one per core.
    pub workers: Option<usize>,
    /// Who compiles filters.
    pub compiling: Compiling,
    /// Where compiled filters are kept unless the configuration says it; see [`default_cache`](crate::default_cache).
    pub cache: Option<PathBuf>,
}

impl Options {
    /// As many workers as there are cores; filters are compiled in this process and not kept.
    pub const fn new(source: ConfigSource) -> Self {
        Self { source, workers: None, compiling: Compiling::InProcess, cache: None }
    }
}

/// A gateway that serves. Dropping it stops it and waits.
#[derive(Debug)]
pub struct Running {
    requests: mpsc::UnboundedSender<Request>,
    published: Arc<Published>,
    admin: Option<SocketAddr>,
    control: Option<JoinHandle<()>>,
}

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct StartError(#[from] StartErrorKind);

#[derive(Debug, thiserror::Error)]
enum StartErrorKind {
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error(transparent)]
    Admin(#[from] BindError),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error("the WebAssembly engine cannot start: {0}")]
    Engine(#[from] proxy_wasm_host::EngineError),
    #[error("cannot start a process to compile filters in: {0}; the limit of processes may be reached")]
    Compiler(std::io::Error),
    #[error("cannot start a thread: {0}; the limit of threads or memory of this process may be reached")]
    Thread(#[from] std::io::Error),
    #[error("the control thread ended while it was starting; its log lines say why")]
    ControlGone,
}

/// Why a gateway did not end cleanly.
#[derive(Debug, thiserror::Error)]
#[error("the control thread failed; its log lines say why")]
pub struct StopError;

/// Starts workers and the control thread; returns when the first configuration is live and its sockets are open.
///
/// # Errors
/// The configuration is wrong, an address cannot be bound, or the system has no threads to give. Filters that cannot
/// be loaded are no error: their failure policy answers for them.
pub fn start(options: Options) -> Result<Running, StartError> {
    Ok(start_inner(options)?)
}

fn start_inner(options: Options) -> Result<Running, StartErrorKind> {
    let config = match &options.source {
        ConfigSource::File(path) => gateway_config::load(path),
        ConfigSource::Text { text, name, base_dir } => gateway_config::parse_text(text, name, base_dir),
    };
    let config = config.map_err(ApplyError::Config)?;
    let admin_listener = config.admin.map(bind_admin).transpose()?;
    let admin = admin_listener.as_ref().map(TcpListener::local_addr).transpose()?;

    config.admin_changes.token_file.as_deref().map(prepare_token).transpose()?;
    let socket = config.admin_changes.socket.as_deref().map(AdminSocket::open).transpose()?;

    let engine = engine()?;
    let cache = match &config.filters.cache {
        CacheDirectory::Off => None,
        CacheDirectory::At(directory) => Some(directory),
        CacheDirectory::Default => options.cache.as_ref(),
    };
    // Nothing to keep, nothing to make a directory for.
    let cache = cache.filter(|_| config.filters.directory.is_some());
    let cache = Compile::cache(cache.map(PathBuf::as_path), &engine);
    let compile = Compile::start(options.compiling, cache).map_err(StartErrorKind::Compiler)?;
    let process = Process::new(engine, compile);
    let published = Arc::new(Published::default());
    let (requests, asked) = mpsc::unbounded_channel();
    let launch = Launch {
        workers: options.workers.or(config.workers.map(NonZeroUsize::get)).unwrap_or_else(cores),
        process,
        source: options.source,
        config,
        published: published.clone(),
        admin: admin_listener,
        socket,
        asked,
    };
    let (started, starting) = std::sync::mpsc::sync_channel(1);
    let control = std::thread::Builder::new().name("control".to_owned()).spawn(move || {
        if let Err(error) = launch.run(&started) {
            // The caller waits for exactly one message.
            let _ = started.send(Err(error));
        }
    })?;
    match starting.recv() {
        Ok(Ok(())) => Ok(Running { requests, published, admin, control: Some(control) }),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(StartErrorKind::ControlGone),
    }
}

impl Running {
    /// Every open listener, in order of name.
    pub fn listeners(&self) -> Vec<OpenListener> {
        self.published.listeners()
    }

    /// Address of the admin API, unless it is switched off.
    pub const fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Reads configuration and filters again, as after SIGHUP. Returns at once; the log says what came of it.
    pub fn reload(&self) {
        self.ask(Request::Reload);
    }

    /// Opens log files again under their paths, for rotation.
    pub fn reopen_logs(&self) {
        self.ask(Request::ReopenLogs);
    }

    /// Begins to drain: not ready, no new connections, requests under way may finish within the drain time.
    pub fn stop(&self) {
        self.ask(Request::Stop);
    }

    /// Waits until the gateway has ended. Does not stop it: see [`Running::stop`].
    ///
    /// # Errors
    /// The control thread failed.
    pub fn wait(mut self) -> Result<(), StopError> {
        self.control.take().map_or(Ok(()), |control| control.join().map_err(|_| StopError))
    }

    fn ask(&self, request: Request) {
        // A control thread that has ended has nothing left to do.
        let _ = self.requests.send(request);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
        if let Some(control) = self.control.take() {
            // Nobody is left to be told how it ended.
            let _ = control.join();
        }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// How much lower the priority of threads is that start, configure and try filters: a version that computes for the whole of
/// `limits.startCpu` gets what traffic leaves.
const WORK_NICENESS: i32 = 5;

fn yield_to_traffic() {
    // Of this thread alone, on Linux. Where it is not allowed, the thread is as good as others.
    let _ = rustix::process::nice(WORK_NICENESS);
}

/// Machines in slots that are reserved beforehand, unless there is no room for so many.
fn engine() -> Result<Engine, proxy_wasm_host::EngineError> {
    let cores = std::thread::available_parallelism()
        .map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX));
    let slots = cores.saturating_mul(SLOTS_PER_CORE).clamp(MIN_SLOTS, MAX_SLOTS);
    Engine::with_slots(slots).or_else(|error| {
        tracing::warn!(
            "{slots} slots for filters cannot be reserved, each machine gets memory of its own: {error}"
        );
        Engine::new()
    })
}

/// Virtual machines that a process may have; each takes 4 GiB of addresses, and memory as far as it is used.
const SLOTS_PER_CORE: u32 = 512;
const MIN_SLOTS: u32 = 4_096;
const MAX_SLOTS: u32 = 16_384;

/// What the control thread starts from.
struct Launch {
    process: Arc<Process>,
    source: ConfigSource,
    config: Config,
    workers: usize,
    published: Arc<Published>,
    admin: Option<TcpListener>,
    socket: Option<AdminSocket>,
    asked: mpsc::UnboundedReceiver<Request>,
}

type Started = SyncSender<Result<(), StartErrorKind>>;

impl Launch {
    /// The life of the control thread: everything that runs is started and ended here.
    fn run(self, started: &Started) -> Result<(), StartErrorKind> {
        let mut builder = Builder::new_current_thread();
        // The control loop itself is this thread, which has its priority already.
        builder.enable_all().thread_name("control-work").on_thread_start(yield_to_traffic);
        let runtime = builder.build_local(LocalOptions::default())?;
        self.process.starts.on(runtime.handle().clone(), self.workers);
        let build_info = self.process.registry.gauge(&families::BUILD_INFO, &[env!("CARGO_PKG_VERSION")]);
        build_info.set(1);
        let concurrency = self.process.registry.gauge(&families::SERVER_CONCURRENCY, &[]);
        concurrency.set(i64::try_from(self.workers).unwrap_or(i64::MAX));
        let ticker = Ticker::start(self.process.engine.clone())?;
        let mut threads = WorkerThreads::default();
        let outcome = match threads.spawn(&self.process, self.workers) {
            Ok(()) => runtime.block_on(self.serve(threads, started)),
            Err(error) => {
                threads.drain(Instant::now());
                Err(error.into())
            }
        };
        ticker.stop();
        outcome
    }

    /// Serves until asked to stop, then lets the workers finish.
    async fn serve(self, threads: WorkerThreads, started: &Started) -> Result<(), StartErrorKind> {
        let process = self.process;
        let workers = threads.senders.clone();
        let token_file = self.config.admin_changes.token_file.clone();
        let mut control = Control::new(process.clone(), workers, self.source, self.published);
        if let Err(error) = control.start(self.config).await {
            threads.drain(Instant::now());
            return Err(error.into());
        }
        let live = process.registry.gauge(&families::SERVER_LIVE, &[]);
        live.set(1);
        let api = Admin::new(process.clone(), control.filter_status(), control.asks(), token_file);
        let admin = self.admin.map(|listener| tokio::task::spawn_local(api.clone().serve(listener)));
        let on_socket = self.socket.map(|socket| tokio::task::spawn_local(api.serve_socket(socket)));
        let traps = TrapReader::new(process.clone(), control.filter_status());
        let reading = tokio::task::spawn_local(traps.clone().run());
        // Whoever started this may have gone; then the first stop request follows.
        let _ = started.send(Ok(()));
        let drain = control.run(self.asked).await;
        process.set_ready(false);
        live.set(0);
        // Off this thread, so that the admin API still says what goes on.
        let deadline = Instant::now() + drain;
        if tokio::task::spawn_blocking(move || threads.drain(deadline)).await.is_err() {
            tracing::error!("waiting for the workers failed");
        }
        // The last failures, too, are told.
        reading.abort();
        traps.read_all().await;
        // Workers have flushed their last access lines; now they are written.
        control.finish();
        drop((admin, on_socket));
        Ok(())
    }
}

/// The threads of the workers.
#[derive(Default)]
struct WorkerThreads {
    senders: Vec<CommandSender>,
    threads: Vec<JoinHandle<()>>,
}

impl WorkerThreads {
    fn spawn(&mut self, process: &Arc<Process>, count: usize) -> std::io::Result<()> {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..count.max(1)).map(|_| worker::channel()).unzip();
        self.senders.clone_from(&senders);
        let workers: Arc<[CommandSender]> = senders.into();
        let loads = Loads::new(workers.len());
        for (own, commands) in receivers.into_iter().enumerate() {
            let crew = Crew { own, loads: loads.clone(), workers: workers.clone() };
            self.threads.push(worker::spawn(process.clone(), crew, commands)?);
        }
        Ok(())
    }

    fn drain(self, deadline: Instant) {
        for sender in &self.senders {
            // A worker that is gone has drained.
            let _ = sender.send(Command::Drain { deadline });
        }
        for (id, thread) in self.threads.into_iter().enumerate() {
            if thread.join().is_err() {
                tracing::error!(worker = id, "the worker's thread failed");
            }
        }
    }
}

/// The clock of guest deadlines: without it a looping filter would never be stopped.
struct Ticker {
    running: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Ticker {
    fn start(engine: Engine) -> std::io::Result<Self> {
        let running = Arc::new(AtomicBool::new(true));
        let flag = running.clone();
        let thread = std::thread::Builder::new().name("guest-clock".to_owned()).spawn(move || {
            // Here and now, so that no worker has to when the first filter comes.
            crate::clock::calibrate();
            while flag.load(Ordering::Relaxed) {
                // Not oftener than needed: each end of a sleep interrupts a worker.
                std::thread::park_timeout(if engine.is_unused() { Engine::IDLE_TICK } else { Engine::TICK });
                engine.tick();
            }
        })?;
        Ok(Self { running, thread })
    }

    fn stop(self) {
        self.running.store(false, Ordering::Relaxed);
        self.thread.thread().unpark();
        // The loop has nothing that could fail.
        let _ = self.thread.join();
    }
}
