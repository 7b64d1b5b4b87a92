//! Lines in a format of the operator's own: a template is looked at once, and a line is written from its pieces.
//!
//! Owns which headers a request must keep for its line. Escapes as the other formats do: whatever a client sends, text
//! stays one line with its quotes in place, and JSON stays valid.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gateway_config::{LogFact, LogOperator, LogPiece, LogTemplate, LoggedHeader, TimePiece};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::AccessLine;
use super::format::{millis, push_number, push_quoted, push_value};
use super::stamp::{self, Stamp};

/// A format of the operator's own, ready to write.
#[derive(Debug)]
pub(crate) struct Template {
    shape: Shape,
    request: Vec<HeaderName>,
    response: Vec<HeaderName>,
    trailers: Vec<HeaderName>,
    filter_state: Vec<Arc<str>>,
}

#[derive(Debug)]
enum Shape {
    Text(Vec<Piece>),
    Json(Vec<(Box<[u8]>, Vec<Piece>)>),
}

#[derive(Debug)]
enum Piece {
    Text(Box<[u8]>),
    StartTime(Option<Vec<TimePiece>>),
    /// A header or a property: the first that is there, cut off after so many bytes.
    Header(Vec<Source>, usize),
    Fact(LogFact),
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug)]
enum Source {
    Request(usize),
    Response(usize),
    Trailer(usize),
    FilterState(usize),
    Method,
    /// As the client sent it, whatever was rewritten since.
    Path,
    Authority,
    Scheme,
    Status,
    /// `x-envoy-upstream-service-time`, which Envoy writes into responses.
    UpstreamTime,
}

/// The headers and properties of one request that its line shows, in the order of the template's names.
#[derive(Default, Debug)]
pub(crate) struct Captured {
    request: Vec<Option<HeaderValue>>,
    response: Vec<Option<HeaderValue>>,
    trailers: Vec<Option<HeaderValue>>,
    filter_state: Vec<Option<Vec<u8>>>,
}

/// What only formats of the operator's own show.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Details<'a> {
    pub(crate) captured: Option<&'a Captured>,
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
    /// The client.
    pub(crate) remote: SocketAddr,
    /// Who connects: a proxy, if there is one in front.
    pub(crate) direct: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) connection_id: u64,
    pub(crate) tls_version: Option<&'static str>,
    pub(crate) server_name: Option<&'a str>,
    pub(crate) peer_subject: Option<&'a str>,
    pub(crate) peer_uri_san: Option<&'a str>,
    pub(crate) upstream_address: Option<SocketAddr>,
    /// Why there was no connection to the upstream.
    pub(crate) upstream_failure: Option<&'a str>,
    /// To the last byte of the request.
    pub(crate) request_duration: Option<Duration>,
    /// To the head of the upstream's response.
    pub(crate) response_duration: Option<Duration>,
}

impl Template {
    pub(crate) fn text(template: &LogTemplate) -> Self {
        let mut compiled = Self::empty();
        compiled.shape = Shape::Text(compiled.pieces(template));
        compiled
    }

    pub(crate) fn json(keys: &[(Arc<str>, LogTemplate)]) -> Self {
        let mut compiled = Self::empty();
        let mut entries = Vec::with_capacity(keys.len());
        for (key, template) in keys {
            let mut lead = if entries.is_empty() { b"{".to_vec() } else { b",".to_vec() };
            push_value(Some(key.as_bytes()), &mut lead);
            lead.push(b':');
            entries.push((lead.into(), compiled.pieces(template)));
        }
        compiled.shape = Shape::Json(entries);
        compiled
    }

    const fn empty() -> Self {
        let shape = Shape::Text(Vec::new());
        Self {
            shape,
            request: Vec::new(),
            response: Vec::new(),
            trailers: Vec::new(),
            filter_state: Vec::new(),
        }
    }

    /// Keeps what the line shows of a request head.
    pub(crate) fn capture_request(&self, captured: &mut Captured, headers: &HeaderMap) {
        captured.request = values(&self.request, headers);
    }

    /// Keeps what the line shows of a response head.
    pub(crate) fn capture_response(&self, captured: &mut Captured, headers: &HeaderMap) {
        captured.response = values(&self.response, headers);
    }

    /// Keeps what the line shows of the trailers of a response.
    pub(crate) fn capture_trailers(&self, captured: &mut Captured, trailers: &HeaderMap) {
        captured.trailers = values(&self.trailers, trailers);
    }

    /// Keeps what the line shows of what filters have set, which `value_of` knows by name.
    pub(crate) fn capture_filter_state(
        &self,
        captured: &mut Captured,
        value_of: impl Fn(&str) -> Option<Vec<u8>>,
    ) {
        captured.filter_state = self.filter_state.iter().map(|name| value_of(name)).collect();
    }

    /// Appends one line, with its line feed.
    pub(super) fn write(&self, line: &AccessLine<'_>, stamp: &mut Stamp, out: &mut Vec<u8>) {
        match &self.shape {
            Shape::Text(pieces) => {
                for piece in pieces {
                    write_in_text(piece, line, stamp, out);
                }
                out.push(b'\n');
            }
            Shape::Json(entries) => {
                for (lead, pieces) in entries {
                    out.extend_from_slice(lead);
                    write_json_value(pieces, line, stamp, out);
                }
                out.extend_from_slice(b"}\n");
            }
        }
    }

    fn pieces(&mut self, template: &LogTemplate) -> Vec<Piece> {
        let piece = |piece: &LogPiece| match piece {
            LogPiece::Text(text) => Piece::Text(text.as_bytes().into()),
            LogPiece::Operator(LogOperator::StartTime(format)) => Piece::StartTime(format.clone()),
            LogPiece::Operator(LogOperator::Fact(fact)) => Piece::Fact(*fact),
            LogPiece::Operator(LogOperator::RequestHeader(header)) => {
                self.header(header, |this, name| match name {
                    ":method" => Some(Source::Method),
                    ":path" | "x-envoy-original-path" => Some(Source::Path),
                    ":authority" => Some(Source::Authority),
                    ":scheme" => Some(Source::Scheme),
                    name => position(&mut this.request, name).map(Source::Request),
                })
            }
            LogPiece::Operator(LogOperator::ResponseHeader(header)) => {
                self.header(header, |this, name| match name {
                    ":status" => Some(Source::Status),
                    "x-envoy-upstream-service-time" => Some(Source::UpstreamTime),
                    name => position(&mut this.response, name).map(Source::Response),
                })
            }
            LogPiece::Operator(LogOperator::FilterState(state)) => {
                self.filter_state.push(state.name.clone());
                let source = Source::FilterState(self.filter_state.len() - 1);
                Piece::Header(vec![source], state.max_bytes.unwrap_or(usize::MAX))
            }
            LogPiece::Operator(LogOperator::ResponseTrailer(header)) => {
                self.header(header, |this, name| position(&mut this.trailers, name).map(Source::Trailer))
            }
        };
        template.pieces.iter().map(piece).collect()
    }

    fn header(
        &mut self,
        header: &LoggedHeader,
        mut source: impl FnMut(&mut Self, &str) -> Option<Source>,
    ) -> Piece {
        let names = std::iter::once(&header.name).chain(&header.alternative);
        let sources = names.filter_map(|name| source(self, name)).collect();
        Piece::Header(sources, header.max_bytes.unwrap_or(usize::MAX))
    }
}

/// The place of `name` in the list, where it is put if it is not there. `None` for what is no header, which no
/// configuration has.
fn position(names: &mut Vec<HeaderName>, name: &str) -> Option<usize> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    Some(names.iter().position(|known| *known == name).unwrap_or_else(|| {
        names.push(name);
        names.len() - 1
    }))
}

fn values(names: &[HeaderName], headers: &HeaderMap) -> Vec<Option<HeaderValue>> {
    names.iter().map(|name| headers.get(name).cloned()).collect()
}

/// What an operator stands for.
enum Value<'a> {
    Missing,
    Bytes(&'a [u8]),
    /// Of a set of words that need no escape.
    Word(&'a str),
    Number(u64),
    Address(SocketAddr),
    Ip(SocketAddr),
    Time(&'a [TimePiece]),
    Stamp,
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(text: Option<&'a str>) -> Self {
        text.map_or(Self::Missing, |text| Self::Bytes(text.as_bytes()))
    }
}

impl From<Option<u64>> for Value<'_> {
    fn from(number: Option<u64>) -> Self {
        number.map_or(Self::Missing, Self::Number)
    }
}

fn write_in_text(piece: &Piece, line: &AccessLine<'_>, stamp: &mut Stamp, out: &mut Vec<u8>) {
    match value(piece, line) {
        Value::Missing => out.push(b'-'),
        Value::Bytes(bytes) => push_quoted(bytes, out),
        plain => push_plain(&plain, line, stamp, out),
    }
}

/// One operator alone keeps its type; anything else is text.
fn write_json_value(pieces: &[Piece], line: &AccessLine<'_>, stamp: &mut Stamp, out: &mut Vec<u8>) {
    if let [piece @ (Piece::Header(..) | Piece::Fact(_))] = pieces {
        match value(piece, line) {
            Value::Missing => return push_value(None, out),
            Value::Number(number) => return push_number(number, out),
            Value::Bytes(bytes) => return push_value(Some(bytes), out),
            _ => {}
        }
    }
    // Put together as it is, then escaped as a whole.
    let mut text = Vec::new();
    for piece in pieces {
        match value(piece, line) {
            Value::Missing => text.push(b'-'),
            Value::Bytes(bytes) => text.extend_from_slice(bytes),
            plain => push_plain(&plain, line, stamp, &mut text),
        }
    }
    push_value(Some(&text), out);
}

/// A value that holds nothing to escape.
fn push_plain(value: &Value<'_>, line: &AccessLine<'_>, stamp: &mut Stamp, out: &mut Vec<u8>) {
    match value {
        Value::Missing | Value::Bytes(_) => {}
        Value::Word(word) => out.extend_from_slice(word.as_bytes()),
        Value::Number(number) => push_number(*number, out),
        Value::Address(address) => out.extend_from_slice(address.to_string().as_bytes()),
        Value::Ip(address) => out.extend_from_slice(address.ip().to_string().as_bytes()),
        Value::Time(format) => stamp::write_format(format, line.start_unix_ns, out),
        Value::Stamp => stamp.write(line.start_unix_ns, out),
    }
}

fn value<'a>(piece: &'a Piece, line: &AccessLine<'a>) -> Value<'a> {
    match piece {
        // Already printable.
        Piece::Text(text) => Value::Word(std::str::from_utf8(text).unwrap_or("-")),
        Piece::StartTime(None) => Value::Stamp,
        Piece::StartTime(Some(format)) => Value::Time(format),
        Piece::Fact(fact) => of_fact(*fact, line),
        Piece::Header(sources, max_bytes) => {
            let mut found = sources.iter().map(|source| of_header(*source, line));
            match found.find(|value| !matches!(value, Value::Missing)) {
                None => Value::Missing,
                Some(Value::Bytes(bytes)) => Value::Bytes(&bytes[..bytes.len().min(*max_bytes)]),
                Some(other) => other,
            }
        }
    }
}

fn of_header<'a>(source: Source, line: &AccessLine<'a>) -> Value<'a> {
    let captured = line.details.and_then(|details| details.captured);
    let kept = |values: &'a [Option<HeaderValue>], index: usize| {
        values
            .get(index)
            .and_then(Option::as_ref)
            .map_or(Value::Missing, |value| Value::Bytes(value.as_bytes()))
    };
    // A head that was refused has none of them.
    let known = |text: &'a str| if text == "-" { Value::Missing } else { Value::Bytes(text.as_bytes()) };
    match (source, captured) {
        (Source::Method, _) => known(line.method),
        (Source::Path, _) => known(line.path),
        (Source::Authority, _) => line.authority.map_or(Value::Missing, Value::Bytes),
        (Source::Scheme, _) => line.details.map(|details| details.scheme).into(),
        (Source::Status, _) => Some(u64::from(line.status)).filter(|status| *status > 0).into(),
        (Source::UpstreamTime, _) => line.upstream_duration.map(millis).into(),
        (Source::Request(index), Some(captured)) => kept(&captured.request, index),
        (Source::Response(index), Some(captured)) => kept(&captured.response, index),
        (Source::Trailer(index), Some(captured)) => kept(&captured.trailers, index),
        (Source::FilterState(index), Some(captured)) => {
            captured.filter_state.get(index).and_then(Option::as_deref).map_or(Value::Missing, Value::Bytes)
        }
        (Source::Request(_) | Source::Response(_) | Source::Trailer(_) | Source::FilterState(_), None) => {
            Value::Missing
        }
    }
}

fn of_fact<'a>(fact: LogFact, line: &AccessLine<'a>) -> Value<'a> {
    use LogFact as F;
    let details = line.details;
    let address = |address: Option<SocketAddr>| address.map_or(Value::Missing, Value::Address);
    let ip = |address: Option<SocketAddr>| address.map_or(Value::Missing, Value::Ip);
    let port = |address: Option<SocketAddr>| Value::from(address.map(|address| u64::from(address.port())));
    let remote = details.map(|details| details.remote);
    let direct = details.map(|details| details.direct);
    let local = details.map(|details| details.local);
    let upstream = details.and_then(|details| details.upstream_address);
    match fact {
        F::Protocol => Value::Word(line.protocol),
        F::ResponseCode => Value::Number(u64::from(line.status)),
        F::ResponseCodeDetails => match line.reason {
            "-" if line.upstream_host.is_some() => Value::Word("via_upstream"),
            "-" => Value::Missing,
            reason => Value::Bytes(reason.as_bytes()),
        },
        F::ResponseFlags if line.flags == "-" => Value::Word("-"),
        F::ResponseFlags => Value::Bytes(line.flags.as_bytes()),
        F::ResponseFlagsLong => Value::Word(line.flags_long),
        F::BytesReceived => Value::Number(line.bytes_in),
        F::BytesSent => Value::Number(line.bytes_out),
        F::Duration => Value::Number(millis(line.duration)),
        F::RequestDuration => details.and_then(|details| details.request_duration).map(millis).into(),
        F::ResponseDuration => details.and_then(|details| details.response_duration).map(millis).into(),
        F::ResponseTxDuration => {
            let answered = details.and_then(|details| details.response_duration);
            answered.map(|answered| millis(line.duration.saturating_sub(answered))).into()
        }
        F::UpstreamHost | F::UpstreamRemoteAddress => address(upstream),
        F::UpstreamRemoteAddressWithoutPort => ip(upstream),
        F::UpstreamRemotePort => port(upstream),
        F::UpstreamRequestAttemptCount => Value::Number(u64::from(line.attempts)),
        F::UpstreamCluster | F::UpstreamClusterRaw => line.upstream.into(),
        F::UpstreamTransportFailureReason => details.and_then(|details| details.upstream_failure).into(),
        F::RouteName => line.route.into(),
        F::DownstreamRemoteAddress => address(remote),
        F::DownstreamRemoteAddressWithoutPort => ip(remote),
        F::DownstreamDirectRemoteAddress => address(direct),
        F::DownstreamDirectRemoteAddressWithoutPort => ip(direct),
        F::DownstreamRemotePort => port(remote),
        F::DownstreamLocalAddress => address(local),
        F::DownstreamLocalAddressWithoutPort => ip(local),
        F::DownstreamLocalPort => port(local),
        F::DownstreamPeerSubject => details.and_then(|details| details.peer_subject).into(),
        F::DownstreamPeerUriSan => details.and_then(|details| details.peer_uri_san).into(),
        F::DownstreamTlsVersion => details.and_then(|details| details.tls_version).into(),
        F::RequestedServerName => details.and_then(|details| details.server_name).into(),
        F::ConnectionId => details.map(|details| details.connection_id).into(),
    }
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
