//! Why a configuration did not become live.

use std::time::Duration;

use gateway_config::Diagnostics;

use super::certificates::CertificateProblem;
use super::sockets::BindError;
use crate::worker::PrepareError;

/// Longest wait for the workers to prepare a snapshot, and before that for filters that share a machine to start.
pub(super) const PREPARE_TIMEOUT: Duration = Duration::from_secs(60);

/// Why a configuration did not become live.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    #[error("{0}")]
    Config(Diagnostics),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("{}", list(.0))]
    Certificates(Vec<CertificateProblem>),
    #[error("the access log {target} cannot be opened: {error}; check the path and its permissions")]
    AccessLog { target: String, error: std::io::Error },
    #[error("a worker cannot serve it: {0}")]
    Prepare(#[from] PrepareError),
    #[error(
        "preparing it took longer than {PREPARE_TIMEOUT:?}: workers, or filters that share a machine, were not ready"
    )]
    PrepareTimeout,
}

impl ApplyError {
    /// For the log: an event per line, as what collects logs takes a line for an entry.
    pub(super) fn lines(&self) -> Vec<String> {
        match self {
            Self::Config(errors) => std::iter::once(errors.summary()).chain(errors.lines()).collect(),
            other => other.to_string().lines().map(str::to_owned).collect(),
        }
    }
}

fn list(problems: &[CertificateProblem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
