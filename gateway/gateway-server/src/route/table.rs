//! The route table: hosts to candidate lists that are sorted by precedence once, when a snapshot is made.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use gateway_config::{HostPattern, PathMatch, Route};
use http::HeaderName;

use super::{RouteIndex, RouteInput};

/// All routes, ready to be asked.
#[derive(Debug, Default)]
pub(crate) struct RouteTable {
    exact_hosts: HashMap<Arc<str>, Vec<Candidate>>,
    /// Keyed with the leading dot; asked from the longest suffix of a host to the shortest.
    suffix_hosts: HashMap<Arc<str>, Vec<Candidate>>,
    any_host: Vec<Candidate>,
    /// Headers that some route looks at: an edit of one of them can change the decision.
    header_names: Vec<HeaderName>,
}

#[derive(Clone, Debug)]
struct Candidate {
    route: RouteIndex,
    path: PathMatch,
    method: Option<Arc<str>>,
    headers: Vec<(HeaderName, Arc<str>)>,
}

impl RouteTable {
    pub(crate) fn new(routes: &[Route]) -> Self {
        let mut table = Self::default();
        for (index, route) in routes.iter().enumerate() {
            for condition in &route.matches {
                let candidate = Candidate {
                    route: RouteIndex(index),
                    path: condition.path.clone(),
                    method: condition.method.clone(),
                    // Names are legal by construction of the configuration.
                    headers: condition
                        .headers
                        .iter()
                        .filter_map(|(name, value)| Some((name.parse().ok()?, value.clone())))
                        .collect(),
                };
                table.header_names.extend(candidate.headers.iter().map(|(name, _)| name.clone()));
                table.insert(&route.hosts, &candidate);
            }
        }
        let lists = table.exact_hosts.values_mut().chain(table.suffix_hosts.values_mut());
        for list in lists.chain([&mut table.any_host]) {
            list.sort_by_key(Candidate::precedence);
        }
        table
    }

    /// The route of a request, if any takes it. A host whose own routes do not match falls back to less specific hosts.
    pub(crate) fn decide(&self, input: &RouteInput<'_>) -> Option<RouteIndex> {
        self.exact_hosts
            .get(input.host)
            .and_then(|list| first_match(list, input))
            .or_else(|| self.decide_by_suffix(input))
            .or_else(|| first_match(&self.any_host, input))
    }

    /// Whether a header with this name takes part in any decision.
    pub(crate) fn looks_at(&self, name: &HeaderName) -> bool {
        self.header_names.contains(name)
    }

    fn insert(&mut self, hosts: &[HostPattern], candidate: &Candidate) {
        if hosts.is_empty() {
            self.any_host.push(candidate.clone());
        }
        for host in hosts {
            let (map, key) = match host {
                HostPattern::Exact(name) => (&mut self.exact_hosts, name),
                HostPattern::Suffix(suffix) => (&mut self.suffix_hosts, suffix),
            };
            map.entry(key.clone()).or_default().push(candidate.clone());
        }
    }

    fn decide_by_suffix(&self, input: &RouteInput<'_>) -> Option<RouteIndex> {
        if self.suffix_hosts.is_empty() {
            return None;
        }
        // The first dot gives the longest suffix; a host never matches its own bare suffix (at least one label).
        input.host.match_indices('.').filter(|(dot, _)| *dot > 0).find_map(|(dot, _)| {
            self.suffix_hosts.get(&input.host[dot..]).and_then(|list| first_match(list, input))
        })
    }
}

impl Candidate {
    /// Smaller sorts first. The sort is stable, so the order written decides the rest.
    fn precedence(&self) -> (bool, Reverse<usize>, bool, Reverse<usize>) {
        let (is_prefix, length) = match &self.path {
            PathMatch::Exact(path) => (false, path.len()),
            PathMatch::Prefix(path) => (true, path.len()),
        };
        (is_prefix, Reverse(length), self.method.is_none(), Reverse(self.headers.len()))
    }

    fn matches(&self, input: &RouteInput<'_>) -> bool {
        let path_matches = match &self.path {
            PathMatch::Exact(path) => input.path == &**path,
            PathMatch::Prefix(prefix) => has_segment_prefix(input.path, prefix),
        };
        path_matches
            && self.method.as_deref().is_none_or(|method| method == input.method)
            && self.headers.iter().all(|(name, value)| header_equals(input.headers, name, value))
    }
}

fn first_match(candidates: &[Candidate], input: &RouteInput<'_>) -> Option<RouteIndex> {
    candidates.iter().find(|candidate| candidate.matches(input)).map(|candidate| candidate.route)
}

/// `/a` is a prefix of `/a` and `/a/b`, not of `/ab`.
fn has_segment_prefix(path: &str, prefix: &str) -> bool {
    if prefix == "/" {
        return path.starts_with('/');
    }
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Several lines of one header count as one comma-separated value (RFC 9110, section 5.3).
fn header_equals(headers: &http::HeaderMap, name: &HeaderName, expected: &str) -> bool {
    let mut lines = headers.get_all(name).iter();
    let Some(first) = lines.next() else { return false };
    let Some(second) = lines.next() else { return first.as_bytes() == expected.as_bytes() };
    let mut joined = [first.as_bytes(), second.as_bytes()].join(&b", "[..]);
    for line in lines {
        joined.extend_from_slice(b", ");
        joined.extend_from_slice(line.as_bytes());
    }
    joined == expected.as_bytes()
}
