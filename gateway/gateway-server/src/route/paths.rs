//! Candidates of one host by path: what a request's path leads to is looked up, never searched for one by one.
//!
//! Exact paths and prefixes are sorted, so that a lookup costs one binary search per kind and per distinct prefix length
//! written in the configuration, however long a client's path is. Only regular expressions are tried in turn.

use std::cmp::Reverse;
use std::ops::ControlFlow;
use std::sync::Arc;

use gateway_config::{HostPattern, PathMatch, Pattern};

use super::condition::Conditions;
use super::{Decision, RouteInput};

/// A match of a route, below its host and path.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// `None` for every host.
    pub(crate) host: Option<HostPattern>,
    pub(crate) decision: Decision,
    pub(crate) conditions: Conditions,
}

/// The candidates of one host.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    exact: Vec<SamePath>,
    regex: Vec<(Pattern, Candidate)>,
    /// The longest first.
    prefixes: Vec<SameLength>,
}

/// Candidates with one path, best first.
#[derive(Debug)]
struct SamePath {
    path: Arc<str>,
    candidates: Vec<Candidate>,
}

/// Prefixes of one length, in order of their text.
#[derive(Debug)]
struct SameLength {
    length: usize,
    prefixes: Vec<SamePath>,
}

impl Paths {
    /// The candidates in the order of the configuration.
    pub(crate) fn new(candidates: Vec<(PathMatch, Candidate)>) -> Self {
        let (mut exact, mut prefixes, mut regex) = (Vec::new(), Vec::new(), Vec::new());
        for (path, candidate) in candidates {
            match path {
                PathMatch::Exact(path) => exact.push((path, candidate)),
                PathMatch::Prefix(path) => prefixes.push((path, candidate)),
                PathMatch::Regex(pattern) => regex.push((pattern, candidate)),
            }
        }
        // Stable, so that the order written decides the rest; so are the others below.
        regex.sort_by_key(|(pattern, candidate)| {
            (Reverse(pattern.as_str().len()), Reverse(candidate.conditions.specificity()))
        });
        let mut lengths: Vec<SameLength> = Vec::new();
        for same in by_path(prefixes) {
            let length = same.path.len();
            match lengths.iter_mut().find(|group| group.length == length) {
                Some(group) => group.prefixes.push(same),
                None => lengths.push(SameLength { length, prefixes: vec![same] }),
            }
        }
        lengths.sort_by_key(|group| Reverse(group.length));
        Self { exact: by_path(exact), regex, prefixes: lengths }
    }

    /// Shows every candidate whose path fits, best first, until `visit` breaks.
    pub(crate) fn visit<'t, T>(
        &'t self,
        input: &RouteInput<'_>,
        visit: &mut impl FnMut(&'t Candidate) -> ControlFlow<T>,
    ) -> ControlFlow<T> {
        for candidate in at(&self.exact, input.path.as_bytes()) {
            visit(candidate)?;
        }
        for (pattern, candidate) in &self.regex {
            if pattern.is_match(input.path.as_bytes()) {
                visit(candidate)?;
            }
        }
        for group in &self.prefixes {
            if let Some(prefix) = segments(input.path.as_bytes(), group.length) {
                for candidate in at(&group.prefixes, prefix) {
                    visit(candidate)?;
                }
            }
        }
        ControlFlow::Continue(())
    }
}

/// Whether a path fits, without an index.
pub(crate) fn path_matches(wanted: &PathMatch, path: &str) -> bool {
    match wanted {
        PathMatch::Exact(exact) => path == &**exact,
        PathMatch::Regex(pattern) => pattern.is_match(path.as_bytes()),
        PathMatch::Prefix(prefix) => segments(path.as_bytes(), prefix.len()) == Some(prefix.as_bytes()),
    }
}

/// The first `length` bytes of a path if whole segments end there: `/a` of `/a` and `/a/b`, not of `/ab`. The root is
/// the one prefix that ends with its slash.
fn segments(path: &[u8], length: usize) -> Option<&[u8]> {
    let (prefix, rest) = path.split_at_checked(length)?;
    (rest.is_empty() || rest[0] == b'/' || length == 1).then_some(prefix)
}

fn by_path(mut candidates: Vec<(Arc<str>, Candidate)>) -> Vec<SamePath> {
    candidates.sort_by(|(a, x), (b, y)| {
        a.cmp(b).then_with(|| y.conditions.specificity().cmp(&x.conditions.specificity()))
    });
    let mut grouped: Vec<SamePath> = Vec::new();
    for (path, candidate) in candidates {
        match grouped.last_mut() {
            Some(same) if same.path == path => same.candidates.push(candidate),
            _ => grouped.push(SamePath { path, candidates: vec![candidate] }),
        }
    }
    grouped
}

fn at<'t>(sorted: &'t [SamePath], path: &[u8]) -> &'t [Candidate] {
    match sorted.binary_search_by(|same| same.path.as_bytes().cmp(path)) {
        Ok(index) => &sorted[index].candidates,
        Err(_) => &[],
    }
}
