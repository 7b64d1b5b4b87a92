//! To the upstream and back: destination, connection, sending, and the one resend that is always right.
//!
//! A pooled connection that the upstream closed in the meantime never becomes a client error for a request that is
//! safe to send again: one that was not written at all, or an idempotent one without a body (RFC 9110, section 9.2.2).

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use gateway_config::{Destination, Route};
use gateway_wire::Refusal;
use gateway_wire::proxy_protocol::Proxied;
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use proxy_wasm_host::Direction;

use super::error::Blame;
use super::head::{RequestHead, content_length, strip_connection_headers};
use super::interim::{self, InterimSource};
use super::local_reply::Answer;
use super::response::set_length;
use super::retry::{self, Tally};
use super::{Exchange, Inbound, Reason, RequestError, Retry, variables};
use crate::body::{BodySource, TrailedBody, UploadProgress, UpstreamBody};
use crate::filter::{FilteredBody, Framing};
use crate::route::{Decision, RouteIndex, rewrite};
use crate::upstream::{ConnectError, Endpoint, Lease, SendFailure, Tried, Upstream};
use crate::worker::ClientConnection;

/// A timeout of at least this may begin to count a moment late; a shorter one is kept to the millisecond.
const MIN_LAZY_TIMEOUT: Duration = Duration::from_secs(1);

/// Times that a request is sent again which upstreams of HTTP/2 gave back unread.
const MAX_SHARED_RESENDS: usize = 3;

/// Endpoints tried for one request when connections fail.
pub(super) const MAX_ENDPOINTS_TRIED: usize = 3;

/// Forwards a request and returns the upstream's answer.
pub(super) async fn to_upstream(
    exchange: &mut Exchange,
    route: &Route,
    destinations: &[Destination],
    mut inbound: Box<Inbound>,
) -> Result<Answer, RequestError> {
    let Inbound { decision, head, body, .. } = &mut *inbound;
    let upstream = choose(exchange, destinations)?;
    prepare(exchange, *decision, route, head)?;
    exchange.capture_request(&head.headers);
    let body = if body.is_end_stream() {
        no_upload(head)
    } else {
        // Boxed: requests without a body must not carry it.
        match Box::pin(upload(exchange, head, std::mem::take(body))).await {
            Ok(body) => body,
            Err(error) => return interrupted(exchange, error),
        }
    };

    let sent_at = Instant::now();
    // Clients of HTTP/2 cannot get interim responses, and those of HTTP/1.0 do not know them.
    let wants_interim = route.interim_responses && exchange.record.version == Version::HTTP_11;
    let interim = wants_interim.then(interim::channel).map(|(sink, source)| {
        head.interim = Some(sink);
        (source, exchange.connection.clone())
    });
    let limit = timeout(route, exchange.record.is_grpc);
    let mut tried = tried_for(exchange, &upstream);
    let sent = match &route.retry {
        None => {
            exchange.record.attempts = 1;
            // Pinned here: a future of this size is not moved from hand to hand.
            let sending = pin!(send(&upstream, head, body, &mut tried));
            passing_interim(exchange, (sent_at, limit), interim, sending).await
        }
        Some(policy) => {
            let tally = Tally::default();
            let upload = exchange.upload.clone();
            // Boxed: requests of other routes must not carry it.
            let sending = Box::pin(retry::send(
                &upstream,
                policy,
                std::mem::take(head),
                body,
                upload,
                &mut tried,
                &tally,
            ));
            let sent = passing_interim(exchange, (sent_at, limit), interim, pin!(sending)).await;
            exchange.record.attempts = tally.attempts.get();
            exchange.record.retries_exhausted = tally.exhausted.get();
            sent
        }
    };
    let (response, lease) = match sent {
        Ok(sent) => sent,
        Err(error) => {
            if error.reason == Reason::RouteTimeout {
                upstream.report_timeout(&tried);
            }
            return failed(exchange, &upstream, error);
        }
    };
    answered(exchange, &upstream, response.status(), &lease.endpoint, sent_at);
    if let Some(chain) = &exchange.chain {
        chain.stream.borrow_mut().upstream_ends = Some(lease.ends().clone());
    }
    let is_head = exchange.record.is_head();
    let lease = exchange.lease.insert(lease);
    to_answer(response, lease, is_head)
}

/// As [`within_limits`], passing interim responses on meanwhile where that is wanted.
async fn passing_interim<T>(
    exchange: &Exchange,
    timeout: (Instant, Option<Duration>),
    interim: Option<(InterimSource, Rc<ClientConnection>)>,
    mut sending: Pin<&mut impl Future<Output = Result<T, RequestError>>>,
) -> Result<T, RequestError> {
    match interim {
        None => within_limits(exchange, timeout, sending).await,
        Some((source, connection)) => {
            let passing = Box::pin(interim::passing(&connection, source, sending.as_mut()));
            within_limits(exchange, timeout, pin!(passing)).await
        }
    }
}

/// Notes that a response head came.
pub(super) fn answered(
    exchange: &mut Exchange,
    upstream: &Upstream,
    status: StatusCode,
    endpoint: &Rc<Endpoint>,
    sent_at: Instant,
) {
    upstream.metrics.answered(status);
    exchange.record.upstream_time = Some(sent_at.elapsed());
    exchange.record.upstream_sent = Some(sent_at);
    exchange.record.endpoint = Some(endpoint.clone());
    if let Some(chain) = &exchange.chain {
        let mut stream = chain.stream.borrow_mut();
        stream.upstream_address = Some(endpoint.address);
        stream.attempts = exchange.record.attempts;
        stream.upstream_time = exchange.record.upstream_time;
    }
}

/// There is no response: the error stands, unless a filter has answered.
pub(super) fn failed(
    exchange: &mut Exchange,
    upstream: &Upstream,
    error: RequestError,
) -> Result<Answer, RequestError> {
    exchange.record.upstream_failure = upstream.take_connect_failure(error.reason);
    if matches!(error.reason, Reason::RouteTimeout | Reason::GrpcDeadline) {
        upstream.metrics.timeouts.inc();
    }
    interrupted(exchange, error)
}

/// What the route and the destination change on the way to the upstream.
pub(super) fn prepare(
    exchange: &Exchange,
    Decision { route: RouteIndex(index), condition }: Decision,
    route: &Route,
    head: &mut RequestHead,
) -> Result<(), RequestError> {
    let plan = &exchange.state.snapshot.plans[index];
    if let Some(path) = &route.rewrite.path {
        head.path = rewrite::rewritten(path, &route.matches[condition].path, &head.path)
            .map_err(RequestError::rewrite)?;
    }
    if let Some(host) = &plan.host {
        head.headers.insert(HOST, host.clone());
    }
    let fill = |variable, out: &mut Vec<u8>| variables::fill(exchange, variable, out);
    plan.request.apply(&mut head.headers, fill);
    if let Some(destination) = exchange.record.destination {
        plan.destinations[destination].request.apply(&mut head.headers, fill);
    }
    Ok(())
}

/// Sends a request over a connection to some endpoint of `upstream`, again over a new one where that is safe.
///
/// Takes the head from where it is when the time has come: the future is not to carry it.
pub(super) async fn send(
    upstream: &Upstream,
    head: &mut RequestHead,
    body: UpstreamBody,
    tried: &mut Tried,
) -> Result<(Response<Incoming>, Lease), RequestError> {
    let mut lease = connect(upstream, tried).await?;
    let spare = (lease.reused && is_replayable(&head.method, &body)).then(|| Box::new(head.copied()));
    upstream.metrics.requests.inc();
    let sent = lease.send(message_owned(std::mem::take(head), body)).await;
    // What few requests need is boxed: the others would carry it through every step.
    match sent {
        // Only a connection that was pooled can have gone stale; a new one that fails means what it says.
        Err(failure) if lease.reused && !failure.is_refusal() => {
            Box::pin(send_anew(upstream, lease, failure, spare, tried)).await
        }
        Err(failure) if lease.is_shared() && failure.unsent.is_some() => {
            Box::pin(send_elsewhere(upstream, lease, failure, tried)).await
        }
        sent => outcome(upstream, lease, sent),
    }
}

/// Sends once more, over a new connection, what a pooled one did not carry: it was closed in the meantime.
async fn send_anew(
    upstream: &Upstream,
    lease: Lease,
    mut failure: SendFailure,
    spare: Option<Box<RequestHead>>,
    tried: &mut Tried,
) -> Result<(Response<Incoming>, Lease), RequestError> {
    let spare = spare.map(|head| message_owned(*head, UpstreamBody::empty()));
    // That it was closed while it was unused says nothing about the endpoint.
    let Some(again) = failure.unsent.take().map(|request| *request).or(spare) else {
        return Err(RequestError::from(&failure));
    };
    upstream.metrics.retries.inc();
    let endpoint = lease.endpoint.clone();
    drop(lease);
    let mut lease = match upstream.connect(&endpoint, tried.client.as_deref()).await {
        Ok(lease) => lease,
        Err(error) => {
            let failed = connect_failed(upstream, &endpoint, &error);
            if upstream.endpoint_count() == 1 || failed.retry == Retry::Never {
                return Err(failed);
            }
            connect(upstream, tried).await?
        }
    };
    let sent = lease.send(again).await;
    outcome(upstream, lease, sent)
}

/// What came of sending, also for the endpoint's record.
fn outcome(
    upstream: &Upstream,
    lease: Lease,
    sent: Result<Response<Incoming>, SendFailure>,
) -> Result<(Response<Incoming>, Lease), RequestError> {
    let sent = sent.map_err(|failure| RequestError::from(&failure));
    match &sent {
        Ok(response) => upstream.report(&lease.endpoint, response.status().is_server_error()),
        Err(error) if error.blame == Blame::Upstream => upstream.report(&lease.endpoint, true),
        Err(_) => {}
    }
    sent.map(|response| (response, lease))
}

/// Sends what a shared connection gave back, because its upstream did nothing with it or is gone; to another endpoint
/// where there is one. Only how it ends says something about an endpoint: being given back is no failure of one.
async fn send_elsewhere(
    upstream: &Upstream,
    mut lease: Lease,
    mut failure: SendFailure,
    tried: &mut Tried,
) -> Result<(Response<Incoming>, Lease), RequestError> {
    for _ in 0..MAX_SHARED_RESENDS {
        let Some(again) = failure.unsent.take() else { break };
        upstream.metrics.retries.inc();
        // The stream is free before another one is asked for.
        drop(lease);
        lease = connect(upstream, tried).await?;
        failure = match lease.send(*again).await {
            Err(failure) => failure,
            answered => return outcome(upstream, lease, answered),
        };
    }
    outcome(upstream, lease, Err(failure))
}

/// A connection to the endpoint whose turn it is, or to the next one that takes it: nothing was sent yet.
async fn connect(upstream: &Upstream, tried: &mut Tried) -> Result<Lease, RequestError> {
    let mut outcome = Err(RequestError::gateway(Reason::NoHealthyEndpoint));
    for _ in 0..upstream.endpoint_count().min(MAX_ENDPOINTS_TRIED) {
        let Some(endpoint) = upstream.pick(tried) else { break };
        let leased = upstream.lease(endpoint, tried.client.as_deref()).await;
        outcome = leased.map_err(|error| connect_failed(upstream, endpoint, &error));
        match &outcome {
            Err(error) if error.retry == Retry::Safe => {}
            _ => break,
        }
    }
    outcome
}

/// Nothing tried yet, on behalf of the client where the upstream is told of it.
pub(super) fn tried_for(exchange: &Exchange, upstream: &Upstream) -> Tried {
    let client = || Proxied::From { source: exchange.client(), destination: exchange.local() };
    let mut tried = Tried::default();
    tried.client = upstream.tells_of_clients().then(|| Box::new(client()));
    tried
}

pub(super) fn connect_failed(upstream: &Upstream, endpoint: &Endpoint, error: &ConnectError) -> RequestError {
    // What is refused here says nothing about the endpoint.
    if !error.is_overflow() {
        upstream.note_connect_failure(error);
        upstream.report(endpoint, true);
        if upstream.failure_log.take() {
            tracing::warn!(upstream = %upstream.name, endpoint = %endpoint.address, "{error}");
        }
    }
    RequestError::from(error)
}

/// The destination whose turn it is, by weight.
pub(super) fn choose(
    exchange: &mut Exchange,
    destinations: &[Destination],
) -> Result<Rc<Upstream>, RequestError> {
    let no_destination = RequestError::gateway(Reason::NoHealthyEndpoint);
    let turn = match (destinations, exchange.record.route) {
        ([_], _) => 0,
        (_, Some(route)) => exchange.state.splits[route.0].next().ok_or(no_destination)?,
        (_, None) => return Err(no_destination),
    };
    let index = destinations.get(turn).ok_or(no_destination)?.upstream;
    let upstream = exchange.state.upstreams[index].clone();
    exchange.record.upstream = Some(index);
    exchange.record.destination = Some(turn);
    if let Some(chain) = &exchange.chain {
        chain.stream.borrow_mut().upstream_name = Some(upstream.name.clone());
    }
    Ok(upstream)
}

/// No request body, with a head that says so: a filter may have written a length.
fn no_upload(head: &mut RequestHead) -> UpstreamBody {
    if head.headers.contains_key(CONTENT_LENGTH) {
        set_length(&mut head.headers, Framing::Exact(0));
    }
    UpstreamBody::empty()
}

/// Waits for the end of a body that is declared to have no bytes, and of which more may come all the same: over HTTP/2 the end
/// is a frame of its own (RFC 9113, section 8.1.1). To the upstream the head alone would be a whole request.
async fn declared_empty(mut body: BodySource) -> Result<BodySource, RequestError> {
    loop {
        let frame = match poll_fn(|context| body.poll_frame(context)).await {
            None => return Ok(BodySource::Empty),
            Some(frame) => frame.map_err(|error| RequestError::upload(&error))?,
        };
        match frame.into_data() {
            Ok(bytes) if bytes.is_empty() => {}
            Ok(_) => return Err(RequestError::client(Reason::BadRequest)),
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                return Ok(BodySource::Trailed(Box::new(TrailedBody::new(Bytes::new(), trailers))));
            }
        }
    }
}

/// The request body as it goes upstream, with the head's framing to match what filters make of it.
async fn upload(
    exchange: &mut Exchange,
    head: &mut RequestHead,
    body: BodySource,
) -> Result<UpstreamBody, RequestError> {
    let progress = Rc::new(UploadProgress::default());
    exchange.upload = Some(progress.clone());
    let mut body = match &exchange.chain {
        None => body,
        Some(chain) => match FilteredBody::new(chain, Direction::Request, body) {
            Err(unfiltered) => {
                let exact = unfiltered.size_hint().exact();
                set_length(&mut head.headers, exact.map_or(Framing::Unknown, Framing::Exact));
                unfiltered
            }
            Ok(mut filtered) => {
                let framing = filtered.prefetch(head.content_length()).await?;
                set_length(&mut head.headers, framing);
                filtered.announce_trailers(&mut head.headers);
                return Ok(UpstreamBody::new(BodySource::Filtered(Box::new(filtered)), progress));
            }
        },
    };
    if body.size_hint().exact() == Some(0) {
        body = declared_empty(body).await?;
        if body.is_end_stream() {
            exchange.upload = None;
            return Ok(no_upload(head));
        }
    }
    Ok(UpstreamBody::new(body, progress))
}

/// Waits for `sending` while the route's timeout and the filters allow.
///
/// The timeout counts from `begun`, or from the end of the upload; while the client still sends, it is the longest wait
/// for more.
pub(super) async fn within_limits<T>(
    exchange: &Exchange,
    (begun, timeout): (Instant, Option<Duration>),
    sending: Pin<&mut impl Future<Output = Result<T, RequestError>>>,
) -> Result<T, RequestError> {
    let expired = async {
        if let Some(deadline) = exchange.deadline {
            // Boxed, so that other requests do not carry it.
            return Box::pin(overdue(exchange, (begun, timeout), deadline)).await;
        }
        let Some(timeout) = timeout else { return std::future::pending().await };
        if timeout >= MIN_LAZY_TIMEOUT && exchange.is_woken_when_slow() {
            // Most requests are done before a timer would be of use, and one that is not is woken to set it.
            nothing_until_woken().await;
        }
        expired(exchange.upload.as_deref(), begun, timeout).await
    };
    tokio::select! {
        biased;
        outcome = sending => outcome,
        () = interruption(exchange) => Err(RequestError::filter(Reason::FilterReply)),
        error = expired => Err(error),
    }
}

/// Resolves when a filter answers, closes or dies while the upstream is being waited for.
async fn interruption(exchange: &Exchange) {
    match &exchange.chain {
        Some(chain) => chain.interrupted().await,
        None => std::future::pending().await,
    }
}

/// A filter's own answer, if it gave one: that is what stopped the request then.
pub(super) fn interrupted(exchange: &mut Exchange, error: RequestError) -> Result<Answer, RequestError> {
    match exchange.chain.as_ref().and_then(|chain| chain.take_interruption()) {
        Some(Ok(reply)) => Ok(Answer::from_filter(reply, exchange)),
        Some(Err(other)) => Err(other),
        None => Err(error),
    }
}

/// Pending once, without asking to be woken.
async fn nothing_until_woken() {
    let mut polled = false;
    poll_fn(|_| if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

/// The route's limit for the head of the response. Streams of gRPC may say nothing for long, and their heads often come
/// with their first message; so a limit that nobody wrote does not concern calls.
fn timeout(route: &Route, is_grpc: bool) -> Option<Duration> {
    route.timeout.filter(|_| !is_grpc || route.timeout_place.is_some())
}

/// The smaller of the route's limit and the deadline of a gRPC call.
async fn overdue(
    exchange: &Exchange,
    (begun, timeout): (Instant, Option<Duration>),
    deadline: Instant,
) -> RequestError {
    let limit = async {
        match timeout {
            Some(timeout) => expired(exchange.upload.as_deref(), begun, timeout).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        error = limit => error,
        () = tokio::time::sleep_until(deadline.into()) => RequestError::upstream(Reason::GrpcDeadline),
    }
}

async fn expired(upload: Option<&UploadProgress>, begun: Instant, timeout: Duration) -> RequestError {
    loop {
        let moved = upload.and_then(UploadProgress::moved_at);
        let deadline = moved.map_or(begun, |moved| moved.max(begun)) + timeout;
        if deadline <= Instant::now() {
            return match upload {
                Some(upload) if !upload.has_ended() => RequestError::client(Reason::BodyTimeout),
                _ => RequestError::upstream(Reason::RouteTimeout),
            };
        }
        // What comes meanwhile only makes it later.
        tokio::time::sleep_until(deadline.into()).await;
    }
}

pub(super) fn to_answer(
    response: Response<Incoming>,
    lease: &mut Lease,
    is_head: bool,
) -> Result<Answer, RequestError> {
    let (parts, body) = response.into_parts();
    let mut headers = parts.headers;
    let declared_length = content_length(&headers);
    // Of HTTP/1, the gate of the connection has seen to these.
    if lease.is_shared() {
        check_shared(parts.status, &headers, declared_length)?;
    }
    // Nobody asked for another protocol.
    if parts.status.is_informational() {
        return Err(RequestError::upstream(Reason::UpstreamProtocol));
    }
    strip_connection_headers(&mut headers).map_err(|_| RequestError::upstream(Reason::UpstreamProtocol))?;
    let body = if is_head || http_body::Body::is_end_stream(&body) {
        BodySource::Empty
    } else {
        BodySource::Upstream(body, lease.driver.take())
    };
    Ok(Answer { status: parts.status, headers, body, declared_length, reason: None })
}

/// What HTTP/2 can say and HTTP/1 cannot: statuses that are none, and two lengths.
fn check_shared(status: StatusCode, headers: &HeaderMap, length: Option<u64>) -> Result<(), RequestError> {
    let refused = |refusal| Err(RequestError::upstream(Reason::UpstreamRefused(refusal)));
    if status.as_u16() >= 600 {
        return refused(Refusal::Status);
    }
    let lengths = headers.get_all(CONTENT_LENGTH).iter().count();
    if lengths > 1 || (lengths == 1 && length.is_none()) {
        return refused(Refusal::ContentLength);
    }
    Ok(())
}

fn is_replayable(method: &Method, body: &UpstreamBody) -> bool {
    method.is_idempotent() && http_body::Body::is_end_stream(body)
}

pub(super) fn message_owned(head: RequestHead, body: UpstreamBody) -> Request<UpstreamBody> {
    let mut request = Request::new(body);
    *request.method_mut() = head.method;
    *request.uri_mut() = head.path.into();
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = head.headers;
    if let Some(interim) = head.interim {
        interim.listen(&mut request);
    }
    request
}

#[cfg(test)]
#[path = "send_tests.rs"]
mod tests;
