//! From files in the filter directory to filters that workers can run.
//!
//! A file that fails a gate keeps the last good version serving, with the reason in log, status and metric. What a
//! proposal holds is not live before all workers took it.

pub(crate) mod bounds;
mod gate;
mod inspect;
mod ready;
mod rehearsal;
mod remembered;
mod rollout;
mod settings;
mod trials;

pub(crate) use rollout::{Change, ChangeError, trial_json};

pub use inspect::{FilterFinding, check_filters};

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use gateway_config::{Config, Manifest, StateDirectory};
use rollout::{Candidates, Wanted, WantedFile};
use tokio::sync::Notify;

use self::remembered::{Remembered, Required};
use self::settings::Secrets;
use self::trials::Trials;
use super::directory::{self, FileProblem, FileState, Scan, ScanProblem};
use super::versions::{Source, Versions};
use crate::process::Process;
use crate::refusal::{Gate, Refusal};
use crate::shared::{Event, EventKind};
use crate::snapshot::FilterSpec;
use crate::telemetry::{Gauge, families};
use crate::trial::Trial;

/// How long a look waits for what it tries, so that what changes together goes live together.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long the start does. Filters that take longer go live later; until then their policy answers.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// The filters of the process: what is on disk, what serves, and what was refused.
#[derive(Default)]
pub(crate) struct Filters {
    directory: Option<PathBuf>,
    scan: Scan,
    live: LiveFilters,
    /// Filters whose file is gone but that must not go with it.
    missing: BTreeSet<String>,
    /// Refused files and why, so that they are not tried again until they change.
    refused: BTreeMap<String, (FileKey, Refusal)>,
    /// Filters that serve although the configuration has lost what their manifest names, and what that is.
    astray: BTreeMap<String, Refusal>,
    /// Of those filters that have any.
    secrets: BTreeMap<String, Secrets>,
    trials: Trials,
    /// Somebody waits for what is tried of this filter.
    awaited: Option<String>,
    remembered: Remembered,
    /// Versions on trial beside those that serve.
    candidates: Candidates,
    versions: Versions,
    /// Where `versions` were read from.
    opened: Option<(PathBuf, StateDirectory)>,
    gauges: BTreeMap<String, (Arc<str>, Gauge)>,
    /// Whether `versions` are on disk.
    is_kept: Option<Gauge>,
}

type LiveFilters = BTreeMap<String, Rc<Live>>;

struct Live {
    key: FileKey,
    spec: Arc<FilterSpec>,
}

use super::versions::VersionKey as FileKey;

/// One filter for the status page.
pub(crate) struct FilterStatus {
    pub(crate) name: String,
    pub(crate) version: Option<String>,
    pub(crate) state: &'static str,
    /// Why its newest file, or all of it, does not serve.
    pub(crate) error: Option<Refusal>,
    /// What stands for it on the workers; absent if nothing does.
    pub(crate) spec: Option<Arc<FilterSpec>>,
}

/// A filter that readiness waits for.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("filter {filter}: {reason}")]
pub(crate) struct Waiting {
    pub(crate) filter: String,
    /// Why it is not live, on one line.
    pub(crate) reason: String,
}

/// A file in the filter directory that is ignored, or the directory itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Problem {
    pub(crate) file: String,
    pub(crate) error: Refusal,
}

/// A proposed set of filters.
pub(crate) struct Proposal {
    live: LiveFilters,
    candidates: Candidates,
    missing: BTreeSet<String>,
    scan: Scan,
    pub(crate) changed: bool,
    /// Some file is still being written: look again soon.
    pub(crate) unstable: bool,
}

impl Proposal {
    pub(crate) fn specs(&self) -> Vec<Arc<FilterSpec>> {
        self.live.values().map(|live| live.spec.clone()).collect()
    }
}

impl Filters {
    /// Looks at the directory and runs what is new through the gates.
    pub(crate) async fn propose(
        &mut self,
        process: &Arc<Process>,
        config: &Config,
        is_first: bool,
    ) -> Proposal {
        let scan = self.look(process, config).await;
        let wanted = self.wanted(&scan, is_first).await;
        self.begin_trials(process, config, &wanted);
        self.trials.settle(if is_first { START_PATIENCE } else { PATIENCE }).await;
        if let Some(name) = self.awaited.take() {
            self.trials.settle_one(&name, START_PATIENCE).await;
        }
        let (mut live, mut candidates) = (LiveFilters::new(), Candidates::new());
        for (name, file) in &wanted {
            let chosen = self.choose(process, config, name, file, is_first);
            rollout::take(chosen, name, &mut live, &mut candidates);
        }
        let missing = self.keep_what_must_stay(config, &scan, &mut live, is_first);
        let same = |(name, version): (&String, &Rc<Live>)| {
            self.live.get(name).is_some_and(|current| Arc::ptr_eq(&current.spec, &version.spec))
        };
        let is_same = live.len() == self.live.len() && live.iter().all(same);
        let changed = !is_same || !rollout::is_same(&self.candidates, &candidates);
        let unstable = scan.unstable;
        Proposal { live, candidates, missing, scan, changed, unstable }
    }

    /// What serves now, unchanged: for reloads that are not about filters.
    pub(crate) fn serving(&self) -> (Vec<Arc<FilterSpec>>, Vec<Arc<Trial>>) {
        (self.live.values().map(|live| live.spec.clone()).collect(), self.trials())
    }

    /// The proposal serves on all workers.
    pub(crate) fn accept(&mut self, process: &Process, proposal: Proposal) {
        for name in proposal.missing.difference(&self.missing) {
            let message = "the file is gone, but the filter must not be: the last good version serves on";
            process.events.emit(Event::new(EventKind::Missing, name).message(message));
        }
        for name in self.live.keys().filter(|name| !proposal.live.contains_key(*name)) {
            process.events.emit(Event::new(EventKind::Removed, name));
        }
        for (name, new) in &proposal.live {
            // Of files that are there and refused it is said when they are.
            let is_stand_in = new.key.sha256 == FileKey::default().sha256;
            if let Err(reason) = &new.spec.live
                && is_stand_in
                && !self.live.contains_key(name)
            {
                tracing::error!(filter = %name, "{reason}; its failure policy answers");
            }
        }
        self.note_versions(process, &proposal);
        self.scan = proposal.scan;
        self.live = proposal.live;
        self.candidates = proposal.candidates;
        let serves = |name: &str, key: &FileKey| {
            self.live.get(name).is_some_and(|live| live.key == *key && live.spec.live.is_ok())
        };
        self.trials.retain(|name, key| !serves(name, key));
        self.astray.retain(|name, _| self.live.contains_key(name));
        let required = self.live.iter().filter(|(_, live)| live.spec.manifest.required);
        let required: Required =
            required.map(|(name, live)| (name.clone(), live.key.manifest.clone())).collect();
        self.remembered.set(required);
        self.missing = proposal.missing;
        self.gauges.retain(|name, (version, _)| {
            self.live.get(name).is_some_and(|live| live.spec.version == *version && live.spec.live.is_ok())
        });
        for (name, live) in self.live.iter().filter(|(_, live)| live.spec.live.is_ok()) {
            let version = &live.spec.version;
            if !self.gauges.contains_key(name) {
                let gauge = process.registry.gauge(&families::FILTER_LIVE, &[name, version]);
                gauge.set(1);
                self.gauges.insert(name.clone(), (version.clone(), gauge));
            }
        }
    }

    /// A version failed on a worker: it is not proposed again until its file changes.
    pub(crate) fn refuse_proposed(
        &mut self,
        process: &Process,
        proposal: &Proposal,
        name: &str,
        reason: Refusal,
    ) {
        let tried = proposal.candidates.get(name).map(|candidate| &candidate.live);
        if let Some(version) = tried.or_else(|| proposal.live.get(name)) {
            self.refuse(process, name, version.key.clone(), reason);
            self.trials.forget(name);
        }
    }

    /// All that is new in the proposal failed on the workers.
    pub(crate) fn refuse_new(&mut self, process: &Process, proposal: &Proposal, reason: &Refusal) {
        let serves = |name: &String, new: &Rc<Live>| {
            self.live.get(name).is_some_and(|live| Arc::ptr_eq(&live.spec, &new.spec))
        };
        let new = proposal.live.iter().filter(|(name, new)| new.spec.live.is_ok() && !serves(name, new));
        let new: Vec<String> = new.map(|(name, _)| name.clone()).collect();
        for name in new {
            self.refuse_proposed(process, proposal, &name, reason.clone());
        }
    }

    /// Notified whenever something that was tried for long is ready to be looked at.
    pub(crate) fn tried(&self) -> Rc<Notify> {
        self.trials.finished()
    }

    /// Looks whether the configuration, which is another now, still has what the manifests name.
    pub(crate) fn check_references(&mut self, config: &Config) {
        let mut astray = BTreeMap::new();
        for (name, Live { spec, .. }) in self.live.iter().map(|(name, live)| (name, &**live)) {
            let Ok(live) = &spec.live else { continue };
            let Err(refusal) = gate::check_manifest(name, &spec.manifest, &live.sha256, config) else {
                continue;
            };
            if self.astray.get(name) != Some(&refusal) {
                let gate = refusal.gate;
                for line in refusal.message.lines() {
                    tracing::warn!(filter = %name, %gate, "the configuration has changed, and the filter does not fit it any more: {line}");
                }
            }
            astray.insert(name.clone(), refusal);
        }
        self.astray = astray;
    }

    /// Lets the next look wait longer for a version of this filter, as long as the start does.
    pub(crate) fn wait_for(&mut self, name: &str) {
        self.awaited = Some(name.to_owned());
    }

    /// Whether a version of this filter is on its way through the gates.
    pub(crate) fn is_tried(&self, name: &str) -> bool {
        self.trials.is_running(name)
    }

    /// Lets refused files be tried again: the configuration that they may refer to has changed.
    pub(crate) fn forget_refusals(&mut self) {
        self.refused.clear();
    }

    /// All filters known, live or not.
    pub(crate) fn status(&self) -> Vec<FilterStatus> {
        let mut all: BTreeMap<&str, FilterStatus> = BTreeMap::new();
        for (name, Live { spec, .. }) in self.live.iter().map(|(name, live)| (name, &**live)) {
            let (state, error) = match &spec.live {
                Err(reason) => ("not live", Some(reason.clone())),
                Ok(_) if self.missing.contains(name) => {
                    let gone = "its file is gone; the last good version serves on";
                    ("missing", Some(Refusal::at(Gate::Present, gone)))
                }
                Ok(_) => ("live", self.astray.get(name).cloned()),
            };
            let version = spec.live.is_ok().then(|| spec.version.to_string());
            let spec = Some(spec.clone());
            all.insert(name, FilterStatus { name: name.clone(), version, state, error, spec });
        }
        for (name, (_, reason)) in &self.refused {
            let nothing = || FilterStatus {
                name: name.clone(),
                version: None,
                state: "refused",
                error: None,
                spec: None,
            };
            all.entry(name).or_insert_with(nothing).error = Some(reason.clone());
        }
        all.into_values().collect()
    }

    /// Filters that must be there and do not serve, and why.
    pub(crate) fn waiting(&self, config: &Config) -> Vec<Waiting> {
        // One that is tried since the start will most likely go live, and its policy answers until then.
        let must = |name: &str, spec: &FilterSpec| {
            spec.manifest.required || is_expected(config, name) || self.trials.is_running(name)
        };
        let held = self.live.iter().filter(|(name, live)| must(name, &live.spec));
        held.filter_map(|(name, live)| {
            let reason = live.spec.live.as_ref().err()?;
            // A later file may have been refused for another reason.
            let reason = self.refused.get(name).map_or(reason, |(_, reason)| reason);
            let reason = reason.sum().to_owned();
            Some(Waiting { filter: name.clone(), reason })
        })
        .collect()
    }

    /// Files beside the filter directory that filters are configured from.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let manifests = self.scan.filters.values().map(|file| file.manifest.as_deref());
        manifests.flat_map(|manifest| settings::secret_files(manifest, self.directory.as_deref())).collect()
    }

    /// What is ignored in the filter directory, and why.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let directory = self.directory.as_deref().unwrap_or(Path::new("")).display().to_string();
        let lost = self.scan.directory_lost.iter();
        let lost =
            lost.map(|lost| Problem { file: directory.clone(), error: Refusal::at(lost.gate(), lost) });
        let files = self.scan.problems.iter();
        lost.chain(files.map(|problem| {
            let error = Refusal::at(problem.reason.gate(), &problem.reason);
            Problem { file: problem.file.clone(), error }
        }))
        .collect()
    }

    async fn look(&mut self, process: &Process, config: &Config) -> Scan {
        if self.directory != config.filters.directory {
            self.directory.clone_from(&config.filters.directory);
            self.scan = Scan::default();
            let (directory, state) =
                (self.directory.clone().unwrap_or_default(), config.filters.state.clone());
            let opened = tokio::task::spawn_blocking(move || Remembered::open(&state, &directory)).await;
            self.remembered = opened.unwrap_or_default();
        }
        let Some(directory) = self.directory.clone() else { return Scan::default() };
        let place = Some((directory.clone(), config.filters.state.clone()));
        if self.opened != place {
            self.versions.open(&config.filters.state, &directory).await;
            self.opened = place;
        }
        let previous = self.scan.clone();
        let path = directory.clone();
        let scanned = tokio::task::spawn_blocking(move || {
            let scan = directory::scan(&path, &previous);
            let secrets = settings::read_all(&scan, &path);
            (scan, secrets)
        });
        let Ok((scan, secrets)) = scanned.await else { return self.scan.clone() };
        self.secrets = secrets;
        if let Some(lost) = &scan.directory_lost
            && self.scan.directory_lost.as_ref() != Some(lost)
        {
            tracing::error!("the filter directory {} {lost}", directory.display());
        }
        let known = std::mem::take(&mut self.scan.problems);
        for problem in scan.problems.iter().filter(|problem| !known.contains(problem)) {
            self.report(process, problem);
        }
        // Remembered at once, so that a problem is reported once even when nothing else changes.
        self.scan.problems.clone_from(&scan.problems);
        self.scan.directory_lost.clone_from(&scan.directory_lost);
        scan
    }

    fn report(&mut self, process: &Process, problem: &ScanProblem) {
        let is_lone_manifest = matches!(problem.reason, FileProblem::ManifestWithoutModule(_));
        let gate = problem.reason.gate();
        if is_lone_manifest {
            tracing::warn!(%gate, "filter file ignored: {problem}");
        } else {
            let event = Event::new(EventKind::Rejected, problem.filter()).reason(gate.code());
            process.events.emit(event.message(format!("file ignored: {problem}")));
            let refusal = Refusal::at(gate, problem);
            self.versions.refused(problem.filter(), "-", Source::File, &refusal);
        }
        // What is left of a filter that was removed is untidy, and no failure.
        if !(is_lone_manifest && self.live.contains_key(problem.filter())) {
            process.registry.counter(&families::FILTER_LOAD_FAILURES, &[problem.filter(), gate.code()]).inc();
        }
    }

    fn key(&self, name: &str, file: &FileState) -> FileKey {
        FileKey {
            sha256: file.wasm_sha256,
            manifest: file.manifest.clone(),
            secrets: self.secrets.get(name).and_then(Secrets::fingerprint),
        }
    }

    /// Sends what is new on its way through the gates.
    fn begin_trials(&mut self, process: &Arc<Process>, config: &Config, wanted: &Wanted) {
        self.trials.retain(|name, _| wanted.contains_key(name));
        for (name, WantedFile { file, .. }) in wanted {
            let key = self.key(name, file);
            let current = self.live.get(name);
            let serves = current.is_some_and(|current| current.key == key && current.spec.live.is_ok());
            let is_refused = self.refused.get(name).is_some_and(|(refused, _)| *refused == key);
            if serves || is_refused || self.is_candidate(name, &key) || self.trials.has(name, &key) {
                continue;
            }
            let same_module = current.filter(|current| current.key.sha256 == key.sha256);
            let known = same_module.and_then(|current| current.spec.live.as_ref().ok());
            match gate::admit(
                config,
                name,
                file,
                known.map(|live| live.module.clone()),
                self.secrets.get(name),
            ) {
                Ok(candidate) => self.trials.begin(process, key, candidate),
                Err(refusal) => self.refuse(process, name, key, refusal),
            }
        }
    }

    /// The version of a filter that should serve: what is on disk if it passed, else what served before.
    fn version(
        &mut self,
        process: &Arc<Process>,
        config: &Config,
        name: &str,
        file: &FileState,
        is_first: bool,
    ) -> Option<Rc<Live>> {
        let key = self.key(name, file);
        let current = self.live.get(name).cloned();
        if current.as_ref().is_some_and(|current| current.key == key && current.spec.live.is_ok()) {
            self.refused.remove(name);
            return current;
        }
        // At start there is no earlier version, and the filter's policy answers for it.
        let policy = |reason: Refusal| {
            let manifest = file.manifest.as_deref();
            let key = key.clone();
            is_first.then(|| Rc::new(Live { key, spec: Arc::new(gate::not_live(name, manifest, reason)) }))
        };
        if let Some((_, reason)) = self.refused.get(name).filter(|(refused, _)| *refused == key) {
            return current.or_else(|| policy(reason.clone()));
        }
        let Some(outcome) = self.trials.outcome(name, &key) else {
            let not_yet = format!("{name}.wasm: it is still being compiled and tried");
            return current.or_else(|| policy(Refusal::at(Gate::Compile, not_yet)));
        };
        // The configuration may be another than at the beginning.
        let fits = |version: Rc<Live>| {
            gate::check_manifest(name, &version.spec.manifest, &key.sha256, config).map(|()| version)
        };
        match outcome.and_then(fits) {
            Ok(version) => {
                self.refused.remove(name);
                Some(version)
            }
            Err(reason) => {
                self.refuse(process, name, key.clone(), reason.clone());
                self.trials.forget(name);
                current.or_else(|| policy(reason))
            }
        }
    }

    fn refuse(&mut self, process: &Process, name: &str, key: FileKey, reason: Refusal) {
        let version = key.version();
        self.versions.refused(name, &version, Source::File, &reason);
        let rejected = Event::new(EventKind::Rejected, name).version(&version).reason(reason.gate.code());
        process.events.emit(rejected.message(reason.message.as_str()));
        process.registry.counter(&families::FILTER_LOAD_FAILURES, &[name, reason.gate.code()]).inc();
        self.refused.insert(name.to_owned(), (key, reason));
    }

    /// Keeps filters that are required or expected although their file is gone; returns the names of those that serve.
    fn keep_what_must_stay(
        &mut self,
        config: &Config,
        scan: &Scan,
        live: &mut LiveFilters,
        is_first: bool,
    ) -> BTreeSet<String> {
        self.refused.retain(|name, _| scan.filters.contains_key(name));
        let mut missing = BTreeSet::new();
        for (name, version) in self.live.iter().filter(|(name, _)| !scan.filters.contains_key(*name)) {
            let is_live = version.spec.live.is_ok();
            let version = if is_live { version.clone() } else { stand_in(name, scan, Some(version)) };
            let must_stay = version.spec.manifest.required || is_expected(config, name);
            if must_stay && config.filters.directory.is_some() {
                live.insert(name.clone(), version);
                missing.extend(is_live.then(|| name.clone()));
            }
        }
        if is_first {
            for name in must_be_there(config, scan) {
                live.entry(name).or_insert_with_key(|name| stand_in(name, scan, None));
            }
            for (name, manifest) in self.remembered.known() {
                let is_given_up =
                    scan.lone_manifests.get(name).is_some_and(|lone| !is_required(name, &lone.text));
                if !scan.filters.contains_key(name) && !is_given_up {
                    let was = || remembered_stand_in(name, manifest.clone());
                    live.entry(name.clone()).or_insert_with(|| stand_in(name, scan, Some(&was())));
                }
            }
        }
        missing
    }
}

fn is_expected(config: &Config, name: &str) -> bool {
    config.filters.expect.iter().any(|expected| **expected == *name)
}

/// Filters that the configuration expects, and those whose manifest says `required` although there is no module.
fn must_be_there(config: &Config, scan: &Scan) -> Vec<String> {
    let expected = config.filters.expect.iter().map(ToString::to_string);
    let lone = scan.lone_manifests.iter().filter(|(name, lone)| is_required(name, &lone.text));
    expected.chain(lone.map(|(name, _)| name.clone())).collect()
}

fn is_required(name: &str, manifest: &str) -> bool {
    gateway_config::parse_manifest(manifest, name).is_ok_and(|manifest| manifest.required)
}

/// A filter that was required before the restart, and of which there is nothing but its manifest.
fn remembered_stand_in(name: &str, manifest: Option<Arc<str>>) -> Rc<Live> {
    let gone = Refusal::at(
        Gate::Present,
        format!("{name}.wasm was required before the restart, and is not in the filter directory"),
    );
    let spec = Arc::new(gate::not_live(name, manifest.as_deref(), gone));
    Rc::new(Live { key: FileKey { manifest, ..FileKey::default() }, spec })
}

/// Answers by its policy for a filter whose module is not there: by the manifest in the directory, or else the last one.
fn stand_in(name: &str, scan: &Scan, current: Option<&Rc<Live>>) -> Rc<Live> {
    let found = scan.lone_manifests.get(name).map(|lone| lone.text.clone());
    let good = found.filter(|text| gateway_config::parse_manifest(text, name).is_ok());
    let manifest = good.or_else(|| current.and_then(|current| current.key.manifest.clone()));
    let key = FileKey { manifest, ..FileKey::default() };
    if let Some(current) = current.filter(|current| current.key == key) {
        return current.clone();
    }
    let file = format!("{name}.wasm");
    let reason = match scan.problems.iter().find(|problem| problem.file == file) {
        Some(problem) => Refusal::at(problem.reason.gate(), problem),
        None => {
            Refusal::at(Gate::Present, format!("{file} must be there but is not in the filter directory"))
        }
    };
    let spec = Arc::new(gate::not_live(name, key.manifest.as_deref(), reason));
    Rc::new(Live { key, spec })
}

/// What a filter without a readable manifest gets.
fn manifest_or_default(name: &str, text: Option<&str>) -> Manifest {
    text.and_then(|text| gateway_config::parse_manifest(text, name).ok())
        .unwrap_or_else(|| Manifest::default_for(name))
}

#[cfg(test)]
#[path = "filters_tests.rs"]
mod tests;
