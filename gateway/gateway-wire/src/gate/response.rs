//! What an upstream sends.

use super::body::{Body, Chunks, Read};
use super::head::{Facts, First, HeadReader, Side};
use super::{Limits, MAX_INTERIM_RESPONSES, Next, Scan};
use crate::Refusal;

/// What the request was that the next response answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expected {
    /// One whose response may have a body.
    Any,
    /// `HEAD`: the response has none, whatever it says.
    NoBody,
    /// One that asked for another protocol, so that it may be answered by `101`.
    Switch,
}

/// The gate of one connection to an upstream.
pub struct ResponseGate {
    limits: Limits,
    phase: Phase,
    expected: Option<Expected>,
    interim: usize,
}

enum Phase {
    Head(HeadReader),
    Body(Body),
    Open,
    Refused(Refusal),
}

impl ResponseGate {
    /// At the beginning of a connection: nothing was asked yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, phase: Phase::Head(HeadReader::default()), expected: None, interim: 0 }
    }

    /// A request is sent.
    pub const fn expect(&mut self, expected: Expected) {
        self.expected = Some(expected);
        self.interim = 0;
    }

    /// Whether the last response has ended, and nothing came after it.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.expected.is_none() && matches!(self.phase, Phase::Head(_))
    }

    /// Whether a body is under way, as opposed to a head.
    #[must_use]
    pub const fn is_in_body(&self) -> bool {
        matches!(self.phase, Phase::Body(_))
    }

    /// Looks at bytes that have not gone on yet, from the first of them.
    pub fn scan(&mut self, bytes: &[u8]) -> Scan {
        let mut at = 0;
        while at < bytes.len() {
            match self.step(&bytes[at..]) {
                Ok(Some(length)) => at += length,
                Ok(None) => return Scan::new(at, Next::More),
                Err((before, refusal)) => {
                    self.phase = Phase::Refused(refusal);
                    return Scan::new(at + before, Next::Refused(refusal));
                }
            }
        }
        Scan::new(at, Next::More)
    }

    /// As many bytes more may go on; none when the head has not ended.
    fn step(&mut self, rest: &[u8]) -> Result<Option<usize>, (usize, Refusal)> {
        match &mut self.phase {
            Phase::Head(reader) => {
                let expected = self.expected.ok_or((0, Refusal::Surplus))?;
                let read = reader.read(rest, &self.limits, Side::Response, status_line);
                let Some((length, facts)) = read.map_err(|refusal| (0, refusal))? else { return Ok(None) };
                self.phase = self.after_head(&facts, expected).map_err(|refusal| (0, refusal))?;
                Ok(Some(length))
            }
            Phase::Body(body) => match body.read(rest)? {
                Read::All => Ok(Some(rest.len())),
                Read::Ends(length) => {
                    self.phase = self.ended();
                    Ok(Some(length))
                }
            },
            Phase::Open => Ok(Some(rest.len())),
            Phase::Refused(refusal) => Err((0, *refusal)),
        }
    }

    fn after_head(&mut self, facts: &Facts, expected: Expected) -> Result<Phase, Refusal> {
        let status = facts.first.status;
        // A length of zero is not what the status allows either, but can be read in one way only.
        let has_body = facts.is_chunked || facts.length.is_some_and(|length| length > 0);
        match status {
            100..=199 | 204 if has_body => Err(Refusal::BodyNotAllowed),
            101 if expected == Expected::Switch => Ok(Phase::Open),
            101 => Err(Refusal::UnaskedSwitch),
            100..=199 => {
                self.interim += 1;
                if self.interim > MAX_INTERIM_RESPONSES {
                    return Err(Refusal::TooManyInterim);
                }
                Ok(Phase::Head(HeadReader::default()))
            }
            204 | 304 => Ok(self.ended()),
            _ if expected == Expected::NoBody => Ok(self.ended()),
            _ if facts.is_chunked => Ok(Phase::Body(Body::Chunked(Chunks::default()))),
            _ => match facts.length {
                Some(0) => Ok(self.ended()),
                Some(length) => Ok(Phase::Body(Body::Length(length))),
                None => Ok(Phase::Body(Body::UntilClose)),
            },
        }
    }

    fn ended(&mut self) -> Phase {
        self.expected = None;
        Phase::Head(HeadReader::default())
    }
}

/// RFC 9112, section 4: `VERSION STATUS REASON`. Without a reason, many leave out the space before it.
fn status_line(line: &[u8]) -> Result<First, Refusal> {
    let (version, rest) = line.split_at_checked(9).ok_or(Refusal::StatusLine)?;
    let is_http10 = match version {
        b"HTTP/1.1 " => false,
        b"HTTP/1.0 " => true,
        _ if version.starts_with(b"HTTP/") && version.ends_with(b" ") => return Err(Refusal::Version),
        _ => return Err(Refusal::StatusLine),
    };
    let status = match rest {
        [a, b, c] | [a, b, c, b' ', ..] => [*a, *b, *c],
        _ => return Err(Refusal::StatusLine),
    };
    if !status.iter().all(u8::is_ascii_digit) {
        return Err(Refusal::StatusLine);
    }
    let status = status.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
    if (100..600).contains(&status) { Ok(First { is_http10, status }) } else { Err(Refusal::Status) }
}
