//! To the upstream and back: destination, connection, sending, and the one resend that is always right.
//!
//! A pooled connection that the upstream closed in the meantime never becomes a client error for a request that is
//! safe to send again: one that was not written at all, or an idempotent one without a body (RFC 9110, section 9.2.2).

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use gateway_config::{Destination, Route};
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use proxy_wasm_host::Direction;

use super::head::{RequestHead, content_length, strip_connection_headers};
use super::interim;
use super::local_reply::Answer;
use super::response::set_length;
use super::{Exchange, Inbound, Reason, RequestError, Retry, variables};
use crate::body::{BodyError, BodySource, UploadProgress, UpstreamBody};
use crate::filter::{FilteredBody, Framing};
use crate::route::{Decision, RouteIndex, rewrite};
use crate::upstream::{ConnectError, Endpoint, Lease, Upstream};

/// A timeout of at least this may begin to count a moment late; a shorter one is kept to the millisecond.
const MIN_LAZY_TIMEOUT: Duration = Duration::from_secs(1);

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
    // Pinned here: a future of this size is not moved from hand to hand.
    let mut sending = pin!(send(&upstream, std::mem::take(head), body));
    let sent = match interim {
        None => within_limits(exchange, route.timeout, sending).await,
        Some((source, connection)) => {
            let passing = Box::pin(interim::passing(&connection, source, sending.as_mut()));
            within_limits(exchange, route.timeout, pin!(passing)).await
        }
    };
    let (response, lease) = match sent {
        Ok(sent) => sent,
        Err(error) => return failed(exchange, &upstream, error),
    };
    answered(exchange, &upstream, response.status(), &lease.endpoint, sent_at);
    let is_head = exchange.record.is_head();
    let lease = exchange.lease.insert(lease);
    to_answer(response, lease, is_head)
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
        chain.stream.borrow_mut().upstream_address = Some(endpoint.address);
    }
}

/// There is no response: the error stands, unless a filter has answered.
pub(super) fn failed(
    exchange: &mut Exchange,
    upstream: &Upstream,
    error: RequestError,
) -> Result<Answer, RequestError> {
    exchange.record.upstream_failure = upstream.take_connect_failure(error.reason);
    if error.reason == Reason::RouteTimeout {
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
            .map_err(|rewrite::TooLong| RequestError::client(Reason::UriTooLong))?;
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
pub(super) async fn send(
    upstream: &Upstream,
    head: RequestHead,
    body: UpstreamBody,
) -> Result<(Response<Incoming>, Lease), RequestError> {
    let mut lease = connect(upstream).await?;
    let spare =
        (lease.reused && is_replayable(&head.method, &body)).then(|| message(&head, UpstreamBody::empty()));
    upstream.metrics.requests.inc();
    let mut error = match lease.send(message_owned(head, body)).await {
        Ok(response) => return Ok((response, lease)),
        Err(error) => error,
    };
    // Only a connection that was pooled can have gone stale; a new one that fails means what it says.
    let again = error.take_message().or(spare).filter(|_| lease.reused);
    let Some(again) = again else { return Err(send_error(&error.into_error())) };
    upstream.metrics.retries.inc();
    let endpoint = lease.endpoint.clone();
    drop(lease);
    let mut lease =
        upstream.connect(&endpoint).await.map_err(|error| connect_failed(upstream, &endpoint, &error))?;
    match lease.send(again).await {
        Ok(response) => Ok((response, lease)),
        Err(error) => Err(send_error(&error.into_error())),
    }
}

/// A connection to the endpoint whose turn it is, or to the next one that takes it: nothing was sent yet.
async fn connect(upstream: &Upstream) -> Result<Lease, RequestError> {
    let mut outcome = Err(RequestError::gateway(Reason::NoHealthyEndpoint));
    for _ in 0..upstream.endpoint_count().min(MAX_ENDPOINTS_TRIED) {
        let Some(endpoint) = upstream.pick() else { break };
        outcome = upstream.lease(endpoint).await.map_err(|error| connect_failed(upstream, endpoint, &error));
        match &outcome {
            Err(error) if error.retry == Retry::Safe => {}
            _ => break,
        }
    }
    outcome
}

pub(super) fn connect_failed(upstream: &Upstream, endpoint: &Endpoint, error: &ConnectError) -> RequestError {
    upstream.note_connect_failure(error);
    if upstream.failure_log.take() {
        tracing::warn!(upstream = %upstream.name, endpoint = %endpoint.address, "{error}");
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

/// The request body as it goes upstream, with the head's framing to match what filters make of it.
async fn upload(
    exchange: &mut Exchange,
    head: &mut RequestHead,
    body: BodySource,
) -> Result<UpstreamBody, RequestError> {
    let progress = Rc::new(UploadProgress::new(exchange.logs_details()));
    exchange.upload = Some(progress.clone());
    let body = match &exchange.chain {
        None => body,
        Some(chain) => match FilteredBody::new(chain, Direction::Request, body) {
            Err(unfiltered) => {
                let exact = unfiltered.size_hint().exact();
                set_length(&mut head.headers, exact.map_or(Framing::Unknown, Framing::Exact));
                unfiltered
            }
            Ok(mut filtered) => match filtered.prefetch(head.content_length()).await {
                Ok(framing) => {
                    set_length(&mut head.headers, framing);
                    BodySource::Filtered(Box::new(filtered))
                }
                Err(error) => return Err(error),
            },
        },
    };
    Ok(UpstreamBody::new(body, progress))
}

/// Waits for `sending` while the route's timeout and the filters allow.
///
/// The timeout counts from the end of the upload; while the client still sends, it is the longest wait for more.
pub(super) async fn within_limits<T>(
    exchange: &Exchange,
    timeout: Option<Duration>,
    sending: Pin<&mut impl Future<Output = Result<T, RequestError>>>,
) -> Result<T, RequestError> {
    let expired = async {
        let Some(timeout) = timeout else { return std::future::pending().await };
        if timeout >= MIN_LAZY_TIMEOUT && exchange.is_woken_when_slow() {
            // Most requests are done before a timer would be of use, and one that is not is woken to set it.
            nothing_until_woken().await;
        }
        expired(exchange.upload.as_deref(), timeout).await
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

async fn expired(upload: Option<&UploadProgress>, timeout: Duration) -> RequestError {
    let mut uploading = upload.filter(|upload| !upload.ended.get());
    loop {
        let seen = uploading.map(|upload| upload.bytes.get());
        tokio::time::sleep(timeout).await;
        match (uploading, seen) {
            (Some(upload), _) if upload.ended.get() => uploading = None,
            (Some(upload), Some(seen)) if upload.bytes.get() > seen => {}
            (Some(_), _) => return RequestError::client(Reason::BodyTimeout),
            (None, _) => return RequestError::upstream(Reason::RouteTimeout),
        }
    }
}

pub(super) fn to_answer(
    response: Response<Incoming>,
    lease: &mut Lease,
    is_head: bool,
) -> Result<Answer, RequestError> {
    let (parts, body) = response.into_parts();
    let mut headers = parts.headers;
    // Two lengths are two messages to two readers (RFC 9112, section 6.3); and nobody asked for another protocol.
    let declared_length = content_length(&headers);
    let ambiguous = headers.contains_key(CONTENT_LENGTH) && headers.contains_key(TRANSFER_ENCODING);
    if ambiguous || parts.status.is_informational() {
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

fn is_replayable(method: &Method, body: &UpstreamBody) -> bool {
    method.is_idempotent() && http_body::Body::is_end_stream(body)
}

fn message(head: &RequestHead, body: UpstreamBody) -> Request<UpstreamBody> {
    let copy = RequestHead {
        method: head.method.clone(),
        path: head.path.clone(),
        headers: head.headers.clone(),
        interim: head.interim.clone(),
    };
    message_owned(copy, body)
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

pub(super) fn send_error(error: &hyper::Error) -> RequestError {
    if let Some(body) = std::error::Error::source(error).and_then(|source| source.downcast_ref::<BodyError>())
    {
        return RequestError::upload(body);
    }
    let illegal = error.is_parse() || error.is_parse_status() || error.is_parse_too_large();
    RequestError::upstream(if illegal { Reason::UpstreamProtocol } else { Reason::UpstreamReset })
}
