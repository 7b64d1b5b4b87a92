//! What a client sends.

use memchr::memchr2;

use super::body::{Body, Chunks, Read};
use super::head::{Facts, First, HeadReader, Side};
use super::line::is_token;
use super::{Limits, Next, Scan};
use crate::{Refusal, authority};

/// The gate of one client connection.
pub struct RequestGate {
    limits: Limits,
    phase: Phase,
    heads: u64,
}

enum Phase {
    Head(HeadReader),
    Body(Body),
    /// A request asked for another protocol: what follows is in that or in HTTP.
    Undecided,
    /// The connection has left HTTP.
    Open,
    Refused(Refusal, At),
}

/// Where a message was refused.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Head,
    Body,
}

impl RequestGate {
    /// At the beginning of a connection.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, phase: Phase::Head(HeadReader::default()), heads: 0 }
    }

    /// Heads that went on so far.
    #[must_use]
    pub const fn heads(&self) -> u64 {
        self.heads
    }

    /// Whether a body is under way, or was refused, as opposed to a head.
    #[must_use]
    pub const fn is_in_body(&self) -> bool {
        matches!(self.phase, Phase::Body(_) | Phase::Refused(_, At::Body))
    }

    /// Looks at bytes that have not gone on yet, from the first of them.
    pub fn scan(&mut self, bytes: &[u8]) -> Scan {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            match &mut self.phase {
                Phase::Head(reader) => match reader.read(rest, &self.limits, Side::Request, request_line) {
                    Ok(None) => return Scan::new(at, Next::More),
                    Ok(Some((length, facts))) => {
                        at += length;
                        self.heads += 1;
                        self.phase = after_head(&facts);
                    }
                    Err(refusal) => {
                        self.phase = Phase::Refused(refusal, At::Head);
                        return Scan::new(at, Next::Refused(refusal));
                    }
                },
                Phase::Body(body) => match body.read(rest) {
                    Ok(Read::All) => return Scan::new(bytes.len(), Next::More),
                    Ok(Read::Ends(length)) => {
                        at += length;
                        self.phase = Phase::Head(HeadReader::default());
                    }
                    Err((before, refusal)) => {
                        self.phase = Phase::Refused(refusal, At::Body);
                        return Scan::new(at + before, Next::Refused(refusal));
                    }
                },
                Phase::Undecided => return Scan::new(at, Next::Hold),
                Phase::Open => return Scan::new(bytes.len(), Next::More),
                Phase::Refused(refusal, _) => return Scan::new(at, Next::Refused(*refusal)),
            }
        }
        Scan::new(at, Next::More)
    }

    /// The request that asked for another protocol was answered in HTTP, and so goes the connection on.
    pub fn stays(&mut self) {
        if matches!(self.phase, Phase::Undecided) {
            self.phase = Phase::Head(HeadReader::default());
        }
    }

    /// The connection has left HTTP: everything goes on.
    pub fn open(&mut self) {
        self.phase = Phase::Open;
    }
}

/// The first line of a request, where it is whole and legal, whatever comes after it; without its end.
#[must_use]
pub fn first_line(bytes: &[u8]) -> Option<&[u8]> {
    let bytes = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    let end = memchr2(b'\r', b'\n', bytes)?;
    let line = &bytes[..end];
    request_line(line).is_ok().then_some(line)
}

fn after_head(facts: &Facts) -> Phase {
    match facts.length {
        _ if facts.is_chunked => Phase::Body(Body::Chunked(Chunks::default())),
        Some(length) if length > 0 => Phase::Body(Body::Length(length)),
        _ if facts.has_upgrade && facts.connection_upgrades => Phase::Undecided,
        _ => Phase::Head(HeadReader::default()),
    }
}

/// RFC 9112, section 3: `METHOD TARGET VERSION`, with one space between them.
fn request_line(line: &[u8]) -> Result<First, Refusal> {
    let mut words = line.split(|byte| *byte == b' ');
    let words = (words.next(), words.next(), words.next(), words.next());
    let (Some(method), Some(target), Some(version), None) = words else { return Err(Refusal::RequestLine) };
    if !is_token(method) {
        return Err(Refusal::RequestLine);
    }
    let is_http10 = match version {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        _ if version.starts_with(b"HTTP/") => return Err(Refusal::Version),
        _ => return Err(Refusal::RequestLine),
    };
    if method == b"CONNECT" {
        return Err(Refusal::Connect);
    }
    if is_target(method, target) { Ok(First { is_http10, status: 0 }) } else { Err(Refusal::Target) }
}

/// RFC 9112, section 3.2, without the form that only CONNECT has.
fn is_target(method: &[u8], target: &[u8]) -> bool {
    if !is_target_text(target) {
        return false;
    }
    match target {
        [b'/', ..] => true,
        b"*" => method == b"OPTIONS",
        _ => {
            let after_scheme = strip_prefix(target, b"http://").or_else(|| strip_prefix(target, b"https://"));
            let host = after_scheme.and_then(|rest| rest.split(|byte| matches!(byte, b'/' | b'?')).next());
            host.is_some_and(authority::is_valid)
        }
    }
}

/// Whether all bytes may stand where they are in a target.
pub(crate) fn is_target_text(target: &[u8]) -> bool {
    // No early exit: so written, the compiler looks at many bytes at once.
    if target.iter().fold(false, |any, byte| any | !is_target_byte(*byte)) {
        return false;
    }
    // In queries browsers send it; in paths it is no more legal than the delimiters, and parsers differ.
    let path = || target.split(|byte| *byte == b'?').next().unwrap_or(target);
    !target.contains(&b'`') || !path().contains(&b'`')
}

/// Visible ASCII but what delimits URIs in text, and the fragment, which is the client's own (RFC 3986, appendix C and
/// section 3.5).
const fn is_target_byte(byte: u8) -> bool {
    (byte > 0x20) & (byte < 0x7f) & (byte != b'"') & (byte != b'<') & (byte != b'>') & (byte != b'#')
}

fn strip_prefix<'a>(target: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = target.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}
