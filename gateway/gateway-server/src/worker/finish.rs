//! The end of a request: one access line and its metrics, from the facts that were gathered.

use std::time::{Duration, Instant, UNIX_EPOCH};

use gateway_config::Scheme;
use http::uri::PathAndQuery;
use http::{HeaderValue, StatusCode};

use super::{ClientConnection, Worker, WorkerState};
use crate::body::UploadProgress;
use crate::filter::protocol;
use crate::request::{Reason, RequestRecord};
use crate::telemetry::{AccessLine, Details, families};

impl Worker {
    /// Writes the access line of a request and counts it.
    pub(crate) fn finish_record(
        &self,
        state: &WorkerState,
        connection: &ClientConnection,
        record: &RequestRecord,
        duration: Duration,
        upload: Option<&UploadProgress>,
    ) {
        let listener = &connection.listener.metrics;
        listener.time.record(duration);
        listener.finished(record.status, record.reason);
        if let (Some(status), Some(route)) = (record.status, record.route) {
            let name = &state.snapshot.config.routes[route.0].name;
            state.route_metrics[route.0].count(&self.process.registry, name, status);
        }
        if let Some(reason) = record.reason {
            self.replies.count(&self.process.registry, reason);
        }
        let Some(log) = &state.log else { return };
        let config = &state.snapshot.config;
        let started = record.started_at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let details = log.template().map(|_| details(connection, record, upload));
        let client_text = match &record.believed {
            Some(believed) => &believed.client_text,
            None => &connection.peer_text,
        };
        log.push(&AccessLine {
            start_unix_ns: u64::try_from(started.as_nanos()).unwrap_or(u64::MAX),
            method: if record.is_unreadable { "-" } else { record.method.as_str() },
            path: match &record.path {
                _ if record.is_unreadable => "-",
                path => path.as_ref().map_or("/", PathAndQuery::as_str),
            },
            protocol: protocol(record.version),
            status: record.status.map_or(0, |status| status.as_u16()),
            reason: record.reason.map_or("-", Reason::code),
            flags: flags(record).0,
            attempts: record.attempts,
            bytes_in: upload.map_or(0, |upload| upload.bytes.get()),
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
            downstream_remote: client_text,
            downstream_peer: connection.peer_identity(),
            flags_long: flags(record).1,
            details: details.as_ref(),
        });
    }

    /// A head was refused before there was a request.
    pub(crate) fn refused(&self, connection: &ClientConnection, reason: Reason) {
        // Without an explanation nobody was told anything.
        let status = (!reason.explanation().is_empty()).then(|| reason.status());
        self.without_request(connection, reason, status);
    }

    /// The gateway ends a connection by force. Requests that it has log that themselves.
    pub(super) fn cut(
        &self,
        connection: &ClientConnection,
        reason: Reason,
        what: &'static str,
        has_requests: bool,
    ) {
        let labels = &[&*connection.listener.name, what];
        self.process.registry.counter(&families::CONNECTIONS_CUT, labels).inc();
        if !has_requests {
            self.without_request(connection, reason, None);
        }
    }

    /// Counts and logs what ended before there was a request.
    fn without_request(&self, connection: &ClientConnection, reason: Reason, status: Option<StatusCode>) {
        self.replies.count(&self.process.registry, reason);
        connection.listener.metrics.finished(status, Some(reason));
        let state = self.state();
        let Some(log) = &state.log else { return };
        let details = log.template().map(|_| connection_details(connection));
        let now = UNIX_EPOCH.elapsed().unwrap_or_default();
        log.push(&AccessLine {
            start_unix_ns: u64::try_from(now.as_nanos()).unwrap_or(u64::MAX),
            status: status.map_or(0, |status| status.as_u16()),
            reason: reason.code(),
            flags: reason.flag(),
            downstream_remote: &connection.peer_text,
            downstream_peer: connection.peer_identity(),
            flags_long: reason.flag_long(),
            details: details.as_ref(),
            ..AccessLine::UNKNOWN
        });
    }

    /// A panic ended a connection; the others go on.
    pub(crate) fn panicked(&self) {
        self.process.registry.counter(&families::WORKER_PANICS, &[]).inc();
    }
}

/// The flag of the reason, and that retries did not help; short and in full.
fn flags(record: &RequestRecord) -> (&'static str, &'static str) {
    let flag = record.reason.map_or("-", Reason::flag);
    match flag {
        _ if !record.retries_exhausted => (flag, record.reason.map_or("-", Reason::flag_long)),
        "UF" => ("UF,URX", "UpstreamConnectionFailure,UpstreamRetryLimitExceeded"),
        "UC" => ("UC,URX", "UpstreamConnectionTermination,UpstreamRetryLimitExceeded"),
        "UT" => ("UT,URX", "UpstreamRequestTimeout,UpstreamRetryLimitExceeded"),
        "UPE" => ("UPE,URX", "UpstreamProtocolError,UpstreamRetryLimitExceeded"),
        _ => ("URX", "UpstreamRetryLimitExceeded"),
    }
}

/// What only formats of the operator's own show.
fn details<'a>(
    connection: &'a ClientConnection,
    record: &'a RequestRecord,
    upload: Option<&UploadProgress>,
) -> Details<'a> {
    let since_start = |then: Instant| then.duration_since(record.started);
    Details {
        captured: record.captured.as_deref(),
        upstream_address: record.endpoint.as_ref().map(|endpoint| endpoint.address),
        upstream_failure: record.upstream_failure.as_deref(),
        request_duration: match upload {
            Some(upload) => upload.moved_at().filter(|_| upload.has_ended()).map(since_start),
            // Without a body, the head was its end.
            None => record.upstream.map(|_| Duration::ZERO),
        },
        response_duration: record
            .upstream_sent
            .zip(record.upstream_time)
            .map(|(sent, took)| since_start(sent + took)),
        ..details_of_peer(connection, record)
    }
}

/// Those of the connection, unless a trusted peer says otherwise.
fn details_of_peer<'a>(connection: &'a ClientConnection, record: &RequestRecord) -> Details<'a> {
    let mut details = connection_details(connection);
    if let Some(believed) = &record.believed {
        details.remote = believed.client;
        details.scheme = believed.scheme.map_or(details.scheme, Scheme::as_str);
    }
    details
}

fn connection_details(connection: &ClientConnection) -> Details<'_> {
    let tls = connection.tls.get();
    let peer = tls.and_then(|tls| tls.peer.as_ref());
    Details {
        captured: None,
        scheme: if tls.is_some() { Scheme::Https } else { Scheme::Http }.as_str(),
        remote: connection.peer,
        direct: connection.direct,
        local: connection.local,
        connection_id: connection.id,
        tls_version: tls.map(|tls| tls.version),
        server_name: tls.and_then(|tls| tls.server_name.as_deref()),
        peer_subject: peer.map(|peer| peer.subject.as_str()),
        peer_uri_san: peer.and_then(|peer| peer.uri_san.as_deref()),
        upstream_address: None,
        upstream_failure: None,
        request_duration: None,
        response_duration: None,
    }
}

fn bytes(value: Option<&HeaderValue>) -> Option<&[u8]> {
    value.map(HeaderValue::as_bytes)
}
