//! `gateway validate`: everything that can be said about a configuration without serving it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use gateway_config::{Config, Diagnostic, Diagnostics, Place, Severity};
use gateway_server::{CertificateProblem, FilterFinding};
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
        Format::Text => {
            output::report(&findings.reports());
            if findings.valid() {
                output::print(&findings.summary())?;
            }
        }
    }
    if findings.valid() { Ok(()) } else { Err(Failure::Reported) }
}

/// What was looked at and what was wrong with it.
struct Findings {
    checked: Vec<PathBuf>,
    summary: String,
    diagnostics: Vec<Diagnostics>,
    warnings: Vec<Diagnostic>,
    /// Certificates, keys and authorities that cannot be used.
    certificates: Vec<CertificateProblem>,
    /// What modules of filters and their manifests say of each other.
    filters: Vec<FilterFinding>,
    /// Filter directories that cannot be read.
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
        certificates: Vec::new(),
        filters: Vec::new(),
        unreadable: Vec::new(),
    };
    match gateway_config::load(path) {
        Err(diagnostics) => findings.diagnostics.push(diagnostics),
        Ok(config) => {
            findings.summary = summary_of(&config);
            findings.certificates = gateway_server::check_certificates(&config);
            findings.filters = gateway_server::check_filters(&config);
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
        let parsed = gateway_config::read_manifest(&path)
            .and_then(|text| gateway_config::parse_manifest(&text, &path.display().to_string()));
        self.diagnostics.extend(parsed.err());
        self.checked.push(path);
    }

    fn valid(&self) -> bool {
        self.diagnostics.is_empty()
            && self.certificates.is_empty()
            && self.unreadable.is_empty()
            && self.filters_of(Severity::Error).next().is_none()
    }

    fn filters_of(&self, severity: Severity) -> impl Iterator<Item = &FilterFinding> {
        self.filters.iter().filter(move |finding| finding.severity == severity)
    }

    fn summary(&self) -> String {
        let manifests = output::count(self.checked.len() - 1, "filter manifest");
        format!("{} is valid: {}, {manifests}\n", self.checked[0].display(), self.summary)
    }

    fn reports(&self) -> String {
        let warnings = self.warnings.iter().map(ToString::to_string);
        let diagnostics = self.diagnostics.iter().map(ToString::to_string);
        let unreadable = self.unreadable.iter().map(|error| format!("error: {error}"));
        let certificates = self.certificates.iter().map(|problem| {
            let Place { file, line, column, .. } = &problem.place;
            format!("error: {}\n --> {file}:{line}:{column}", problem.message)
        });
        let doubts =
            self.filters_of(Severity::Warning).map(|finding| format!("warning: {}", finding.message));
        let filters = self.filters_of(Severity::Error).map(|finding| match &finding.diagnostic {
            Some(diagnostic) => diagnostic.to_string(),
            None => format!("error: {}", finding.message),
        });
        warnings
            .chain(doubts)
            .chain(diagnostics)
            .chain(certificates)
            .chain(filters)
            .chain(unreadable)
            .map(|report| format!("{}\n", report.trim_end()))
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn as_json(&self) -> Value {
        let diagnostics =
            self.diagnostics.iter().flat_map(Diagnostics::iter).map(|diagnostic| json!(diagnostic));
        let severity = Severity::Error;
        let unreadable =
            self.unreadable.iter().map(|error| json!({ "severity": severity, "message": error.to_string() }));
        let certificates = self.certificates.iter().map(|problem| {
            let Place { file, line, column, .. } = &problem.place;
            let place = json!({ "file": &**file, "line": line, "column": column });
            json!({ "severity": severity, "message": problem.message, "place": place })
        });
        let filters = |severity| {
            let told = move |finding: &FilterFinding| match &finding.diagnostic {
                Some(diagnostic) => json!(diagnostic),
                None => json!({ "severity": severity, "message": finding.message }),
            };
            self.filters_of(severity).map(told)
        };
        let warnings = self.warnings.iter().map(|warning| json!(warning));
        let errors = diagnostics.chain(certificates).chain(filters(Severity::Error)).chain(unreadable);
        json!({
            "valid": self.valid(),
            "checked": self.checked,
            "warnings": warnings.chain(filters(Severity::Warning)).collect::<Vec<Value>>(),
            "errors": errors.collect::<Vec<Value>>(),
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
