//! Which version of a filter is proposed: the file's, one on trial beside the one that serves, or one that is kept.
//!
//! Decides with what [`Versions`] remembers; the gates decide whether a version is fit at all.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use gateway_config::{Config, Rollout};
use serde_json::{Value, json};

use super::{FileKey, Filters, Live, LiveFilters, Proposal};
use crate::control::directory::{FileState, Scan};
use crate::control::versions::{self, Source};
use crate::process::Process;
use crate::shared::{Event, EventKind, Side};
use crate::telemetry::families;
use crate::trial::{Cause, Judgement, Plan, Trial};

/// Files by the name of their filter.
pub(super) type Wanted = BTreeMap<String, WantedFile>;

/// A file that is to be run through the gates.
pub(super) struct WantedFile {
    pub(super) file: FileState,
    /// It stands in the place of the one in the directory: somebody chose it, so that it is not tried first.
    pub(super) is_kept: bool,
}

pub(super) type Candidates = BTreeMap<String, Rc<Candidate>>;

/// A version on trial.
pub(super) struct Candidate {
    pub(super) live: Rc<Live>,
    pub(super) trial: Arc<Trial>,
}

/// What is proposed for one filter.
pub(super) struct Chosen {
    pub(super) live: Option<Rc<Live>>,
    pub(super) candidate: Option<Rc<Candidate>>,
}

impl Chosen {
    const fn only(live: Option<Rc<Live>>) -> Self {
        Self { live, candidate: None }
    }
}

/// What somebody asks for through the admin API.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    /// Back to an earlier version, or away with the one on trial.
    Rollback,
    /// The version on trial, or one that was rolled back, serves.
    Promote,
    /// A version serves whatever the file says.
    Pin,
    Unpin,
}

/// Why a change was not made.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    #[error("there is no filter `{0}`{1}")]
    NoFilter(String, String),
    #[error("filter {0} has no version `{1}` that is kept{2}")]
    NoVersion(String, String, String),
    #[error("`{1}` is the beginning of several versions of filter {0}; write more of it")]
    Ambiguous(String, String),
    #[error("{0}")]
    Impossible(String),
}

impl Filters {
    /// The files to be run through the gates: those of the directory, or kept ones in their place.
    pub(super) async fn wanted(&mut self, scan: &Scan, is_first: bool) -> Wanted {
        let mut wanted = Wanted::new();
        for (name, file) in &scan.filters {
            let version = FileKey::of(file).version();
            let instead = match self.versions.instead_of(name, &version) {
                None if is_first => self.before_restart(name, file, &version),
                instead => instead,
            };
            let is_kept = instead.is_some();
            let file = match instead {
                Some(instead) => self.kept_file(name, &instead, file).await,
                None => file.clone(),
            };
            wanted.insert(name.clone(), WantedFile { file, is_kept });
        }
        wanted
    }

    /// The versions that should serve and be tried, of a file that is wanted.
    pub(super) fn choose(
        &mut self,
        process: &Arc<Process>,
        config: &Config,
        name: &str,
        WantedFile { file, is_kept }: &WantedFile,
        is_first: bool,
    ) -> Chosen {
        let key = FileKey::of(file);
        let version = key.version();
        let current = self.live.get(name).filter(|current| current.spec.live.is_ok()).cloned();
        if let Some(candidate) =
            self.candidates.get(name).filter(|candidate| candidate.live.key == key).cloned()
        {
            return match current {
                Some(current) if !self.versions.is_promoted(name, &version) => {
                    Chosen { live: Some(current), candidate: Some(candidate) }
                }
                _ => Chosen::only(Some(candidate.live.clone())),
            };
        }
        let found = self.version(process, config, name, file, is_first);
        let (Some(serving), Some(found)) = (&current, &found) else { return Chosen::only(found.or(current)) };
        match self.plan(name, serving, found).filter(|_| !is_kept && !Rc::ptr_eq(serving, found)) {
            Some(plan) => {
                let trial = Trial::new(found.spec.clone(), plan);
                let candidate = Rc::new(Candidate { live: found.clone(), trial });
                Chosen { live: Some(serving.clone()), candidate: Some(candidate) }
            }
            None => Chosen::only(Some(found.clone())),
        }
    }

    pub(super) fn is_candidate(&self, name: &str, key: &FileKey) -> bool {
        self.candidates.get(name).is_some_and(|candidate| candidate.live.key == *key)
    }

    /// How `found` is tried beside `serving`, if it is.
    fn plan(&self, name: &str, serving: &Live, found: &Live) -> Option<Plan> {
        let plan = match &found.spec.manifest.rollout {
            Rollout::AtOnce => return None,
            Rollout::Canary(canary) => Plan::Canary(canary.clone()),
            Rollout::Shadow(shadow) => Plan::Shadow(shadow.clone()),
        };
        let mut manifest = serving.spec.manifest.clone();
        manifest.rollout.clone_from(&found.spec.manifest.rollout);
        // Of a version that differs in `rollout` alone there is nothing to compare.
        let is_same = serving.key.sha256 == found.key.sha256 && manifest == found.spec.manifest;
        (!is_same && !self.versions.is_promoted(name, &found.key.version())).then_some(plan)
    }

    /// What served before the restart, if the file is another version that is to be tried first.
    fn before_restart(&self, name: &str, file: &FileState, version: &str) -> Option<String> {
        let last = self.versions.last_live(name).filter(|last| *last != version)?;
        let manifest = super::manifest_or_default(name, file.manifest.as_deref());
        self.versions.record(name)?.kept(last)?;
        (manifest.rollout != Rollout::AtOnce).then(|| last.to_owned())
    }

    /// A kept version as if it were the file; what serves goes on where it cannot be had.
    async fn kept_file(&self, name: &str, version: &str, file: &FileState) -> FileState {
        let kept = |wasm, key: FileKey| FileState {
            wasm,
            wasm_sha256: key.sha256,
            manifest: key.manifest,
            signature: file.signature,
            manifest_signature: None,
        };
        let current = self.live.get(name).filter(|current| current.spec.live.is_ok());
        if let Some(current) = current.filter(|current| current.key.version() == version) {
            // It serves: nobody needs its bytes.
            return kept(Arc::from([]), current.key.clone());
        }
        match self.versions.read(name, version).await {
            Ok((wasm, key)) => kept(wasm, key),
            Err(error) => {
                tracing::error!(filter = %name, %version, "the version that should serve cannot be read: {error}");
                match current {
                    Some(current) => kept(Arc::from([]), current.key.clone()),
                    None => file.clone(),
                }
            }
        }
    }

    /// Writes into the history what a proposal changes, and tells it.
    pub(super) fn note_versions(&mut self, process: &Process, proposal: &Proposal) {
        for (name, new) in proposal.live.iter().filter(|(_, new)| new.spec.live.is_ok()) {
            self.note_live(process, name, new, &proposal.scan, &proposal.candidates);
        }
        for (name, old) in
            self.live.iter().filter(|(name, old)| old.spec.live.is_ok() && !proposal.live.contains_key(*name))
        {
            self.versions.ended(name, &old.key.version(), Some("removed"), "its file was removed");
        }
        for (name, old) in &self.candidates {
            let goes_on = proposal.candidates.get(name).is_some_and(|new| Rc::ptr_eq(new, old));
            let is_live = proposal.live.get(name).is_some_and(|live| Rc::ptr_eq(live, &old.live));
            if !goes_on && !is_live {
                self.versions.ended(
                    name,
                    &old.live.key.version(),
                    Some("replaced"),
                    "the file changed during the trial",
                );
            }
        }
        for (name, new) in &proposal.candidates {
            if self.candidates.get(name).is_some_and(|old| Rc::ptr_eq(new, old)) {
                continue;
            }
            let (how, what) = match &new.trial.plan {
                Plan::Canary(canary) => {
                    let share = f64::from(canary.share) / 100.0;
                    ("canary", format!("it gets {share} % of the requests for at least {:?}", canary.window))
                }
                Plan::Shadow(shadow) => {
                    let share = f64::from(shadow.share) / 100.0;
                    (
                        "shadow",
                        format!("it sees copies of {share} % of the requests until somebody promotes it"),
                    )
                }
            };
            let version = new.live.key.version();
            self.versions.tried(name, &version, how);
            process
                .events
                .emit(Event::new(EventKind::Canary, name).version(&version).reason(how).message(what));
        }
    }

    fn note_live(&mut self, process: &Process, name: &str, new: &Live, scan: &Scan, candidates: &Candidates) {
        let version = new.key.version();
        let old = self.live.get(name).filter(|old| old.spec.live.is_ok());
        if old.is_some_and(|old| old.key == new.key) {
            return;
        }
        let file = scan.filters.get(name);
        let wasm = file.filter(|file| file.wasm_sha256 == new.key.sha256).map(|file| file.wasm.clone());
        let record = self.versions.record(name);
        let source = match record {
            Some(record) if record.pinned.as_deref() == Some(&*version) => Source::Pin,
            Some(record) if record.held.as_deref() == Some(&*version) => Source::Rollback,
            _ => Source::File,
        };
        let was_tried = self.candidates.get(name).is_some_and(|candidate| candidate.live.key == new.key);
        let kind =
            if was_tried && !candidates.contains_key(name) { EventKind::Promoted } else { EventKind::Loaded };
        process.events.emit(Event::new(kind, name).version(&version).reason(source.word()));
        self.versions.went_live(name, &new.key, wasm, source);
    }

    pub(crate) fn has_trials(&self) -> bool {
        !self.candidates.is_empty()
    }

    pub(crate) fn trials(&self) -> Vec<Arc<Trial>> {
        self.candidates.values().map(|candidate| candidate.trial.clone()).collect()
    }

    /// Judges the versions on trial; true when what serves has to change.
    pub(crate) fn judge(&mut self, process: &Process) -> bool {
        let judged: Vec<_> = self
            .candidates
            .iter()
            .map(|(name, candidate)| (name.clone(), candidate.live.key.version(), candidate.trial.judge()))
            .collect();
        let mut is_decided = false;
        for (name, version, judgement) in judged {
            match judgement {
                Judgement::Wait | Judgement::Hold => continue,
                Judgement::Promote => self.versions.promote(&name, &version),
                Judgement::RollBack(Cause { code, message }) => {
                    self.take_back(process, &name, &version, code, &message);
                }
            }
            is_decided = true;
        }
        is_decided
    }

    /// Ends a trial badly: the same bytes are not tried again until somebody says so.
    fn take_back(&mut self, process: &Process, name: &str, version: &str, code: &str, message: &str) {
        let serving = self.live.get(name).map(|live| live.key.version());
        self.versions.mark(name, version, &format!("{code}: {message}"), serving.as_deref());
        self.versions.ended(name, version, Some(code), &format!("rolled back: {message}"));
        let event = Event::new(EventKind::RolledBack, name).version(version).reason(code);
        process.events.emit(event.message(message));
    }

    /// Makes a change; it takes effect with the next look at the files. What was done, in words.
    pub(crate) fn change(
        &mut self,
        process: &Process,
        change: Change,
        name: &str,
        wanted: Option<&str>,
    ) -> Result<String, ChangeError> {
        let Some(live) = self.live.get(name).filter(|live| live.spec.live.is_ok()) else {
            let known = self.live.keys().map(String::as_str);
            let help = gateway_config::suggestion(name, known, "there are");
            let help = help.map(|help| format!("; {help}")).unwrap_or_default();
            return Err(ChangeError::NoFilter(name.to_owned(), help));
        };
        let live = live.key.version();
        match change {
            Change::Rollback => self.roll_back(process, name, &live, wanted),
            Change::Promote => self.promote(name, wanted),
            Change::Pin => self.pin(name, &live, wanted),
            Change::Unpin => {
                let record = self.versions.record(name);
                if record.is_none_or(|record| record.pinned.is_none()) {
                    return Err(ChangeError::Impossible(format!("filter {name} is not pinned")));
                }
                self.versions.pin(name, None);
                Ok(format!("filter {name} is not pinned any more"))
            }
        }
    }

    fn roll_back(
        &mut self,
        process: &Process,
        name: &str,
        live: &str,
        wanted: Option<&str>,
    ) -> Result<String, ChangeError> {
        let tried = self.candidates.get(name).map(|candidate| candidate.live.key.version());
        if let Some(tried) = tried.filter(|tried| wanted.is_none_or(|wanted| tried.starts_with(wanted))) {
            self.take_back(process, name, &tried, "operator", "somebody asked for it");
            return Ok(format!("the trial of version {tried} of filter {name} is over; {live} serves on"));
        }
        let record = self.versions.record(name);
        if let Some(pinned) = record.and_then(|record| record.pinned.as_ref()) {
            return Err(ChangeError::Impossible(format!(
                "filter {name} is pinned to {pinned}; pin another version, or unpin it first"
            )));
        }
        let target = match wanted {
            Some(wanted) => self.kept_as(name, wanted)?,
            None => self.before(name, live).ok_or_else(|| {
                ChangeError::Impossible(format!("no version of filter {name} before {live} is kept"))
            })?,
        };
        if target == live {
            return Err(ChangeError::Impossible(format!("version {live} of filter {name} serves already")));
        }
        let file = self.file_of(name);
        if let Some(file) = file.filter(|file| *file != target) {
            self.versions.mark(name, &file, "rolled back by an operator", Some(&target));
        } else {
            self.versions.promote(name, &target);
        }
        self.versions.ended(name, live, Some("operator"), &format!("rolled back to {target}"));
        let event = Event::new(EventKind::RolledBack, name).version(live).reason("operator");
        process.events.emit(event.message(format!("somebody asked for it; {target} serves")));
        Ok(format!("filter {name} is rolled back from {live} to {target}"))
    }

    fn promote(&mut self, name: &str, wanted: Option<&str>) -> Result<String, ChangeError> {
        let fits = |version: &String| wanted.is_none_or(|wanted| version.starts_with(wanted));
        let tried = self.candidates.get(name).map(|candidate| candidate.live.key.version());
        let marked = self.file_of(name).filter(|version| {
            self.versions.record(name).is_some_and(|record| record.mark_of(version).is_some())
        });
        let Some(version) = tried.into_iter().chain(marked).find(fits) else {
            let what = wanted.map_or_else(String::new, |wanted| format!(" `{wanted}`"));
            return Err(ChangeError::Impossible(format!(
                "filter {name} has no version{what} on trial, and its file is none that was rolled back"
            )));
        };
        if let Some(pinned) = self.versions.record(name).and_then(|record| record.pinned.clone()) {
            return Err(ChangeError::Impossible(format!(
                "filter {name} is pinned to {pinned}; unpin it first"
            )));
        }
        self.versions.promote(name, &version);
        Ok(format!("version {version} of filter {name} is promoted"))
    }

    fn pin(&mut self, name: &str, live: &str, wanted: Option<&str>) -> Result<String, ChangeError> {
        let version = match wanted {
            Some(wanted) => self.kept_as(name, wanted)?,
            None => live.to_owned(),
        };
        self.versions.pin(name, Some(version.clone()));
        Ok(format!("filter {name} is pinned to {version}"))
    }

    /// The kept version that `wanted` is the beginning of.
    fn kept_as(&self, name: &str, wanted: &str) -> Result<String, ChangeError> {
        let kept: Vec<_> = self
            .versions
            .record(name)
            .map_or_else(Vec::new, |record| record.kept.iter().map(FileKey::version).collect());
        if kept.iter().any(|version| version == wanted) {
            return Ok(wanted.to_owned());
        }
        let mut fitting = kept.iter().filter(|version| !wanted.is_empty() && version.starts_with(wanted));
        match (fitting.next(), fitting.next()) {
            (Some(version), None) => Ok(version.clone()),
            (Some(_), Some(_)) => Err(ChangeError::Ambiguous(name.to_owned(), wanted.to_owned())),
            (None, _) => {
                let known =
                    if kept.is_empty() { String::new() } else { format!("; there are {}", kept.join(", ")) };
                Err(ChangeError::NoVersion(name.to_owned(), wanted.to_owned(), known))
            }
        }
    }

    /// The version that served last before `live` and is kept.
    fn before(&self, name: &str, live: &str) -> Option<String> {
        let record = self.versions.record(name)?;
        let served = record.entries.iter().filter(|entry| entry.live_from.is_some() && entry.version != live);
        served.map(|entry| &entry.version).find(|version| record.kept(version).is_some()).cloned()
    }

    fn file_of(&self, name: &str) -> Option<String> {
        let file = self.scan.filters.get(name)?;
        Some(FileKey::of(file).version())
    }

    /// What the admin API says of the versions of each filter.
    pub(crate) fn histories(&self) -> BTreeMap<String, Value> {
        let names = self.live.keys().chain(self.refused.keys());
        let of = |name: &String| {
            let record = self.versions.record(name)?;
            Some((name.clone(), versions::json_of(name, record, self.file_of(name).as_deref())))
        };
        names.filter_map(of).collect()
    }

    /// Writes the history to disk.
    pub(crate) async fn save(&mut self, process: &Process) {
        self.versions.save().await;
        let gauge = || process.registry.gauge(&families::FILTER_VERSIONS_KEPT, &[]);
        match self.directory {
            Some(_) => self.is_kept.get_or_insert_with(gauge).set(i64::from(self.versions.is_kept())),
            None => self.is_kept = None,
        }
    }

    /// Nothing is written any more: whoever comes next may.
    pub(crate) fn leave(&mut self) {
        self.versions.leave();
    }
}

impl Proposal {
    pub(crate) fn trials(&self) -> Vec<Arc<Trial>> {
        self.candidates.values().map(|candidate| candidate.trial.clone()).collect()
    }
}

/// Whether the same versions are on trial.
pub(super) fn is_same(old: &Candidates, new: &Candidates) -> bool {
    old.len() == new.len()
        && new.iter().all(|(name, candidate)| old.get(name).is_some_and(|known| Rc::ptr_eq(known, candidate)))
}

/// Puts what was chosen for a filter into a proposal.
pub(super) fn take(chosen: Chosen, name: &str, live: &mut LiveFilters, candidates: &mut Candidates) {
    if let Some(version) = chosen.live {
        live.insert(name.to_owned(), version);
    }
    if let Some(candidate) = chosen.candidate {
        candidates.insert(name.to_owned(), candidate);
    }
}

/// A trial as the admin API shows it: what both versions did so far, and what would follow now.
pub(crate) fn trial_json(trial: &Trial) -> Value {
    let side = |side| {
        let numbers = trial.numbers.total(side);
        let per = |amount: u64, of: u64| if of == 0 { 0.0 } else { amount as f64 / of as f64 };
        json!({
            "requests": numbers.requests,
            "traps": numbers.traps,
            "timeouts": numbers.timeouts,
            "replies": numbers.replies,
            "addedMs": per(numbers.added_ns, numbers.requests) / 1e6,
            "cpuPerCallMs": per(numbers.busy_ns, numbers.calls) / 1e6,
            "memoryPerRequestBytes": per(numbers.grown_bytes, numbers.grown_requests),
        })
    };
    let (kind, share) = match &trial.plan {
        Plan::Canary(canary) => ("canary", canary.share),
        Plan::Shadow(shadow) => ("shadow", shadow.share),
    };
    let judgement = match trial.judge() {
        Judgement::Wait => "wait",
        Judgement::Hold => "hold",
        Judgement::Promote => "promote",
        Judgement::RollBack(_) => "roll back",
    };
    let mut shown = json!({
        "kind": kind,
        "version": &*trial.candidate.version,
        "sharePercent": f64::from(share) / 100.0,
        "since": crate::telemetry::rfc3339(trial.since),
        "judgement": judgement,
        "live": side(Side::Live),
        "candidate": side(Side::Candidate),
    });
    if let Plan::Shadow(_) = &trial.plan {
        let comparison = trial.numbers.comparison();
        let example = |difference: &crate::shared::Difference| {
            json!({
                "route": &*difference.route,
                "method": difference.method,
                "phase": difference.phase,
                "live": difference.live,
                "candidate": difference.candidate,
                "headers": difference.headers,
            })
        };
        shown["comparison"] = json!({
            "compared": comparison.compared,
            "different": comparison.different,
            "undecided": comparison.undecided,
            "examples": comparison.examples.iter().map(example).collect::<Vec<_>>(),
        });
    }
    shown
}
