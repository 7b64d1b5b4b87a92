//! Configuration text to a resolved model, with errors that show the place.
//!
//! ```text
//! text --yaml--> marked tree --read--> schema (what the user wrote) --resolve--> resolved (what the gateway runs)
//! ```
//!
//! Every step goes on after an error, so one run reports everything that is wrong ([`Diagnostics`]). This crate opens
//! no socket and resolves no name. It reads files only through [`read_config`] and [`read_manifest`], and those that a
//! configuration answers with.

#![forbid(unsafe_code)]

mod address;
mod cors_text;
mod diagnostic;
mod file;
mod http_text;
mod log_text;
mod match_text;
mod read;
mod resolve;
pub mod resolved;
mod retry_text;
mod schema;
mod share_text;
mod status_text;
mod template;
mod values;
mod yaml;

use std::path::Path;

use serde_json::Value;

pub use diagnostic::{Diagnostic, Diagnostics, ExcerptLine, MAX_ERRORS, Severity, Underline, suggestion};
pub use file::{MAX_FILE_BYTES, read_config, read_manifest};
pub use ipnet::IpNet;
pub use resolved::*;

use diagnostic::Report;
use read::{Field, Marked, Reader, Shape};

/// Reads and resolves a configuration file. Relative paths in it are joined to the folder of the file.
pub fn load(path: &Path) -> Result<Config, Diagnostics> {
    parse_config(&read_config(path)?, path)
}

/// Resolves what [`read_config`] gave of the file at `path`.
pub fn parse_config(text: &str, path: &Path) -> Result<Config, Diagnostics> {
    parse_text(text, &path.display().to_string(), path.parent().unwrap_or(Path::new("")))
}

/// Resolves the text of a configuration. `file_name` is for messages; relative paths are joined to `base_dir`.
pub fn parse_text(text: &str, file_name: &str, base_dir: &Path) -> Result<Config, Diagnostics> {
    let mut report = Report::new(file_name, text);
    match read_root::<schema::Config>(text, &mut report) {
        Field::Given(root) => {
            let config = resolve::config(root.value, base_dir, &mut report);
            report.finish(config)
        }
        Field::Bad => report.finish(None),
        Field::Absent => {
            let help = "the smallest configuration is one listener and one route: see `gateway init`".into();
            report.error(None, "the file is empty: it has no listeners and no routes", Some(help));
            report.finish(None)
        }
    }
}

/// Resolves the text of a filter manifest (`NAME.yaml` next to `NAME.wasm`). An empty text is the default manifest.
pub fn parse_manifest(text: &str, file_name: &str) -> Result<Manifest, Diagnostics> {
    let mut report = Report::new(file_name, text);
    let manifest = match read_root::<schema::Manifest>(text, &mut report) {
        Field::Given(root) => Some(resolve::manifest(root.value, &mut report)),
        Field::Bad => None,
        Field::Absent => Some(resolve::default_manifest()),
    };
    report.finish(manifest)
}

/// The JSON Schema (draft 2020-12) of the configuration file.
pub fn json_schema() -> Value {
    read::root_schema::<schema::Config>("gateway configuration")
}

/// The JSON Schema (draft 2020-12) of a filter manifest.
pub fn manifest_json_schema() -> Value {
    read::root_schema::<schema::Manifest>("gateway filter manifest")
}

impl Manifest {
    /// What a bare `NAME.wasm` gets: every route, fails closed, default budgets. No default depends on the name.
    pub fn default_for(_name: &str) -> Self {
        resolve::default_manifest()
    }
}

fn read_root<T: Shape>(text: &str, report: &mut Report<'_>) -> Field<T> {
    let tree = match yaml::parse(text) {
        Ok(tree) => tree,
        Err(fault) => {
            report.error(fault.mark, fault.message, fault.help);
            return Field::Bad;
        }
    };
    for fault in tree.faults {
        report.error(fault.mark, fault.message, fault.help);
    }
    match tree.root {
        None => Field::Absent,
        Some(node) if node.is_null() => Field::Absent,
        Some(node) => match T::read(&node, &mut Reader::new(report)) {
            Some(value) => Field::Given(Marked { mark: node.mark, value }),
            None => Field::Bad,
        },
    }
}

#[cfg(test)]
#[path = "lib_tests.rs"]
mod tests;
