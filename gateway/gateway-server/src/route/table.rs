//! The route table: hosts to candidates that are sorted by precedence once, when a snapshot is made.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use gateway_config::{HostPattern, PathMatch, Route};
use http::HeaderName;
use smallvec::SmallVec;

use super::condition::Conditions;
use super::index::{Builder, Index};
use super::paths::{Candidate, Paths};
use super::{Decision, RouteIndex, RouteInput};

/// A host, beside its paths in memory unless it is long: with many hosts, memory is what a look-up waits for.
type HostName = SmallVec<[u8; 24]>;

/// All routes, ready to be asked.
#[derive(Debug, Default)]
pub(crate) struct RouteTable {
    exact_hosts: HashMap<HostName, Paths>,
    /// Keyed with the leading dot; asked from the longest suffix of a host to the shortest.
    suffix_hosts: HashMap<Arc<str>, Paths>,
    any_host: Option<Paths>,
    /// The paths of all of these.
    index: Index,
    /// Headers that some route looks at: an edit of one of them can change the decision.
    header_names: Vec<HeaderName>,
    /// Properties of filters that some route looks at.
    state_names: Vec<Arc<str>>,
}

impl RouteTable {
    pub(crate) fn new(routes: &[Route]) -> Self {
        let mut hosts: HashMap<Option<HostPattern>, Vec<(PathMatch, Candidate)>> = HashMap::new();
        let (mut header_names, mut state_names) = (Vec::new(), Vec::new());
        for (index, route) in routes.iter().enumerate() {
            for (condition, written) in route.matches.iter().enumerate() {
                let decision = Decision { route: RouteIndex(index), condition };
                let conditions = Conditions::new(written, route.cors.is_some());
                header_names.extend(conditions.header_names());
                state_names.extend(conditions.state_names());
                let conditions = (!conditions.is_empty()).then(|| Arc::new(conditions));
                let candidate = Candidate::new(decision, conditions);
                let keys = route.hosts.iter().cloned().map(Some);
                for key in keys.chain(route.hosts.is_empty().then_some(None)) {
                    hosts.entry(key).or_default().push((written.path.clone(), candidate.clone()));
                }
            }
        }
        header_names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        header_names.dedup();
        state_names.sort();
        state_names.dedup();
        let mut table = Self { header_names, state_names, ..Self::default() };
        let mut index = Builder::default();
        for (host, candidates) in hosts {
            let paths = Paths::new(host.clone(), candidates, &mut index);
            match host {
                Some(HostPattern::Exact(name)) => {
                    table.exact_hosts.insert(HostName::from_slice(name.as_bytes()), paths);
                }
                Some(HostPattern::Suffix(suffix)) => drop(table.suffix_hosts.insert(suffix, paths)),
                None => table.any_host = Some(paths),
            }
        }
        table.index = index.build();
        table
    }

    /// The route of a request, if any takes it. A host whose own routes do not match falls back to less specific hosts.
    pub(crate) fn decide(&self, input: &RouteInput<'_>) -> Option<Decision> {
        let found = self.visit(input, &mut |_, candidate| match candidate.mismatch(input) {
            None => ControlFlow::Break(candidate.decision()),
            Some(_) => ControlFlow::Continue(()),
        });
        found.break_value()
    }

    /// Shows every candidate whose host and path fit, best first, until `visit` breaks.
    pub(crate) fn visit<'t, T>(
        &'t self,
        input: &RouteInput<'_>,
        visit: &mut impl FnMut(&'t Paths, &'t Candidate) -> ControlFlow<T>,
    ) -> ControlFlow<T> {
        if let Some(paths) = self.exact_hosts.get(input.host.as_bytes()) {
            paths.visit(&self.index, input, visit)?;
        }
        if !self.suffix_hosts.is_empty() {
            // The first dot gives the longest suffix; a host never matches its own bare suffix (at least one label).
            for (dot, _) in input.host.match_indices('.').filter(|(dot, _)| *dot > 0) {
                if let Some(paths) = self.suffix_hosts.get(&input.host[dot..]) {
                    paths.visit(&self.index, input, visit)?;
                }
            }
        }
        self.any_host.iter().try_for_each(|paths| paths.visit(&self.index, input, visit))
    }

    /// The properties of filters that take part in any decision.
    pub(crate) fn state_names(&self) -> &[Arc<str>] {
        &self.state_names
    }

    /// Whether a header with this name takes part in any decision.
    pub(crate) fn looks_at(&self, name: &HeaderName) -> bool {
        self.header_names.contains(name)
    }
}
