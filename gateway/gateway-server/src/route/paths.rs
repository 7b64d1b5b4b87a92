//! Candidates of one host by path: what a request's path leads to is looked up, never searched for one by one.
//!
//! A look-up costs one question to the index for exact paths, and one per distinct prefix length written in the
//! configuration, however long a client's path is. Only regular expressions are tried in turn.

use std::cmp::Reverse;
use std::ops::ControlFlow;
use std::sync::Arc;

use gateway_config::{HostPattern, PathMatch, Pattern};
use smallvec::SmallVec;

use super::condition::{Conditions, Mismatch, Specificity};
use super::index::{Builder, Index, Place};
use super::{Decision, RouteIndex, RouteInput};

/// A match of a route, below its host and path. Small: it stands in the index.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// As in [`Decision`].
    route: u32,
    condition: u32,
    /// `None` when the match asks for nothing else.
    conditions: Option<Arc<Conditions>>,
}

impl Candidate {
    /// A configuration file is far smaller than what 32 bits count.
    pub(super) fn new(Decision { route, condition }: Decision, conditions: Option<Arc<Conditions>>) -> Self {
        Self { route: route.0 as u32, condition: condition as u32, conditions }
    }

    pub(crate) fn decision(&self) -> Decision {
        Decision { route: RouteIndex(self.route as usize), condition: self.condition as usize }
    }

    /// What does not hold; `None` when everything does.
    pub(crate) fn mismatch(&self, input: &RouteInput<'_>) -> Option<Mismatch<'_>> {
        self.conditions.as_ref().and_then(|conditions| conditions.mismatch(input))
    }

    pub(crate) fn specificity(&self) -> Specificity {
        self.conditions.as_ref().map(|conditions| conditions.specificity()).unwrap_or_default()
    }
}

/// The paths of one host. Small, so that a table of many hosts stays near the processor: what few decisions need is elsewhere.
#[derive(Debug)]
pub(crate) struct Paths {
    /// Where the exact paths are in the index, if there are any.
    exact: Option<Place>,
    /// Where the prefixes are.
    prefixes: Place,
    /// Of the prefixes, the longest first. In place for most hosts.
    lengths: SmallVec<[u32; 4]>,
    /// Absent where there are none.
    regexes: Option<Box<Regexes>>,
    host: Option<Box<HostPattern>>,
}

#[derive(Debug)]
struct Regexes(Vec<(Pattern, Candidate)>);

impl Paths {
    /// The candidates in the order of the configuration.
    pub(super) fn new(
        host: Option<HostPattern>,
        mut candidates: Vec<(PathMatch, Candidate)>,
        index: &mut Builder,
    ) -> Self {
        // Stable, so that the order written decides the rest.
        candidates.sort_by_key(|(_, candidate)| Reverse(candidate.specificity()));
        let (mut exact, prefixes) = (None, index.place());
        let (mut lengths, mut regexes) = (SmallVec::new(), Vec::new());
        for (path, candidate) in candidates {
            match path {
                PathMatch::Exact(path) => {
                    let place = *exact.get_or_insert_with(|| index.place());
                    index.add(place, &path, candidate);
                }
                PathMatch::Prefix(path) => {
                    lengths.push(path.len() as u32);
                    index.add(prefixes, &path, candidate);
                }
                PathMatch::Regex(pattern) => regexes.push((pattern, candidate)),
            }
        }
        lengths.sort_unstable_by_key(|length| Reverse(*length));
        lengths.dedup();
        lengths.shrink_to_fit();
        regexes.sort_by_key(|(pattern, _)| Reverse(pattern.as_str().len()));
        let regexes = (!regexes.is_empty()).then(|| Box::new(Regexes(regexes)));
        Self { exact, prefixes, lengths, regexes, host: host.map(Box::new) }
    }

    /// `None` for every host.
    pub(crate) fn host(&self) -> Option<&HostPattern> {
        self.host.as_deref()
    }

    /// Shows every candidate whose path fits, best first, until `visit` breaks.
    pub(super) fn visit<'t, T>(
        &'t self,
        index: &'t Index,
        input: &RouteInput<'_>,
        visit: &mut impl FnMut(&'t Self, &'t Candidate) -> ControlFlow<T>,
    ) -> ControlFlow<T> {
        let path = input.path.as_bytes();
        if let Some(place) = self.exact {
            index.at(place, path).try_for_each(|candidate| visit(self, candidate))?;
        }
        for (pattern, candidate) in self.regexes.iter().flat_map(|regexes| &regexes.0) {
            if pattern.is_match(path) {
                visit(self, candidate)?;
            }
        }
        let prefixes = self.lengths.iter().filter_map(|length| segments(path, *length as usize));
        for prefix in prefixes {
            index.at(self.prefixes, prefix).try_for_each(|candidate| visit(self, candidate))?;
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
