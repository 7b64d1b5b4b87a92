//! One request and its response from the first byte to the last: what it holds on to, and how it ends.
//!
//! Pins the worker's state once, so that a request sees exactly one configuration. However the exchange ends (answered,
//! cut, client gone), its record is finished exactly once: when this is dropped.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use gateway_config::{Compression, ListenerLimits, PathPolicy, RouteAction, RouteCompression, Scheme};
use http::{HeaderMap, HeaderValue, Request, Version};
use hyper::body::Incoming;

use super::contained::caught;
use super::head::RequestHead;
use super::local_reply::Answer;
use super::{Reason, RequestError, RequestRecord, Upgrade, grpc};
use crate::body::{BodyError, UploadProgress};
use crate::filter::{Chain, ChainInput, FilterList, StreamEnd, StreamFacts, StreamState};
use crate::route::RouteIndex;
use crate::telemetry::WorkerLog;
use crate::upstream::{Driver, Lease};
use crate::worker::{ClientConnection, MAX_DRAINED_BYTES, Patience, Refused, WorkerState};

/// What is known of a request body before its end.
#[derive(Clone, Copy)]
pub(super) struct RequestBody {
    /// `None` for a chunked body.
    pub(super) declared_length: Option<u64>,
    /// The client sends it once it is asked to (RFC 9110, section 10.1.1).
    pub(super) is_awaited: bool,
    /// The client wants the connection to end with this request.
    pub(super) is_last: bool,
}

/// One request and its response.
pub(crate) struct Exchange {
    pub(crate) state: Rc<WorkerState>,
    pub(crate) record: RequestRecord,
    pub(crate) chain: Option<Rc<Chain>>,
    /// Present when the request has a body that goes upstream.
    pub(crate) upload: Option<Rc<UploadProgress>>,
    /// Goes back to its pool when the response was read to the end.
    pub(crate) lease: Option<Lease>,
    /// When a gRPC call has to be over.
    pub(crate) deadline: Option<Instant>,
    /// Present when the client asked for another protocol and the route allows it.
    pub(crate) upgrade: Option<Box<Upgrade>>,
    is_tunnel: bool,
    /// The request stands for one that was not read: its connection ends with the answer.
    is_refused: bool,
    /// Present when the request has a body.
    body: Option<RequestBody>,
    /// What the rest of that is waited for with.
    pace: Option<Rc<Patience>>,
    /// What room for the response is waited for with; over HTTP/1.1, the connection tells.
    pub(crate) room: Option<Rc<Patience>>,
    pub(super) connection: Rc<ClientConnection>,
    /// When the last byte of the response was handed over, or the response was cut.
    ended: Option<Instant>,
}

impl Exchange {
    pub(super) fn start(
        connection: &Rc<ClientConnection>,
        request: &Request<Incoming>,
        room: Option<Rc<Patience>>,
    ) -> Box<Self> {
        connection.request_started();
        let record = RequestRecord::new(request, connection.worker.clock());
        let deadline = if record.is_grpc { grpc::deadline(request.headers(), record.started) } else { None };
        Box::new(Self {
            state: connection.worker.state(),
            record,
            deadline,
            chain: None,
            upload: None,
            lease: None,
            upgrade: None,
            is_tunnel: false,
            is_refused: false,
            body: None,
            pace: None,
            room,
            connection: connection.clone(),
            ended: None,
        })
    }

    /// The client's address as a header value.
    pub(super) fn client_value(&self) -> &HeaderValue {
        match &self.record.believed {
            Some(believed) => &believed.client_ip,
            None => &self.connection.forwarded_for,
        }
    }

    pub(super) fn local(&self) -> SocketAddr {
        self.connection.local
    }

    /// Who asks: as a trusted peer says, else whoever is connected. An address of IPv4 is never in its IPv6 form.
    pub(crate) fn client(&self) -> SocketAddr {
        self.record.believed.as_ref().map_or(self.connection.peer, |believed| believed.client)
    }

    pub(super) fn listener(&self) -> &str {
        &self.connection.listener.name
    }

    /// Who the client is by its certificate.
    pub(super) fn peer(&self) -> Option<&str> {
        self.connection.peer_identity()
    }

    /// How the client connects, to the gateway or, as a trusted peer says, to a proxy in front of it.
    pub(super) fn scheme(&self) -> Scheme {
        if let Some(scheme) = self.record.believed.as_ref().and_then(|believed| believed.scheme) {
            return scheme;
        }
        if self.connection.tls.get().is_some() { Scheme::Https } else { Scheme::Http }
    }

    /// # Errors
    /// A request that came over a connection for other hosts.
    pub(super) fn check_connection(&self, head: &RequestHead) -> Result<(), RequestError> {
        match self.connection.tls.get() {
            // A client of HTTP/1.0 that named no host is not at the wrong one.
            Some(_) if self.record.authority.is_none() => Ok(()),
            Some(tls) if tls.is_misdirected(&head.host()) => Err(RequestError::client(Reason::Misdirected)),
            _ => Ok(()),
        }
    }

    pub(super) fn limits(&self) -> &ListenerLimits {
        &self.connection.listener.limits
    }

    /// What is done about paths that servers read differently.
    pub(super) fn path_policy(&self) -> PathPolicy {
        self.connection.listener.paths
    }

    /// What the filters have set so far of what routes look at.
    pub(super) fn filter_state(&self) -> Vec<(Arc<str>, Vec<u8>)> {
        let Some(chain) = &self.chain else { return Vec::new() };
        let stream = chain.stream.borrow();
        let names = self.state.snapshot.routes.state_names().iter();
        names.filter_map(|name| Some((name.clone(), stream.filter_state(name)?.to_vec()))).collect()
    }

    /// Keeps what the access line shows of what filters have set.
    fn capture_filter_state(&mut self) {
        if let Some(template) = self.state.log.as_ref().and_then(WorkerLog::template)
            && let Some(chain) = &self.chain
        {
            let stream = chain.stream.borrow();
            let captured = self.record.captured.get_or_insert_default();
            template.capture_filter_state(captured, |name| stream.filter_state(name).map(<[u8]>::to_vec));
        }
    }

    /// Keeps the request headers that the access line shows, as they are now.
    pub(super) fn capture_request(&mut self, headers: &HeaderMap) {
        if let Some(template) = self.state.log.as_ref().and_then(WorkerLog::template) {
            template.capture_request(self.record.captured.get_or_insert_default(), headers);
        }
    }

    /// Keeps the response headers that the access line shows.
    pub(super) fn capture_response(&mut self, headers: &HeaderMap) {
        if let Some(template) = self.state.log.as_ref().and_then(WorkerLog::template) {
            template.capture_response(self.record.captured.get_or_insert_default(), headers);
        }
    }

    /// Keeps the trailers that the access line shows.
    pub(crate) fn capture_trailers(&mut self, trailers: &HeaderMap) {
        if let Some(template) = self.state.log.as_ref().and_then(WorkerLog::template) {
            template.capture_trailers(self.record.captured.get_or_insert_default(), trailers);
        }
    }

    /// What is compressed on a route.
    pub(super) fn compression(&self, route: RouteIndex) -> Option<&Compression> {
        match &self.state.snapshot.config.routes[route.0].compression {
            RouteCompression::OfListener => self.connection.listener.compression.as_ref(),
            RouteCompression::Off => None,
            RouteCompression::On(compression) => Some(compression),
        }
    }

    pub(super) fn date(&self) -> HeaderValue {
        self.connection.worker.date()
    }

    /// Whether the worker wakes this request when it takes longer than a moment.
    pub(super) fn is_woken_when_slow(&self) -> bool {
        // The worker looks at connections; one of HTTP/2 may be busy with other requests.
        self.record.version < Version::HTTP_2
    }

    /// Notes that the request stands for one whose head was refused.
    pub(super) fn refuse(&mut self, refused: Refused) -> RequestError {
        self.is_refused = true;
        self.record.is_unreadable = !refused.has_line;
        // Those of the head that stands for it say nothing.
        self.record.authority = None;
        RequestError::client(Reason::of_refusal(refused.refusal))
    }

    /// Notes the body; with what it is to be waited for. Messages of a gRPC call come when they come.
    pub(super) fn has_body(&mut self, body: RequestBody) -> Option<Rc<Patience>> {
        self.body = Some(body);
        if !self.record.is_grpc {
            self.pace = self.connection.body_patience();
        }
        self.pace.clone()
    }

    /// From here on both sides may send as they like: it is the client's turn to take.
    pub(super) fn response_begins(&self, closes: bool) {
        if let Some(body) = self.body.filter(|_| self.record.version < Version::HTTP_2) {
            self.connection.answers(closes || body.is_last);
        }
        if let Some(pace) = &self.pace {
            pace.end();
        }
        if let Some(room) = &self.room {
            room.wait();
        }
    }

    /// Whether this connection should end after this answer.
    pub(super) fn connection_closes(&self, answer: &Answer) -> bool {
        // HTTP/2 says it by GOAWAY, and ends streams one by one.
        self.record.version < Version::HTTP_2
            && (self.is_refused
                || self.connection.worker.is_draining()
                || self.refuses_body(answer)
                || (self.record.version == Version::HTTP_10 && answer.ends_with_connection()))
    }

    /// Whether the rest of the request body is not wanted, and not worth reading only to throw it away.
    fn refuses_body(&self, answer: &Answer) -> bool {
        let Some(body) = self.body else { return false };
        let read_bytes = match &self.upload {
            Some(upload) if upload.has_ended() => return false,
            Some(upload) => upload.bytes.get(),
            None => 0,
        };
        // The client may take the answer for leave not to send it, or may send it all the same.
        if body.is_awaited && read_bytes == 0 {
            return true;
        }
        // Other responses may be meant to flow at the same time.
        let is_error = answer.status.is_client_error() || answer.status.is_server_error();
        if self.upload.is_some() && !is_error {
            return false;
        }
        let is_too_long =
            body.declared_length.is_some_and(|length| length.saturating_sub(read_bytes) > MAX_DRAINED_BYTES);
        is_too_long || answer.reason.is_some_and(Reason::blames_body)
    }

    /// The filters that apply, in order.
    ///
    /// # Errors
    /// A filter that is not live and fails closed.
    pub(super) fn filters(&self, route: RouteIndex, head: &RequestHead) -> Result<FilterList, RequestError> {
        let mut filters = FilterList::new();
        if self.state.snapshot.route_filters[route.0].is_empty() {
            return Ok(filters);
        }
        for index in self.state.snapshot.chain(route, &self.connection.listener.name, &head.host()) {
            let filter = &self.state.filters[index];
            match &filter.spec.live {
                Ok(_) => filters.push(filter.clone()),
                Err(_) => filter.fall_back(Reason::FilterNotLive)?,
            }
        }
        Ok(filters)
    }

    pub(super) fn chain_input(
        &self,
        filters: FilterList,
        RouteIndex(route): RouteIndex,
        head: RequestHead,
    ) -> ChainInput {
        let facts = StreamFacts {
            state: self.state.clone(),
            started: self.record.started_at,
            version: self.record.version,
            client: self.client(),
            scheme: self.scheme(),
            local: self.connection.local,
            connection_id: self.connection.id,
            listener: self.connection.listener.name.clone(),
            paths: self.path_policy(),
            tls: self.connection.tls.get().cloned(),
        };
        let mut stream = StreamState::new(facts, head.method, head.path, head.headers);
        let config = &self.state.snapshot.config;
        stream.route_name = Some(config.routes[route].name.clone());
        // Where there is no choice, it is known before it is made.
        if let RouteAction::Forward(destinations) = &config.routes[route].action
            && let [only] = destinations.as_slice()
        {
            stream.upstream_name = Some(config.upstreams[only.upstream].name.clone());
        }
        ChainInput { stream: Rc::new(RefCell::new(stream)), filters }
    }

    /// The last byte of the response was handed over.
    pub(crate) fn response_ended(&mut self, driver: Option<Box<Driver>>) {
        let now = Instant::now();
        self.ended = Some(now);
        if let (Some(sent), Some(index), Some(_)) =
            (self.record.upstream_sent, self.record.upstream, &self.lease)
        {
            self.state.upstreams[index].metrics.time.record(now.duration_since(sent));
        }
        let upload_ended = self.upload.as_ref().is_none_or(|upload| upload.has_ended());
        match self.lease.take() {
            Some(mut lease) if upload_ended => {
                // A body that was empty left it where it was.
                lease.driver = driver.or(lease.driver.take());
                lease.release(now);
            }
            // The answer is whole: what is left of the request concerns nobody.
            Some(lease) => lease.cut(),
            None => {}
        }
    }

    pub(super) fn tunnel_began(&mut self) {
        self.is_tunnel = true;
        if let Some(room) = &self.room {
            // Tunnels have a time of their own.
            room.end();
        }
        let metrics = &self.connection.listener.metrics;
        metrics.upgrades.inc();
        metrics.upgrades_active.inc();
    }

    /// Bytes that each side has taken so far.
    pub(super) fn tunnel_carried(&mut self, up: u64, down: u64) {
        self.record.bytes_sent = down;
        if let Some(upload) = &self.upload {
            upload.bytes.set(up);
        }
    }

    /// The tunnel is over; with a reason if it did not end by itself.
    pub(super) fn tunnel_ended(&mut self, reason: Option<Reason>) {
        // A stream of HTTP/2 sees its connection go, whoever ended that.
        self.record.reason = reason.map(|reason| self.connection.cut_by().unwrap_or(reason));
        self.ended = Some(Instant::now());
    }

    /// The client's stream will be reset with the upstream's code.
    pub(crate) fn resets_for_upstream(&self) {
        if self.record.version == Version::HTTP_2 {
            self.connection.resets_for_upstream();
        }
    }

    /// The response stopped before its end; the client sees an incomplete message.
    pub(crate) fn response_failed(&mut self, error: &BodyError) {
        self.response_stopped(error.download_reason());
    }

    /// The same by its reason.
    pub(crate) fn response_stopped(&mut self, reason: Reason) {
        self.record.reason.get_or_insert(reason);
        self.ended = Some(Instant::now());
        if self.record.version == Version::HTTP_10 {
            self.connection.stops_short();
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.record.reason = Some(Reason::InternalError);
            self.record.status.get_or_insert(Reason::InternalError.status());
            self.ended.get_or_insert_with(Instant::now);
        }
        if self.record.reason == Some(Reason::InternalError) {
            self.connection.panicked();
            let request_id = self.record.request_id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or("-");
            tracing::error!(request_id, "a request made the gateway panic: it was ended, and only it");
        }
        let ended = self.ended.unwrap_or_else(|| {
            let stalled = self.room.as_ref().is_some_and(|room| room.is_over());
            let otherwise = if stalled { Reason::WriteTimeout } else { Reason::ClientClosed };
            self.record.reason = Some(self.connection.cut_by().unwrap_or(otherwise));
            Instant::now()
        });
        if let Some(chain) = &self.chain {
            let mut stream = chain.stream.borrow_mut();
            stream.upstream_failure = self.record.upstream_failure.clone();
            stream.end = Some(StreamEnd {
                bytes_received: self.upload.as_ref().map_or(0, |upload| upload.bytes.get()),
                bytes_sent: self.record.bytes_sent,
                details: self.record.reason.map_or("via_upstream", Reason::code),
                flag: self.record.reason.map_or("-", Reason::flag),
                duration: ended.duration_since(self.record.started),
            });
            drop(stream);
            // A second panic while the first one unwinds would end the process.
            caught(|| chain.finish());
            self.capture_filter_state();
        }
        for patience in self.pace.iter().chain(&self.room) {
            self.connection.waits_no_more(patience);
        }
        if self.is_tunnel {
            self.connection.listener.metrics.upgrades_active.dec();
        }
        self.connection.request_ended(self.is_refused);
        let duration = ended.duration_since(self.record.started);
        self.connection.worker.finish_record(
            &self.state,
            &self.connection,
            &self.record,
            duration,
            self.upload.as_deref(),
        );
    }
}
