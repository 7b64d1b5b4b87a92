//! Putting a file into a directory that a gateway may be watching: it appears whole, or not at all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Writes `bytes` under a hidden name, which the watcher ignores, and renames it to `file_name` in `directory`.
pub(crate) fn put(directory: &Path, file_name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
    let hidden = directory.join(format!(".{file_name}.{}.tmp", std::process::id()));
    let path = directory.join(file_name);
    let written = fs::write(&hidden, bytes).and_then(|()| fs::rename(&hidden, &path));
    if written.is_err() {
        // The first error is the one to report; a leftover is hidden and ignored.
        let _ = fs::remove_file(&hidden);
    }
    written.map(|()| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_the_file_and_leaves_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        put(directory.path(), "a.wasm", b"old").unwrap();
        let path = put(directory.path(), "a.wasm", b"new").unwrap();
        assert_eq!(fs::read(path).unwrap(), b"new");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_target_that_cannot_be_replaced_leaves_no_leftover() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("a.wasm/in-the-way")).unwrap();
        assert!(put(directory.path(), "a.wasm", b"new").is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
