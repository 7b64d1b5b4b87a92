//! A filter on a simulated clock.

use super::*;

/// Half of at least 20 calls in 10 s; waits of 1 s to 60 s; 3 tries.
fn settings() -> Settings {
    gateway_config::Manifest::default_for("any").quarantine.expect("it is on by default")
}

struct Simulation {
    quarantine: Quarantine,
    now: Duration,
    totals: Totals,
}

impl Simulation {
    fn new() -> Self {
        let quarantine = Quarantine::new(settings());
        Self { quarantine, now: Duration::from_secs(1_000), totals: Totals::default() }
    }

    fn pass(&mut self, time: Duration) {
        // As the workers do: more often than the window moves.
        let until = self.now + time;
        while self.now < until {
            self.now += Duration::from_millis(100).min(until - self.now);
            assert_eq!(self.quarantine.observe(self.now, self.totals), None);
        }
    }

    fn calls(&mut self, good: u64, failed: u64) -> Option<Change> {
        self.totals.calls += good;
        let mut change = None;
        for _ in 0..failed {
            self.totals.calls += 1;
            self.totals.failed += 1;
            change = change.or(self.quarantine.observe(self.now, self.totals));
        }
        change
    }

    fn enter(&mut self) -> Duration {
        match self.calls(0, 20) {
            Some(Change::Entered { next_try, .. }) => next_try,
            other => panic!("{other:?}"),
        }
    }

    fn try_once(&mut self, has_failed: bool) -> Option<Change> {
        assert_eq!(self.quarantine.admit(self.now), Admission::Try);
        let end = if has_failed { TryEnd::Failed } else { TryEnd::Succeeded };
        self.quarantine.tried(self.now, end, self.totals)
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn half_of_enough_calls_is_the_measure() {
    for (good, failed, enters) in
        [(0, 19, false), (0, 20, true), (10, 9, false), (10, 10, true), (30, 29, false), (30, 30, true)]
    {
        let mut simulation = Simulation::new();
        assert_eq!(simulation.calls(good, failed).is_some(), enters, "{good} good, {failed} failed");
        assert_eq!(simulation.quarantine.is_serving(), !enters);
    }
}

#[test]
fn any_number_of_failures_is_borne_while_the_share_is_small() {
    let mut simulation = Simulation::new();
    for _ in 0..1_000 {
        assert_eq!(simulation.calls(99, 1), None);
        simulation.pass(Duration::from_millis(100));
    }
    assert_eq!(simulation.totals.failed, 1_000);
}

#[test]
fn good_calls_count_although_nothing_failed_while_they_came() {
    let mut simulation = Simulation::new();
    for _ in 0..50 {
        simulation.calls(100, 0);
        simulation.pass(Duration::from_millis(200));
    }
    assert_eq!(simulation.calls(0, 100), None, "1 in 51");
}

#[test]
fn calls_before_the_window_do_not_count() {
    let mut simulation = Simulation::new();
    simulation.calls(1_000, 0);
    simulation.pass(12 * SECOND);
    assert!(simulation.calls(0, 20).is_some(), "the good ones are long gone");

    let mut simulation = Simulation::new();
    simulation.calls(0, 19);
    simulation.pass(12 * SECOND);
    assert_eq!(simulation.calls(0, 19), None, "and so are the bad ones");
}

#[test]
fn waits_double_while_tries_fail_and_single_requests_try() {
    let mut simulation = Simulation::new();
    let mut wait = simulation.enter();
    assert_eq!(wait, SECOND);
    for expected in [2, 4, 8, 16, 32, 60, 60] {
        assert_eq!(
            simulation.quarantine.admit(simulation.now + wait - Duration::from_millis(1)),
            Admission::Refuse
        );
        simulation.now += wait;
        assert_eq!(simulation.quarantine.admit(simulation.now), Admission::Try);
        assert_eq!(simulation.quarantine.admit(simulation.now), Admission::Refuse, "one at a time");
        wait = expected * SECOND;
        let change = simulation.quarantine.tried(simulation.now, TryEnd::Failed, simulation.totals);
        assert_eq!(change, Some(Change::Prolonged { next_try: wait }));
    }
}

#[test]
fn it_serves_again_after_tries_in_a_row() {
    let mut simulation = Simulation::new();
    let entered = simulation.enter();
    simulation.now += entered;
    assert_eq!(simulation.try_once(false), None);
    assert_eq!(simulation.try_once(false), None);
    assert_eq!(simulation.try_once(false), Some(Change::Left));
    assert_eq!(simulation.quarantine.admit(simulation.now), Admission::Serve);
    // What failed before does not count any more.
    assert_eq!(simulation.calls(0, 19), None);
}

#[test]
fn one_that_fails_again_soon_waits_longer_and_one_that_recovered_begins_anew() {
    for (pause, wait) in [(5 * SECOND, 2 * SECOND), (60 * SECOND, SECOND)] {
        let mut simulation = Simulation::new();
        let entered = simulation.enter();
        simulation.now += entered;
        for _ in 0..3 {
            simulation.try_once(false);
        }
        simulation.pass(pause);
        assert_eq!(simulation.enter(), wait, "after {pause:?}");
    }
}

#[test]
fn a_try_that_takes_long_is_not_waited_for() {
    let mut simulation = Simulation::new();
    let entered = simulation.enter();
    simulation.now += entered;
    assert_eq!(simulation.quarantine.admit(simulation.now), Admission::Try);
    assert_eq!(simulation.quarantine.admit(simulation.now + 9 * SECOND), Admission::Refuse);
    assert_eq!(simulation.quarantine.admit(simulation.now + 10 * SECOND), Admission::Try);
}

#[test]
fn a_try_that_never_came_to_the_filter_says_nothing() {
    let mut simulation = Simulation::new();
    let entered = simulation.enter();
    simulation.now += entered;
    for _ in 0..10 {
        assert_eq!(simulation.quarantine.admit(simulation.now), Admission::Try);
        let change = simulation.quarantine.tried(simulation.now, TryEnd::NotTried, simulation.totals);
        assert_eq!(change, None);
    }
    assert!(!simulation.quarantine.is_serving());
}
