//! Which filters are `required`, kept over restarts: a directory that is empty or not mounted at the next start must not take
//! their protection away.
//!
//! One small file for each filter directory, with names and manifests. What cannot be read or written is said, and costs the
//! memory alone; `filters.expect` needs none.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gateway_config::StateDirectory;
use serde_json::Value;

use crate::control::state_place;

/// Bytes of the file; its manifests are of at most as many filters as a directory may have.
const MAX_BYTES: u64 = 64 << 20;

/// Required filters by name, with their manifests.
pub(super) type Required = BTreeMap<String, Option<Arc<str>>>;

/// What is on disk.
#[derive(Default)]
pub(super) struct Remembered {
    file: Option<PathBuf>,
    known: Required,
    is_failing: bool,
}

impl Remembered {
    /// Reads what was remembered of this filter directory.
    pub(super) fn open(state: &StateDirectory, filters: &Path) -> Self {
        let file = file_of(state, filters, &|name| std::env::var_os(name));
        let Some(path) = &file else { return Self::default() };
        let (known, is_failing) = match read(path) {
            Ok(known) => (known, false),
            Err(error) if error.kind() == ErrorKind::NotFound => (Required::new(), false),
            Err(error) => {
                tracing::warn!(
                    "which filters are required is not known from before: {}: {error}; name them in `filters.expect`",
                    path.display()
                );
                (Required::new(), true)
            }
        };
        Self { file, known, is_failing }
    }

    pub(super) fn known(&self) -> &Required {
        &self.known
    }

    /// Writes what is required now, if that is something else, or was not written. A failure is said once.
    pub(super) fn set(&mut self, required: Required) {
        let is_due = required != self.known || self.is_failing;
        let Some(path) = self.file.as_ref().filter(|_| is_due) else { return };
        match write(path, &required) {
            Ok(()) => self.is_failing = false,
            Err(error) if !self.is_failing => {
                self.is_failing = true;
                tracing::warn!(
                    "which filters are required cannot be kept over a restart: {}: {error}; set `filters.state`, or name them in \
                     `filters.expect`",
                    path.display()
                );
            }
            Err(_) => {}
        }
        self.known = required;
    }
}

/// Each filter directory has a file of its own.
fn file_of(
    state: &StateDirectory,
    filters: &Path,
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Option<PathBuf> {
    let root = state_place::root(state, variable)?;
    Some(root.join(format!("required-{}.json", state_place::name_of(filters))))
}

/// Ours alone: whoever writes it decides which requests are refused.
fn read(path: &Path) -> io::Result<Required> {
    let file = OpenOptions::new().read(true).open(path)?;
    let metadata = file.metadata()?;
    if metadata.uid() != rustix::process::geteuid().as_raw() || metadata.mode() & 0o022 != 0 {
        return Err(io::Error::other("others can write to it, or it is not of this user"));
    }
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text)?;
    let value: Value = serde_json::from_str(&text)?;
    let entries = value.as_object().ok_or_else(|| io::Error::from(ErrorKind::InvalidData))?;
    Ok(entries.iter().map(|(name, manifest)| (name.clone(), manifest.as_str().map(Arc::from))).collect())
}

fn write(path: &Path, required: &Required) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let value: Value = required
        .iter()
        .map(|(name, manifest)| (name.clone(), manifest.as_deref().map_or(Value::Null, Value::from)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    // One that an earlier process of this number left.
    let _ = fs::remove_file(&beside);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut file| {
            file.write_all(value.to_string().as_bytes())?;
            // It is wanted after a crash above all.
            file.sync_all()
        })
        .and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn required(names: &[(&str, Option<&str>)]) -> Required {
        names.iter().map(|(name, manifest)| ((*name).to_owned(), manifest.map(Arc::from))).collect()
    }

    #[test]
    fn what_is_required_is_known_after_a_restart_and_only_for_the_same_directory() {
        let place = tempfile::tempdir().unwrap();
        let state = StateDirectory::At(place.path().join("deep/state"));
        let some = required(&[("a", Some("required: true")), ("b", None)]);
        Remembered::open(&state, Path::new("/filters")).set(some.clone());
        let mut again = Remembered::open(&state, Path::new("/filters"));
        assert_eq!(again.known(), &some);
        assert!(Remembered::open(&state, Path::new("/others")).known().is_empty());
        again.set(Required::new());
        assert!(Remembered::open(&state, Path::new("/filters")).known().is_empty());
    }

    #[test]
    fn what_could_not_be_written_is_tried_again() {
        let place = tempfile::tempdir().unwrap();
        let state = StateDirectory::At(place.path().join("state"));
        let mut opened = Remembered::open(&state, Path::new("/filters"));
        fs::write(place.path().join("state"), "in the way").unwrap();
        let some = required(&[("a", None)]);
        opened.set(some.clone());
        fs::remove_file(place.path().join("state")).unwrap();
        opened.set(some.clone());
        assert_eq!(Remembered::open(&state, Path::new("/filters")).known(), &some);
    }

    #[test]
    fn what_is_damaged_or_not_ours_is_not_believed_and_is_overwritten() {
        use std::os::unix::fs::PermissionsExt;
        let place = tempfile::tempdir().unwrap();
        let state = StateDirectory::At(place.path().to_owned());
        let open = || Remembered::open(&state, Path::new("/filters"));
        let some = required(&[("a", None)]);
        open().set(some.clone());
        let path = open().file.unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(open().known().is_empty(), "others can write to it");
        for damaged in ["", "{", "[]", "{\"a\": nul"] {
            fs::remove_file(&path).unwrap();
            fs::write(&path, damaged).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            let mut opened = open();
            assert!(opened.known().is_empty(), "{damaged}");
            opened.set(some.clone());
            assert_eq!(open().known(), &some, "{damaged}");
        }
    }
}
