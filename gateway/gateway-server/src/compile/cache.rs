//! Compiled code on disk, so that a restart does not compile again what it knows.
//!
//! Whoever can write a file here can run code in the gateway. So the directory and everything in it belongs to the gateway's user
//! alone, which is looked at before each use, and each file ends up in memory only if its digest is right, under a key that
//! lies in the same directory: the digest finds damage and files from elsewhere; against the user itself, or root, there is no
//! protection, and none is needed.
//!
//! Nothing here fails a load: what cannot be read is compiled, what cannot be written is not kept.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use aws_lc_rs::hmac;
use rustix::fs::OFlags;

use super::load::Artifact;
use super::wire::MAX_OUTPUT_BYTES;

/// Bytes of all entries together; those that were not used for longest go first.
const MAX_CACHE_BYTES: u64 = 1 << 30;
/// Bytes that may come between two looks at what there is: with thousands of entries, a look costs more than a write.
const BYTES_BETWEEN_LOOKS: u64 = MAX_CACHE_BYTES / 64;
/// What an interrupted write left behind is removed after this.
const ABANDONED_AFTER: Duration = Duration::from_secs(3_600);

/// Form of the files; another one makes the entries of old ones unknown.
const FORM: &[u8] = b"gateway code 2\n";
const KEY_FILE: &str = "key";
const KEY_BYTES: usize = 32;
const DIGEST_BYTES: usize = 32;
const ENDING: &str = ".code";
const TEMPORARY: &str = ".new-";

/// A directory of compiled code.
pub(crate) struct Cache {
    directory: PathBuf,
    key: hmac::Key,
    /// What code depends on besides its module: the engine, its settings, this build.
    version: String,
    writes: AtomicU64,
    /// Written since there was a look at all entries.
    unlooked_bytes: AtomicU64,
}

/// Why a directory is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheProblem {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("is no directory")]
    NotADirectory,
    #[error(
        "{what} belongs to user {found}, not to {own} as this process; remove it, or set `filters.cache`"
    )]
    Owner { what: &'static str, found: u32, own: u32 },
    #[error(
        "{what} has mode {mode:04o}, so that others could put code into this process; chmod go-rwx, once nobody has"
    )]
    Mode { what: &'static str, mode: u32 },
    #[error("the key has {0} bytes instead of {KEY_BYTES}; remove the directory")]
    Key(usize),
}

impl Cache {
    /// Takes the directory, made if it is not there; `code_version` names the engine.
    pub(crate) fn open(directory: &Path, code_version: u64) -> Result<Self, CacheProblem> {
        // Those above it are none of our business.
        if let Some(parent) = directory.parent() {
            fs::create_dir_all(parent)?;
        }
        match DirBuilder::new().mode(0o700).create(directory) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
            _ => {}
        }
        check_directory(directory)?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key(directory)?);
        let version = format!("{}-{code_version:016x}", env!("CARGO_PKG_VERSION"));
        Ok(Self {
            directory: directory.to_owned(),
            key,
            version,
            writes: AtomicU64::new(0),
            // The first write looks.
            unlooked_bytes: AtomicU64::new(BYTES_BETWEEN_LOOKS),
        })
    }

    /// The code of a module, if it is here and whole.
    pub(crate) fn get(&self, sha256: &[u8; 32]) -> Option<Artifact> {
        let path = self.path(sha256);
        match self.read(&path, sha256) {
            Ok(artifact) => Some(artifact),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(
                    "compiled code in {} is not used: {error}; it is compiled again",
                    path.display()
                );
                // If it stays, it is overwritten.
                let _ = fs::remove_file(&path);
                None
            }
        }
    }

    fn read(&self, path: &Path, sha256: &[u8; 32]) -> io::Result<Artifact> {
        check_directory(&self.directory).map_err(io::Error::other)?;
        let file = open(path)?;
        check_file(&file.metadata()?, "the file").map_err(io::Error::other)?;
        let mut bytes = Vec::with_capacity(usize::try_from(file.metadata()?.len()).unwrap_or_default());
        (&file).take(MAX_OUTPUT_BYTES + 1).read_to_end(&mut bytes)?;
        let damaged = || io::Error::new(ErrorKind::InvalidData, "its digest is wrong");
        let rest = bytes.strip_prefix(FORM).ok_or_else(damaged)?;
        let (digest, code) = rest.split_first_chunk::<DIGEST_BYTES>().ok_or_else(damaged)?;
        let signed = [&self.about(sha256), code];
        if !equal(self.sign(&signed).as_ref(), digest) {
            return Err(damaged());
        }
        // For those that are removed when there are too many. A file system that cannot keep it removes others.
        let _ = file.set_modified(SystemTime::now());
        let header = FORM.len() + DIGEST_BYTES;
        bytes.drain(..header);
        Ok(Artifact::from_cache(bytes))
    }

    /// Keeps the code of a module, as far as there is room.
    pub(crate) fn put(&self, sha256: &[u8; 32], artifact: &Artifact) {
        let path = self.path(sha256);
        if let Err(error) = self.write(&path, sha256, artifact) {
            tracing::warn!(
                "compiled code is not kept: {}: {error}; it is compiled again after a restart",
                path.display()
            );
        }
        let written = artifact.bytes().len() as u64;
        if self.unlooked_bytes.fetch_add(written, Ordering::Relaxed) < BYTES_BETWEEN_LOOKS {
            return;
        }
        self.unlooked_bytes.store(0, Ordering::Relaxed);
        if let Err(error) = self.make_room(MAX_CACHE_BYTES, &path) {
            tracing::warn!("cannot look for old compiled code in {}: {error}", self.directory.display());
        }
    }

    fn write(&self, path: &Path, sha256: &[u8; 32], artifact: &Artifact) -> io::Result<()> {
        check_directory(&self.directory).map_err(io::Error::other)?;
        let number = self.writes.fetch_add(1, Ordering::Relaxed);
        let beside = self.directory.join(format!("{TEMPORARY}{}-{number}", std::process::id()));
        let digest = self.sign(&[&self.about(sha256), artifact.bytes()]);
        let written = create(&beside).and_then(|mut file| {
            file.write_all(FORM)?;
            file.write_all(digest.as_ref())?;
            file.write_all(artifact.bytes())
        });
        // Whole or not at all: what a crash of the machine leaves has the wrong digest.
        let written = written.and_then(|()| fs::rename(&beside, path));
        if written.is_err() {
            let _ = fs::remove_file(&beside);
        }
        written
    }

    /// Removes what was not used for longest, until the rest fits, and what others left half written.
    fn make_room(&self, max_bytes: u64, newest: &Path) -> io::Result<()> {
        let now = SystemTime::now();
        let mut total = 0;
        self.each_entry(|name, metadata, used| {
            if name.ends_with(ENDING) {
                total += metadata.len();
            } else if name.starts_with(TEMPORARY)
                && now.duration_since(used).is_ok_and(|age| age > ABANDONED_AFTER)
            {
                let _ = fs::remove_file(self.directory.join(name));
            }
        })?;
        if total <= max_bytes {
            return Ok(());
        }
        let mut entries = Vec::new();
        self.each_entry(|name, metadata, used| {
            if name.ends_with(ENDING) {
                entries.push((used, metadata.len(), name.to_owned()));
            }
        })?;
        entries.sort();
        let paths = entries.into_iter().map(|(_, bytes, name)| (bytes, self.directory.join(name)));
        for (bytes, path) in paths.filter(|(_, path)| path != newest) {
            if total <= max_bytes {
                break;
            }
            if fs::remove_file(path).is_ok() {
                total = total.saturating_sub(bytes);
            }
        }
        Ok(())
    }

    /// Names, and when each was last used. None of them is kept: there may be thousands.
    fn each_entry(&self, mut look: impl FnMut(&str, &Metadata, SystemTime)) -> io::Result<()> {
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            // One that vanishes now is gone, which is as well; a name that is no text is none of ours.
            if let (Ok(metadata), Some(name)) = (entry.metadata(), entry.file_name().to_str()) {
                look(name, &metadata, metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH));
            }
        }
        Ok(())
    }

    fn path(&self, sha256: &[u8; 32]) -> PathBuf {
        let module: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        self.directory.join(format!("{module}-{}{ENDING}", self.version))
    }

    /// What the code is of: an entry under another's name is as wrong as a damaged one.
    fn about(&self, sha256: &[u8; 32]) -> Vec<u8> {
        [FORM, self.version.as_bytes(), b"\n", sha256].concat()
    }

    fn sign(&self, parts: &[&[u8]; 2]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        parts.iter().for_each(|part| context.update(part));
        context.sign()
    }
}

fn equal(a: &[u8], b: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()
}

/// Never waits, and follows no link.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
    OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn check_directory(directory: &Path) -> Result<(), CacheProblem> {
    let metadata = fs::symlink_metadata(directory)?;
    if !metadata.is_dir() {
        return Err(CacheProblem::NotADirectory);
    }
    check_owner(&metadata, "the directory")
}

fn check_file(metadata: &Metadata, what: &'static str) -> Result<(), CacheProblem> {
    if !metadata.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidData, "not a regular file").into());
    }
    check_owner(metadata, what)
}

/// Ours, and nobody else's in any way.
fn check_owner(metadata: &Metadata, what: &'static str) -> Result<(), CacheProblem> {
    let (found, own) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if found != own {
        return Err(CacheProblem::Owner { what, found, own });
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(CacheProblem::Mode { what, mode });
    }
    Ok(())
}

/// The key of the directory, made if there is none. Of several processes that make one at a time, one wins.
fn key(directory: &Path) -> Result<[u8; KEY_BYTES], CacheProblem> {
    let path = directory.join(KEY_FILE);
    let file = match open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let mut fresh = [0; KEY_BYTES];
            aws_lc_rs::rand::fill(&mut fresh).map_err(|_| io::Error::other("no randomness to be had"))?;
            let beside = directory.join(format!("{TEMPORARY}key-{}", std::process::id()));
            let linked = create(&beside)
                .and_then(|mut file| file.write_all(&fresh))
                .and_then(|()| fs::hard_link(&beside, &path));
            let _ = fs::remove_file(&beside);
            match linked {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
                _ => open(&path)?,
            }
        }
        opened => opened?,
    };
    check_file(&file.metadata()?, "the key")?;
    let mut bytes = Vec::new();
    file.take(KEY_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    <[u8; KEY_BYTES]>::try_from(bytes.as_slice()).map_err(|_| CacheProblem::Key(bytes.len()))
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
