//! The control loop: notices changes, builds snapshots, and brings them to all workers in two phases.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use gateway_config::{AccessLogTarget, Config, Diagnostics};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::admin::Status;
use super::apply_error::{ApplyError, PREPARE_TIMEOUT};
use super::certificates::Certificates;
use super::changes::Changes;
use super::directory::QUIET_TIME;
use super::filters::{Change, ChangeError, Filters, Proposal};
use super::health::HealthChecks;
use super::names::{Names, RESOLVE_INTERVAL, has_names};
use super::readiness::{self, READY_TIMEOUT, Readiness};
use super::reloads::{self, Begun, Cause, Failure};
use super::sockets::{self, BindError};
use super::upstreams::UpstreamStatus;
use super::watch::Watcher;
use super::webhook;
use crate::filter::start_sets;
use crate::process::Process;
use crate::refusal::{Gate, Refusal};
use crate::shared::{OpenListener, Published};
use crate::snapshot::{FilterSpec, ListenerSocket, ResolvedEndpoint, Snapshot};
use crate::telemetry::{AccessLogSink, families};
use crate::trial::Trial;
use crate::worker::{BoundListener, Command, CommandSender, InstanceError, PrepareError};

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

/// A change that somebody asks for through the admin API.
pub(crate) struct Asked {
    pub(crate) change: Change,
    pub(crate) filter: String,
    pub(crate) version: Option<String>,
    pub(crate) reply: oneshot::Sender<Result<String, ChangeError>>,
}

/// Changes that wait to be made; a further one waits to wait.
const MAX_ASKED: usize = 16;
/// How often versions on trial are judged.
const JUDGE_INTERVAL: Duration = Duration::from_millis(100);

/// The state of the control thread.
pub(crate) struct Control {
    process: Arc<Process>,
    workers: Vec<CommandSender>,
    source: ConfigSource,
    published: Arc<Published>,
    /// What the configuration file was when it was last looked at; its errors are those of reading it.
    seen: Option<Result<String, Diagnostics>>,
    current: Arc<Snapshot>,
    certificates: Certificates,
    /// Refused only because certificates that it names were not good; taken up when they are.
    awaiting: Option<Config>,
    filters: Filters,
    names: Names,
    health: HealthChecks,
    /// Listeners that are open, with the address they really have.
    open: BTreeMap<ListenerSocket, SocketAddr>,
    log: Option<AccessLogSink>,
    /// For the admin API.
    status: Rc<RefCell<Status>>,
    revision: u64,
    /// Who is told of events.
    listener: tokio::sync::watch::Sender<Option<webhook::Listener>>,
    asked: Option<mpsc::Receiver<Asked>>,
    ask: mpsc::Sender<Asked>,
}

impl Control {
    pub(crate) fn new(
        process: Arc<Process>,
        workers: Vec<CommandSender>,
        source: ConfigSource,
        published: Arc<Published>,
    ) -> Self {
        let (ask, asked) = mpsc::channel(MAX_ASKED);
        let listener = tokio::sync::watch::Sender::new(None);
        tokio::task::spawn_local(webhook::tell(process.clone(), listener.subscribe()));
        Self {
            listener,
            asked: Some(asked),
            ask,
            process,
            workers,
            source,
            published,
            seen: None,
            current: Arc::new(Snapshot::empty()),
            certificates: Certificates::default(),
            awaiting: None,
            filters: Filters::default(),
            names: Names::default(),
            health: HealthChecks::default(),
            open: BTreeMap::new(),
            log: None,
            status: Rc::default(),
            revision: 0,
        }
    }

    /// What the admin API shows of filters.
    pub(crate) fn filter_status(&self) -> Rc<RefCell<Status>> {
        self.status.clone()
    }

    /// Where changes are asked for.
    pub(crate) fn asks(&self) -> mpsc::Sender<Asked> {
        self.ask.clone()
    }

    /// The first configuration; without one there is nothing to run.
    pub(crate) async fn start(&mut self, config: Config) -> Result<(), ApplyError> {
        if let ConfigSource::File(path) = &self.source {
            self.seen = Some(gateway_config::read_config(path));
        }
        reloads::log_warnings(&config);
        let begun = Begun::now(Cause::Start);
        self.names.resolve(&config).await;
        // What is wrong with a certificate is logged, and concerns its hosts only: the rest must come up.
        self.certificates.look(&config);
        let before = self.take_filters(&config, true).await?;
        self.note(begun, Ok(before));
        self.update_readiness();
        for waiting in &self.status.borrow().waiting {
            tracing::warn!("not ready for at most {READY_TIMEOUT:?} from the start: waiting for {waiting}");
        }
        Ok(())
    }

    /// Follows changes until the process is told to stop. Returns how long requests may still take.
    pub(crate) async fn run(&mut self, mut requests: mpsc::UnboundedReceiver<Request>) -> Duration {
        let mut watched = self.watched();
        let mut watcher = Watcher::new(&watched);
        let mut resolve = tokio::time::interval_at(Instant::now() + RESOLVE_INTERVAL, RESOLVE_INTERVAL);
        let tried = self.filters.tried();
        let give_up = Instant::from_std(self.process.started + READY_TIMEOUT);
        // Taken once; without it nobody could ask.
        let Some(mut asked) = self.asked.take() else { return self.current.config.drain };
        loop {
            tokio::select! {
                request = requests.recv() => match request {
                    Some(Request::Reload) => self.look(true).await,
                    Some(Request::ReopenLogs) => self.reopen_logs(),
                    Some(Request::Stop) | None => {
                        // Nobody waits for filters any more.
                        self.status.borrow_mut().waiting.clear();
                        self.filters.leave();
                        return self.current.config.drain;
                    }
                },
                () = watcher.changed() => self.look(false).await,
                Some(asked) = asked.recv() => self.change(asked).await,
                () = tokio::time::sleep(JUDGE_INTERVAL), if self.filters.has_trials() => {
                    if self.filters.judge(&self.process) { self.look_at_filters().await; }
                }
                () = tried.notified() => self.look_at_filters().await,
                _ = resolve.tick() => self.resolve_again().await,
                () = tokio::time::sleep_until(give_up), if !self.process.is_ready() => self.update_readiness(),
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
        let configs = [Some(&self.current.config), self.awaiting.as_ref()].into_iter().flatten();
        let certificates = configs.flat_map(Certificates::files);
        let directory = self.current.config.filters.directory.clone();
        file.into_iter().chain(directory).chain(certificates).chain(self.filters.files()).collect()
    }

    /// Looks at everything that may have changed on disk.
    async fn look(&mut self, forced: bool) {
        self.look_at_config(forced).await;
        self.look_at_certificates().await;
        self.look_at_filters().await;
    }

    /// Makes a change that somebody asked for.
    async fn change(&mut self, Asked { change, filter, version, reply }: Asked) {
        let mut done = self.filters.change(&self.process, change, &filter, version.as_deref());
        if let Ok(words) = &mut done {
            self.filters.wait_for(&filter);
            self.look_at_filters().await;
            if self.filters.is_tried(&filter) {
                words.push_str("; it is still being tried, and serves when it has passed");
            }
        }
        // Whoever asked may have gone; the log says what was done.
        let _ = reply.send(done);
    }

    async fn look_at_filters(&mut self) {
        let begun = Begun::now(Cause::Filters);
        // Not a copy: this is done every now and then, and most often there is nothing to do.
        let current = self.current.clone();
        let outcome = self.take_filters(&current.config, false).await;
        self.note(begun, outcome);
        self.update_readiness();
    }

    /// Turns ready once, and stays so until the drain.
    fn update_readiness(&self) {
        if self.process.is_ready() {
            return;
        }
        let waiting = self.filters.waiting(&self.current.config);
        match readiness::decide(&waiting, self.process.started.elapsed()) {
            Readiness::Waiting => self.status.borrow_mut().waiting = waiting,
            Readiness::Ready => {
                let waited = std::mem::take(&mut self.status.borrow_mut().waiting);
                if !waited.is_empty() {
                    tracing::info!("ready: all required and expected filters are live");
                }
                self.process.set_ready(true);
            }
            Readiness::GivenUp => {
                for waiting in waiting {
                    tracing::error!(
                        "ready after {READY_TIMEOUT:?}, but without {waiting}; its failure policy answers"
                    );
                }
                self.status.borrow_mut().waiting.clear();
                self.process.set_ready(true);
            }
        }
    }

    async fn look_at_config(&mut self, forced: bool) {
        let ConfigSource::File(path) = self.source.clone() else { return };
        let read = gateway_config::read_config(&path);
        if !forced && self.seen.as_ref() == Some(&read) {
            return;
        }
        self.seen = Some(read.clone());
        let begun = Begun::now(Cause::Configuration);
        let outcome = match read.and_then(|text| gateway_config::parse_config(&text, &path)) {
            Ok(config) => self.take_config(config).await,
            Err(errors) => Err(ApplyError::Config(errors)),
        };
        self.note_config(begun, outcome);
    }

    fn note_config(&self, begun: Begun, outcome: Result<Replaced, ApplyError>) {
        let result = if outcome.is_ok() { "success" } else { "failure" };
        self.note(begun, outcome);
        self.process.registry.counter(&families::CONFIG_RELOADS, &[result]).inc();
    }

    /// Says in log and status what came of it, unless there was nothing to do.
    fn note(&self, begun: Begun, outcome: Result<Replaced, ApplyError>) {
        let took = begun.took();
        let outcome = match outcome {
            Ok(None) => return,
            Ok(Some(before)) => Ok(Changes::between(&before, &self.current)),
            Err(error) => Err(Failure::of(&error)),
        };
        let reload = begun.ended(self.current.revision, took, outcome);
        reload.log();
        self.status.borrow_mut().reloads.note(reload);
    }

    /// Takes up certificates and keys that changed.
    async fn look_at_certificates(&mut self) {
        if let Some(config) = self.awaiting.take() {
            let begun = Begun::now(Cause::Configuration);
            if self.certificates.look(&config) {
                let outcome = self.take_config(config).await;
                self.note_config(begun, outcome);
            } else {
                self.awaiting = Some(config);
            }
        }
        let begun = Begun::now(Cause::Certificates);
        self.certificates.look(&self.current.config);
        // Not what this look alone brought: one for a configuration that was refused may have seen it first.
        if self.certificates.is_ahead() {
            let config = self.current.config.clone();
            let (specs, trials) = self.filters.serving();
            let outcome = self.apply(config, specs, trials).await;
            self.note(begun, outcome);
        }
        self.certificates.measure(&self.process.registry);
    }

    async fn take_config(&mut self, config: Config) -> Result<Replaced, ApplyError> {
        self.awaiting = None;
        self.certificates.look(&config);
        let unusable = self.certificates.newly_unusable(&config, &self.current.config);
        if !unusable.is_empty() {
            self.awaiting = Some(config);
            return Err(ApplyError::Certificates(unusable));
        }
        let current = &self.current.config;
        let is_admin_other = config.admin != current.admin || config.admin_changes != current.admin_changes;
        if is_admin_other || config.workers != self.current.config.workers {
            tracing::warn!("changes of `admin` and `workers` take effect after a restart");
        }
        reloads::log_warnings(&config);
        self.names.resolve(&config).await;
        self.filters.forget_refusals();
        if config.filters.cache != self.current.config.filters.cache {
            tracing::warn!("changes of `filters.cache` take effect after a restart");
        }
        let (specs, trials) = self.filters.serving();
        let applied = self.apply(config, specs, trials).await;
        self.filters.check_references(&self.current.config);
        applied
    }

    /// Takes up what changed in the filter directory.
    async fn take_filters(&mut self, config: &Config, is_first: bool) -> Result<Replaced, ApplyError> {
        let mut replaced = None;
        for _ in 0..MAX_REFUSALS_PER_PROPOSAL {
            let proposal = self.settled_proposal(config, is_first).await;
            if !proposal.changed && !is_first {
                // Also remembers what was seen, so that it is not read again.
                self.filters.accept(&self.process, proposal);
                break;
            }
            match self.apply(config.clone(), proposal.specs(), proposal.trials()).await {
                Ok(before) => {
                    self.filters.accept(&self.process, proposal);
                    replaced = before;
                    break;
                }
                Err(ApplyError::Prepare(PrepareError::Filter(error))) => {
                    let name = match &error {
                        InstanceError::NotLive { filter, .. }
                        | InstanceError::Start { filter, .. }
                        | InstanceError::Starting { filter, .. }
                        | InstanceError::Busy { filter } => filter.clone(),
                    };
                    let refusal = Refusal::at(Gate::Prepare, error);
                    self.filters.refuse_proposed(&self.process, &proposal, &name, refusal);
                }
                Err(error) => {
                    if let ApplyError::PrepareTimeout = error {
                        // Nobody knows which one it was; none is tried again as it is.
                        let refusal = Refusal::at(Gate::Commit, &error);
                        self.filters.refuse_new(&self.process, &proposal, &refusal);
                    }
                    return Err(error);
                }
            }
        }
        {
            let mut status = self.status.borrow_mut();
            status.trials = self.filters.trials();
            status.histories = self.filters.histories();
            status.filters = self.filters.status();
            status.problems = self.filters.problems();
        }
        self.filters.save(&self.process).await;
        Ok(replaced)
    }

    /// A proposal of files that are not being written any more, or the best there is after a while.
    async fn settled_proposal(&mut self, config: &Config, is_first: bool) -> Proposal {
        const MAX_LOOKS: usize = 10;
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
        let begun = Begun::now(Cause::Addresses);
        let current = self.current.clone();
        if !has_names(&current.config) || self.names.resolve(&current.config).await == current.addresses {
            return;
        }
        let config = current.config.clone();
        let (specs, trials) = self.filters.serving();
        let outcome = self.apply(config, specs, trials).await;
        self.note(begun, outcome);
    }

    fn reopen_logs(&self) {
        if let Some(log) = &self.log {
            log.reopen();
        }
    }

    /// Builds a snapshot and brings it to all workers: all of them, or none.
    async fn apply(
        &mut self,
        config: Config,
        specs: Vec<Arc<FilterSpec>>,
        trials: Vec<Arc<Trial>>,
    ) -> Result<Replaced, ApplyError> {
        let addresses: Vec<Vec<ResolvedEndpoint>> = self.names.addresses(&config);
        let mut sockets = self.bind_missing(&config)?;
        let new_log = self.new_log(&config)?;
        self.revision += 1;
        let tls = self.certificates.build(&config);
        let snapshot = Snapshot::new(self.revision, config, addresses, tls, specs).trying(&trials);
        let snapshot = Arc::new(snapshot);
        let starting = timeout(PREPARE_TIMEOUT, start_sets(&self.process, &self.current, &snapshot));
        starting.await.map_err(|_| ApplyError::PrepareTimeout)?.map_err(PrepareError::from)?;
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
        self.open.retain(|socket, _| wanted.iter().any(|listener| ListenerSocket::of(listener) == *socket));
        self.open.extend(bound.into_iter().flatten());
        let opened = wanted.iter().filter_map(|listener| {
            let address = *self.open.get(&ListenerSocket::of(listener))?;
            Some(OpenListener { name: listener.name.to_string(), address, is_tls: listener.tls.is_some() })
        });
        let mut opened: Vec<_> = opened.collect();
        opened.sort_by(|a, b| a.name.cmp(&b.name));
        self.published.set_listeners(opened);
        self.health.update(&snapshot, &self.process);
        self.listener.send_replace(webhook::Listener::of(&snapshot));
        self.status.borrow_mut().upstreams = UpstreamStatus::of(&snapshot, &self.process);
        self.certificates.committed(&snapshot.config);
        self.certificates.measure(&self.process.registry);
        Ok(Some(std::mem::replace(&mut self.current, snapshot)))
    }

    /// Sockets for listeners that are not open yet: for each listener one per worker.
    fn bind_missing(&self, config: &Config) -> Result<Vec<Vec<BoundListener>>, BindError> {
        let missing =
            config.listeners.iter().filter(|listener| !self.open.contains_key(&ListenerSocket::of(listener)));
        missing
            .map(|listener| {
                let sockets = sockets::bind(&listener.name, listener.bind, self.workers.len())?;
                let bound = |socket| BoundListener { listener: ListenerSocket::of(listener), socket };
                Ok(sockets.into_iter().map(bound).collect())
            })
            .collect()
    }

    /// The access log that `config` asks for, if it is not the current one.
    fn new_log(&self, config: &Config) -> Result<Option<Option<AccessLogSink>>, ApplyError> {
        if config.access_log == self.current.config.access_log {
            return Ok(None);
        }
        AccessLogSink::of(&config.access_log, self.process.registry.clone()).map(Some).map_err(|error| {
            let target = match &config.access_log.to {
                AccessLogTarget::File(path) => path.display().to_string(),
                AccessLogTarget::Stdout | AccessLogTarget::Off => "on standard output".to_owned(),
            };
            ApplyError::AccessLog { target, error }
        })
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

/// What served before; `None` when nothing was to be done.
type Replaced = Option<Arc<Snapshot>>;

fn address_of(bound: &BoundListener) -> Option<(ListenerSocket, SocketAddr)> {
    Some((bound.listener.clone(), bound.socket.local_addr().ok()?))
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
    match timeout(PREPARE_TIMEOUT, all).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(ApplyError::PrepareTimeout),
    }
}
