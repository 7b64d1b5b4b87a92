//! Ranges of HTTP statuses as configuration writes them.

use serde_json::{Value, json};

use crate::diagnostic::quoted;
use crate::read::{Problem, Scalar};
use crate::values::mismatch;

/// From one status to another, both included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct StatusRange {
    pub(crate) first: u16,
    pub(crate) last: u16,
}

impl Scalar for StatusRange {
    fn expects() -> String {
        "a status from 100 to 599, or two such as `200-399`".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        let status = |text: &str| text.trim().parse().ok().filter(|status| (100..=599).contains(status));
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (status(first), status(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Self { first, last }),
            (Some(first), Some(last)) => {
                Err(mismatch(Some(format!("the lower one first: {}", quoted(&format!("{last}-{first}"))))))
            }
            _ => Err(mismatch(None)),
        }
    }

    fn schema() -> Value {
        json!({"type": ["string", "integer"], "pattern": "^[1-5][0-9][0-9](-[1-5][0-9][0-9])?$"})
    }
}
