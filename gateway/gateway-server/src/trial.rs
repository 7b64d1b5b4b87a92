//! A new version of a filter beside the one that serves: which requests it gets, and how it does.
//!
//! Shared by all workers and the control thread. Owns the choice of requests and the judgement; knows nothing of virtual
//! machines, files or commands.

mod judge;

pub(crate) use judge::{Cause, Judgement, judge};

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use gateway_config::{Canary, Shadow, Sticky};
use http::HeaderMap;

use crate::shared::{Side, TrialNumbers};
use crate::snapshot::FilterSpec;

/// What shares are written in: hundredths of a percent.
const WHOLE: u64 = 10_000;

/// One trial.
pub(crate) struct Trial {
    pub(crate) candidate: Arc<FilterSpec>,
    pub(crate) plan: Plan,
    pub(crate) numbers: TrialNumbers,
    pub(crate) since: SystemTime,
    begun: Instant,
    /// New for each trial: nobody outside can tell which clients it takes, and no client is taken in all of them.
    key: RandomState,
}

/// What kind of trial it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Plan {
    Canary(Canary),
    Shadow(Shadow),
}

impl Trial {
    pub(crate) fn new(candidate: Arc<FilterSpec>, plan: Plan) -> Arc<Self> {
        Arc::new(Self {
            candidate,
            plan,
            numbers: TrialNumbers::default(),
            since: SystemTime::now(),
            begun: Instant::now(),
            key: RandomState::new(),
        })
    }

    pub(crate) fn filter(&self) -> &Arc<str> {
        &self.candidate.name
    }

    pub(crate) fn took(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Whether a request is in the share of the candidate. `count` is different for each request of a worker.
    pub(crate) fn takes(&self, client: IpAddr, headers: &HeaderMap, count: u64) -> bool {
        let (share, hash) = match &self.plan {
            Plan::Shadow(shadow) => (shadow.share, self.key.hash_one(count)),
            Plan::Canary(canary) => {
                let hash = match &canary.sticky {
                    Sticky::Request => self.key.hash_one(count),
                    Sticky::Client => self.key.hash_one(client),
                    Sticky::Header(name) => match headers.get(&**name) {
                        Some(value) => self.key.hash_one(value.as_bytes()),
                        None => self.key.hash_one(client),
                    },
                };
                (canary.share, hash)
            }
        };
        hash % WHOLE < u64::from(share)
    }

    /// What follows from the numbers of this moment. A shadow is never judged: it waits for somebody to decide.
    pub(crate) fn judge(&self) -> Judgement {
        match &self.plan {
            Plan::Shadow(_) => Judgement::Wait,
            Plan::Canary(canary) => {
                let (live, candidate) = (self.numbers.total(Side::Live), self.numbers.total(Side::Candidate));
                judge(canary, self.took(), &live, &candidate)
            }
        }
    }
}

#[cfg(test)]
#[path = "trial_tests.rs"]
mod tests;
