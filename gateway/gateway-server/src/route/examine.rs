//! Why a route wins: the candidates of a request in the order in which the data path asks them, each with its verdict.

use std::ops::ControlFlow;

use gateway_config::{HostPattern, PathMatch, Route, ValueMatch};

use super::condition::Mismatch;
use super::paths::{Candidate, Paths};
use super::{Decision, RouteInput, RouteTable};

/// What came of one candidate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Wins,
    /// It matches too; what the winner has over it.
    Beaten(String),
    /// A condition that does not hold.
    Fails(String),
}

/// One candidate and its verdict.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Examined {
    pub(crate) decision: Decision,
    pub(crate) verdict: Verdict,
}

impl RouteTable {
    /// Every candidate whose host and path fit, best first. The winner is the one that [`RouteTable::decide`] returns.
    pub(crate) fn examine(&self, routes: &[Route], input: &RouteInput<'_>) -> Vec<Examined> {
        let mut examined = Vec::new();
        let mut winner: Option<(&Paths, &Candidate)> = None;
        // Never breaks: everything is looked at.
        let _: ControlFlow<()> = self.visit(input, &mut |paths, candidate| {
            let verdict = match (candidate.mismatch(input), winner) {
                (Some(mismatch), _) => Verdict::Fails(failure(&mismatch)),
                (None, Some(winner)) => Verdict::Beaten(advantage(routes, winner, (paths, candidate))),
                (None, None) => {
                    winner = Some((paths, candidate));
                    Verdict::Wins
                }
            };
            examined.push(Examined { decision: candidate.decision(), verdict });
            ControlFlow::Continue(())
        });
        examined
    }
}

fn failure(mismatch: &Mismatch<'_>) -> String {
    match mismatch {
        Mismatch::Method(method) => format!("the method is not {method}"),
        Mismatch::Header(name, wanted) => format!("header {name} {}", unmet(wanted)),
        Mismatch::Query(name, wanted) => format!("query parameter {name} {}", unmet(wanted)),
        Mismatch::Cookie(name, wanted) => format!("cookie {name} {}", unmet(wanted)),
        Mismatch::FilterState(name, wanted) => format!("property {name} {}", unmet(wanted)),
        Mismatch::Client(networks) => {
            let networks: Vec<_> = networks.iter().map(ToString::to_string).collect();
            format!("the client is not in {}", networks.join(", "))
        }
        Mismatch::Not(index) => format!("its not[{index}] holds"),
    }
}

fn unmet(wanted: &ValueMatch) -> String {
    match wanted {
        ValueMatch::Exact(value) => format!("is not `{value}`"),
        ValueMatch::Regex(pattern) => format!("does not match `{}`", pattern.as_str()),
        ValueMatch::Present(true) => "is missing".to_owned(),
        ValueMatch::Present(false) => "is there".to_owned(),
    }
}

/// The first criterion of the precedence in which the two differ.
fn advantage(
    routes: &[Route],
    (winner_paths, winner): (&Paths, &Candidate),
    (loser_paths, loser): (&Paths, &Candidate),
) -> String {
    let (won, lost) = (winner_paths.host(), loser_paths.host());
    if won != lost {
        return format!("host {} goes before {}", host_text(won), host_text(lost));
    }
    let path = |candidate: &Candidate| {
        let Decision { route, condition } = candidate.decision();
        &routes[route.0].matches[condition].path
    };
    match (path(winner), path(loser)) {
        (PathMatch::Exact(_), PathMatch::Regex(_)) => {
            return "an exact path goes before an expression".to_owned();
        }
        (PathMatch::Exact(_), PathMatch::Prefix(_)) => {
            return "an exact path goes before a prefix".to_owned();
        }
        (PathMatch::Regex(_), PathMatch::Prefix(_)) => {
            return "an expression goes before a prefix".to_owned();
        }
        (PathMatch::Regex(won), PathMatch::Regex(lost)) if won.as_str().len() > lost.as_str().len() => {
            return "the longer expression goes first".to_owned();
        }
        (PathMatch::Prefix(won), PathMatch::Prefix(lost)) if won.len() > lost.len() => {
            return format!("prefix {won} is longer than {lost}");
        }
        _ => {}
    }
    let (won, lost) = (winner.specificity(), loser.specificity());
    let criteria = [
        (won.0 != lost.0, "it asks for a method"),
        (won.1 != lost.1, "it asks for more headers"),
        (won.2 != lost.2, "it asks for more query parameters"),
        (won.3 != lost.3, "it asks for more cookies"),
        (won.4 != lost.4, "it asks for more properties of filters"),
        (won.5 != lost.5, "it asks for a client"),
        (won.6 != lost.6, "it excludes more"),
    ];
    let first = criteria.into_iter().find(|(differs, _)| *differs);
    first.map_or("it is written first", |(_, text)| text).to_owned()
}

fn host_text(host: Option<&HostPattern>) -> String {
    match host {
        None => "every host".to_owned(),
        Some(HostPattern::Exact(name)) => name.to_string(),
        Some(HostPattern::Suffix(suffix)) => format!("*{suffix}"),
    }
}
