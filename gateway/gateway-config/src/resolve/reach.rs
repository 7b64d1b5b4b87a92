//! Routes that no request can reach: an error if a route repeats another, a warning if others take what it would.

use std::collections::{HashMap, HashSet};

use crate::diagnostic::{Mark, Report};
use crate::resolved::{HostPattern, PathMatch, RouteMatch};

/// What routes match, to find those that are hidden by others.
#[derive(Default)]
pub(super) struct Reach {
    equal: HashMap<(Vec<String>, Vec<String>), usize>,
    routes: Vec<Seen>,
}

struct Seen {
    index: usize,
    mark: Mark,
    hosts: Vec<Option<HostPattern>>,
    /// What each match asks, and whether it is about a prefix.
    matches: Vec<(String, bool)>,
    takes_every_path: bool,
    /// Reported as an error already.
    repeats: bool,
}

impl Reach {
    /// Takes note of a route; one that repeats an earlier one is an error.
    pub(super) fn add(
        &mut self,
        index: usize,
        mark: Mark,
        hosts: &[HostPattern],
        matches: &[RouteMatch],
        report: &mut Report<'_>,
    ) {
        let asked: Vec<String> = matches.iter().map(RouteMatch::canonical).collect();
        let key = (canonical(hosts.iter().map(|host| format!("{host:?}"))), canonical(asked.iter().cloned()));
        let first = self.equal.get(&key).and_then(|first| self.routes.get(*first));
        if let Some(first) = first {
            let place = report.place(first.mark);
            let index_first = first.index;
            let same =
                format!("the same hosts and match as routes[{index_first}] at {}:{}", place.file, place.line);
            let help = "the first of two equal routes wins: remove one, or make it more specific".to_owned();
            report.error(mark, format!("routes[{index}] is never reached: {same}"), Some(help));
        }
        let repeats = first.is_some();
        self.equal.entry(key).or_insert(self.routes.len());
        let every_host = hosts.is_empty().then_some(None);
        let hosts = hosts.iter().cloned().map(Some).chain(every_host).collect();
        let are_prefixes = matches.iter().map(|condition| matches!(condition.path, PathMatch::Prefix(_)));
        let takes_every_path = matches.iter().any(takes_all);
        let matches = asked.into_iter().zip(are_prefixes).collect();
        self.routes.push(Seen { index, mark, hosts, matches, takes_every_path, repeats });
    }

    /// Warns of every route that others hide, wholly or in part. Call it when all routes are known.
    pub(super) fn warn(&self, report: &mut Report<'_>) {
        let catch_all = self.catch_all();
        let mut owners: HashMap<(&Option<HostPattern>, &str), &Seen> = HashMap::new();
        for route in &self.routes {
            let (mut hidden, mut total, mut hidden_by) = (0, 0, None);
            let mut own = HashSet::new();
            for host in &route.hosts {
                for (asked, is_prefix) in &route.matches {
                    let key = (host, &**asked);
                    if !own.insert(key) {
                        continue;
                    }
                    total += 1;
                    // Expressions go before prefixes, wherever they stand.
                    let caught = catch_all.get(host).copied();
                    let caught = caught.filter(|other| other.index != route.index && *is_prefix);
                    let earlier = owners.get(&key).copied();
                    if earlier.is_none() {
                        owners.insert(key, route);
                    }
                    if let Some(other) = earlier.or(caught) {
                        hidden += 1;
                        hidden_by.get_or_insert(other);
                    }
                }
            }
            if let (Some(other), false) = (hidden_by, route.repeats) {
                warn(route, other, hidden == total, report);
            }
        }
    }

    /// For each host, the first route whose expression takes every path and that asks for nothing else.
    fn catch_all(&self) -> HashMap<&Option<HostPattern>, &Seen> {
        let mut found = HashMap::new();
        for route in self.routes.iter().filter(|route| route.takes_every_path) {
            for host in &route.hosts {
                found.entry(host).or_insert(route);
            }
        }
        found
    }
}

/// An expression that takes every path, and asks for nothing else.
fn takes_all(condition: &RouteMatch) -> bool {
    matches!(&condition.path, PathMatch::Regex(regex) if [".*", "/.*"].contains(&regex.as_str()))
        && condition.method.is_none()
        && condition.headers.is_empty()
        && condition.query.is_empty()
        && condition.cookies.is_empty()
        && condition.filter_state.is_empty()
        && condition.clients.is_empty()
        && condition.not.is_empty()
}

fn warn(route: &Seen, other: &Seen, wholly: bool, report: &mut Report<'_>) {
    let place = report.place(other.mark);
    let by = format!("routes[{}] at {}:{}", other.index, place.file, place.line);
    let index = route.index;
    let message = if wholly {
        format!("routes[{index}] is never reached: other routes, {by} first, take all of its requests")
    } else {
        format!("a part of routes[{index}] is never reached: {by} takes those requests")
    };
    let help = "`gateway explain` shows what a route has over another".to_owned();
    report.warn(route.mark, message, Some(help));
}

/// Independent of order and repetition.
fn canonical(items: impl Iterator<Item = String>) -> Vec<String> {
    let mut texts: Vec<String> = items.collect();
    texts.sort();
    texts.dedup();
    texts
}
