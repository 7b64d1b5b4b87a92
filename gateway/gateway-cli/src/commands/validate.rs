//! `gateway validate`: everything that can be said about a configuration without serving it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use gateway_config::{Config, Diagnostic, Diagnostics};
use serde_json::{Value, json};

use super::Failure;
use crate::output;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = "gateway.yaml")]
    config: PathBuf,

    /// How to report
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let findings = check(&arguments.config);
    match arguments.output {
        Format::Json => output::print(&format!("{:#}\n", findings.as_json()))?,
        Format::Text if findings.valid() => {
            findings.warnings.iter().for_each(|warning| eprintln!("{warning}"));
            output::print(&findings.summary())?;
        }
        Format::Text => eprint!("{}", findings.errors()),
    }
    if findings.valid() { Ok(()) } else { Err(Failure::Reported) }
}

/// What was looked at and what was wrong with it.
struct Findings {
    checked: Vec<PathBuf>,
    summary: String,
    diagnostics: Vec<Diagnostics>,
    warnings: Vec<Diagnostic>,
    /// A directory or a manifest that cannot be read.
    unreadable: Vec<Unreadable>,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot read {}: {source}", path.display())]
struct Unreadable {
    path: PathBuf,
    source: std::io::Error,
}

fn check(path: &Path) -> Findings {
    let mut findings = Findings {
        checked: vec![path.to_owned()],
        summary: String::new(),
        diagnostics: Vec::new(),
        warnings: Vec::new(),
        unreadable: Vec::new(),
    };
    match gateway_config::load(path) {
        Err(diagnostics) => findings.diagnostics.push(diagnostics),
        Ok(config) => {
            findings.summary = summary_of(&config);
            findings.warnings = config.warnings;
            if let Some(directory) = &config.filters.directory {
                findings.check_manifests(directory);
            }
        }
    }
    findings
}

fn summary_of(config: &Config) -> String {
    let parts = [
        output::count(config.listeners.len(), "listener"),
        output::count(config.routes.len(), "route"),
        output::count(config.upstreams.len(), "upstream"),
    ];
    parts.join(", ")
}

impl Findings {
    /// A directory that is not there yet is allowed: the gateway waits for it.
    fn check_manifests(&mut self, directory: &Path) {
        match manifests_in(directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(source) => self.unreadable.push(Unreadable { path: directory.to_owned(), source }),
            Ok(paths) => paths.into_iter().for_each(|path| self.check_manifest(path)),
        }
    }

    fn check_manifest(&mut self, path: PathBuf) {
        match fs::read_to_string(&path) {
            Err(source) => self.unreadable.push(Unreadable { path: path.clone(), source }),
            Ok(text) => {
                if let Err(diagnostics) = gateway_config::parse_manifest(&text, &path.display().to_string()) {
                    self.diagnostics.push(diagnostics);
                }
            }
        }
        self.checked.push(path);
    }

    fn valid(&self) -> bool {
        self.diagnostics.is_empty() && self.unreadable.is_empty()
    }

    fn summary(&self) -> String {
        let manifests = output::count(self.checked.len() - 1, "filter manifest");
        format!("{} is valid: {}, {manifests}\n", self.checked[0].display(), self.summary)
    }

    fn errors(&self) -> String {
        let reports = self.diagnostics.iter().map(ToString::to_string);
        let unreadable = self.unreadable.iter().map(|error| format!("error: {error}"));
        reports
            .chain(unreadable)
            .map(|report| format!("{}\n", report.trim_end()))
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn as_json(&self) -> Value {
        let diagnostics =
            self.diagnostics.iter().flat_map(Diagnostics::iter).map(|diagnostic| json!(diagnostic));
        let unreadable = self.unreadable.iter().map(|error| json!({ "message": error.to_string() }));
        json!({
            "valid": self.valid(),
            "checked": self.checked,
            "warnings": self.warnings,
            "errors": diagnostics.chain(unreadable).collect::<Vec<Value>>(),
        })
    }
}

/// In order of name. Hidden files are passed over, as the gateway does.
fn manifests_in(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !hidden && path.extension().is_some_and(|extension| extension == "yaml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
