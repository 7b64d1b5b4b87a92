//! Owns what a test gives to a filter and what it gets back.

use std::collections::HashMap;
use std::time::Duration;

use super::protocol::{Answer, SentReply};
use crate::host::{LogLevel, Pairs};

/// A message of either direction.
#[derive(Clone, Debug)]
pub(super) struct TestMessage {
    pub(super) headers: Pairs,
    /// Empty: no body at all.
    pub(super) pieces: Vec<Vec<u8>>,
    pub(super) trailers: Option<Pairs>,
}

impl TestMessage {
    fn add(&mut self, name: &str, value: &[u8]) {
        self.headers.push((name.to_ascii_lowercase().into(), value.into()));
    }
}

/// A request to run a filter on.
#[derive(Clone, Debug)]
pub struct TestRequest {
    pub(super) message: TestMessage,
    pub(super) properties: HashMap<Vec<u8>, Vec<u8>>,
}

impl TestRequest {
    /// A `GET` without a body.
    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// Any method, without a body.
    pub fn new(method: &str, path: &str) -> Self {
        let pseudo =
            [(":method", method), (":scheme", "https"), (":authority", "test.example"), (":path", path)];
        let headers = pseudo.map(|(name, value)| (name.into(), value.into())).to_vec();
        let message = TestMessage { headers, pieces: Vec::new(), trailers: None };
        Self { message, properties: HashMap::new() }
    }

    /// Adds a header, behind those of the same name.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.message.add(name, value.as_ref());
        self
    }

    /// A body, in one piece, behind those before.
    #[must_use]
    pub fn body(mut self, piece: impl AsRef<[u8]>) -> Self {
        self.message.pieces.push(piece.as_ref().to_vec());
        self
    }

    /// Trailers behind the body.
    #[must_use]
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.message.trailers.get_or_insert_default().push((name.into(), value.into()));
        self
    }

    /// What the host knows under this path.
    #[must_use]
    pub fn property(mut self, path: &[&str], value: impl AsRef<[u8]>) -> Self {
        self.properties.insert(path.join("\0").into(), value.as_ref().into());
        self
    }

    /// Where the request came from.
    #[must_use]
    pub fn client(self, address: &str) -> Self {
        self.property(&["source", "address"], address)
    }
}

/// A response to run a filter on.
#[derive(Clone, Debug)]
pub struct TestResponse {
    pub(super) message: TestMessage,
}

impl TestResponse {
    /// A response without a body.
    pub fn new(status: u16) -> Self {
        let headers = vec![(":status".into(), status.to_string().into())];
        Self { message: TestMessage { headers, pieces: Vec::new(), trailers: None } }
    }

    /// Adds a header, behind those of the same name.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.message.add(name, value.as_ref());
        self
    }

    /// A body, in one piece, behind those before.
    #[must_use]
    pub fn body(mut self, piece: impl AsRef<[u8]>) -> Self {
        self.message.pieces.push(piece.as_ref().to_vec());
        self
    }

    pub(super) fn of_reply(reply: &SentReply) -> Self {
        let mut response = Self::new(u16::try_from(reply.status).unwrap_or_default());
        response.message.headers.extend(reply.headers.iter().cloned());
        if !reply.body.is_empty() {
            response.message.pieces.push(reply.body.clone());
        }
        response
    }
}

/// What a filter made of a message.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What became of the message.
    pub verdict: Verdict,
    /// The message's head as it goes on.
    pub headers: Pairs,
    /// The message's body as it goes on.
    pub body: Vec<u8>,
    /// What was logged meanwhile, in order.
    pub logs: Vec<(LogLevel, String)>,
    /// How long the filter held it.
    pub took: Duration,
}

/// A whole exchange.
#[derive(Clone, Debug)]
pub struct Exchanged {
    /// What became of the request.
    pub request: Outcome,
    /// What became of the response, if the request went on.
    pub response: Option<Outcome>,
}

/// What became of the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Continued,
    /// The client gets this answer.
    Replied(SentReply),
    /// The filter could not decide, in these words: the gateway applies the operator's failure policy (`onFailure`).
    Failed(String),
    /// The connection or stream was reset.
    Closed,
    /// Neither: the client waits.
    Held,
    /// The filter trapped; hosts apply its failure policy.
    Trapped(String),
}

impl Outcome {
    /// All values of a header of the message as it goes on; bytes that are not text are replaced.
    pub fn header_values(&self, name: &str) -> Vec<String> {
        values(&self.headers, name)
    }

    /// The local reply, if there is one.
    pub const fn reply(&self) -> Option<&SentReply> {
        match &self.verdict {
            Verdict::Replied(reply) => Some(reply),
            _ => None,
        }
    }

    /// Status and details of the local reply; of a message that the filter failed, what the gateway answers by policy
    /// `closed`: 503 and `filter_failed`. 0 and nothing if it was not refused.
    pub fn refusal(&self) -> (u32, &str) {
        match &self.verdict {
            Verdict::Replied(reply) => (reply.status, reply.details.as_str()),
            Verdict::Failed(_) => (503, "filter_failed"),
            _ => (0, ""),
        }
    }
}

impl SentReply {
    /// All values of a header of the reply; bytes that are not text are replaced.
    pub fn header_values(&self, name: &str) -> Vec<String> {
        values(&self.headers, name)
    }
}

fn values(headers: &Pairs, name: &str) -> Vec<String> {
    let named = headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name.as_bytes()));
    named.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
}

/// The scripted answer to a callout.
#[derive(Clone, Debug, Default)]
pub struct CallAnswer {
    pub(super) answer: Answer,
    pub(super) delay: Duration,
}

impl CallAnswer {
    /// An answer without a body, at once.
    pub fn new(status: u16) -> Self {
        let headers = vec![(b":status".to_vec(), status.to_string().into_bytes())];
        Self { answer: Answer { headers, ..Answer::default() }, delay: Duration::ZERO }
    }

    /// A JSON body with status 200.
    pub fn json(body: &serde_json::Value) -> Self {
        Self::new(200).header("content-type", "application/json").body(body.to_string())
    }

    /// The connection breaks.
    pub fn reset() -> Self {
        Self::default()
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.answer.headers.push((name.into(), value.into()));
        self
    }

    /// A body.
    #[must_use]
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.answer.body = body.as_ref().to_vec();
        self
    }

    /// It takes this long.
    #[must_use]
    pub const fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}
