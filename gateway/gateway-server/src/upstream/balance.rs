//! Which endpoint is next: in turn, or of two at random the one with less to do.
//!
//! Round-robin is nginx's smooth one: each turn every endpoint gains its weight, the one with the most is taken and pays
//! the total. So heavier endpoints come up more often, spread out and never in bursts. Least-request takes two endpoints
//! at random, by weight, and of these the one with fewer requests under way for its weight (power of two choices,
//! Mitzenmacher 2001): as good as looking at all, in constant time, and without all workers running after the same one.

use std::cell::{Cell, RefCell};

use super::Random;

/// How one worker spreads requests over the endpoints of one upstream.
pub(super) enum Balancer {
    RoundRobin(RoundRobin),
    LeastRequest(LeastRequest),
}

/// Draws of one worker over one upstream.
pub(super) struct LeastRequest {
    weights: Vec<u64>,
    /// Sums of the weights so far, by which endpoints are drawn; none are needed when all weights are equal.
    sums: Option<Vec<u64>>,
}

impl Balancer {
    pub(super) fn new(
        kind: gateway_config::Balancer,
        weights: impl Iterator<Item = u32>,
        worker: usize,
    ) -> Self {
        match kind {
            gateway_config::Balancer::RoundRobin => Self::RoundRobin(RoundRobin::new(weights, worker)),
            gateway_config::Balancer::LeastRequest => Self::LeastRequest(LeastRequest::new(weights)),
        }
    }

    /// Index of the next endpoint; `None` when there is none. `active` says how many requests an endpoint has.
    pub(super) fn next(&self, random: &Random, active: impl Fn(usize) -> u64) -> Option<usize> {
        match self {
            Self::RoundRobin(turns) => turns.next(),
            Self::LeastRequest(draws) => draws.next(random, active),
        }
    }
}

impl LeastRequest {
    /// Draws for a second endpoint before one is enough: one that outweighs all others is drawn again and again.
    const MAX_DRAWS: usize = 4;

    fn new(weights: impl Iterator<Item = u32>) -> Self {
        let weights: Vec<_> = weights.map(u64::from).collect();
        let equal = weights.windows(2).all(|pair| pair[0] == pair[1]);
        let mut sum = 0;
        let mut add = |weight: &u64| {
            sum += weight;
            sum
        };
        let sums = (!equal).then(|| weights.iter().map(&mut add).collect());
        Self { weights, sums }
    }

    fn next(&self, random: &Random, active: impl Fn(usize) -> u64) -> Option<usize> {
        if self.weights.len() < 2 {
            return (!self.weights.is_empty()).then_some(0);
        }
        let first = self.draw(random);
        let mut draws = (0..Self::MAX_DRAWS).map(|_| self.draw(random));
        let Some(second) = draws.find(|second| *second != first) else { return Some(first) };
        // Compared as fractions: requests under way per weight. Equal ones leave it to the draw.
        let load = |one: usize, other: usize| active(one).saturating_mul(self.weights[other]);
        Some(if load(second, first) < load(first, second) { second } else { first })
    }

    fn draw(&self, random: &Random) -> usize {
        match &self.sums {
            None => usize::try_from(random.below(self.weights.len() as u64)).unwrap_or(0),
            Some(sums) => {
                let point = random.below(sums.last().copied().unwrap_or(0));
                sums.partition_point(|sum| *sum <= point)
            }
        }
    }
}

/// Turns of one worker over one upstream.
#[derive(Debug)]
pub(crate) struct RoundRobin {
    turns: RefCell<Vec<Turn>>,
    /// With equal weights the general algorithm is a plain rotation, which costs nothing.
    rotation: Option<Cell<usize>>,
}

#[derive(Debug)]
struct Turn {
    weight: i64,
    credit: i64,
}

impl RoundRobin {
    /// `offset` lets each worker start at another endpoint, so that few requests still spread.
    pub(crate) fn new(weights: impl Iterator<Item = u32>, offset: usize) -> Self {
        let turns: Vec<_> = weights.map(|weight| Turn { weight: i64::from(weight), credit: 0 }).collect();
        let equal = turns.windows(2).all(|pair| pair[0].weight == pair[1].weight);
        let rotation = equal.then(|| Cell::new(offset.checked_rem(turns.len()).unwrap_or(0)));
        Self { turns: RefCell::new(turns), rotation }
    }

    /// Index of the next endpoint; `None` when there is none.
    pub(crate) fn next(&self) -> Option<usize> {
        let mut turns = self.turns.borrow_mut();
        if let Some(position) = &self.rotation {
            let index = position.get();
            position.set(if index + 1 >= turns.len() { 0 } else { index + 1 });
            return (index < turns.len()).then_some(index);
        }
        let total: i64 = turns.iter().map(|turn| turn.weight).sum();
        for turn in turns.iter_mut() {
            turn.credit += turn.weight;
        }
        let chosen = (0..turns.len()).max_by_key(|&index| (turns[index].credit, std::cmp::Reverse(index)))?;
        turns[chosen].credit -= total;
        Some(chosen)
    }
}

#[cfg(test)]
#[path = "balance_tests.rs"]
mod tests;
