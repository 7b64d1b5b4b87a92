//! The access log: one line per request.
//!
//! Owns the facts a line shows ([`AccessLine`]), the two formats, and the way from a worker to the file. Never knows how
//! a fact came about. A worker formats into its own buffer and never waits for a disk or a pipe.

mod format;
mod sink;
mod stamp;
mod template;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use sink::{AccessLogSink, WorkerLog};
pub(crate) use stamp::rfc3339;
pub(crate) use template::{Captured, Details, Template};

/// Longest part of one field that a line shows, in bytes; the rest is cut off.
pub(crate) const MAX_FIELD_BYTES: usize = 16 << 10;

/// Where the lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Standard output.
    Stdout,
    /// A file, created if missing and appended to.
    File(PathBuf),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stdout => f.write_str("standard output"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// How a line looks.
#[derive(Clone, Debug)]
pub(crate) enum Format {
    /// Envoy's default line with Istio's additions: `[start] "method path protocol" code flags details bytes-in
    /// bytes-out duration upstream-duration "x-forwarded-for" "user-agent" "request-id" "authority" "upstream-host"
    /// upstream route downstream-remote filter-time-us`. Missing is `-`.
    Text,
    /// One object per line with Istio's keys, `filter_time_us` and `downstream_peer`. Missing is `null`.
    Json,
    /// As the operator writes it.
    Template(Arc<Template>),
}

/// What one line says. Durations are written in whole milliseconds, except the filters' in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AccessLine<'a> {
    /// When the request began, in nanoseconds since the Unix epoch.
    pub(crate) start_unix_ns: u64,
    /// Request method.
    pub(crate) method: &'a str,
    /// Path and query: in canonical form, or as the client sent them if they have none.
    pub(crate) path: &'a str,
    /// `HTTP/1.1`, `HTTP/2`, ...
    pub(crate) protocol: &'static str,
    /// Status of the reply; 0 if none was sent.
    pub(crate) status: u16,
    /// Response code details: the stable reason of the status, `-` if there is none.
    pub(crate) reason: &'a str,
    /// Envoy's response flags, `-` if there is none.
    pub(crate) flags: &'a str,
    /// How often the request was sent to the upstream.
    pub(crate) attempts: u32,
    /// Bytes of the request body received.
    pub(crate) bytes_in: u64,
    /// Bytes of the response body sent.
    pub(crate) bytes_out: u64,
    /// From the first byte of the request to the last of the reply.
    pub(crate) duration: Duration,
    /// From sending the request upstream to the first byte of the response.
    pub(crate) upstream_duration: Option<Duration>,
    /// Request header `x-forwarded-for`.
    pub(crate) forwarded_for: Option<&'a [u8]>,
    /// Request header `user-agent`.
    pub(crate) user_agent: Option<&'a [u8]>,
    /// Request header `x-request-id`.
    pub(crate) request_id: Option<&'a [u8]>,
    /// Request authority.
    pub(crate) authority: Option<&'a [u8]>,
    /// Address of the endpoint that answered.
    pub(crate) upstream_host: Option<&'a str>,
    /// Name of the upstream.
    pub(crate) upstream: Option<&'a str>,
    /// Name of the route.
    pub(crate) route: Option<&'a str>,
    /// CPU time spent in filters.
    pub(crate) filter_time: Option<Duration>,
    /// Address and port of the client; the port is 0 where a trusted peer names none.
    pub(crate) downstream_remote: &'a str,
    /// Who the client is by its certificate.
    pub(crate) downstream_peer: Option<&'a str>,
    /// The flags in full.
    pub(crate) flags_long: &'static str,
    /// Only for formats of the operator's own.
    pub(crate) details: Option<&'a Details<'a>>,
}

impl AccessLine<'_> {
    /// A line that says nothing yet.
    pub(crate) const UNKNOWN: Self = Self {
        start_unix_ns: 0,
        method: "-",
        path: "-",
        protocol: "HTTP/1.1",
        status: 0,
        reason: "-",
        flags: "-",
        attempts: 0,
        bytes_in: 0,
        bytes_out: 0,
        duration: Duration::ZERO,
        upstream_duration: None,
        forwarded_for: None,
        user_agent: None,
        request_id: None,
        authority: None,
        upstream_host: None,
        upstream: None,
        route: None,
        filter_time: None,
        downstream_remote: "-",
        downstream_peer: None,
        flags_long: "-",
        details: None,
    };
}
