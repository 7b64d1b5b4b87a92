//! The configuration of a filter before it sees it: checked against what its module says it takes, and with its secrets
//! filled in.
//!
//! Owns the reading of secrets. Their values go to the filter and nowhere else: not into messages, not into the status;
//! a version remembers only a digest of them.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gateway_config::{Config, Diagnostics, FilterAbout, Manifest, SecretSource};
use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

use super::{FileState, Scan};

/// Bytes of one secret.
const MAX_SECRET_BYTES: u64 = 64 << 10;
/// What stands in every manifest that has secrets; parsing the others again at each look would be for nothing.
const FIELD: &str = "secrets";

/// The secrets of one filter, by name, or why there is one that cannot be had.
#[derive(Default)]
pub(super) struct Secrets {
    values: BTreeMap<Arc<str>, String>,
    problems: Vec<String>,
}

impl Secrets {
    /// Reads those of a manifest, from files below `directory` unless they say otherwise. May block on a file system.
    pub(super) fn read(manifest: Option<&str>, directory: Option<&Path>) -> Self {
        let mut secrets = Self::default();
        for (name, source) in sources(manifest) {
            match value(&source, directory) {
                Ok(value) => drop(secrets.values.insert(name, value)),
                Err(problem) => secrets.problems.push(format!("secret `{name}`: {problem}")),
            }
        }
        secrets
    }

    /// Changes with every value, and tells none.
    pub(super) fn fingerprint(&self) -> Option<[u8; 32]> {
        if self.values.is_empty() && self.problems.is_empty() {
            return None;
        }
        let mut digest = Sha256::new();
        for text in self.values.iter().flat_map(|(name, value)| [&**name, value]) {
            digest.update((text.len() as u64).to_le_bytes());
            digest.update(text);
        }
        self.problems.iter().for_each(|problem| digest.update(problem));
        Some(digest.finalize().into())
    }

    /// What keeps a filter from being configured.
    pub(super) fn problems(&self) -> &[String] {
        &self.problems
    }

    /// The configuration as the filter reads it.
    pub(super) fn configuration(&self, manifest: &Manifest) -> Vec<u8> {
        manifest.config_with(|name| self.values.get(name).map(String::as_str))
    }

    /// Their values in all forms in which the filter could say them.
    pub(super) fn forms(&self) -> Vec<Vec<u8>> {
        proxy_wasm_host::forms_of_secrets(self.values.values().map(String::as_str))
    }
}

/// The secrets of all filters of a scan that have any. May block on a file system.
pub(super) fn read_all(scan: &Scan, directory: &Path) -> BTreeMap<String, Secrets> {
    let read = |(name, file): (&String, &FileState)| {
        let secrets = Secrets::read(file.manifest.as_deref(), Some(directory));
        secrets.fingerprint().is_some().then(|| (name.clone(), secrets))
    };
    scan.filters.iter().filter_map(read).collect()
}

/// The files that secrets are in, for the watcher.
pub(super) fn secret_files(manifest: Option<&str>, directory: Option<&Path>) -> Vec<PathBuf> {
    let files = sources(manifest).into_iter().filter_map(|(_, source)| match source {
        SecretSource::File(path) => Some(place(&path, directory)),
        SecretSource::Env(_) => None,
    });
    files.collect()
}

/// Checks the configuration in the manifest `file` by what the module says of itself. A module that says nothing, or what nobody
/// understands, is configured as it is.
pub(super) fn check(
    file: &str,
    text: Option<&str>,
    manifest: &Manifest,
    about: Option<&[u8]>,
    config: &Config,
) -> Result<(), Diagnostics> {
    let schema = about.and_then(|about| FilterAbout::parse(about).ok()).and_then(|about| about.config);
    let upstreams: Vec<&str> = config.upstreams.iter().map(|upstream| &*upstream.name).collect();
    gateway_config::check_filter_config(text.unwrap_or_default(), file, manifest, schema.as_ref(), &upstreams)
}

fn sources(manifest: Option<&str>) -> Vec<(Arc<str>, SecretSource)> {
    let text = manifest.filter(|text| text.contains(FIELD));
    let parsed = text.and_then(|text| gateway_config::parse_manifest(text, "").ok());
    parsed.map(|manifest| manifest.secrets).unwrap_or_default()
}

fn value(source: &SecretSource, directory: Option<&Path>) -> Result<String, String> {
    match source {
        SecretSource::Env(name) => match std::env::var(&**name) {
            Ok(value) if !value.is_empty() => Ok(value),
            Ok(_) => Err(format!("the environment variable {name} is empty")),
            Err(_) => Err(format!("there is no environment variable {name} with text in it")),
        },
        SecretSource::File(path) => {
            let path = place(path, directory);
            let told = |problem: &str| format!("{} {problem}", path.display());
            let bytes = read(&path).map_err(|error| told(&format!("cannot be read: {error}")))?;
            let Some(bytes) = bytes else { return Err(told("is not a regular file")) };
            if bytes.len() as u64 > MAX_SECRET_BYTES {
                return Err(told(&format!("has more than {MAX_SECRET_BYTES} bytes")));
            }
            let text = String::from_utf8(bytes).map_err(|_| told("is not UTF-8 text"))?;
            // Editors end a file with a line break.
            let text = text.strip_suffix('\n').unwrap_or(&text);
            let text = text.strip_suffix('\r').unwrap_or(text);
            if text.is_empty() { Err(told("is empty")) } else { Ok(text.to_owned()) }
        }
    }
}

fn place(path: &Path, directory: Option<&Path>) -> PathBuf {
    directory.map_or_else(|| path.to_owned(), |directory| directory.join(path))
}

/// `None` for what is no regular file: a FIFO would keep its reader waiting.
fn read(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    if !fs::metadata(path)?.is_file() {
        return Ok(None);
    }
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let mut bytes = Vec::new();
    file.take(MAX_SECRET_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
