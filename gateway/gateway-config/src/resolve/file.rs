//! Files that answers are made of: read while the configuration is, so that a request never waits for a disk.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::diagnostic::{Mark, Report, quoted};
use crate::file::read_regular;
use crate::values::show_size;

/// Largest file of one answer, in bytes: it is kept in memory.
const MAX_FILE_BYTES: u64 = 1024 * 1024;
/// All files of all answers together, in bytes.
const MAX_TOTAL_BYTES: u64 = 64 * 1024 * 1024;

/// Files read so far: several routes may answer with one.
pub(super) struct Files<'a> {
    base_dir: &'a Path,
    read: HashMap<PathBuf, Option<Arc<[u8]>>>,
    total_bytes: u64,
}

impl<'a> Files<'a> {
    pub(super) fn new(base_dir: &'a Path) -> Self {
        Self { base_dir, read: HashMap::new(), total_bytes: 0 }
    }

    /// Path and content; an error is reported once per file.
    pub(super) fn content(
        &mut self,
        written: &str,
        mark: Mark,
        report: &mut Report<'_>,
    ) -> Option<(PathBuf, Arc<[u8]>)> {
        let path = self.base_dir.join(written);
        if !self.read.contains_key(&path) {
            let content = read(&path, MAX_TOTAL_BYTES - self.total_bytes);
            if let Err((message, help)) = &content {
                let shown = quoted(&path.display().to_string());
                report.error(mark, format!("the file {shown} {message}"), help.clone());
            }
            let content = content.ok();
            self.total_bytes += content.as_ref().map_or(0, |content| content.len() as u64);
            self.read.insert(path.clone(), content);
        }
        let content = self.read.get(&path)?.clone()?;
        Some((path, content))
    }
}

fn read(path: &Path, room_bytes: u64) -> Result<Arc<[u8]>, (String, Option<String>)> {
    let failed = |error: std::io::Error| {
        let help = "the path is relative to the folder of this file".to_owned();
        (format!("cannot be read: {error}"), Some(help))
    };
    let limit = MAX_FILE_BYTES.min(room_bytes);
    let Some(bytes) = read_regular(path, limit).map_err(failed)? else {
        return Err(("is not a regular file".to_owned(), None));
    };
    if bytes.len() as u64 <= limit {
        return Ok(bytes.into());
    }
    let help = "larger files belong on an upstream".to_owned();
    let message = if limit == MAX_FILE_BYTES {
        format!("is larger than {}", show_size(MAX_FILE_BYTES))
    } else {
        format!("does not fit: all files of answers may have {} together", show_size(MAX_TOTAL_BYTES))
    };
    Err((message, Some(help)))
}

/// What browsers take a file for, by its ending.
pub(super) fn content_type(path: &Path) -> &'static str {
    match path.extension().and_then(|ending| ending.to_str()).unwrap_or("") {
        "html" | "htm" => "text/html; charset=utf-8",
        "txt" => "text/plain; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "xml" => "application/xml",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "ico" => "image/x-icon",
        _ => "application/octet-stream",
    }
}
