//! The spine: the life of a request, top to bottom.
//!
//! Routing, filters and upstreams do not know each other; they meet only here. Every step returns
//! `Result<_, RequestError>`, and an error becomes exactly one reply.

mod callout;
mod error;
mod exchange;
mod head;
mod identity;
mod local_reply;
mod record;
mod response;
mod send;

pub(crate) use callout::call_out;
pub(crate) use error::{Reason, RequestError, Retry};
pub(crate) use exchange::Exchange;
pub(crate) use identity::forwarded_for;
pub(crate) use record::{RequestRecord, WallClock};

use std::rc::Rc;

use gateway_config::RouteAction;
use http::{Request, Response};
use hyper::body::Incoming;

use crate::body::{BodySource, ClientBody};
use crate::filter::{Chain, Verdict};
use crate::route::{RouteIndex, RouteInput};
use crate::worker::ClientConnection;
use head::RequestHead;
use local_reply::Answer;

/// Serves one request. Whatever happens, there is one reply and one finished record.
pub(crate) async fn serve_request(
    connection: &Rc<ClientConnection>,
    request: Request<Incoming>,
) -> Response<ClientBody> {
    let (parts, body) = request.into_parts();
    let mut exchange = Exchange::start(connection, &parts);
    let answer = match answer(&mut exchange, parts, body).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::debug!(blame = ?error.blame, reason = error.reason.code(), "request failed");
            Answer::from_error(&error, exchange.record.is_head())
        }
    };
    response::finish(exchange, answer).await
}

/// From the head as received to an answer: the upstream's, a filter's, or the route's own.
async fn answer(
    exchange: &mut Exchange,
    parts: http::request::Parts,
    body: Incoming,
) -> Result<Answer, RequestError> {
    let mut head = head::normalise(parts, exchange.limits(), exchange.local())?;
    let (forwarded_for, scheme) = (exchange.forwarded_for(), exchange.scheme());
    identity::stamp(&mut head, &mut exchange.record, forwarded_for, scheme)?;
    exchange.check_connection(&head)?;
    let route = decide(exchange, &head)?;
    let body =
        if http_body::Body::is_end_stream(&body) { BodySource::Empty } else { BodySource::Incoming(body) };

    let filters = exchange.filters(route, &head)?;
    if filters.is_empty() {
        return act(exchange, route, head, body).await;
    }
    let chain = Chain::new(exchange.chain_input(filters, route, head))?;
    exchange.chain = Some(chain.clone());
    match chain.request_headers(body.is_end_stream()).await? {
        Verdict::Reply(reply) => Ok(Answer::from_filter(reply, exchange)),
        Verdict::Continue => {
            let (head, rerouted) = head::take_from_chain(&chain);
            let route = if rerouted { decide(exchange, &head)? } else { route };
            act(exchange, route, head, body).await
        }
    }
}

/// Does what the route says.
async fn act(
    exchange: &mut Exchange,
    RouteIndex(index): RouteIndex,
    head: RequestHead,
    body: BodySource,
) -> Result<Answer, RequestError> {
    let state = exchange.state.clone();
    let route = &state.snapshot.config.routes[index];
    match &route.action {
        RouteAction::Respond(direct) => Ok(Answer::direct(direct, exchange.record.is_head())),
        RouteAction::Forward(destinations) => {
            send::to_upstream(exchange, route, destinations, head, body).await
        }
    }
}

fn decide(exchange: &mut Exchange, head: &RequestHead) -> Result<RouteIndex, RequestError> {
    let input = RouteInput {
        host: &head.host(),
        path: head.path.path(),
        method: head.method.as_str(),
        headers: &head.headers,
    };
    let route =
        exchange.state.snapshot.routes.decide(&input).ok_or(RequestError::gateway(Reason::NoRoute))?;
    exchange.record.route = Some(route);
    Ok(route)
}
