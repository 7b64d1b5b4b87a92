//! How many retries may be under way to an upstream: an upstream that dies must not get twice the load for it.

use gateway_config::RetryBudget;

use super::Upstream;
use super::breaker::Terms;
use crate::shared::Permit;

impl Upstream {
    /// The right to one retry, held until it is answered; `None` when enough are under way.
    pub(crate) fn retry_permit(&self) -> Option<Permit> {
        let Terms { shared, limits, .. } = &*self.terms;
        let allowed = allowed(self.retry_budget, shared.requests_active.sum());
        shared.retries.take(allowed.min(limits.retries.unwrap_or(usize::MAX)))
    }
}

fn allowed(budget: RetryBudget, requests_active: usize) -> usize {
    let share = requests_active.saturating_mul(usize::from(budget.percent)) / 100;
    share.max(usize::try_from(budget.min_concurrency).unwrap_or(usize::MAX))
}
