//! From files in the filter directory to filters that workers can run.
//!
//! A file that fails a gate keeps the last good version serving, with the reason in log, status and metric. What a
//! proposal holds is not live before all workers took it.

mod gate;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use gateway_config::{Config, Manifest};

use super::directory::{self, FileState, Scan};
use crate::process::Process;
use crate::snapshot::FilterSpec;
use crate::telemetry::{Gauge, families};

/// The filters of the process: what is on disk, what serves, and what was refused.
#[derive(Default)]
pub(crate) struct Filters {
    directory: Option<PathBuf>,
    scan: Scan,
    live: LiveFilters,
    /// Filters whose file is gone but that must not go with it.
    missing: BTreeSet<String>,
    /// Refused files and why, so that they are not tried again until they change.
    refused: BTreeMap<String, (FileKey, String)>,
    gauges: BTreeMap<String, (Arc<str>, Gauge)>,
}

type LiveFilters = BTreeMap<String, Rc<Live>>;

struct Live {
    key: FileKey,
    spec: Arc<FilterSpec>,
}

/// What a version is made of.
#[derive(Clone, PartialEq, Eq, Default)]
struct FileKey {
    sha256: [u8; 32],
    manifest: Option<Arc<str>>,
}

/// One filter for the status page.
pub(crate) struct FilterStatus {
    pub(crate) name: String,
    pub(crate) version: Option<String>,
    pub(crate) state: &'static str,
    pub(crate) error: Option<String>,
}

/// A proposed set of filters.
pub(crate) struct Proposal {
    live: LiveFilters,
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
        let scan = self.look(config).await;
        let mut live = LiveFilters::new();
        for (name, file) in &scan.filters {
            if let Some(version) = self.version(process, config, name, file, is_first).await {
                live.insert(name.clone(), version);
            }
        }
        let missing = self.keep_what_must_stay(config, &scan, &mut live, is_first);
        let same = |(name, version): (&String, &Rc<Live>)| {
            self.live.get(name).is_some_and(|current| Arc::ptr_eq(&current.spec, &version.spec))
        };
        let changed = live.len() != self.live.len() || !live.iter().all(same);
        let unstable = scan.unstable;
        Proposal { live, missing, scan, changed, unstable }
    }

    /// What serves now, unchanged: for reloads that are not about filters.
    pub(crate) fn specs(&self) -> Vec<Arc<FilterSpec>> {
        self.live.values().map(|live| live.spec.clone()).collect()
    }

    /// The proposal serves on all workers.
    pub(crate) fn accept(&mut self, process: &Process, proposal: Proposal) {
        for name in proposal.missing.difference(&self.missing) {
            tracing::warn!(filter = %name, "the file is gone, but the filter must not be: the last good version serves on");
        }
        for name in self.live.keys().filter(|name| !proposal.live.contains_key(*name)) {
            tracing::info!(filter = %name, "filter removed");
        }
        self.scan = proposal.scan;
        self.live = proposal.live;
        self.missing = proposal.missing;
        self.gauges.retain(|name, (version, _)| {
            self.live.get(name).is_some_and(|live| live.spec.version == *version && live.spec.live.is_ok())
        });
        for (name, live) in self.live.iter().filter(|(_, live)| live.spec.live.is_ok()) {
            let version = &live.spec.version;
            if !self.gauges.contains_key(name) {
                tracing::info!(filter = %name, version = %version, "filter is live");
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
        reason: String,
    ) {
        if let Some(version) = proposal.live.get(name) {
            self.refuse(process, name, version.key.clone(), reason);
        }
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
                    ("missing", Some("its file is gone; the last good version serves on".to_owned()))
                }
                Ok(_) => ("live", None),
            };
            let version = spec.live.is_ok().then(|| spec.version.to_string());
            all.insert(name, FilterStatus { name: name.clone(), version, state, error });
        }
        for (name, (_, reason)) in &self.refused {
            let nothing =
                || FilterStatus { name: name.clone(), version: None, state: "refused", error: None };
            all.entry(name).or_insert_with(nothing).error = Some(reason.clone());
        }
        all.into_values().collect()
    }

    async fn look(&mut self, config: &Config) -> Scan {
        if self.directory != config.filters.directory {
            self.directory.clone_from(&config.filters.directory);
            self.scan = Scan::default();
        }
        let Some(directory) = self.directory.clone() else { return Scan::default() };
        let previous = self.scan.clone();
        let scanned = tokio::task::spawn_blocking(move || directory::scan(&directory, &previous)).await;
        let Ok(scan) = scanned else { return self.scan.clone() };
        if let Some(lost) = &scan.directory_lost
            && self.scan.directory_lost.as_ref() != Some(lost)
        {
            tracing::error!("{lost}");
        }
        for problem in scan.problems.iter().filter(|problem| !self.scan.problems.contains(problem)) {
            tracing::error!("filter file ignored: {problem}");
        }
        // Remembered at once, so that a problem is reported once even when nothing else changes.
        self.scan.problems.clone_from(&scan.problems);
        self.scan.directory_lost.clone_from(&scan.directory_lost);
        scan
    }

    /// The version of a filter that should serve: what is on disk if it passes, else what served before.
    async fn version(
        &mut self,
        process: &Arc<Process>,
        config: &Config,
        name: &str,
        file: &FileState,
        is_first: bool,
    ) -> Option<Rc<Live>> {
        let key = FileKey { sha256: file.wasm_sha256, manifest: file.manifest.clone() };
        let current = self.live.get(name).cloned();
        if current.as_ref().is_some_and(|current| current.key == key && current.spec.live.is_ok()) {
            self.refused.remove(name);
            return current;
        }
        if self.refused.get(name).is_some_and(|(refused, _)| *refused == key) {
            return current;
        }
        let same_module = current.as_ref().filter(|current| current.key.sha256 == key.sha256);
        let known =
            same_module.and_then(|current| current.spec.live.as_ref().ok()).map(|live| live.module.clone());
        match gate::pass(process, config, name, file, known).await {
            Ok(spec) => {
                self.refused.remove(name);
                Some(Rc::new(Live { key, spec: Arc::new(spec) }))
            }
            Err(reason) => {
                self.refuse(process, name, key.clone(), reason.clone());
                let policy = || {
                    let manifest = file.manifest.as_deref();
                    Rc::new(Live { key, spec: Arc::new(gate::not_live(name, manifest, reason)) })
                };
                // At start there is no earlier version, and the filter's policy answers for it.
                current.or_else(|| is_first.then(policy))
            }
        }
    }

    fn refuse(&mut self, process: &Process, name: &str, key: FileKey, reason: String) {
        tracing::error!(filter = %name, version = %gate::version(&key.sha256), "filter refused: {reason}");
        process.registry.counter(&families::FILTER_LOAD_FAILURES, &[name]).inc();
        self.refused.insert(name.to_owned(), (key, reason));
    }

    /// Keeps filters that are required or expected although their file is gone; returns their names.
    fn keep_what_must_stay(
        &mut self,
        config: &Config,
        scan: &Scan,
        live: &mut LiveFilters,
        is_first: bool,
    ) -> BTreeSet<String> {
        self.refused.retain(|name, _| scan.filters.contains_key(name));
        let mut missing = BTreeSet::new();
        for (name, version) in &self.live {
            let expected = config.filters.expect.iter().any(|expected| **expected == **name);
            let must_stay = expected || version.spec.manifest.required;
            if !scan.filters.contains_key(name) && must_stay && config.filters.directory.is_some() {
                live.insert(name.clone(), version.clone());
                missing.insert(name.clone());
            }
        }
        for name in &config.filters.expect {
            if !is_first || live.contains_key(&**name) {
                continue;
            }
            let reason = format!("{name}.wasm is expected but not in the filter directory");
            tracing::error!(filter = %name, "{reason}");
            let spec = Arc::new(gate::not_live(name, None, reason));
            live.insert(name.to_string(), Rc::new(Live { key: FileKey::default(), spec }));
        }
        missing
    }
}

/// What a filter without a readable manifest gets.
fn manifest_or_default(name: &str, text: Option<&str>) -> Manifest {
    text.and_then(|text| gateway_config::parse_manifest(text, name).ok())
        .unwrap_or_else(|| Manifest::default_for(name))
}
