//! What two versions made of one message, and how that differs.

use bytes::BytesMut;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, Method, StatusCode};
use proxy_wasm_host::Direction;
use sha2::{Digest, Sha256};

use crate::filter::stream::StreamState;
use crate::request::Reason;

/// Names of headers in one difference; there may be more.
const MAX_NAMES: usize = 16;

/// One direction of a stream, as the version that serves and its shadow treat it.
#[derive(Default)]
pub(super) struct Message {
    /// What the shadow does with the head; `None` until it sees one.
    pub(super) head: Option<Did>,
    /// What the version that serves did with the head, until it is compared.
    pub(super) live_head: Option<(Did, Head)>,
    /// That version is done with the head.
    pub(super) live_is_past_head: bool,
    /// What the shadow holds of the body. Empty for trailers alone.
    pub(super) held: Option<BytesMut>,
    /// What the shadow made of the body.
    pub(super) copy: Passed,
    /// What the version that serves made of it.
    pub(super) live: Passed,
}

/// What a version does with a head, or with a body in the end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Did {
    Continue,
    Reply(u16),
    Close,
    Hold,
    Fail(String),
}

/// The head of a request or response, as a version leaves it.
#[derive(PartialEq, Eq)]
pub(super) struct Head {
    method: Method,
    path: PathAndQuery,
    status: Option<StatusCode>,
    headers: HeaderMap,
}

/// What a version lets go of a body. The bytes themselves are not kept.
#[derive(Default)]
pub(super) struct Passed {
    byte_count: u64,
    digest: Sha256,
    trailers: Option<HeaderMap>,
    /// Absent until it is done with the body.
    end: Option<Did>,
}

/// How what two versions made of something differs.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Compared {
    Same,
    /// One of them is not done.
    Undecided,
    Different {
        live: String,
        candidate: String,
        headers: Vec<String>,
    },
}

impl Message {
    /// The shadow has let go of bytes, and so of the head.
    pub(super) fn go_on(&mut self, bytes: &[u8]) {
        self.head = Some(Did::Continue);
        self.copy.pass(bytes);
    }

    /// The shadow refuses what is left of the message, the head too if it has that still.
    pub(super) fn refuse(&mut self, refusal: Did) {
        if self.head == Some(Did::Hold) {
            self.head = Some(refusal.clone());
        }
        self.copy.end = Some(refusal);
    }

    /// Whether the shadow wants nothing more of the stream.
    pub(super) const fn is_refused(&self) -> bool {
        !matches!(self.copy.end, None | Some(Did::Continue))
    }

    /// The heads, once both versions are done with theirs. `left` is what the shadow makes of it.
    pub(super) fn compare_heads(&mut self, left: impl FnOnce() -> Head) -> Option<Compared> {
        let did = self.head.as_ref().filter(|did| **did != Did::Hold)?;
        let (was, head) = self.live_head.take()?;
        // What a refusal leaves of a head goes nowhere.
        let headers = if *did == Did::Continue { head.differing(&left()) } else { Vec::new() };
        Some(Compared::of(was == *did && headers.is_empty(), was.words(), did.words(), headers))
    }

    /// All that is left to compare, when there is nothing more to come: the bodies, or that the shadow holds the head still.
    pub(super) fn compare_rest(&self) -> Option<Compared> {
        if self.live_head.is_some() {
            return Some(Compared::Undecided);
        }
        // Without an end there was no body, or the stream ended before its time.
        let was = self.live.end.as_ref()?;
        if self.head != Some(Did::Continue) {
            return None;
        }
        let did = match &self.copy.end {
            Some(did) => did,
            // It has let go of all that both of them saw.
            None if *was != Did::Continue && self.held.is_none() => &Did::Continue,
            None => return Some(Compared::Undecided),
        };
        let are_through = *was == Did::Continue && *did == Did::Continue;
        let headers = if are_through { self.live.differing_trailers(&self.copy) } else { Vec::new() };
        let is_same_body = !are_through || self.live.has_same_bytes(&self.copy);
        let is_same = was == did && headers.is_empty() && is_same_body;
        let candidate = if are_through && !is_same_body && self.live.byte_count == self.copy.byte_count {
            format!("passes {} other bytes on", self.copy.byte_count)
        } else {
            self.copy.words(did)
        };
        Some(Compared::of(is_same, self.live.words(was), candidate, headers))
    }
}

impl Did {
    pub(super) fn failed(reason: Reason) -> Self {
        Self::Fail(reason.code().to_owned())
    }

    fn words(&self) -> String {
        match self {
            Self::Continue => "goes on".to_owned(),
            Self::Reply(status) => format!("answers {status}"),
            Self::Close => "closes the stream".to_owned(),
            Self::Hold => "holds it".to_owned(),
            Self::Fail(error) => format!("fails: {error}"),
        }
    }
}

impl Head {
    pub(super) fn of(stream: &StreamState, direction: Direction) -> Self {
        let headers = match direction {
            Direction::Request => &stream.request_headers,
            Direction::Response => &stream.response_headers,
        };
        Self {
            method: stream.method.clone(),
            path: stream.path.clone(),
            status: stream.status,
            headers: headers.clone(),
        }
    }

    /// The names of what is not the same.
    fn differing(&self, other: &Self) -> Vec<String> {
        let pseudo = [
            (":method", self.method != other.method),
            (":path", self.path != other.path),
            (":status", self.status != other.status),
        ];
        let pseudo = pseudo.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.to_owned());
        pseudo.chain(differing(&self.headers, &other.headers)).collect()
    }
}

impl Passed {
    pub(super) fn pass(&mut self, bytes: &[u8]) {
        self.byte_count += bytes.len() as u64;
        self.digest.update(bytes);
    }

    /// The whole body is through. What comes after the end changes nothing.
    pub(super) fn end(&mut self, trailers: Option<&HeaderMap>) {
        if self.end.is_none() {
            self.end = Some(Did::Continue);
            self.trailers = trailers.cloned();
        }
    }

    /// The version refuses the rest.
    pub(super) fn refuse(&mut self, refusal: Did) {
        self.end.get_or_insert(refusal);
    }

    fn has_same_bytes(&self, other: &Self) -> bool {
        self.byte_count == other.byte_count
            && self.digest.clone().finalize() == other.digest.clone().finalize()
    }

    fn differing_trailers(&self, other: &Self) -> Vec<String> {
        let none = HeaderMap::new();
        differing(self.trailers.as_ref().unwrap_or(&none), other.trailers.as_ref().unwrap_or(&none))
    }

    fn words(&self, end: &Did) -> String {
        match end {
            Did::Continue => format!("passes {} bytes on", self.byte_count),
            _ => end.words(),
        }
    }
}

impl Compared {
    fn of(is_same: bool, live: String, candidate: String, mut headers: Vec<String>) -> Self {
        headers.truncate(MAX_NAMES);
        if is_same { Self::Same } else { Self::Different { live, candidate, headers } }
    }
}

/// Names of headers that do not have the same values in the same order.
fn differing(live: &HeaderMap, copy: &HeaderMap) -> Vec<String> {
    let differs = |name: &&HeaderName| !live.get_all(*name).iter().eq(copy.get_all(*name).iter());
    let only_copied = copy.keys().filter(|name| !live.contains_key(*name));
    live.keys().filter(differs).chain(only_copied).map(ToString::to_string).collect()
}
