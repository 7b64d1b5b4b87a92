//! Configuration text to a resolved model, with errors that show the place.
//!
//! ```text
//! text --yaml--> marked tree --read--> schema (what the user wrote) --resolve--> resolved (what the gateway runs)
//! ```
//!
//! Every step goes on after an error, so one run reports everything that is wrong ([`Diagnostics`]). This crate opens
//! no socket and resolves no name. It reads the file given to [`load`], and the files that a configuration answers with.

#![forbid(unsafe_code)]

mod address;
mod cors_text;
mod diagnostic;
mod http_text;
mod match_text;
mod read;
mod resolve;
pub mod resolved;
mod schema;
mod template;
mod values;
mod yaml;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde_json::Value;

pub use diagnostic::{Diagnostic, Diagnostics, ExcerptLine, MAX_ERRORS, Severity, Underline};
pub use ipnet::IpNet;
pub use resolved::*;

use diagnostic::Report;
use read::{Field, Marked, Reader, Shape};

/// The largest configuration or manifest that is read, in bytes.
pub const MAX_FILE_BYTES: usize = 4 * 1024 * 1024;

/// Reads and resolves a configuration file. Relative paths in it are joined to the folder of the file.
pub fn load(path: &Path) -> Result<Config, Diagnostics> {
    let file_name = path.display().to_string();
    let text = read_text(path).map_err(|(message, help)| Diagnostics::of_file(&file_name, message, help))?;
    parse_text(&text, &file_name, path.parent().unwrap_or(Path::new("")))
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
        Field::Given(root) => Some(resolve::manifest(root.value)),
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

/// The text of a file, or a message with a hint.
fn read_text(path: &Path) -> Result<String, (String, Option<String>)> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| {
        let help = match error.kind() {
            std::io::ErrorKind::NotFound => {
                "give the file with `-c FILE`, or write a first one with `gateway init`"
            }
            std::io::ErrorKind::PermissionDenied => {
                "the user that the gateway runs as must be able to read it"
            }
            std::io::ErrorKind::IsADirectory => "name the file itself, not its folder",
            _ => return (format!("cannot read `{shown}`: {error}"), None),
        };
        (format!("cannot read `{shown}`: {error}"), Some(help.to_owned()))
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    // One byte more than allowed tells "exactly at the limit" from "over it".
    file.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > MAX_FILE_BYTES {
        let limit = values::show_size(MAX_FILE_BYTES as u64);
        return Err((format!("`{shown}` is larger than {limit}, the most that a file may have"), None));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes().iter().take(valid).filter(|byte| **byte == b'\n').count();
        (format!("`{shown}` is not UTF-8 text: the first bad byte is in line {line}"), None)
    })
}

#[cfg(test)]
#[path = "lib_tests.rs"]
mod tests;
