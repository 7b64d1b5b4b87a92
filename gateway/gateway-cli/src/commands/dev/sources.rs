//! What a filter is made of on disk, and whether it changed. Looks, rather than being told: a crate has few files, editors
//! replace them in many ways, and a look is cheap.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Folders that a build writes to, or that have nothing to do with it.
const PASSED_OVER: [&str; 2] = ["target", "filters"];
/// Files that are looked at; a crate with more is one with something else in its folder.
const MAX_FILES: usize = 10_000;

/// Size and time of every file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Sources(BTreeMap<PathBuf, (u64, Option<SystemTime>)>);

impl Sources {
    pub(super) fn of(directory: &Path) -> Self {
        let mut sources = Self::default();
        sources.add(directory);
        sources
    }

    /// One file that is not the same in both, by its path.
    pub(super) fn change_to<'a>(&'a self, new: &'a Self) -> Option<&'a Path> {
        let changed = new.0.iter().find(|(path, state)| self.0.get(*path) != Some(state));
        let gone = || self.0.keys().find(|path| !new.0.contains_key(*path));
        changed.map(|(path, _)| path).or_else(gone).map(PathBuf::as_path)
    }

    /// How long ago a file was written, by its own time.
    pub(super) fn age(&self, path: &Path) -> Option<Duration> {
        let (_, written) = self.0.get(path)?;
        SystemTime::now().duration_since((*written)?).ok()
    }

    /// What cannot be read just now is seen at the next look.
    fn add(&mut self, directory: &Path) {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            let Ok(metadata) = entry.metadata() else { continue };
            if name.starts_with('.') || name.ends_with('~') || self.0.len() >= MAX_FILES {
                continue;
            }
            if metadata.is_dir() && !PASSED_OVER.contains(&&*name) {
                self.add(&path);
            } else if metadata.is_file() && name != "Cargo.lock" {
                self.0.insert(path, (metadata.len(), metadata.modified().ok()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_seen_and_artefacts_are_not() {
        let scratch = tempfile::tempdir().unwrap();
        let path = |name: &str| scratch.path().join(name);
        fs::create_dir_all(path("src")).unwrap();
        fs::create_dir_all(path("target/debug")).unwrap();
        fs::write(path("src/lib.rs"), "one").unwrap();
        let first = Sources::of(scratch.path());
        fs::write(path("target/debug/x"), "x").unwrap();
        fs::write(path("src/.lib.rs.swp"), "x").unwrap();
        fs::write(path("Cargo.lock"), "x").unwrap();
        assert_eq!(first.change_to(&Sources::of(scratch.path())), None);
        fs::write(path("src/lib.rs"), "three").unwrap();
        let second = Sources::of(scratch.path());
        assert_eq!(first.change_to(&second), Some(path("src/lib.rs").as_path()));
        fs::remove_file(path("src/lib.rs")).unwrap();
        assert_eq!(second.change_to(&Sources::of(scratch.path())), Some(path("src/lib.rs").as_path()));
    }
}
