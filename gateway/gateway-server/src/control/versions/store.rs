//! Records and modules on disk: a folder per filter with `record.json` and the modules by their hashes.
//!
//! The directory belongs to this user alone (0700): manifests may hold secrets, and a module in it serves traffic after a
//! rollback. Files are written beside and renamed over. A module is believed only if it has the hash that the record says.
//! What cannot be read is left out and said; what cannot be written stays in memory, and is tried again until it can. One process
//! at a time writes: while another one does, its directory is read, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gateway_config::StateDirectory;
use sha2::{Digest, Sha256};

use super::lock::{self, Lock};
use super::record::Record;
use super::{directory_of, hex};
use crate::control::directory::{MAX_MANIFEST_BYTES, MAX_MODULE_BYTES};

/// The name of a filter's record.
const RECORD: &str = "record.json";
/// Bytes of a record: kept manifests and messages, written as JSON.
const MAX_RECORD_BYTES: u64 = 16 * MAX_MANIFEST_BYTES + (1 << 20);
/// Filters whose record is read; there are no more in a directory.
const MAX_RECORDS: usize = 4_096;

type Records = BTreeMap<String, Record>;

/// Where versions are kept.
#[derive(Default)]
pub(super) struct Store {
    /// `None`: in memory alone.
    root: Option<PathBuf>,
    access: Access,
    /// Modules that are not on disk.
    modules: BTreeMap<[u8; 32], Arc<[u8]>>,
    is_failing: bool,
}

/// What may be done in the directory.
#[derive(Default)]
enum Access {
    /// It is not ours, or not there.
    #[default]
    Nothing,
    /// Another process writes to it.
    Reading,
    Writing {
        _lock: Lock,
    },
}

/// One write, to be run where waiting is allowed.
pub(super) struct Writing {
    root: PathBuf,
    records: Vec<(String, Record)>,
    modules: BTreeMap<[u8; 32], Arc<[u8]>>,
}

impl Store {
    /// Opens the directory and reads what is in it. Says in the log when it cannot be written to, and why.
    pub(super) fn open(state: &StateDirectory, filters: &Path) -> (Self, Records) {
        let Some(root) = directory_of(state, filters) else { return Default::default() };
        let entered = own_directory(&root).and_then(|()| Ok((lock::take(&root)?, read_records(&root)?)));
        let (access, records) = match entered {
            Ok((Ok(lock), records)) => (Access::Writing { _lock: lock }, records),
            Ok((Err(holder), records)) => {
                tracing::warn!(
                    "versions of filters are kept by {holder} in {}: what is there is read, and nothing is written until that \
                     one has ended; set `filters.state` if that is no accident",
                    root.display()
                );
                (Access::Reading, records)
            }
            Err(error) => {
                tracing::warn!(
                    "versions of filters are not kept over restarts: {}: {error}; set `filters.state` to a directory of the \
                     gateway's user, or to `off`",
                    root.display()
                );
                Default::default()
            }
        };
        (Self { root: Some(root), access, ..Self::default() }, records)
    }

    /// The directory that may not be written to yet, to be [tried](enter) where waiting is allowed.
    pub(super) fn outside_of(&self) -> Option<PathBuf> {
        self.root.clone().filter(|_| !matches!(self.access, Access::Writing { .. }))
    }

    /// Whether what is written is on disk.
    pub(super) const fn is_writing(&self) -> bool {
        matches!(self.access, Access::Writing { .. }) && !self.is_failing
    }

    /// From now on it may.
    pub(super) fn entered(&mut self, lock: Lock) {
        let shown = self.root.as_deref().unwrap_or(Path::new("")).display();
        tracing::info!("versions of filters are kept in {shown} from now on");
        self.access = Access::Writing { _lock: lock };
    }

    /// Leaves the directory to the next process.
    pub(super) fn leave(&mut self) {
        self.access = Access::Nothing;
        self.root = None;
    }

    /// Takes the bytes of a version until they are written.
    pub(super) fn take(&mut self, sha256: [u8; 32], wasm: Arc<[u8]>) {
        self.modules.insert(sha256, wasm);
    }

    /// The bytes, if they are in memory; else where they should be.
    pub(super) fn at_hand(&self, filter: &str, sha256: &[u8; 32]) -> Result<Arc<[u8]>, Option<PathBuf>> {
        match self.modules.get(sha256) {
            Some(wasm) => Ok(wasm.clone()),
            None if matches!(self.access, Access::Nothing) => Err(None),
            None => Err(self.root.as_ref().map(|root| module_path(&root.join(filter), sha256))),
        }
    }

    pub(super) fn writing(&self, records: Vec<(String, Record)>) -> Option<Writing> {
        let root = self.root.clone().filter(|_| matches!(self.access, Access::Writing { .. }))?;
        Some(Writing { root, records, modules: self.modules.clone() })
    }

    /// What came of a write; a failure is said once until it works again. Whether it did.
    pub(super) fn noted(&mut self, written: Result<(), String>) -> bool {
        let was_failing = std::mem::replace(&mut self.is_failing, written.is_err());
        match &written {
            Ok(()) => {
                if was_failing {
                    tracing::info!("versions of filters can be written again");
                }
                self.modules.clear();
            }
            Err(error) if !was_failing => tracing::error!(
                "versions of filters cannot be written and may not outlive a restart: {error}; it is tried again"
            ),
            Err(_) => {}
        }
        written.is_ok()
    }

    /// Memory holds what is kept and not on disk, and nothing else.
    pub(super) fn forget_all_but(&mut self, records: &Records) {
        let kept: BTreeSet<_> =
            records.values().flat_map(|record| record.kept.iter().map(|key| key.sha256)).collect();
        self.modules.retain(|sha256, _| kept.contains(sha256));
    }
}

impl Writing {
    /// Modules first, then the record that names them, then away with modules that it does not name.
    pub(super) fn run(self) -> Result<(), String> {
        for (filter, record) in &self.records {
            let folder = self.root.join(filter);
            let shown = |error: io::Error| format!("{}: {error}", folder.display());
            self.write(&folder, filter, record).map_err(shown)?;
        }
        Ok(())
    }

    fn write(&self, folder: &Path, filter: &str, record: &Record) -> io::Result<()> {
        own_directory(folder)?;
        for key in &record.kept {
            let path = module_path(folder, &key.sha256);
            if let Some(wasm) = self.modules.get(&key.sha256)
                && fs::symlink_metadata(&path).is_err()
            {
                replace(&path, wasm)?;
            }
        }
        replace(&folder.join(RECORD), format!("{:#}\n", record.to_json(filter)).as_bytes())?;
        let kept: BTreeSet<_> = record.kept.iter().map(|key| format!("{}.wasm", hex(&key.sha256))).collect();
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            let is_old = name.ends_with(".wasm") && !kept.contains(&*name);
            if is_old || name.ends_with(".tmp") {
                fs::remove_file(folder.join(&*name))?;
            }
        }
        Ok(())
    }
}

/// Tries to become the one that writes; with the lock comes what the one before left.
pub(super) fn enter(root: &Path) -> io::Result<Option<(Lock, Records)>> {
    own_directory(root)?;
    match lock::take(root)? {
        Ok(lock) => Ok(Some((lock, read_records(root)?))),
        Err(_) => Ok(None),
    }
}

/// Reads a module and checks that it is the one.
pub(super) fn read_module(path: &Path, expected: &[u8; 32]) -> Result<Arc<[u8]>, String> {
    let shown = |error: io::Error| format!("{}: {error}", path.display());
    let wasm = read_at_most(path, MAX_MODULE_BYTES).map_err(shown)?;
    if Sha256::digest(&wasm)[..] != expected[..] {
        return Err(format!("{}: its content is not what its name says; it is damaged", path.display()));
    }
    Ok(wasm.into())
}

fn module_path(folder: &Path, sha256: &[u8; 32]) -> PathBuf {
    folder.join(format!("{}.wasm", hex(sha256)))
}

/// Makes the directory, or checks that nobody else can write to it.
fn own_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let found = fs::symlink_metadata(path)?;
    let other = |what: &str| io::Error::new(ErrorKind::PermissionDenied, what.to_owned());
    if !found.is_dir() {
        return Err(other("is not a directory"));
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(other("belongs to another user"));
    }
    if found.mode() & 0o077 != 0 {
        return Err(other("can be read or written by others; `chmod 700` it"));
    }
    Ok(())
}

fn read_records(root: &Path) -> io::Result<Records> {
    let mut records = Records::new();
    for entry in fs::read_dir(root)?.take(MAX_RECORDS) {
        let entry = entry?;
        let (Ok(name), true) = (entry.file_name().into_string(), entry.file_type()?.is_dir()) else {
            continue;
        };
        let path = entry.path().join(RECORD);
        let record = read_at_most(&path, MAX_RECORD_BYTES)
            .and_then(|bytes| Ok(serde_json::from_slice(&bytes)?))
            .map(|value| Record::from_json(&value));
        match record {
            Ok(Some(record)) => _ = records.insert(name, record),
            Ok(None) => {
                tracing::error!("{}: not a record of this version; the history begins anew", path.display())
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                tracing::error!("{}: {error}; the history of filter {name} begins anew", path.display());
            }
        }
    }
    Ok(records)
}

fn read_at_most(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let mut bytes = Vec::new();
    file.take(max_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        return Err(io::Error::new(ErrorKind::InvalidData, format!("is larger than {max_bytes} bytes")));
    }
    Ok(bytes)
}

/// Whole or not at all, also when the machine fails.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("tmp");
    // What an earlier process left behind may be somebody's link.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
