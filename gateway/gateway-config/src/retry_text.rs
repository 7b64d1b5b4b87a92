//! Conditions of retries as configuration writes them, with Envoy's names.

use serde_json::{Value, json};

use crate::diagnostic::{quoted, suggestion};
use crate::read::{Problem, Scalar};
use crate::values::mismatch;

/// One condition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RetryCondition {
    ConnectFailure,
    RefusedStream,
    Reset,
    GatewayError,
    ServerError,
    Retriable4xx,
    Status(u16),
}

const WORDS: [(&str, RetryCondition); 6] = [
    ("connect-failure", RetryCondition::ConnectFailure),
    ("refused-stream", RetryCondition::RefusedStream),
    ("reset", RetryCondition::Reset),
    ("gateway-error", RetryCondition::GatewayError),
    ("5xx", RetryCondition::ServerError),
    ("retriable-4xx", RetryCondition::Retriable4xx),
];

impl Scalar for RetryCondition {
    fn expects() -> String {
        let words: Vec<_> = WORDS.iter().map(|(word, _)| quoted(word)).collect();
        format!("{} or a status from 400 to 599", words.join(", "))
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        if let Some((_, condition)) = WORDS.iter().find(|(word, _)| *word == text) {
            return Ok(*condition);
        }
        match text.parse() {
            Ok(status @ 400..=599) => Ok(Self::Status(status)),
            // The message lists the words already; only a near miss adds something.
            _ => {
                let near = suggestion(text, WORDS.iter().map(|(word, _)| *word), "");
                Err(mismatch(near.filter(|help| help.starts_with("did you"))))
            }
        }
    }

    fn schema() -> Value {
        let words: Vec<_> = WORDS.iter().map(|(word, _)| *word).collect();
        json!({"anyOf": [
            {"enum": words},
            {"type": "integer", "minimum": 400, "maximum": 599},
            {"type": "string", "pattern": "^[45][0-9][0-9]$"},
        ]})
    }
}
