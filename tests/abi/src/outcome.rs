//! What came of running a case, and whether that is what the case claims.

use crate::case::{Case, Expectation};

/// What was seen from outside.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// One per exchange.
    pub exchanges: Vec<Seen>,
    /// Lines of the record.
    pub record: Vec<String>,
    /// The module was not taken, with what was said about it.
    pub refused: Option<String>,
}

/// One exchange as client and origin saw it.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Status at the client; 0 if there was no whole response.
    pub status: u16,
    /// Headers at the client, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body at the client.
    pub body: String,
    /// Trailers at the client.
    pub trailers: Vec<(String, String)>,
    /// Requests at the origin, without callouts.
    pub origin: Vec<AtOrigin>,
}

/// One request as the origin saw it.
#[derive(Clone, Debug, Default)]
pub struct AtOrigin {
    /// Method and path.
    pub target: String,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: String,
    /// Trailers.
    pub trailers: Vec<(String, String)>,
}

/// Whether a case holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// As claimed.
    Holds,
    /// Otherwise, and how.
    Fails(String),
    /// Cannot be run in this way.
    Skipped,
}

impl Verdict {
    /// The verdict as a word: `holds`, `differs` or `skipped`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Fails(_) => "differs",
            Self::Skipped => "skipped",
        }
    }

    /// Compares what was seen with what the case claims.
    #[must_use]
    pub fn of(case: &Case, outcome: &Outcome) -> Self {
        let mut wrong = Vec::new();
        match (&case.refused, &outcome.refused) {
            (None, Some(said)) => wrong.push(format!("the module was refused: {said}")),
            (Some(_), None) => wrong.push("the module was taken".to_owned()),
            _ => {}
        }
        for (exchange, seen) in case.exchanges.iter().zip(&outcome.exchanges) {
            let of = format!("{} {}", exchange.method, exchange.path);
            for expectation in &exchange.expectations {
                if let Some(found) = differing(expectation, seen) {
                    wrong.push(format!("{of}: expected {expectation:?}, found {found}"));
                }
            }
        }
        if case.refused.is_none() && !case.record.is_empty() && case.record != outcome.record {
            wrong.push(format!("record {:?}, expected {:?}", outcome.record, case.record));
        }
        if wrong.is_empty() { Self::Holds } else { Self::Fails(wrong.join("; ")) }
    }
}

/// What was found in place of what is expected.
fn differing(expectation: &Expectation, seen: &Seen) -> Option<String> {
    let origin = seen.origin.first();
    match expectation {
        Expectation::ClientStatus(status) => unlike(status, &seen.status),
        Expectation::ClientBody(body) => unlike(body, &seen.body),
        Expectation::ClientHeader(name, value) => unlike(value, &joined(&seen.headers, name)),
        Expectation::ClientTrailer(name, value) => unlike(value, &joined(&seen.trailers, name)),
        Expectation::OriginNone => unlike(&0, &seen.origin.len()),
        _ if seen.origin.len() != 1 => Some(format!("{} requests at the origin", seen.origin.len())),
        Expectation::OriginHeader(name, value) => unlike(value, &joined(&origin?.headers, name)),
        Expectation::OriginTarget(target) => unlike(target, &origin?.target),
        Expectation::OriginBody(body) => unlike(body, &origin?.body),
        Expectation::OriginTrailer(name, value) => unlike(value, &joined(&origin?.trailers, name)),
    }
}

fn unlike<T: PartialEq + std::fmt::Debug>(expected: &T, found: &T) -> Option<String> {
    (expected != found).then(|| format!("{found:?}"))
}

fn joined(lines: &[(String, String)], name: &str) -> Option<String> {
    let values: Vec<_> =
        lines.iter().filter(|(other, _)| other == name).map(|(_, value)| &value[..]).collect();
    (!values.is_empty()).then(|| values.join(", "))
}
