//! How many retries may be under way to an upstream: an upstream that dies must not get twice the load for it.

use gateway_config::RetryBudget;

use super::Upstream;
use crate::shared::Permit;

impl Upstream {
    /// The right to one retry, held until it is answered; `None` when enough are under way.
    pub(crate) fn retry_permit(&self) -> Option<Permit> {
        self.shared.retries.take(allowed(self.retry_budget, self.shared.requests_active()))
    }
}

fn allowed(budget: RetryBudget, requests_active: usize) -> usize {
    let share = requests_active.saturating_mul(usize::from(budget.percent)) / 100;
    share.max(usize::try_from(budget.min_concurrency).unwrap_or(usize::MAX))
}
