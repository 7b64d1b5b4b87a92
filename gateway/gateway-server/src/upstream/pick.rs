//! Which endpoint gets a request: the balancer's choice among those that may get one.

use std::rc::Rc;

use gateway_wire::proxy_protocol::Proxied;
use smallvec::SmallVec;

use super::{Endpoint, Upstream};
use crate::shared::Health;

/// Endpoints that one request was sent to, the last one last, and on whose behalf.
#[derive(Default)]
pub(crate) struct Tried {
    pub(super) endpoints: SmallVec<[usize; 4]>,
    /// Present where the upstream is told who the client is before anything else is sent; `None` is the gateway itself.
    pub(crate) client: Option<Box<Proxied>>,
}

impl Upstream {
    /// The endpoint whose turn it is, another than those tried where there is one; `None` when none may get requests.
    pub(crate) fn pick(&self, tried: &mut Tried) -> Option<&Rc<Endpoint>> {
        let index = match tried.endpoints.last() {
            None => {
                let first = self.next()?;
                if self.is_available(first) { first } else { self.instead_of(first)? }
            }
            // Takes nobody's turn: else the endpoint that fails would have the first turn of the next request too.
            Some(last) => self.another(*last, tried)?,
        };
        tried.endpoints.push(index);
        self.endpoints.get(index)
    }

    fn next(&self) -> Option<usize> {
        self.balancer.next(&self.random, |index| self.endpoints[index].requests_active())
    }

    /// Whether an endpoint may get requests as far as its own state is concerned.
    fn is_available(&self, index: usize) -> bool {
        let endpoint = &self.endpoints[index].known;
        (!self.is_checked || endpoint.health() != Health::Unhealthy)
            && (self.outlier.is_none() || !self.terms.shared.is_ejected(endpoint))
    }

    /// So few may get requests that those few would break down too: then it is better to try them all.
    fn is_panicking(&self) -> bool {
        let count = self.endpoints.len();
        let available = (0..count).filter(|index| self.is_available(*index)).count();
        available * 100 < count * usize::from(self.panic_threshold)
    }

    /// Somebody's turn in place of `first`, which may get none.
    fn instead_of(&self, first: usize) -> Option<usize> {
        if self.is_panicking() {
            self.metrics.panics.inc();
            return Some(first);
        }
        let count = self.endpoints.len();
        // Further turns rather than the neighbour, which would get all that `first` does not.
        let turns = (0..count).filter_map(|_| self.next());
        let in_order = (1..count).map(|step| (first + step) % count);
        turns.chain(in_order).find(|index| self.is_available(*index))
    }

    /// The next endpoint after `last` that was not tried; when all were, just the next one.
    fn another(&self, last: usize, tried: &Tried) -> Option<usize> {
        let count = self.endpoints.len();
        let any = self.is_panicking();
        let others = (1..count).map(|step| (last + step) % count);
        let mut others = others.filter(|index| any || self.is_available(*index));
        let untried = others.clone().find(|other| !tried.endpoints.contains(other));
        untried.or_else(|| others.next()).or_else(|| (any || self.is_available(last)).then_some(last))
    }
}
