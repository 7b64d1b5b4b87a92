//! Reads one file whole, or says that it is changing.
//!
//! Never blocks on what is not a regular file, never reads more than the limit, and believes the bytes only if nothing
//! about the file changed from before the reading until after it.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;

use super::{FileProblem, QUIET_TIME, Signature};

pub(super) enum Outcome {
    Whole(Whole),
    /// It vanished, changed during the read, or was written to a moment ago.
    Changing,
    Problem(FileProblem),
}

pub(super) struct Whole {
    pub(super) signature: Signature,
    /// None if the signature is the known one: then it was not read.
    pub(super) fresh: Option<Vec<u8>>,
}

pub(super) fn read_stable(path: &Path, max_bytes: u64, known: Option<Signature>, now: SystemTime) -> Outcome {
    try_read(path, max_bytes, known, now).unwrap_or_else(|error| match error.kind() {
        ErrorKind::NotFound if is_link(path) => Outcome::Problem(FileProblem::DanglingLink),
        ErrorKind::NotFound => Outcome::Changing,
        _ => Outcome::Problem(FileProblem::Unreadable(error.to_string())),
    })
}

fn try_read(path: &Path, max_bytes: u64, known: Option<Signature>, now: SystemTime) -> io::Result<Outcome> {
    // Looked at before it is opened, as opening some devices has effects.
    let before = fs::metadata(path)?;
    let signature = Signature::of(&before);
    if !before.is_file() {
        return Ok(Outcome::Problem(FileProblem::NotRegular));
    }
    if signature.len > max_bytes {
        let too_large = FileProblem::TooLarge { len: signature.len, max: max_bytes };
        return Ok(Outcome::Problem(too_large));
    }
    if known == Some(signature) {
        return Ok(Outcome::Whole(Whole { signature, fresh: None }));
    }
    if is_young(&before, now) {
        return Ok(Outcome::Changing);
    }
    // It may have been replaced by a FIFO since: opened so that this does not block, and looked at again.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    if Signature::of(&file.metadata()?) != signature {
        return Ok(Outcome::Changing);
    }
    let bytes = read_at_most(&file, signature.len)?;
    let unchanged = bytes.len() as u64 == signature.len
        && Signature::of(&file.metadata()?) == signature
        && Signature::of(&fs::metadata(path)?) == signature;
    if !unchanged {
        return Ok(Outcome::Changing);
    }
    Ok(Outcome::Whole(Whole { signature, fresh: Some(bytes) }))
}

/// One byte more than expected shows that the file grew.
fn read_at_most(file: &File, expected_bytes: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(expected_bytes + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A modification time in the future says nothing about when the file was written, and must not keep it out for ever.
fn is_young(metadata: &Metadata, now: SystemTime) -> bool {
    let age = metadata.modified().ok().and_then(|modified| now.duration_since(modified).ok());
    age.unwrap_or(Duration::MAX) < QUIET_TIME
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink())
}

impl Signature {
    fn of(metadata: &Metadata) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Self {
            len: metadata.len(),
            mtime_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            ctime_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
            device: metadata.dev(),
        }
    }
}
