//! From single checks to a verdict: the first one decides, later it takes several in a row to change it.

use gateway_config::HealthCheck;

use crate::shared::Health;

/// The verdict on one endpoint.
pub(super) struct Judge {
    health: Health,
    /// Checks in a row that speak against it.
    against: u32,
}

impl Judge {
    /// `health` is what is known from before.
    pub(super) const fn new(health: Health) -> Self {
        Self { health, against: 0 }
    }

    /// What one check found; the new verdict if that changes it.
    pub(super) fn hear(&mut self, passed: bool, check: &HealthCheck) -> Option<Health> {
        let found = if passed { Health::Healthy } else { Health::Unhealthy };
        if found == self.health {
            self.against = 0;
            return None;
        }
        self.against += 1;
        let needed = match self.health {
            Health::Unknown => 1,
            Health::Healthy => check.unhealthy,
            Health::Unhealthy => check.healthy,
        };
        if self.against < needed {
            return None;
        }
        *self = Self::new(found);
        Some(found)
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
