//! What came of the newest reload of each cause: for the admin API and, in one line, for the log.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use gateway_config::Config;
use serde_json::{Value, json};

use super::apply_error::ApplyError;
use super::changes::{Changed, Changes, Objects};
use crate::telemetry::rfc3339;

/// Names per kind in a line of the log; the admin API has all of them.
const MAX_NAMES_LOGGED: usize = 5;

/// What a configuration that is taken up is doubtful in.
pub(super) fn log_warnings(config: &Config) {
    for warning in &config.warnings {
        tracing::warn!("{}", warning.line());
    }
}

/// What made the gateway look for another configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cause {
    Start,
    /// The file changed, or SIGHUP.
    Configuration,
    Certificates,
    Filters,
    /// A name leads to other addresses.
    Addresses,
}

impl Cause {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Configuration => "configuration",
            Self::Certificates => "certificates",
            Self::Filters => "filters",
            Self::Addresses => "addresses",
        }
    }
}

/// The newest of each cause, the newest of all first: a refused configuration stays in sight while filters change.
#[derive(Default)]
pub(crate) struct Reloads {
    revision: u64,
    newest: Vec<Reload>,
}

/// One reload.
pub(crate) struct Reload {
    pub(crate) cause: Cause,
    /// What serves after it.
    pub(crate) revision: u64,
    pub(crate) at: SystemTime,
    pub(crate) took: Duration,
    pub(crate) outcome: Result<Changes, Failure>,
}

/// Why a reload changed nothing.
pub(crate) struct Failure {
    /// What the log says, a line each.
    lines: Vec<String>,
    diagnostics: Vec<Value>,
}

impl Failure {
    pub(crate) fn of(error: &ApplyError) -> Self {
        let diagnostics = match error {
            ApplyError::Config(errors) => errors.iter().map(diagnostic).collect(),
            ApplyError::Certificates(problems) => problems
                .iter()
                .map(|problem| entry("error", Some(&problem.place), &problem.message, None))
                .collect(),
            _ => Vec::new(),
        };
        Self { lines: error.lines(), diagnostics }
    }

    fn json(&self) -> Value {
        let message = self.lines.first().map_or("", String::as_str);
        json!({ "message": message, "diagnostics": self.diagnostics })
    }
}

fn diagnostic(diagnostic: &gateway_config::Diagnostic) -> Value {
    let severity = match diagnostic.severity {
        gateway_config::Severity::Error => "error",
        gateway_config::Severity::Warning => "warning",
    };
    entry(severity, diagnostic.place.as_ref(), &diagnostic.message, diagnostic.help.as_deref())
}

fn entry(severity: &str, place: Option<&gateway_config::Place>, message: &str, help: Option<&str>) -> Value {
    json!({
        "severity": severity,
        "file": place.map(|place| &*place.file),
        "line": place.map(|place| place.line),
        "column": place.map(|place| place.column),
        "message": message,
        "help": help,
    })
}

/// A reload that has begun.
pub(crate) struct Begun {
    cause: Cause,
    at: SystemTime,
    since: Instant,
}

impl Begun {
    pub(crate) fn now(cause: Cause) -> Self {
        Self { cause, at: SystemTime::now(), since: Instant::now() }
    }

    /// How long it took so far.
    pub(crate) fn took(&self) -> Duration {
        self.since.elapsed()
    }

    pub(crate) const fn ended(
        self,
        revision: u64,
        took: Duration,
        outcome: Result<Changes, Failure>,
    ) -> Reload {
        Reload { cause: self.cause, revision, at: self.at, took, outcome }
    }
}

impl Reloads {
    pub(crate) fn note(&mut self, reload: Reload) {
        self.revision = reload.revision;
        self.newest.retain(|known| known.cause != reload.cause);
        self.newest.insert(0, reload);
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "revision": self.revision,
            "reloads": self.newest.iter().map(Reload::json).collect::<Vec<_>>(),
        })
    }
}

impl Reload {
    /// One line: what is live, what changed by name, what was kept by number; or why nothing changed.
    pub(crate) fn log(&self) {
        let (cause, revision, took_ms) = (self.cause.as_str(), self.revision, millis(self.took));
        match &self.outcome {
            Ok(changes) => {
                tracing::info!(cause, revision, took_ms, "configuration is live: {}", summary(changes));
            }
            Err(Failure { lines, .. }) => {
                let mut lines = lines.iter();
                let first = lines.next().map_or("", String::as_str);
                tracing::error!(
                    cause,
                    took_ms,
                    "configuration refused, revision {revision} serves on: {first}"
                );
                lines.for_each(|line| tracing::error!("{line}"));
            }
        }
    }

    fn json(&self) -> Value {
        json!({
            "cause": self.cause.as_str(),
            "result": if self.outcome.is_ok() { "success" } else { "failure" },
            "revision": self.revision,
            "time": rfc3339(self.at),
            "durationMs": millis(self.took),
            "changes": self.outcome.as_ref().ok().map(changes_json),
            "error": self.outcome.as_ref().err().map(Failure::json),
        })
    }
}

fn changes_json(changes: &Changes) -> Value {
    let kinds = changes.kinds().map(|(kind, objects)| (kind.to_owned(), objects_json(objects)));
    let mut all: serde_json::Map<_, _> = kinds.into_iter().collect();
    all.insert("settings".to_owned(), json!(changes.settings));
    Value::Object(all)
}

fn objects_json(objects: &Objects) -> Value {
    let texts = |names: &[Arc<str>]| names.iter().map(|name| json!(&**name)).collect::<Vec<_>>();
    let changed = |Changed { name, what, keeps }: &Changed| json!({ "name": &**name, "what": texts(what), "keeps": keeps });
    json!({
        "added": texts(&objects.added),
        "changed": objects.changed.iter().map(changed).collect::<Vec<_>>(),
        "removed": texts(&objects.removed),
        "kept": texts(&objects.kept),
    })
}

/// `upstreams: 1 changed (app: endpoints), 3 kept; ...`, without kinds of which there are none.
fn summary(changes: &Changes) -> String {
    let mut parts: Vec<String> = changes
        .kinds()
        .into_iter()
        .filter_map(|(kind, objects)| Some(format!("{kind}: {}", counts(objects)?)))
        .collect();
    if !changes.settings.is_empty() {
        parts.push(format!("settings: {}", changes.settings.join(", ")));
    }
    parts.join("; ")
}

fn counts(objects: &Objects) -> Option<String> {
    let changed: Vec<String> = objects
        .changed
        .iter()
        .take(MAX_NAMES_LOGGED)
        .map(|Changed { name, what, .. }| match what.as_slice() {
            [] => name.to_string(),
            what => format!("{name}: {}", listed(what, what.len())),
        })
        .collect();
    let counts = [
        (objects.added.len(), "added", listed(&objects.added, objects.added.len())),
        (objects.changed.len(), "changed", listed(&changed, objects.changed.len())),
        (objects.removed.len(), "removed", listed(&objects.removed, objects.removed.len())),
        (objects.kept.len(), "kept", String::new()),
    ];
    let mut text = String::new();
    for (count, what, names) in counts.into_iter().filter(|(count, ..)| *count > 0) {
        let comma = if text.is_empty() { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{comma}{count} {what}");
        if !names.is_empty() {
            let _ = write!(text, " ({names})");
        }
    }
    Some(text).filter(|text| !text.is_empty())
}

/// The first few names, and whether there are more.
fn listed(names: &[impl AsRef<str>], all: usize) -> String {
    let shown: Vec<&str> = names.iter().take(MAX_NAMES_LOGGED).map(AsRef::as_ref).collect();
    let more = if all > shown.len() { ", ..." } else { "" };
    format!("{}{more}", shown.join(", "))
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 100.0
}

#[cfg(test)]
#[path = "reloads_tests.rs"]
mod tests;
