//! Reads the filter directory: which filters are there, with which bytes.
//!
//! Owns what counts as a filter file, when a file is whole, and what a scan may cost. A scan is a function of the
//! directory and the scan before: it keeps what it has whenever the directory is in doubt, and never decides what a
//! change means. Partial writes, rename-over, symlink swaps and files that vanish mid-read are normal input.

mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use read::{Outcome, read_stable};

use crate::refusal::Gate;

/// Entries that a directory may have, of any kind; one with more is not read at all.
pub(crate) const MAX_DIRECTORY_ENTRIES: usize = 4_096;

/// Bytes of one module.
pub(crate) const MAX_MODULE_BYTES: u64 = 32 << 20;

/// Bytes of one manifest.
pub(crate) const MAX_MANIFEST_BYTES: u64 = 1 << 20;

/// Bytes of all modules and manifests together.
pub(crate) const MAX_TOTAL_BYTES: u64 = 1 << 30;

/// Longest name of a filter, in bytes.
pub(crate) const MAX_NAME_BYTES: usize = 64;

/// A file that was written to less than this ago may not be whole yet.
pub(crate) const QUIET_TIME: Duration = Duration::from_millis(50);

/// A file that is written to for so long is said to be.
pub(crate) const RESTLESS_TIME: Duration = Duration::from_secs(10);

/// What a directory holds, as far as it is known to be whole.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scan {
    /// The filters by name. A filter whose files are there but in doubt is listed as the scan before had it; if that
    /// scan did not have it, it is missing here and named by a problem, or to be seen in a later scan.
    pub(crate) filters: BTreeMap<String, FileState>,
    /// Manifests of filters that are not in `filters`: their module is missing or cannot be read.
    pub(crate) lone_manifests: BTreeMap<String, LoneManifest>,
    /// What an operator should mend, in the order of file names.
    pub(crate) problems: Vec<ScanProblem>,
    /// Files that were changing when they were looked at, and since when, by the names of their filters.
    changing: BTreeMap<String, SystemTime>,
    /// A file was changing while it was read: scan again after [`QUIET_TIME`].
    pub(crate) unstable: bool,
    /// The directory as a whole is in doubt; `filters` is what the scan before had.
    pub(crate) directory_lost: Option<DirectoryLoss>,
    /// Device and inode of the directory.
    identity: Option<(u64, u64)>,
}

/// The files of one filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileState {
    /// `NAME.wasm`; shared with the scan before while the file is the same.
    pub(crate) wasm: Arc<[u8]>,
    /// SHA-256 of `wasm`.
    pub(crate) wasm_sha256: [u8; 32],
    /// `NAME.yaml`, if there is one.
    pub(crate) manifest: Option<Arc<str>>,
    /// Of the module's file.
    pub(crate) signature: Signature,
    /// Of the manifest's file.
    pub(crate) manifest_signature: Option<Signature>,
}

/// A manifest without a module that could be taken up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoneManifest {
    /// `NAME.yaml`.
    pub(crate) text: Arc<str>,
    signature: Signature,
}

/// What tells one state of a file from another without reading it. The time of the last change of the inode is part of
/// it because the modification time can be set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signature {
    /// Bytes.
    pub(crate) len: u64,
    /// Last modification, in nanoseconds since the Unix epoch.
    pub(crate) mtime_ns: i128,
    /// Last change of the inode, in nanoseconds since the Unix epoch.
    pub(crate) ctime_ns: i128,
    /// Inode number.
    pub(crate) inode: u64,
    /// Device number.
    pub(crate) device: u64,
}

/// A file that could not be taken up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {reason}")]
pub(crate) struct ScanProblem {
    /// File name within the directory.
    pub(crate) file: String,
    /// What is wrong with it.
    pub(crate) reason: FileProblem,
}

/// Why a file could not be taken up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FileProblem {
    /// The part before the extension is not usable as a filter's name.
    #[error("a filter's name has 1 to {MAX_NAME_BYTES} of the characters A-Z a-z 0-9 . _ -; rename the file")]
    IllegalName,
    /// A directory, FIFO, device or socket.
    #[error("not a regular file; put the module or manifest itself here, or a symbolic link to it")]
    NotRegular,
    /// A symbolic link whose target does not exist.
    #[error("a symbolic link to a file that does not exist")]
    DanglingLink,
    /// The file is over its limit.
    #[error("{len} bytes are more than the {max} allowed")]
    TooLarge {
        /// Bytes it has.
        len: u64,
        /// Bytes it may have.
        max: u64,
    },
    /// All files together are over the limit.
    #[error(
        "the directory's files together exceed {MAX_TOTAL_BYTES} bytes with this one; remove filters not in use"
    )]
    TotalTooLarge,
    /// The system refused.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// A manifest that is not text.
    #[error("not UTF-8 from byte {0} on; a manifest is YAML text")]
    NotUtf8(usize),
    /// `NAME.yaml` alone.
    #[error("a manifest without its module; put {0}.wasm beside it")]
    ManifestWithoutModule(String),
    /// `.yml` would otherwise be overlooked, and a filter run without its manifest.
    #[error("manifests end in .yaml; rename the file")]
    WrongExtension,
    /// It changes and changes, for longer than [`RESTLESS_TIME`].
    #[error("is written to without a pause of {QUIET_TIME:?}; it is taken up when it stands still")]
    Restless,
}

impl FileProblem {
    pub(crate) const fn gate(&self) -> Gate {
        match self {
            Self::IllegalName | Self::WrongExtension => Gate::Name,
            Self::NotRegular | Self::DanglingLink => Gate::RegularFile,
            Self::TooLarge { .. } | Self::TotalTooLarge => Gate::Size,
            Self::Unreadable(_) => Gate::Readable,
            Self::NotUtf8(_) => Gate::Manifest,
            Self::ManifestWithoutModule(_) => Gate::Present,
            Self::Restless => Gate::Stable,
        }
    }
}

impl ScanProblem {
    /// The filter that the file would belong to: its name without extension.
    pub(crate) fn filter(&self) -> &str {
        self.file.rsplit_once('.').map_or(&self.file, |(name, _)| name)
    }
}

/// Why a directory as a whole is not believed. The text goes on after the path of the directory.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DirectoryLoss {
    /// Gone, or not readable.
    #[error("cannot be read: {0}; all filters stay as they are")]
    Unreadable(String),
    /// It had filters and now has none.
    #[error("is suddenly without any of its {0} filters; all stay as they are")]
    Emptied(usize),
    /// More than [`MAX_DIRECTORY_ENTRIES`].
    #[error(
        "has more than {MAX_DIRECTORY_ENTRIES} entries; all filters stay as they are: is it the right directory?"
    )]
    TooManyEntries,
}

impl DirectoryLoss {
    pub(crate) const fn gate(&self) -> Gate {
        match self {
            Self::Unreadable(_) => Gate::Readable,
            Self::Emptied(_) => Gate::Present,
            Self::TooManyEntries => Gate::Size,
        }
    }
}

/// Reads the directory; files that did not change since `previous` are not read again.
pub(crate) fn scan(directory: &Path, previous: &Scan) -> Scan {
    scan_at(directory, previous, SystemTime::now())
}

fn scan_at(directory: &Path, previous: &Scan, now: SystemTime) -> Scan {
    let lost =
        |loss| Scan { problems: Vec::new(), directory_lost: Some(loss), unstable: false, ..previous.clone() };
    let listing = match list(directory) {
        Ok(listing) => listing,
        Err(loss) => return lost(loss),
    };
    let identity = identity(directory);
    let replaced = previous.identity.is_some() && previous.identity != identity;
    // One file that is gone was deleted; several at once, or with their directory, were unmounted or mistaken.
    let emptied = listing.modules.is_empty() && !previous.filters.is_empty();
    if emptied && (replaced || previous.filters.len() > 1) {
        return lost(DirectoryLoss::Emptied(previous.filters.len()));
    }
    let Listing { modules, manifests, problems } = listing;
    let mut scan = Scan { problems, identity, ..Scan::default() };
    let mut reader = Reader { directory, now, total_bytes: 0 };
    for name in &modules {
        let known = previous.filters.get(name);
        let state = match reader.filter(name, manifests.contains(name), known) {
            Ok(state) => Some(state),
            Err(Doubt::Changing) => {
                scan.unstable = true;
                let since = *previous.changing.get(name).unwrap_or(&now);
                scan.changing.insert(name.clone(), since);
                if now.duration_since(since).is_ok_and(|time| time >= RESTLESS_TIME) {
                    let file = format!("{name}.wasm");
                    scan.problems.push(ScanProblem { file, reason: FileProblem::Restless });
                }
                known.cloned()
            }
            Err(Doubt::Problem(problem)) => {
                scan.problems.push(problem);
                known.cloned()
            }
        };
        if let Some(state) = state {
            reader.total_bytes += state.bytes();
            scan.filters.insert(name.clone(), state);
        }
    }
    for name in manifests.iter().filter(|name| !scan.filters.contains_key(*name)) {
        let known = previous.lone_manifests.get(name);
        match reader.lone_manifest(name, known) {
            Ok(manifest) => _ = scan.lone_manifests.insert(name.clone(), manifest),
            Err(Doubt::Changing) => {
                scan.unstable = true;
                scan.lone_manifests.extend(known.map(|known| (name.clone(), known.clone())));
            }
            // Beside a module it is named already; alone it is named below.
            Err(Doubt::Problem(_)) => {}
        }
    }
    scan.problems.extend(manifests.difference(&modules).map(|name| ScanProblem {
        file: format!("{name}.yaml"),
        reason: FileProblem::ManifestWithoutModule(name.clone()),
    }));
    scan.problems.sort_by(|a, b| a.file.cmp(&b.file));
    scan
}

fn identity(directory: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(directory).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// The names of filters by their files, as far as the names themselves tell.
#[derive(Default)]
struct Listing {
    modules: BTreeSet<String>,
    manifests: BTreeSet<String>,
    problems: Vec<ScanProblem>,
}

fn list(directory: &Path) -> Result<Listing, DirectoryLoss> {
    let unreadable = |error: std::io::Error| DirectoryLoss::Unreadable(error.to_string());
    let mut listing = Listing::default();
    for (index, entry) in fs::read_dir(directory).map_err(unreadable)?.enumerate() {
        if index >= MAX_DIRECTORY_ENTRIES {
            return Err(DirectoryLoss::TooManyEntries);
        }
        let file = entry.map_err(unreadable)?.file_name();
        match classify(file.to_string_lossy().as_ref()) {
            FileRole::Ignored => {}
            FileRole::Module(name) => _ = listing.modules.insert(name),
            FileRole::Manifest(name) => _ = listing.manifests.insert(name),
            FileRole::Refused(reason) => {
                listing.problems.push(ScanProblem { file: file.to_string_lossy().into_owned(), reason });
            }
        }
    }
    Ok(listing)
}

#[derive(Debug, PartialEq, Eq)]
enum FileRole {
    Module(String),
    Manifest(String),
    Ignored,
    Refused(FileProblem),
}

/// Editors and copying tools write hidden and temporary files beside the real one; those and all other files are none
/// of our business.
fn classify(file: &str) -> FileRole {
    if file.starts_with('.') || [".tmp", ".swp", "~"].iter().any(|suffix| file.ends_with(suffix)) {
        return FileRole::Ignored;
    }
    if file.ends_with(".yml") {
        return FileRole::Refused(FileProblem::WrongExtension);
    }
    let (name, role): (_, fn(String) -> FileRole) = if let Some(name) = file.strip_suffix(".wasm") {
        (name, FileRole::Module)
    } else if let Some(name) = file.strip_suffix(".yaml") {
        (name, FileRole::Manifest)
    } else {
        return FileRole::Ignored;
    };
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(legal) {
        return FileRole::Refused(FileProblem::IllegalName);
    }
    role(name.to_owned())
}

/// Why the files of a filter are not taken up now.
enum Doubt {
    Changing,
    Problem(ScanProblem),
}

struct Reader<'a> {
    directory: &'a Path,
    now: SystemTime,
    /// Bytes of the filters taken up so far.
    total_bytes: u64,
}

impl Reader<'_> {
    /// Both files or none: a module must not run under a manifest that is not its own.
    fn filter(&self, name: &str, has_manifest: bool, known: Option<&FileState>) -> Result<FileState, Doubt> {
        let file = format!("{name}.wasm");
        let module = self.read(&file, MAX_MODULE_BYTES, known.map(|known| known.signature))?;
        let (wasm, wasm_sha256) = match (module.fresh, known) {
            (None, Some(known)) => (Arc::clone(&known.wasm), known.wasm_sha256),
            (fresh, _) => hashed(fresh.unwrap_or_default()),
        };
        let mut state = FileState {
            wasm,
            wasm_sha256,
            manifest: None,
            signature: module.signature,
            manifest_signature: None,
        };
        if has_manifest {
            let file = format!("{name}.yaml");
            let known_signature = known.and_then(|known| known.manifest_signature);
            let manifest = self.read(&file, MAX_MANIFEST_BYTES, known_signature)?;
            state.manifest_signature = Some(manifest.signature);
            state.manifest = match manifest.fresh {
                None => known.and_then(|known| known.manifest.clone()),
                Some(bytes) => Some(text(file, bytes)?),
            };
        }
        if self.total_bytes + state.bytes() > MAX_TOTAL_BYTES {
            return Err(Doubt::Problem(ScanProblem { file, reason: FileProblem::TotalTooLarge }));
        }
        Ok(state)
    }

    fn lone_manifest(&self, name: &str, known: Option<&LoneManifest>) -> Result<LoneManifest, Doubt> {
        let file = format!("{name}.yaml");
        let manifest = self.read(&file, MAX_MANIFEST_BYTES, known.map(|known| known.signature))?;
        let text = match (manifest.fresh, known) {
            (None, Some(known)) => Arc::clone(&known.text),
            (fresh, _) => text(file, fresh.unwrap_or_default())?,
        };
        Ok(LoneManifest { text, signature: manifest.signature })
    }

    fn read(&self, file: &str, max_bytes: u64, known: Option<Signature>) -> Result<read::Whole, Doubt> {
        match read_stable(&self.directory.join(file), max_bytes, known, self.now) {
            Outcome::Whole(whole) => Ok(whole),
            Outcome::Changing => Err(Doubt::Changing),
            Outcome::Problem(reason) => Err(Doubt::Problem(ScanProblem { file: file.to_owned(), reason })),
        }
    }
}

impl FileState {
    fn bytes(&self) -> u64 {
        (self.wasm.len() + self.manifest.as_ref().map_or(0, |manifest| manifest.len())) as u64
    }
}

fn hashed(bytes: Vec<u8>) -> (Arc<[u8]>, [u8; 32]) {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(&bytes).into();
    (bytes.into(), digest)
}

fn text(file: String, bytes: Vec<u8>) -> Result<Arc<str>, Doubt> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let reason = FileProblem::NotUtf8(error.utf8_error().valid_up_to());
        Doubt::Problem(ScanProblem { file, reason })
    })?;
    Ok(text.into())
}

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;
