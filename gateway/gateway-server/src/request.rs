//! The spine: the life of a request, top to bottom.
//!
//! Routing, filters and upstreams do not know each other; they meet only here. Every step returns
//! `Result<_, RequestError>`, and an error becomes exactly one reply.

mod callout;
mod claims;
mod compression;
mod contained;
mod downgrade;
mod error;
mod exchange;
mod fixed;
mod grpc;
mod head;
mod identity;
mod interim;
mod list_size;
mod local_reply;
mod record;
mod response;
mod retry;
mod send;
mod tunnel;
mod upgrade;
mod variables;
mod websocket;

pub(crate) use callout::call_out;
pub(crate) use contained::caught;
pub(crate) use error::{Reason, RequestError, Retry};
pub(crate) use exchange::Exchange;
pub(crate) use fixed::{announce_trailers, drop_forbidden_trailers, is_forbidden_trailer};
pub(crate) use grpc::trailers as grpc_trailers;
pub(crate) use head::RequestHead;
pub(crate) use identity::{Believed, forwarded_for, is_trusted};
pub(crate) use record::{RequestRecord, WallClock};
pub(crate) use tunnel::Tunnel;
pub(crate) use upgrade::Upgrade;

use std::pin::pin;
use std::rc::Rc;

use gateway_config::{Redirect, Route, RouteAction};
use http::header::{EXPECT, HOST, ORIGIN};
use http::{HeaderValue, Request, Response, Version};
use hyper::body::Incoming;

use crate::body::{BodySource, ClientBody, ClientUpload};
use crate::filter::{Chain, FilterList, Verdict};
use crate::route::{Decision, RouteInput, cors, rewrite};
use crate::target;
use crate::worker::{ClientConnection, Patience};
use exchange::RequestBody;
use local_reply::Answer;

/// A request that has begun. Both boxed: every layer of futures would carry them once more, and be moved with them.
pub(crate) struct Begun {
    exchange: Box<Exchange>,
    request: Box<Request<Incoming>>,
}

impl Begun {
    /// `room` is what room for the response is waited for with, over HTTP/2.
    pub(crate) fn new(
        connection: &Rc<ClientConnection>,
        request: Request<Incoming>,
        room: Option<Rc<Patience>>,
    ) -> Self {
        Self { exchange: Exchange::start(connection, &request, room), request: Box::new(request) }
    }
}

/// Serves one request. Whatever happens, there is one reply and one finished record.
pub(crate) async fn serve_request(
    Begun { exchange, request }: Begun,
) -> Result<Response<ClientBody>, Silenced> {
    let version = request.version();
    let serving = pin!(serve(exchange, request));
    match contained::contained(serving).await {
        Some(response) => response,
        None => Ok(contained::apology(version)),
    }
}

/// A filter closed the stream: the client gets no response, and loses its connection or, over HTTP/2, its stream.
#[derive(Debug, thiserror::Error)]
#[error("a filter closed the stream")]
pub(crate) struct Silenced;

async fn serve(
    mut exchange: Box<Exchange>,
    request: Box<Request<Incoming>>,
) -> Result<Response<ClientBody>, Silenced> {
    let answer = match answer(&mut exchange, request).await {
        Ok(answer) => answer,
        Err(error) if error.reason == Reason::FilterClosed => return Err(response::silenced(exchange)),
        Err(error) => {
            tracing::debug!(blame = ?error.blame, reason = error.reason.code(), "request failed");
            Answer::from_error(&error, &exchange)
        }
    };
    response::finish(exchange, answer).await
}

/// A request on its way. Boxed, since every step hands it on: moving it whole each time is what would cost.
struct Inbound {
    decision: Decision,
    head: RequestHead,
    body: BodySource,
    /// The protocol that the client wants to change to.
    asked: Option<HeaderValue>,
}

/// From the head as received to an answer: the upstream's, a filter's, or the route's own.
async fn answer(exchange: &mut Exchange, request: Box<Request<Incoming>>) -> Result<Answer, RequestError> {
    let mut inbound = match admit(exchange, *request)? {
        Admission::Request(inbound) => inbound,
        Admission::Answer(answer) => return Ok(*answer),
    };
    let filters = exchange.filters(inbound.decision.route, &inbound.head)?;
    if !filters.is_empty()
        && let Verdict::Reply(reply) = through_filters(exchange, filters, &mut inbound).await?
    {
        return Ok(Answer::from_filter(reply, exchange));
    }
    act(exchange, inbound).await
}

/// Whether a request goes on, or has its answer already.
enum Admission {
    Request(Box<Inbound>),
    Answer(Box<Answer>),
}

/// The head in normal form, stamped; the route, and what it says before any filter is asked.
fn admit(exchange: &mut Exchange, request: Request<Incoming>) -> Result<Admission, RequestError> {
    let (mut parts, body) = request.into_parts();
    if let Some(refused) = exchange.connection.refused() {
        return Err(exchange.refuse(refused));
    }
    let connect = upgrade::extended_connect(&mut parts)?;
    let body = upload(exchange, &parts, body);
    if let Err(error) = downgrade::check(&parts) {
        exchange.connection.listener.metrics.protocol_error();
        return Err(error);
    }
    let (mut head, asked) = head::normalise(parts, exchange.limits(), exchange.local())?;
    canonical_path(exchange, &mut head)?;
    identity::stamp(exchange, &mut head)?;
    #[cfg(test)]
    contained::provoke(&head.headers, "request");
    exchange.capture_request(&head.headers);
    exchange.check_connection(&head)?;
    let decision = decide(exchange, &head)?;
    if let Some(answer) = preflight(exchange, decision, &head) {
        return Ok(Admission::Answer(Box::new(answer)));
    }
    let body = limited(exchange, decision, &head, body)?;
    if asked.is_some() || connect.is_some() {
        upgrade::grant(exchange, decision, &mut head, body.is_end_stream(), asked.clone(), connect)?;
    }
    Ok(Admission::Request(Box::new(Inbound { decision, head, body, asked })))
}

/// The request body, if there is one; `Empty` otherwise.
fn upload(exchange: &mut Exchange, parts: &http::request::Parts, incoming: Incoming) -> BodySource {
    if http_body::Body::is_end_stream(&incoming) {
        return BodySource::Empty;
    }
    let body = RequestBody {
        declared_length: http_body::Body::size_hint(&incoming).exact(),
        is_awaited: parts.headers.contains_key(EXPECT),
        is_last: parts.version == Version::HTTP_10 || head::asks_to_close(&parts.headers),
    };
    let pace = exchange.has_body(body);
    let connection = (parts.version < Version::HTTP_2).then(|| exchange.connection.clone());
    BodySource::Client(Box::new(ClientUpload::new(incoming, connection).paced(pace)))
}

/// One path for whoever looks at it: routing, filters, what is logged, and the upstream.
fn canonical_path(exchange: &mut Exchange, head: &mut RequestHead) -> Result<(), RequestError> {
    let form = target::canonical(&head.path, &head.method, exchange.path_policy());
    if let Some(form) = form.map_err(|_| RequestError::client(Reason::BadPath))? {
        exchange.record.path = Some(form.clone());
        head.path = form;
    }
    Ok(())
}

/// The head through the filters, which may change it, and with it the route.
async fn through_filters(
    exchange: &mut Exchange,
    filters: FilterList,
    inbound: &mut Inbound,
) -> Result<Verdict, RequestError> {
    let head = std::mem::take(&mut inbound.head);
    let chain = Chain::new(exchange.chain_input(filters, inbound.decision.route, head))?;
    exchange.chain = Some(chain.clone());
    if let Verdict::Reply(reply) = chain.request_headers(&mut inbound.body).await? {
        return Ok(Verdict::Reply(reply));
    }
    let rerouted;
    (inbound.head, rerouted) = head::take_from_chain(&chain);
    exchange.capture_request(&inbound.head.headers);
    let is_upgrade = exchange.upgrade.is_some();
    if rerouted {
        inbound.decision = decide(exchange, &inbound.head)?;
        let body = std::mem::take(&mut inbound.body);
        inbound.body = limited(exchange, inbound.decision, &inbound.head, body)?;
    }
    if is_upgrade {
        upgrade::confirm(exchange, inbound.decision, &mut inbound.head)?;
    } else if rerouted && let Some(asked) = inbound.asked.take() {
        let is_whole = inbound.body.is_end_stream();
        upgrade::grant(exchange, inbound.decision, &mut inbound.head, is_whole, Some(asked), None)?;
    }
    Ok(Verdict::Continue)
}

/// Does what the route says.
async fn act(exchange: &mut Exchange, inbound: Box<Inbound>) -> Result<Answer, RequestError> {
    let state = exchange.state.clone();
    let decision = inbound.decision;
    let route = &state.snapshot.config.routes[decision.route.0];
    match &route.action {
        RouteAction::Respond(direct) => Ok(Answer::direct(direct, &exchange.record)),
        // Boxed: rare, and large beside what every other request carries.
        RouteAction::Forward(destinations) if exchange.upgrade.is_some() => {
            Box::pin(upgrade::to_upstream(exchange, decision, route, destinations, inbound.head)).await
        }
        RouteAction::Forward(destinations) => send::to_upstream(exchange, route, destinations, inbound).await,
        RouteAction::Redirect(redirect) => redirected(exchange, route, redirect, &inbound),
    }
}

fn redirected(
    exchange: &Exchange,
    route: &Route,
    redirect: &Redirect,
    Inbound { decision, head, .. }: &Inbound,
) -> Result<Answer, RequestError> {
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
    let asked = rewrite::Asked { scheme: exchange.scheme(), host, path: &head.path };
    let location = rewrite::location(redirect, &route.matches[decision.condition].path, &asked)
        .map_err(RequestError::rewrite)?;
    let location = location.and_then(|location| HeaderValue::try_from(location).ok());
    let location = location.ok_or(RequestError::client(Reason::BadRequest))?;
    Ok(Answer::redirect(redirect.status, location, exchange.record.is_head()))
}

/// The answer to a CORS preflight, which comes before any filter: browsers send it without credentials.
fn preflight(exchange: &Exchange, decision: Decision, head: &RequestHead) -> Option<Answer> {
    let cors = exchange.state.snapshot.config.routes[decision.route.0].cors.as_ref()?;
    cors::preflight_method(&head.method, &head.headers)?;
    Some(Answer::preflight(cors::preflight(cors, &head.headers)))
}

/// The body with the route's limit on it; one that is declared to be larger is refused at once.
fn limited(
    exchange: &Exchange,
    decision: Decision,
    head: &RequestHead,
    body: BodySource,
) -> Result<BodySource, RequestError> {
    let limit_bytes = exchange.state.snapshot.config.routes[decision.route.0].max_body_bytes;
    if let Some(limit) = limit_bytes
        && head.content_length().is_some_and(|declared| declared > limit)
    {
        return Err(RequestError::client(Reason::BodyTooLarge));
    }
    Ok(body.limited(limit_bytes))
}

fn decide(exchange: &mut Exchange, head: &RequestHead) -> Result<Decision, RequestError> {
    let filter_state = exchange.filter_state();
    let input = RouteInput {
        host: &head.host(),
        path: head.path.path(),
        query: head.path.query(),
        preflight_method: cors::preflight_method(&head.method, &head.headers),
        method: head.method.as_str(),
        headers: &head.headers,
        filter_state: &filter_state,
        client: exchange.client().ip(),
    };
    let decision =
        exchange.state.snapshot.routes.decide(&input).ok_or(RequestError::gateway(Reason::NoRoute))?;
    exchange.record.route = Some(decision.route);
    if exchange.state.snapshot.config.routes[decision.route.0].cors.is_some() {
        exchange.record.origin = head.headers.get(ORIGIN).cloned();
    }
    if let Some(offer) = exchange.compression(decision.route) {
        exchange.record.coding = compression::choose(offer, &head.headers);
    }
    Ok(decision)
}
