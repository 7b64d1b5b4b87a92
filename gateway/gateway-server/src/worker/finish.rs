//! The end of a request: one access line and its metrics, from the facts that were gathered.

use std::time::{Duration, UNIX_EPOCH};

use http::HeaderValue;
use http::uri::PathAndQuery;

use super::{ClientConnection, Worker, WorkerState};
use crate::filter::protocol;
use crate::request::{Reason, RequestRecord};
use crate::telemetry::{AccessLine, families};

impl Worker {
    /// Writes the access line of a request and counts it.
    pub(crate) fn finish_record(
        &self,
        state: &WorkerState,
        connection: &ClientConnection,
        record: &RequestRecord,
        duration: Duration,
        bytes_received: u64,
    ) {
        let listener = &connection.listener.metrics;
        listener.time.record(duration);
        if let Some(status) = record.status {
            listener.classes.count(status);
            if let Some(route) = record.route {
                state.route_metrics[route.0].classes.count(status);
            }
        }
        if let Some(reason) = record.reason {
            self.replies.count(&self.process.registry, reason);
        }
        let Some(log) = &state.log else { return };
        let config = &state.snapshot.config;
        let started = record.started_at.duration_since(UNIX_EPOCH).unwrap_or_default();
        log.push(&AccessLine {
            start_unix_ns: u64::try_from(started.as_nanos()).unwrap_or(u64::MAX),
            method: record.method.as_str(),
            path: record.path.as_ref().map_or("/", PathAndQuery::as_str),
            protocol: protocol(record.version),
            status: record.status.map_or(0, |status| status.as_u16()),
            reason: record.reason.map_or("-", Reason::code),
            flags: flags(record),
            attempts: record.attempts,
            bytes_in: bytes_received,
            bytes_out: record.bytes_sent,
            duration,
            upstream_duration: record.upstream_time,
            forwarded_for: bytes(record.forwarded_for.as_ref()),
            user_agent: bytes(record.user_agent.as_ref()),
            request_id: bytes(record.request_id.as_ref()),
            authority: bytes(record.authority.as_ref()),
            upstream_host: record.endpoint.as_ref().map(|endpoint| &*endpoint.text),
            upstream: record.upstream.map(|index| &*config.upstreams[index].name),
            route: record.route.map(|route| &*config.routes[route.0].name),
            filter_time: None,
            downstream_remote: &connection.peer_text,
            downstream_peer: connection.peer_identity(),
        });
    }

    /// A head was refused before there was a request.
    pub(crate) fn refused(&self, connection: &ClientConnection, reason: Reason) {
        self.replies.count(&self.process.registry, reason);
        connection.listener.metrics.classes.count(reason.status());
        let state = self.state();
        let Some(log) = &state.log else { return };
        let now = UNIX_EPOCH.elapsed().unwrap_or_default();
        log.push(&AccessLine {
            start_unix_ns: u64::try_from(now.as_nanos()).unwrap_or(u64::MAX),
            status: reason.status().as_u16(),
            reason: reason.code(),
            flags: reason.flag(),
            downstream_remote: &connection.peer_text,
            downstream_peer: connection.peer_identity(),
            ..AccessLine::UNKNOWN
        });
    }

    /// A panic ended a connection; the others go on.
    pub(crate) fn panicked(&self) {
        self.process.registry.counter(&families::WORKER_PANICS, &[]).inc();
    }
}

/// The flag of the reason, and that retries did not help.
fn flags(record: &RequestRecord) -> &'static str {
    match (record.reason.map_or("-", Reason::flag), record.retries_exhausted) {
        (flag, false) => flag,
        ("UF", true) => "UF,URX",
        ("UC", true) => "UC,URX",
        ("UT", true) => "UT,URX",
        ("UPE", true) => "UPE,URX",
        (_, true) => "URX",
    }
}

fn bytes(value: Option<&HeaderValue>) -> Option<&[u8]> {
    value.map(HeaderValue::as_bytes)
}
