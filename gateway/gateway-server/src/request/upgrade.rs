//! Upgrades: a connection that changes to another protocol, WebSocket above all (RFC 9110, section 7.8; RFC 6455).
//!
//! Only what the route names is asked of the upstream, over a connection of its own, and only an upstream's `101` for just
//! that protocol ends HTTP; any other answer is an ordinary response. WebSocket over HTTP/2 (extended CONNECT, RFC 8441) is the
//! same to filters and upstreams: what HTTP/1.1 has beyond it is added and checked here.

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use gateway_config::{Destination, Route};
use http::header::{CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderValue, Method, Response, StatusCode, Version};
use hyper::upgrade::OnUpgrade;

use super::head::RequestHead;
use super::local_reply::Answer;
use super::send::{self, MAX_ENDPOINTS_TRIED};
use super::tunnel::Tunnel;
use super::{Exchange, Reason, RequestError, Retry, response, websocket};
use crate::body::{ClientBody, UpstreamBody};
use crate::route::Decision;
use crate::upstream::{Lease, Switch, Switched, Tried, Upstream, of_hyper};

/// The token in `connection` that goes with the header `upgrade`.
const UPGRADE_TOKEN: HeaderValue = HeaderValue::from_static("upgrade");
/// The only protocol that extended CONNECT is spoken for.
const WEBSOCKET: &str = "websocket";

/// A change of protocol that the route allows.
pub(crate) struct Upgrade {
    /// In lower case, as the route names it.
    protocol: HeaderValue,
    /// Absent over HTTP/1.1.
    connect: Option<Connect>,
    /// The upstream's connection, once it has changed.
    switched: Option<Switched>,
}

/// An extended CONNECT.
pub(super) struct Connect {
    protocol: HeaderValue,
    /// The client's stream, once it was answered with success.
    stream: OnUpgrade,
    /// What proves that the upstream speaks WebSocket.
    accept: Option<HeaderValue>,
}

/// Takes an extended CONNECT for the request that it stands for: GET.
///
/// # Errors
/// A CONNECT that asks for a tunnel to another host, or for a protocol that nobody here speaks.
pub(super) fn extended_connect(request: &mut http::request::Parts) -> Result<Option<Connect>, RequestError> {
    if request.method != Method::CONNECT {
        return Ok(None);
    }
    let protocol = request.extensions.remove::<hyper::ext::Protocol>();
    let protocol = protocol.ok_or(RequestError::client(Reason::BadRequest))?;
    let stream = request.extensions.remove::<OnUpgrade>();
    match stream {
        Some(stream) if protocol.as_str().eq_ignore_ascii_case(WEBSOCKET) => {
            request.method = Method::GET;
            let protocol = HeaderValue::from_static(WEBSOCKET);
            Ok(Some(Connect { protocol, stream, accept: None }))
        }
        _ => Err(RequestError::client(Reason::UpgradeRefused)),
    }
}

/// Notes what was asked for if the route allows it; otherwise the request goes on without it.
///
/// `is_whole` says that there is no body: one that comes with a body is served, and not upgraded.
///
/// # Errors
/// An extended CONNECT that the route does not allow: there is nothing that it could go on as.
pub(super) fn grant(
    exchange: &mut Exchange,
    decision: Decision,
    head: &mut RequestHead,
    is_whole: bool,
    asked: Option<HeaderValue>,
    connect: Option<Connect>,
) -> Result<(), RequestError> {
    let asked = match &connect {
        Some(connect) => Some(connect.protocol.clone()),
        // HTTP/1.0 has no upgrades, and HTTP/2 has only the other kind.
        None => asked.filter(|_| is_whole && exchange.record.version == Version::HTTP_11),
    };
    let allowed = &exchange.state.snapshot.config.routes[decision.route.0].upgrades.protocols;
    match asked.and_then(|asked| first_allowed(allowed, &asked)) {
        Some(protocol) => {
            head.headers.insert(UPGRADE, protocol.clone());
            head.headers.insert(CONNECTION, UPGRADE_TOKEN);
            exchange.upgrade = Some(Box::new(Upgrade { protocol, connect, switched: None }));
            Ok(())
        }
        None if connect.is_some() => Err(RequestError::client(Reason::UpgradeRefused)),
        None => Ok(()),
    }
}

/// Looks again after the filters: one may have removed the header, or led to another route.
pub(super) fn confirm(
    exchange: &mut Exchange,
    decision: Decision,
    head: &mut RequestHead,
) -> Result<(), RequestError> {
    let Some(upgrade) = exchange.upgrade.take() else { return Ok(()) };
    head.headers.remove(CONNECTION);
    let asked = head.headers.remove(UPGRADE);
    match (asked, upgrade.connect) {
        (None, Some(_)) => Err(RequestError::client(Reason::UpgradeRefused)),
        (asked, connect) => grant(exchange, decision, head, true, asked, connect),
    }
}

/// The first protocol asked for that is allowed.
fn first_allowed(allowed: &[Arc<str>], asked: &HeaderValue) -> Option<HeaderValue> {
    let mut asked = asked.to_str().ok()?.split(',').map(str::trim);
    let protocol = asked.find_map(|asked| allowed.iter().find(|known| known.eq_ignore_ascii_case(asked)))?;
    HeaderValue::from_str(protocol).ok()
}

/// Asks the upstream to change to the protocol, and returns its answer, whatever it is.
pub(super) async fn to_upstream(
    exchange: &mut Exchange,
    decision: Decision,
    route: &Route,
    destinations: &[Destination],
    mut head: RequestHead,
) -> Result<Answer, RequestError> {
    let upstream = send::choose(exchange, destinations)?;
    send::prepare(exchange, decision, route, &mut head)?;
    head.headers.remove(CONTENT_LENGTH);
    if let Some(connect) = exchange.upgrade.as_mut().and_then(|upgrade| upgrade.connect.as_mut()) {
        let (key, accept) = websocket::challenge();
        head.headers.insert(SEC_WEBSOCKET_KEY, key);
        connect.accept = Some(accept);
    }
    exchange.record.attempts = 1;
    let sent_at = Instant::now();
    let tried = send::tried_for(exchange, &upstream);
    let asking = pin!(ask(&upstream, head, tried));
    let switch = match send::within_limits(exchange, (sent_at, route.timeout), asking).await {
        Ok(switch) => switch,
        Err(error) => return send::failed(exchange, &upstream, error),
    };
    match switch {
        Switch::Refused(response, lease) => {
            send::answered(exchange, &upstream, response.status(), &lease.endpoint, sent_at);
            let is_head = exchange.record.is_head();
            let lease = exchange.lease.insert(lease);
            send::to_answer(response, lease, is_head)
        }
        Switch::Switched(response, switched) => {
            send::answered(exchange, &upstream, response.status(), &switched.endpoint, sent_at);
            accept(exchange, response, switched)
        }
    }
}

/// A connection of its own: one that was used before has nothing to offer to an exchange that will not give it back.
async fn ask(upstream: &Upstream, head: RequestHead, tried: Tried) -> Result<Switch, RequestError> {
    if !upstream.can_switch() {
        return Err(RequestError::gateway(Reason::UpstreamProtocol));
    }
    let lease = connect(upstream, tried).await?;
    upstream.metrics.requests.inc();
    let request = send::message_owned(head, UpstreamBody::empty());
    let endpoint = lease.endpoint.clone();
    let switch = lease.switch(request).await.map_err(|error| {
        error.map_or(RequestError::upstream(Reason::UpstreamReset), |error| of_hyper(&error))
    });
    let is_failure = match &switch {
        Ok(Switch::Refused(response, _)) => response.status().is_server_error(),
        Ok(Switch::Switched(..)) => false,
        Err(_) => true,
    };
    upstream.report(&endpoint, is_failure);
    switch
}

async fn connect(upstream: &Upstream, mut tried: Tried) -> Result<Lease, RequestError> {
    let mut outcome = Err(RequestError::gateway(Reason::NoHealthyEndpoint));
    for _ in 0..upstream.endpoint_count().min(MAX_ENDPOINTS_TRIED) {
        let Some(endpoint) = upstream.pick(&mut tried) else { break };
        let attempt = upstream.connect(endpoint, tried.client.as_deref()).await;
        outcome = attempt.map_err(|error| send::connect_failed(upstream, endpoint, &error));
        match &outcome {
            Err(error) if error.retry == Retry::Safe => {}
            _ => break,
        }
    }
    outcome
}

/// Takes a `101` for what was asked for, and nothing else.
fn accept(
    exchange: &mut Exchange,
    response: Response<hyper::body::Incoming>,
    switched: Switched,
) -> Result<Answer, RequestError> {
    let illegal = RequestError::upstream(Reason::UpstreamProtocol);
    let mut headers = response.into_parts().0.headers;
    let is_one = headers.get_all(UPGRADE).iter().count() == 1;
    let changed_to = super::head::strip_connection_headers(&mut headers).map_err(|_| illegal)?;
    let upgrade = exchange.upgrade.as_mut().ok_or(illegal)?;
    let fits = changed_to.is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(upgrade.protocol.as_bytes()));
    if !is_one || !fits {
        return Err(illegal);
    }
    if let Some(connect) = &upgrade.connect
        && headers.remove(SEC_WEBSOCKET_ACCEPT) != connect.accept
    {
        return Err(illegal);
    }
    headers.remove(CONTENT_LENGTH);
    upgrade.switched = Some(switched);
    Ok(Answer {
        status: StatusCode::SWITCHING_PROTOCOLS,
        headers,
        body: crate::body::BodySource::Empty,
        declared_length: None,
        reason: None,
    })
}

/// Ends an exchange that could change its protocol: as a tunnel if the answer still says so, else with the answer.
///
/// Filters have seen the answer and may have put another in its place.
pub(super) fn finish(mut exchange: Box<Exchange>, mut answer: Answer) -> Response<ClientBody> {
    let upgrade = exchange.upgrade.take();
    let is_switching = answer.status == StatusCode::SWITCHING_PROTOCOLS;
    let is_connect = upgrade.as_ref().is_some_and(|upgrade| upgrade.connect.is_some());
    match upgrade.map(|upgrade| *upgrade) {
        Some(Upgrade { protocol, connect, switched: Some(switched) }) if is_switching => {
            begin(exchange, answer, protocol, connect, switched)
        }
        // Success would be a tunnel to the client of an extended CONNECT; and nobody asked for other interim answers.
        _ if answer.status.is_informational() || (is_connect && answer.status.is_success()) => {
            exchange.lease = None;
            let error = RequestError::upstream(Reason::UpstreamProtocol);
            answer = Answer::from_error(&error, &exchange);
            response::deliver(exchange, answer)
        }
        _ => response::deliver(exchange, answer),
    }
}

fn begin(
    mut exchange: Box<Exchange>,
    Answer { mut status, mut headers, .. }: Answer,
    protocol: HeaderValue,
    connect: Option<Connect>,
    switched: Switched,
) -> Response<ClientBody> {
    if connect.is_some() {
        status = StatusCode::OK;
        headers.remove(CONNECTION);
    } else {
        headers.insert(CONNECTION, UPGRADE_TOKEN);
        headers.insert(UPGRADE, protocol);
    }
    exchange.record.status = Some(status);
    exchange.record.reason = None;
    exchange.capture_response(&headers);
    let connection = exchange.connection.clone();
    let tunnel = Tunnel::new(exchange, switched);
    match connect {
        // HTTP/1.1 ends with this response; whoever serves the connection goes on with the tunnel.
        None => connection.becomes(tunnel),
        Some(connect) => drop(tokio::task::spawn_local(tunnel.over_stream(connect.stream))),
    }
    let mut response = Response::new(ClientBody::of_tunnel());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
