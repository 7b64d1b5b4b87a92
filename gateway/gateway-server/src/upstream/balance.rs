//! Smooth weighted round-robin: heavier endpoints come up more often, spread out and never in bursts.
//!
//! The algorithm is nginx's: each turn every endpoint gains its weight, the one with the most is taken and pays the
//! total.

use std::cell::{Cell, RefCell};

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
