//! Made-up requests through the shipped filters: every octet that a header may have, credentials that are right or nearly so,
//! clients that leave or reset their connection at each phase, origins that fail in their ways. What must hold: no filter
//! fails, and whoever sends a whole, legal request gets a whole, legal answer.
//!
//! All is drawn from one seed, so that a run can be repeated; only the order between clients is the machine's.

mod client;
mod dice;
mod message;
mod origin;
mod setup;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::Metrics;
use client::Player;
pub use origin::FaultyOrigin;
pub use setup::{FILTERS, configuration, manifest, module};

/// What is to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Where the gateway listens.
    pub address: SocketAddr,
    /// What everything is drawn from.
    pub seed: u64,
    /// Requests of all clients together.
    pub requests: usize,
    /// Clients, each with one connection at a time.
    pub clients: usize,
    /// Ends earlier after this time.
    pub time: Option<Duration>,
}

/// What the clients saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Requests that were begun, whole or not.
    pub requests: usize,
    /// Whole requests that had to be answered, by the status of the answer.
    pub answered: BTreeMap<u16, usize>,
    /// Answers that broke off because the origin's did.
    pub cut_by_origin: usize,
    /// Requests that the client gave up, by phase and manner.
    pub given_up: BTreeMap<String, usize>,
    /// What should not have been, in words: the first of them.
    pub wrong: Vec<String>,
}

/// Complaints that are kept.
const MAX_WRONG: usize = 20;

impl Seen {
    fn complain(&mut self, what: String) {
        if self.wrong.len() < MAX_WRONG {
            self.wrong.push(what);
        }
    }

    fn join(mut self, other: Self) -> Self {
        self.requests += other.requests;
        self.cut_by_origin += other.cut_by_origin;
        for (status, count) in other.answered {
            *self.answered.entry(status).or_default() += count;
        }
        for (how, count) in other.given_up {
            *self.given_up.entry(how).or_default() += count;
        }
        other.wrong.into_iter().for_each(|what| self.complain(what));
        self
    }
}

/// Sends all of it, and waits for the last answer.
///
/// # Panics
/// If a client cannot connect.
#[must_use]
pub fn run(plan: &Plan, origin: &FaultyOrigin) -> Seen {
    let until = plan.time.map(|time| Instant::now() + time);
    let play = |number: usize| {
        let mut player = Player::new(plan.address, plan.seed, number, origin.arrivals(number));
        let own = (number..plan.requests).step_by(plan.clients);
        for _ in own.take_while(|_| until.is_none_or(|until| Instant::now() < until)) {
            player.next();
        }
        player.seen
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..plan.clients).map(|number| scope.spawn(move || play(number))).collect();
        let ended = clients.into_iter().map(|client| client.join().expect("a client that ends"));
        ended.fold(Seen::default(), Seen::join)
    })
}

/// What went wrong, by the clients, the origin and the gateway's own numbers; empty if all is well.
#[must_use]
pub fn wrongs(seen: &Seen, origin: &FaultyOrigin, metrics: &Metrics) -> Vec<String> {
    let mut wrongs = seen.wrong.clone();
    wrongs.extend(origin.malformed());
    if origin.stuck() > 0 {
        wrongs.push(format!("{} requests stayed at the origin after their clients had left", origin.stuck()));
    }
    for name in [
        "gateway_filter_traps_total",
        "gateway_filter_timeouts_total",
        "gateway_filter_failed_streams_total",
        "gateway_filter_quarantines_total",
    ] {
        let count = metrics.sum(name, &[]);
        if count > 0.5 {
            wrongs.push(format!("{name} is {count}"));
        }
    }
    for filter in FILTERS {
        if metrics.sum("gateway_filter_calls_total", &[("filter", filter)]) < 0.5 {
            wrongs.push(format!("{filter} was never called"));
        }
    }
    wrongs
}
