//! The versions of each filter: what came when, how far it got, what served from when to when, and which may come back.
//!
//! A version is a file's content with its manifest. Owns the history, pins, marks and the bytes of the last good versions,
//! and keeps them over restarts. Never decides whether a version is good.

mod join;
mod lock;
mod record;
mod store;

pub(crate) use record::{Entry, Record, Source};

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use gateway_config::StateDirectory;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::directory::FileState;
use super::state_place;
use crate::refusal::Refusal;
use store::Store;

/// Bytes of a module's hash that name it, and of its manifest's.
const MODULE_BYTES: usize = 6;
const MANIFEST_BYTES: usize = 2;

/// What a version is made of.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct VersionKey {
    pub(crate) sha256: [u8; 32],
    pub(crate) manifest: Option<Arc<str>>,
    /// A digest of the secrets that it was configured with, if it has any; not part of its name, and kept nowhere.
    pub(crate) secrets: Option<[u8; 32]>,
}

impl VersionKey {
    pub(crate) fn of(file: &FileState) -> Self {
        Self { sha256: file.wasm_sha256, manifest: file.manifest.clone(), secrets: None }
    }

    /// The short name: the first hex digits of the module's SHA-256, and of its manifest's if it has one.
    pub(crate) fn version(&self) -> String {
        let module = hex(&self.sha256[..MODULE_BYTES]);
        match &self.manifest {
            None => module,
            Some(text) => format!("{module}-{}", hex(&Sha256::digest(text.as_bytes())[..MANIFEST_BYTES])),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// All versions of all filters.
#[derive(Default)]
pub(crate) struct Versions {
    store: Store,
    records: BTreeMap<String, Record>,
    /// What was read from disk at the beginning, as long as another process may write there.
    base: BTreeMap<String, Record>,
    /// Filters whose record is not on disk as it is here.
    dirty: BTreeSet<String>,
    /// Versions that somebody promoted, or that passed their trial: they go live without another one.
    promoted: BTreeSet<(String, String)>,
}

impl Versions {
    /// Reads what an earlier process left for this filter directory.
    pub(crate) async fn open(&mut self, state: &StateDirectory, filters: &Path) {
        let (state, filters) = (state.clone(), filters.to_owned());
        let opened = tokio::task::spawn_blocking(move || Store::open(&state, &filters)).await;
        // A failure inside of it leaves nothing to remember.
        (self.store, self.records) = opened.unwrap_or_default();
        self.base = if self.store.outside_of().is_some() { self.records.clone() } else { BTreeMap::new() };
        self.dirty.clear();
    }

    /// Whether what is noted is on disk.
    pub(crate) fn is_kept(&self) -> bool {
        self.store.is_writing()
    }

    /// Another process may write from now on.
    pub(crate) fn leave(&mut self) {
        self.store.leave();
    }

    /// Which version serves in place of the file's: a pinned one, or the one to which a bad file was rolled back.
    pub(crate) fn instead_of(&self, filter: &str, version: &str) -> Option<String> {
        let record = self.records.get(filter)?;
        if let Some(pinned) = &record.pinned {
            return Some(pinned.clone());
        }
        record.mark_of(version).and(record.held.clone())
    }

    /// What served last, also before a restart.
    pub(crate) fn last_live(&self, filter: &str) -> Option<&str> {
        self.records.get(filter)?.live.as_deref()
    }

    pub(crate) fn record(&self, filter: &str) -> Option<&Record> {
        self.records.get(filter)
    }

    pub(crate) fn is_promoted(&self, filter: &str, version: &str) -> bool {
        self.promoted.contains(&(filter.to_owned(), version.to_owned()))
    }

    /// Lets a version go live without a trial, whatever was held against it.
    pub(crate) fn promote(&mut self, filter: &str, version: &str) {
        self.promoted.insert((filter.to_owned(), version.to_owned()));
        let record = self.change(filter);
        record.marks.retain(|mark| mark.version != version);
        record.held = None;
    }

    pub(crate) fn pin(&mut self, filter: &str, version: Option<String>) {
        self.change(filter).pinned = version;
    }

    /// Holds a version against being tried again, and says which one serves in its place.
    pub(crate) fn mark(&mut self, filter: &str, version: &str, reason: &str, instead: Option<&str>) {
        self.promoted.remove(&(filter.to_owned(), version.to_owned()));
        let record = self.change(filter);
        record.mark(version, reason);
        record.held = instead.map(str::to_owned);
    }

    /// A version did not pass a gate.
    pub(crate) fn refused(&mut self, filter: &str, version: &str, source: Source, refusal: &Refusal) {
        let Refusal { gate, message } = refusal;
        self.change(filter).refused(version, source, gate.code(), message, SystemTime::now());
    }

    /// A version began to be tried.
    pub(crate) fn tried(&mut self, filter: &str, version: &str, how: &str) {
        self.change(filter).tried(version, how, SystemTime::now());
    }

    /// A version serves all requests from now on. `wasm` are its bytes, if they are at hand.
    pub(crate) fn went_live(
        &mut self,
        filter: &str,
        key: &VersionKey,
        wasm: Option<Arc<[u8]>>,
        source: Source,
    ) {
        let version = key.version();
        self.promoted.remove(&(filter.to_owned(), version.clone()));
        if let Some(wasm) = wasm {
            self.store.take(key.sha256, wasm);
        }
        let record = self.change(filter);
        record.went_live(&version, source, SystemTime::now());
        record.keep(key);
    }

    /// A version serves no more, or its trial is over.
    pub(crate) fn ended(&mut self, filter: &str, version: &str, reason: Option<&str>, why: &str) {
        self.change(filter).ended(version, reason, why, SystemTime::now());
    }

    /// The bytes and the manifest of a version that is kept.
    pub(crate) async fn read(&self, filter: &str, version: &str) -> Result<(Arc<[u8]>, VersionKey), String> {
        let record = self.records.get(filter);
        let key = record.and_then(|record| record.kept(version)).cloned();
        let key = key.ok_or_else(|| format!("version {version} is not kept"))?;
        let path = match self.store.at_hand(filter, &key.sha256) {
            Ok(wasm) => return Ok((wasm, key)),
            Err(path) => path.ok_or_else(|| format!("the bytes of version {version} are not kept"))?,
        };
        let expected = key.sha256;
        let read = tokio::task::spawn_blocking(move || store::read_module(&path, &expected)).await;
        let wasm = read.map_err(|_| "reading it failed inside the gateway".to_owned())??;
        Ok((wasm, key))
    }

    /// Writes what changed. What cannot be written is said once, kept in memory and tried again.
    pub(crate) async fn save(&mut self) {
        self.enter().await;
        if self.dirty.is_empty() || self.store.outside_of().is_some() {
            return self.store.forget_all_but(&self.records);
        }
        let record = |name: &String| Some((name.clone(), self.records.get(name)?.clone()));
        match self.store.writing(self.dirty.iter().filter_map(record).collect()) {
            // There is no place to write to.
            None => self.dirty.clear(),
            Some(writing) => {
                let written = tokio::task::spawn_blocking(move || writing.run()).await;
                let inside = |_| Err("writing it failed inside the gateway".to_owned());
                if self.store.noted(written.unwrap_or_else(inside)) {
                    self.dirty.clear();
                }
            }
        }
        self.store.forget_all_but(&self.records);
    }

    /// Goes on with what another process left, once it has ended.
    async fn enter(&mut self) {
        let Some(root) = self.store.outside_of() else { return };
        let entered = tokio::task::spawn_blocking(move || store::enter(&root)).await;
        // What is against it was said when it was opened.
        let Ok(Ok(Some((lock, on_disk)))) = entered else { return };
        self.store.entered(lock);
        let base = std::mem::take(&mut self.base);
        for (name, theirs) in on_disk {
            let ours = self.records.remove(&name).unwrap_or_default();
            let before = base.get(&name).cloned().unwrap_or_default();
            self.records.insert(name, join::join(&before, ours, theirs, SystemTime::now()));
        }
        self.dirty.extend(self.records.keys().cloned());
    }

    fn change(&mut self, filter: &str) -> &mut Record {
        self.dirty.insert(filter.to_owned());
        self.records.entry(filter.to_owned()).or_default()
    }
}

/// What the admin API says of a filter's versions.
pub(crate) fn json_of(filter: &str, record: &Record, file: Option<&str>) -> Value {
    json!({
        "filter": filter,
        "live": record.live,
        "file": file,
        "pinned": record.pinned,
        "held": record.held,
        "marked": record.marks.iter().map(|mark| json!({ "version": mark.version, "reason": mark.reason })).collect::<Vec<_>>(),
        "kept": record.kept.iter().map(VersionKey::version).collect::<Vec<_>>(),
        "history": record.entries.iter().map(Entry::shown).collect::<Vec<_>>(),
    })
}

/// Where the state of a filter directory is kept; `None` where nothing may be kept.
fn directory_of(state: &StateDirectory, filters: &Path) -> Option<PathBuf> {
    let root = state_place::root(state, &|name| std::env::var_os(name))?;
    match state {
        StateDirectory::At(_) => Some(root.join("filters")),
        _ => Some(root.join(format!("filters-{}", state_place::name_of(filters)))),
    }
}

#[cfg(test)]
#[path = "versions_tests.rs"]
mod tests;
