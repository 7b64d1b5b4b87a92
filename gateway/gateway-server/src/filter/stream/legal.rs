//! What guests may put into messages: the only place where their names, values, methods, paths, hosts and statuses are judged.
//!
//! A line that is no header line is refused, and so is what frames a message or belongs to a connection: the gateway writes
//! that itself. `content-length` is taken if it is a number, and means nothing: the true one is worked out.

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use proxy_wasm_host::{HeaderList, Made, Status, StreamMap};

use crate::request::is_forbidden_trailer;

/// Digits of a length that fits 64 bits.
const MAX_LENGTH_DIGITS: usize = 19;

/// Whether lines stand before a body or after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Part {
    Head,
    Trailers,
}

impl From<StreamMap> for Part {
    fn from(map: StreamMap) -> Self {
        match map {
            StreamMap::RequestHeaders | StreamMap::ResponseHeaders => Self::Head,
            StreamMap::RequestTrailers | StreamMap::ResponseTrailers => Self::Trailers,
        }
    }
}

/// One line of a message.
pub(super) fn line(part: Part, name: &[u8], value: &[u8]) -> Result<(HeaderName, HeaderValue), Status> {
    let name = HeaderName::from_bytes(name).map_err(|_| Status::BadArgument)?;
    let value = HeaderValue::from_bytes(value).map_err(|_| Status::BadArgument)?;
    let is_legal = match part {
        Part::Head if name == CONTENT_LENGTH => is_length(value.as_bytes()),
        Part::Head => !belongs_to_connection(&name),
        Part::Trailers => !is_forbidden_trailer(&name),
    };
    if is_legal { Ok((name, value)) } else { Err(Status::BadArgument) }
}

/// CONNECT is no request to forward: it asks for a tunnel.
pub(super) fn method(value: &[u8]) -> Result<Method, Status> {
    let method = Method::from_bytes(value).ok().filter(|method| *method != Method::CONNECT);
    method.ok_or(Status::BadArgument)
}

pub(super) fn host(value: &[u8]) -> Result<HeaderValue, Status> {
    match gateway_wire::authority::is_valid(value) {
        true => HeaderValue::from_bytes(value).map_err(|_| Status::BadArgument),
        false => Err(Status::BadArgument),
    }
}

/// Of a final response.
pub(super) fn status(value: &[u8]) -> Result<StatusCode, Status> {
    let status = StatusCode::from_bytes(value).ok().filter(|status| (200..=599).contains(&status.as_u16()));
    status.ok_or(Status::BadArgument)
}

/// A whole list that a guest made up: see [`Made`].
pub(crate) fn list(made: Made, list: &HeaderList) -> Result<(), Status> {
    let bad = |is_bad: bool| if is_bad { Err(Status::BadArgument) } else { Ok(()) };
    let count = |wanted: &[u8]| list.iter().filter(|(name, _)| name == wanted).count();
    bad(count(b"content-length") > 1)?;
    if made == Made::CallHeaders {
        bad(count(b":method") != 1 || count(b":path") != 1 || count(b":authority") != 1)?;
    }
    let find = |wanted: &[u8]| list.iter().find(|(name, _)| name == wanted).map(|(_, value)| &value[..]);
    for (name, value) in list {
        match (made, &name[..]) {
            (Made::CallHeaders, b":method") => drop(method(value)?),
            (Made::CallHeaders, b":authority") => drop(host(value)?),
            (Made::CallHeaders, b":scheme") => bad(!matches!(&value[..], b"http" | b"https"))?,
            (Made::CallHeaders, b":path") => {
                let path = PathAndQuery::try_from(&value[..]).map_err(|_| Status::BadArgument)?;
                let is_asterisk = path == "*" && find(b":method") == Some(b"OPTIONS");
                bad(!is_asterisk && !value.starts_with(b"/"))?;
            }
            // The same as `:authority`, which is there.
            (Made::CallHeaders, b"host") => bad(find(b":authority") != Some(value))?,
            (Made::CallHeaders, b"te") => bad(value != b"trailers")?,
            (Made::CallTrailers, name) => drop(line(Part::Trailers, name, value)?),
            (Made::CallHeaders | Made::ReplyHeaders, name) => drop(line(Part::Head, name, value)?),
        }
    }
    Ok(())
}

fn belongs_to_connection(name: &HeaderName) -> bool {
    [CONNECTION, TRANSFER_ENCODING, UPGRADE, TE, EXPECT, HOST].contains(name)
        || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

fn is_length(value: &[u8]) -> bool {
    (1..=MAX_LENGTH_DIGITS).contains(&value.len()) && value.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
#[path = "legal_tests.rs"]
mod tests;
