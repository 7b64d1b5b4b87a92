//! The control loop: notices changes, builds snapshots, and brings them to all workers in two phases.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use gateway_config::Config;
use tokio::sync::{mpsc, oneshot};

use super::directory::QUIET_TIME;
use super::filters::{FilterStatus, Filters, Proposal};
use super::names::{Names, RESOLVE_INTERVAL, has_names};
use super::sockets::{self, BindError};
use super::watch::Watcher;
use crate::process::Process;
use crate::shared::Published;
use crate::snapshot::{FilterSpec, ResolvedEndpoint, Snapshot};
use crate::telemetry::{AccessLogSink, families};
use crate::worker::{BoundListener, Command, CommandSender, InstanceError, PrepareError};

/// Longest wait for the workers to prepare a snapshot: starting filters is bounded by their own budgets.
const PREPARE_TIMEOUT: Duration = Duration::from_secs(60);
/// Filters of one proposal that may fail on a worker before the rest is given up for this time.
const MAX_REFUSALS_PER_PROPOSAL: usize = 16;

/// Where the configuration comes from.
#[derive(Clone, Debug)]
pub enum ConfigSource {
    /// A file, watched for changes.
    File(PathBuf),
    /// A text that never changes.
    Text {
        /// The configuration.
        text: String,
        /// What messages call it.
        name: String,
        /// What relative paths in it start from.
        base_dir: PathBuf,
    },
}

/// What the rest of the process asks of the control thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Request {
    Reload,
    ReopenLogs,
    Stop,
}

/// Why a configuration did not become live.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    #[error("{0}")]
    Config(gateway_config::Diagnostics),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("the access log cannot be opened: {0}; check the path and its permissions")]
    AccessLog(std::io::Error),
    #[error("a worker cannot serve it: {0}")]
    Prepare(#[from] PrepareError),
    #[error("the workers took longer than {PREPARE_TIMEOUT:?} to prepare")]
    PrepareTimeout,
}

/// The state of the control thread.
pub(crate) struct Control {
    process: Arc<Process>,
    workers: Vec<CommandSender>,
    source: ConfigSource,
    published: Arc<Published>,
    /// The text of the configuration file when it was last looked at.
    text: Option<String>,
    current: Arc<Snapshot>,
    filters: Filters,
    names: Names,
    /// Listeners that are open, with the address they really have.
    open: BTreeMap<(Arc<str>, SocketAddr), SocketAddr>,
    log: Option<AccessLogSink>,
    /// For the admin API.
    filter_status: Rc<RefCell<Vec<FilterStatus>>>,
    revision: u64,
}

impl Control {
    pub(crate) fn new(
        process: Arc<Process>,
        workers: Vec<CommandSender>,
        source: ConfigSource,
        published: Arc<Published>,
    ) -> Self {
        Self {
            process,
            workers,
            source,
            published,
            text: None,
            current: Arc::new(Snapshot::empty()),
            filters: Filters::default(),
            names: Names::default(),
            open: BTreeMap::new(),
            log: None,
            filter_status: Rc::default(),
            revision: 0,
        }
    }

    /// What the admin API shows of filters.
    pub(crate) fn filter_status(&self) -> Rc<RefCell<Vec<FilterStatus>>> {
        self.filter_status.clone()
    }

    /// The first configuration; without one there is nothing to run.
    pub(crate) async fn start(&mut self, config: Config) -> Result<(), ApplyError> {
        if let ConfigSource::File(path) = &self.source {
            self.text = std::fs::read_to_string(path).ok();
        }
        log_warnings(&config);
        self.names.resolve(&config).await;
        self.take_filters(config, true).await?;
        self.process.set_ready(true);
        Ok(())
    }

    /// Follows changes until the process is told to stop. Returns how long requests may still take.
    pub(crate) async fn run(&mut self, mut requests: mpsc::UnboundedReceiver<Request>) -> Duration {
        let mut watched = self.watched();
        let mut watcher = Watcher::new(&watched);
        let mut resolve = tokio::time::interval(RESOLVE_INTERVAL);
        loop {
            tokio::select! {
                request = requests.recv() => match request {
                    Some(Request::Reload) => self.look(true).await,
                    Some(Request::ReopenLogs) => self.reopen_logs(),
                    Some(Request::Stop) | None => return self.current.config.drain,
                },
                () = watcher.changed() => self.look(false).await,
                _ = resolve.tick() => self.resolve_again().await,
            }
            let wanted = self.watched();
            if wanted != watched {
                watcher = Watcher::new(&wanted);
                watched = wanted;
            }
        }
    }

    /// Writes what the workers logged last. Call it when they have ended.
    pub(crate) fn finish(self) {
        if let Some(Err(error)) = self.log.as_ref().map(AccessLogSink::shutdown) {
            tracing::error!("the last access lines could not be written: {error}");
        }
    }

    fn watched(&self) -> Vec<PathBuf> {
        let file = match &self.source {
            ConfigSource::File(path) => Some(path.clone()),
            ConfigSource::Text { .. } => None,
        };
        file.into_iter().chain(self.current.config.filters.directory.clone()).collect()
    }

    /// Looks at everything that may have changed on disk.
    async fn look(&mut self, forced: bool) {
        self.look_at_config(forced).await;
        let config = self.current.config.clone();
        if let Err(error) = self.take_filters(config, false).await {
            tracing::error!("filters stay as they are: {error}");
        }
    }

    async fn look_at_config(&mut self, forced: bool) {
        let ConfigSource::File(path) = self.source.clone() else { return };
        let text = std::fs::read_to_string(&path).ok();
        if !forced && text == self.text {
            return;
        }
        self.text = text;
        let outcome = match gateway_config::load(&path) {
            Ok(config) => self.take_config(config).await,
            Err(errors) => Err(ApplyError::Config(errors)),
        };
        let result = match outcome {
            Ok(()) => "success",
            Err(error) => {
                tracing::error!(
                    "configuration refused, revision {} serves on: {error}",
                    self.current.revision
                );
                "failure"
            }
        };
        self.process.registry.counter(&families::CONFIG_RELOADS, &[result]).inc();
    }

    async fn take_config(&mut self, config: Config) -> Result<(), ApplyError> {
        if config.admin != self.current.config.admin || config.workers != self.current.config.workers {
            tracing::warn!("changes of `admin` and `workers` take effect after a restart");
        }
        log_warnings(&config);
        self.names.resolve(&config).await;
        self.filters.forget_refusals();
        let specs = self.filters.specs();
        self.apply(config, specs).await?;
        tracing::info!(revision = self.current.revision, "configuration is live");
        Ok(())
    }

    /// Takes up what changed in the filter directory.
    async fn take_filters(&mut self, config: Config, is_first: bool) -> Result<(), ApplyError> {
        for _ in 0..MAX_REFUSALS_PER_PROPOSAL {
            let proposal = self.settled_proposal(&config, is_first).await;
            if !proposal.changed && !is_first {
                // Also remembers what was seen, so that it is not read again.
                self.filters.accept(&self.process, proposal);
                break;
            }
            match self.apply(config.clone(), proposal.specs()).await {
                Ok(()) => {
                    self.filters.accept(&self.process, proposal);
                    break;
                }
                Err(ApplyError::Prepare(PrepareError::Filter(error))) => {
                    let name = match &error {
                        InstanceError::NotLive { filter, .. } | InstanceError::Start { filter, .. } => {
                            filter.clone()
                        }
                    };
                    self.filters.refuse_proposed(&self.process, &proposal, &name, error.to_string());
                }
                Err(error) => return Err(error),
            }
        }
        self.filter_status.replace(self.filters.status());
        Ok(())
    }

    /// A proposal of files that are not being written any more, or the best there is after a while.
    async fn settled_proposal(&mut self, config: &Config, is_first: bool) -> Proposal {
        const MAX_LOOKS: usize = 20;
        for _ in 1..MAX_LOOKS {
            let proposal = self.filters.propose(&self.process, config, is_first).await;
            if !proposal.unstable {
                return proposal;
            }
            tokio::time::sleep(QUIET_TIME).await;
        }
        self.filters.propose(&self.process, config, is_first).await
    }

    async fn resolve_again(&mut self) {
        let config = self.current.config.clone();
        if !has_names(&config) {
            return;
        }
        if self.names.resolve(&config).await == self.current.addresses {
            return;
        }
        let specs = self.filters.specs();
        match self.apply(config, specs).await {
            Ok(()) => tracing::info!("upstream addresses changed"),
            Err(error) => tracing::error!("new upstream addresses are not live: {error}"),
        }
    }

    fn reopen_logs(&self) {
        if let Some(log) = &self.log {
            log.reopen();
        }
    }

    /// Builds a snapshot and brings it to all workers: all of them, or none.
    async fn apply(&mut self, config: Config, specs: Vec<Arc<FilterSpec>>) -> Result<(), ApplyError> {
        let addresses: Vec<Vec<ResolvedEndpoint>> = self.names.addresses(&config);
        let mut sockets = self.bind_missing(&config)?;
        let new_log = self.new_log(&config)?;
        self.revision += 1;
        let snapshot = Arc::new(Snapshot::new(self.revision, config, addresses, specs));
        let bound: Vec<_> = sockets.iter().flat_map(|sockets| sockets.first()).map(address_of).collect();

        let log = new_log.as_ref().unwrap_or(&self.log);
        let mut replies = Vec::with_capacity(self.workers.len());
        for (id, worker) in self.workers.iter().enumerate() {
            let (reply, answer) = oneshot::channel();
            let sockets = sockets.iter_mut().filter_map(Vec::pop).collect();
            let log = log.as_ref().map(AccessLogSink::worker);
            if !worker.send(Command::Prepare { snapshot: snapshot.clone(), sockets, log, reply }) {
                self.abort();
                return Err(PrepareError::WorkerGone(id).into());
            }
            replies.push(answer);
        }
        if let Err(error) = all_prepared(replies).await {
            self.abort();
            return Err(error);
        }
        self.commit().await;
        if let Some(log) = new_log {
            let old = std::mem::replace(&mut self.log, log);
            if let Some(Err(error)) = old.as_ref().map(AccessLogSink::shutdown) {
                tracing::error!("the last lines of the old access log could not be written: {error}");
            }
        }
        let wanted = &snapshot.config.listeners;
        self.open.retain(|(name, bind), _| wanted.iter().any(|l| l.name == *name && l.bind == *bind));
        self.open.extend(bound.into_iter().flatten());
        let listeners = self.open.iter().map(|((name, _), address)| (name.to_string(), *address));
        self.published.set_listeners(listeners.collect());
        self.current = snapshot;
        Ok(())
    }

    /// Sockets for listeners that are not open yet: for each listener one per worker.
    fn bind_missing(&self, config: &Config) -> Result<Vec<Vec<BoundListener>>, BindError> {
        let missing = config
            .listeners
            .iter()
            .filter(|listener| !self.open.contains_key(&(listener.name.clone(), listener.bind)));
        missing
            .map(|listener| {
                let sockets = sockets::bind(&listener.name, listener.bind, self.workers.len())?;
                let bound =
                    |socket| BoundListener { name: listener.name.clone(), bind: listener.bind, socket };
                Ok(sockets.into_iter().map(bound).collect())
            })
            .collect()
    }

    /// The access log that `config` asks for, if it is not the current one.
    fn new_log(&self, config: &Config) -> Result<Option<Option<AccessLogSink>>, ApplyError> {
        if config.access_log == self.current.config.access_log {
            return Ok(None);
        }
        AccessLogSink::of(&config.access_log, self.process.registry.clone())
            .map(Some)
            .map_err(ApplyError::AccessLog)
    }

    fn abort(&self) {
        for worker in &self.workers {
            // A worker that is gone has nothing to forget.
            let _ = worker.send(Command::Abort);
        }
    }

    async fn commit(&self) {
        let mut replies = Vec::with_capacity(self.workers.len());
        for worker in &self.workers {
            let (reply, done) = oneshot::channel();
            if worker.send(Command::Commit { reply }) {
                replies.push(done);
            }
        }
        for done in replies {
            // A worker that ends meanwhile serves nothing any more.
            let _ = done.await;
        }
    }
}

/// One line each: the place says where to look.
fn log_warnings(config: &Config) {
    for warning in &config.warnings {
        match &warning.place {
            Some(place) => tracing::warn!("{}:{}: {}", place.file, place.line, warning.message),
            None => tracing::warn!("{}", warning.message),
        }
    }
}

type OpenListener = ((Arc<str>, SocketAddr), SocketAddr);

fn address_of(bound: &BoundListener) -> Option<OpenListener> {
    Some(((bound.name.clone(), bound.bind), bound.socket.local_addr().ok()?))
}

async fn all_prepared(
    replies: Vec<oneshot::Receiver<Result<crate::worker::Prepared, PrepareError>>>,
) -> Result<(), ApplyError> {
    let all = async {
        for (id, reply) in replies.into_iter().enumerate() {
            reply.await.map_err(|_| PrepareError::WorkerGone(id))??;
        }
        Ok::<_, PrepareError>(())
    };
    match tokio::time::timeout(PREPARE_TIMEOUT, all).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(ApplyError::PrepareTimeout),
    }
}
