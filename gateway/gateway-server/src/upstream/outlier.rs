//! Passive ejection: an endpoint that fails again and again gets no requests for a while.
//!
//! What fails here is what a client would have got as 5xx: such a response, or none. What the client or a filter did
//! says nothing about an endpoint, nor does a kept connection that was closed while it was unused.

use super::{Endpoint, Tried, Upstream};
use crate::shared::Ejection;

impl Upstream {
    /// How a request to `endpoint` went.
    pub(crate) fn report(&self, endpoint: &Endpoint, is_failure: bool) {
        let Some(rules) = &self.outlier else { return };
        if !is_failure {
            return endpoint.known.succeeded();
        }
        if !endpoint.known.failed(rules.consecutive_failures) {
            return;
        }
        let all = self.endpoints.iter().map(|endpoint| &*endpoint.known);
        match self.terms.shared.eject(&endpoint.known, all, rules) {
            Ejection::For(time) => {
                self.metrics.ejections.inc();
                tracing::warn!(
                    upstream = %self.name, endpoint = %endpoint.address,
                    "ejected for {time:?} after {} failures in a row", rules.consecutive_failures
                );
            }
            Ejection::TooMany => self.metrics.ejections_overflow.inc(),
            Ejection::Already => {}
        }
    }

    /// The endpoint that was tried last took too long.
    pub(crate) fn report_timeout(&self, tried: &Tried) {
        if let Some(endpoint) = tried.endpoints.last().and_then(|last| self.endpoints.get(*last)) {
            self.report(endpoint, true);
        }
    }
}
