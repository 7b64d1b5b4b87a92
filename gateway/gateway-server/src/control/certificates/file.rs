//! One thing that is read from a few files, its last good content, and whether the files changed since.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::tls::CertificateError;

/// The largest file that is read, in bytes: the authorities that a system trusts take a quarter of this.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// A file that was written this short a time ago may be written again without a new time of change.
const UNSETTLED: Duration = Duration::from_secs(2);

/// Why what is in the files cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error("cannot read {path}: {error}{}", advice(.error))]
    Unreadable { path: String, error: io::Error },
    #[error("{0} is not a regular file")]
    NotAFile(String),
    #[error("{0} is larger than {MAX_FILE_BYTES} bytes, the most that is read")]
    TooLarge(String),
    #[error(transparent)]
    Content(#[from] CertificateError),
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; relative paths start from the folder of the configuration file",
        io::ErrorKind::PermissionDenied => "; the user that the gateway runs as must be able to read it",
        _ => "",
    }
}

/// What a look brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum News {
    Nothing,
    /// Something else is good now.
    Content,
    /// Something is wrong that was not wrong before.
    Problem,
}

/// What files hold, and held when they were last good.
pub(super) struct Watched<T> {
    pub(super) good: Option<Arc<T>>,
    /// What is wrong with the files as they are now.
    pub(super) problem: Option<FileError>,
    stamps: Vec<Option<Stamp>>,
}

impl<T> Default for Watched<T> {
    fn default() -> Self {
        Self { good: None, problem: None, stamps: Vec::new() }
    }
}

/// Tells one version of a file from another, however it came there.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl<T> Watched<T> {
    /// Reads the files if they changed.
    pub(super) fn look(
        &mut self,
        paths: &[&PathBuf],
        read: impl FnOnce(&[Vec<u8>]) -> Result<T, CertificateError>,
        is_same: impl FnOnce(&T, &T) -> bool,
    ) -> News {
        // Before reading: what changes in between is read again next time.
        let stamps: Vec<_> = paths.iter().map(|path| Stamp::of(path)).collect();
        if !self.stamps.is_empty() && self.stamps == stamps {
            return News::Nothing;
        }
        let is_settled = stamps.iter().flatten().all(Stamp::is_settled);
        self.stamps = if is_settled { stamps } else { Vec::new() };
        match read_all(paths, read) {
            Ok(content) => {
                self.problem = None;
                if self.good.as_ref().is_some_and(|good| is_same(good, &content)) {
                    return News::Nothing;
                }
                self.good = Some(Arc::new(content));
                News::Content
            }
            Err(problem) => {
                let text = |error: &FileError| error.to_string();
                let is_new = self.problem.as_ref().map(text) != Some(text(&problem));
                self.problem = Some(problem);
                if is_new { News::Problem } else { News::Nothing }
            }
        }
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        // Follows links: where they lead is part of what a path means.
        let metadata: Metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    fn is_settled(&self) -> bool {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(now.saturating_sub(UNSETTLED).as_secs()).is_ok_and(|limit| self.changed.0 < limit)
    }
}

/// Reads files together.
pub(super) fn read_all<T>(
    paths: &[&PathBuf],
    read: impl FnOnce(&[Vec<u8>]) -> Result<T, CertificateError>,
) -> Result<T, FileError> {
    let contents: Result<Vec<_>, _> = paths.iter().map(|path| read_one(path)).collect();
    Ok(read(&contents?)?)
}

fn read_one(path: &Path) -> Result<Vec<u8>, FileError> {
    let shown = || path.display().to_string();
    let unreadable = |error| FileError::Unreadable { path: shown(), error };
    // Opening a pipe would wait for whoever writes to it.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(FileError::NotAFile(shown()));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    // One byte more than allowed tells "exactly at the limit" from "over it".
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(FileError::TooLarge(shown()));
    }
    Ok(bytes)
}
