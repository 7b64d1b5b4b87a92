//! The text of a file, or a report that says why there is none.
//!
//! Owns which files are read: regular ones of a bounded size. A FIFO or a device would block whoever reads it, for ever.
//! Must never know what the text means.

use std::fs::{self, OpenOptions};
use std::io::{Error, ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

use crate::diagnostic::Diagnostics;
use crate::values;

/// The largest configuration or manifest that is read, in bytes.
pub const MAX_FILE_BYTES: usize = 4 * 1024 * 1024;

/// Reads a configuration file: regular, UTF-8, at most [`MAX_FILE_BYTES`]. Never blocks on anything else.
pub fn read_config(path: &Path) -> Result<String, Diagnostics> {
    read(path, "give the file with `-c FILE`, or write a first one with `gateway init`")
}

/// As [`read_config`], for a filter manifest.
pub fn read_manifest(path: &Path) -> Result<String, Diagnostics> {
    read(path, "it was deleted a moment ago, or is a link to a file that does not exist")
}

fn read(path: &Path, not_found_help: &str) -> Result<String, Diagnostics> {
    let shown = path.display();
    let report = |message: String, help: Option<&str>| {
        Diagnostics::of_file(&shown.to_string(), message, help.map(str::to_owned))
    };
    let bytes = match read_regular(path, MAX_FILE_BYTES as u64) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => {
            let help = "name a file on disk; folders, pipes and devices are not read";
            return Err(report(format!("cannot read `{shown}`: not a regular file"), Some(help)));
        }
        Err(error) => {
            let help = match error.kind() {
                ErrorKind::NotFound => Some(not_found_help),
                ErrorKind::PermissionDenied => {
                    Some("the user that the gateway runs as must be able to read it")
                }
                _ => None,
            };
            return Err(report(format!("cannot read `{shown}`: {error}"), help));
        }
    };
    if bytes.len() > MAX_FILE_BYTES {
        let limit = values::show_size(MAX_FILE_BYTES as u64);
        return Err(report(format!("`{shown}` is larger than {limit}, the most that a file may have"), None));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes().iter().take(valid).filter(|byte| **byte == b'\n').count();
        report(format!("`{shown}` is not UTF-8 text: the first bad byte is in line {line}"), None)
    })
}

/// At most one byte more than `limit_bytes`, which tells "over the limit" from "exactly at it"; `None` if it is not a
/// regular file.
pub(crate) fn read_regular(path: &Path, limit_bytes: u64) -> Result<Option<Vec<u8>>, Error> {
    // Looked at before it is opened, as opening some devices has effects.
    if !fs::metadata(path)?.is_file() {
        return Ok(None);
    }
    // It may have been replaced by a FIFO since: opened so that this does not block, and looked at again.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(limit_bytes + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
