//! From an answer to the response that leaves: header edits, filters in reverse, framing, connection handling.

use std::rc::Rc;

use http::header::{CONNECTION, CONTENT_LENGTH, DATE};
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version};
use proxy_wasm_host::Direction;

use super::local_reply::Answer;
use super::send::interrupted;
use super::{Exchange, Reason, RequestError, Silenced, compression, upgrade, variables};
use crate::body::{BodySource, ClientBody};
use crate::filter::{Chain, FilteredBody, Framing};
use crate::route::{RouteIndex, cors};

/// Turns an answer into the one response of this exchange.
pub(super) async fn finish(
    mut exchange: Box<Exchange>,
    mut answer: Answer,
) -> Result<Response<ClientBody>, Silenced> {
    if let Some(route) = exchange.record.route {
        edit_headers(&exchange, route, &mut answer);
    }
    if let Some(chain) = exchange.chain.clone() {
        // Boxed: requests without filters must not carry it.
        answer = match Box::pin(through_filters(&mut exchange, &chain, answer)).await {
            Ok(answer) => answer,
            Err(error) if error.reason == Reason::FilterClosed => return Err(silenced(exchange)),
            Err(error) => {
                let answer = Answer::from_error(&error, &exchange);
                replaced(&mut exchange, answer)
            }
        };
    }
    if exchange.upgrade.is_some() || answer.status.is_informational() {
        return Ok(upgrade::finish(exchange, answer));
    }
    Ok(deliver(exchange, answer))
}

/// The exchange is over without a response.
pub(super) fn silenced(mut exchange: Box<Exchange>) -> Silenced {
    exchange.response_stopped(Reason::FilterClosed);
    Silenced
}

/// The response as it leaves.
pub(super) fn deliver(mut exchange: Box<Exchange>, mut answer: Answer) -> Response<ClientBody> {
    if let Some(offer) = exchange.record.route.and_then(|route| exchange.compression(route)) {
        compression::apply(offer, exchange.record.coding, exchange.record.is_head(), &mut answer);
    }
    exchange.record.status = Some(answer.status);
    exchange.record.reason = answer.reason;
    let closes = exchange.connection_closes(&answer);
    if closes {
        answer.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    // To a client of HTTP/1.0 that asked to be kept, hyper says so in every response of a newer version.
    let version = if closes { exchange.record.version } else { Version::HTTP_11 };
    // An upstream's own date stays; whoever forwards a message without one adds it.
    answer.headers.entry(DATE).or_insert_with(|| exchange.date());
    exchange.capture_response(&answer.headers);
    exchange.response_begins(closes);
    let (status, headers) = (answer.status, answer.headers);
    let mut response = Response::new(ClientBody::new(answer.body, exchange));
    *response.version_mut() = version;
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// What the destination and the route change, and what the route tells browsers.
fn edit_headers(exchange: &Exchange, RouteIndex(index): RouteIndex, answer: &mut Answer) {
    let snapshot = &exchange.state.snapshot;
    let fill = |variable, out: &mut Vec<u8>| variables::fill(exchange, variable, out);
    let plan = &snapshot.plans[index];
    if let (Some(destination), None) = (exchange.record.destination, answer.reason) {
        plan.destinations[destination].response.apply(&mut answer.headers, fill);
    }
    plan.response.apply(&mut answer.headers, fill);
    match (&snapshot.config.routes[index].cors, answer.reason) {
        (None, _) | (Some(_), Some(Reason::CorsPreflight)) => {}
        (Some(cors), _) => cors::respond(cors, exchange.record.origin.as_ref(), &mut answer.headers),
    }
}

async fn through_filters(
    exchange: &mut Exchange,
    chain: &Rc<Chain>,
    answer: Answer,
) -> Result<Answer, RequestError> {
    let Answer { status, headers, body, declared_length, reason } = answer;
    let mut current = Rest { body, declared_length, reason };
    put_head(chain, status, headers);
    let end_of_stream = current.body.is_end_stream();
    chain
        .response_headers(end_of_stream, |reply| {
            let answer = replaced(exchange, Answer::from_filter(reply, exchange));
            put_head(chain, answer.status, answer.headers);
            current =
                Rest { body: answer.body, declared_length: answer.declared_length, reason: answer.reason };
            current.body.is_end_stream()
        })
        .await?;
    let (status, mut headers) = {
        let stream = chain.stream.borrow();
        // The stream keeps its copy: filters may read it while they log.
        (stream.status.unwrap_or(status), stream.response_headers.clone())
    };
    let framing = match FilteredBody::new(chain, Direction::Response, current.body) {
        Err(unfiltered) => {
            current.body = unfiltered;
            current.declared_length.map_or(Framing::Unknown, Framing::Exact)
        }
        Ok(mut filtered) => match filtered.prefetch(current.declared_length).await {
            Ok(framing) => {
                filtered.announce_trailers(&mut headers);
                current.body = BodySource::Filtered(Box::new(filtered));
                framing
            }
            // The head was not sent yet: a filter's own answer can still take the place of the response.
            Err(error) => {
                let answer = interrupted(exchange, error)?;
                return Ok(replaced(exchange, answer));
            }
        },
    };
    set_length(&mut headers, framing);
    Ok(Answer {
        status,
        headers,
        body: current.body,
        declared_length: current.declared_length,
        reason: current.reason,
    })
}

/// What an answer has besides its head.
struct Rest {
    body: BodySource,
    declared_length: Option<u64>,
    reason: Option<Reason>,
}

/// The upstream's response will not be read to its end: its connection cannot be used again.
fn replaced(exchange: &mut Exchange, answer: Answer) -> Answer {
    exchange.lease = None;
    answer
}

fn put_head(chain: &Chain, status: StatusCode, headers: HeaderMap) {
    let mut stream = chain.stream.borrow_mut();
    stream.status = Some(status);
    stream.response_headers = headers;
}

/// The gateway's own framing, whatever filters wrote.
pub(super) fn set_length(headers: &mut HeaderMap, framing: Framing) {
    match framing {
        Framing::Exact(length) => headers.insert(CONTENT_LENGTH, HeaderValue::from(length)),
        Framing::Unknown => headers.remove(CONTENT_LENGTH),
    };
}
