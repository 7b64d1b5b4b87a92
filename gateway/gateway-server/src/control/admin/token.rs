//! The token that changes over TCP need: a file that its owner alone can read.
//!
//! Read anew for each change, so that a new token holds at once and none is kept in memory.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Shortest token, in bytes: nobody tries out 16 random ones.
const MIN_TOKEN_BYTES: usize = 16;
/// Longest token file.
const MAX_FILE_BYTES: u64 = 4_096;
/// Random bytes of a token that is made here.
const MADE_BYTES: usize = 32;

/// Why a token file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("admin.tokenFile {}: {reason}", path.display())]
pub(crate) struct TokenError {
    path: PathBuf,
    reason: String,
}

/// Makes the file if it is not there, and checks it.
pub(crate) fn prepare(path: &Path) -> Result<(), TokenError> {
    let failed = |reason: String| TokenError { path: path.to_owned(), reason };
    if fs::symlink_metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        make(path).map_err(|error| failed(format!("cannot be made: {error}")))?;
        tracing::info!("made a token for changes over the admin interface: {}", path.display());
    }
    read(path).map(drop)
}

/// Whether `given` is the token.
pub(crate) fn is_token(path: &Path, given: &[u8]) -> Result<bool, TokenError> {
    let token = read(path)?;
    Ok(aws_lc_rs::constant_time::verify_slices_are_equal(token.as_bytes(), given).is_ok())
}

fn read(path: &Path) -> Result<String, TokenError> {
    let failed = |reason: String| TokenError { path: path.to_owned(), reason };
    let unreadable = |error: io::Error| failed(format!("cannot be read: {error}"));
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let file = file.map_err(unreadable)?;
    let found = file.metadata().map_err(unreadable)?;
    if !found.is_file() {
        return Err(failed("is not a regular file".to_owned()));
    }
    if found.mode() & 0o077 != 0 {
        let mode = found.mode() & 0o777;
        return Err(failed(format!(
            "has mode {mode:04o}, so that others can read it; `chmod 600` it, and write a new token"
        )));
    }
    let owner = found.uid();
    if owner != rustix::process::geteuid().as_raw() && owner != 0 {
        return Err(failed("belongs to another user".to_owned()));
    }
    let mut text = String::new();
    file.take(MAX_FILE_BYTES).read_to_string(&mut text).map_err(unreadable)?;
    let token = text.trim();
    if token.len() < MIN_TOKEN_BYTES || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(failed(format!(
            "holds no token: at least {MIN_TOKEN_BYTES} printable characters without spaces, such as `openssl rand -hex 32` prints"
        )));
    }
    Ok(token.to_owned())
}

fn make(path: &Path) -> io::Result<()> {
    let mut random = [0; MADE_BYTES];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| io::Error::other("no random bytes"))?;
    let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(format!("{token}\n").as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
