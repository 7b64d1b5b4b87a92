//! When a filter that keeps failing is not called for a while: a state machine without a clock of its own.
//!
//! It is the share of calls that fail that counts, within a window and of enough calls, never their number: a filter of which
//! one request in a hundred panics serves the other ninety-nine. In quarantine a single request at a time tries the filter
//! after a wait that doubles; several in a row have to succeed.

use std::collections::VecDeque;
use std::time::Duration;

use gateway_config::Quarantine as Settings;

/// The window moves on in steps of this share of it.
const STEPS: u32 = 10;

/// Calls so far, since any time.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Totals {
    /// Those that failed among them.
    pub(crate) calls: u64,
    pub(crate) failed: u64,
}

/// What a request gets that is for the filter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Admission {
    Serve,
    /// It tries the filter; how that ends is to be told.
    Try,
    Refuse,
}

/// How a try ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TryEnd {
    Succeeded,
    Failed,
    /// The filter was not called after all.
    NotTried,
}

/// What is worth telling the operator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    /// Within the window, so many calls failed.
    Entered { seen: Totals, next_try: Duration },
    /// A try failed.
    Prolonged { next_try: Duration },
    /// Enough tries succeeded.
    Left,
}

/// The state of one filter. Times are since any moment, the same for all calls.
#[derive(Debug)]
pub(crate) struct Quarantine {
    settings: Settings,
    state: State,
    /// Totals at earlier times, the first of them as long ago as the window reaches.
    samples: VecDeque<(Duration, Totals)>,
    /// When it was left last, and the wait before that.
    left: Option<(Duration, Duration)>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Serving,
    Waiting { until: Duration, backoff: Duration },
    Trying { succeeded: u32, backoff: Duration, under_way_since: Option<Duration> },
}

impl Quarantine {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings, state: State::Serving, samples: VecDeque::new(), left: None }
    }

    /// How often [`Quarantine::observe`] is wanted while nothing fails.
    pub(crate) fn step(&self) -> Duration {
        self.settings.window / STEPS
    }

    pub(crate) const fn is_serving(&self) -> bool {
        matches!(self.state, State::Serving)
    }

    /// How long until the next try, while none is possible.
    pub(crate) fn wait(&self, now: Duration) -> Option<Duration> {
        match self.state {
            State::Waiting { until, .. } => Some(until.saturating_sub(now)),
            State::Serving | State::Trying { .. } => None,
        }
    }

    /// Takes note of the calls so far.
    pub(crate) fn observe(&mut self, now: Duration, totals: Totals) -> Option<Change> {
        if !self.is_serving() {
            return None;
        }
        let (_, base) = *self.samples.front().unwrap_or(&(now, Totals::default()));
        let seen = Totals {
            calls: totals.calls.saturating_sub(base.calls),
            failed: totals.failed.saturating_sub(base.failed),
        };
        let is_bad = seen.failed * 100 >= seen.calls * u64::from(self.settings.share_percent);
        if seen.failed > 0 && seen.calls >= self.settings.calls && is_bad {
            let backoff = self.first_backoff(now);
            self.state = State::Waiting { until: now + backoff, backoff };
            self.samples.clear();
            return Some(Change::Entered { seen, next_try: backoff });
        }
        self.sample(now, totals);
        None
    }

    pub(crate) fn admit(&mut self, now: Duration) -> Admission {
        match self.state {
            State::Serving => return Admission::Serve,
            State::Waiting { until, .. } if now < until => return Admission::Refuse,
            State::Waiting { backoff, .. } => {
                self.state = State::Trying { succeeded: 0, backoff, under_way_since: Some(now) };
            }
            // One that takes long, such as a tunnel, is not waited for.
            State::Trying { under_way_since: Some(since), .. } if now < since + self.settings.window => {
                return Admission::Refuse;
            }
            State::Trying { succeeded, backoff, .. } => {
                self.state = State::Trying { succeeded, backoff, under_way_since: Some(now) };
            }
        }
        Admission::Try
    }

    /// A try is over. `totals` are the calls so far, none of which counts any more once the filter serves again.
    pub(crate) fn tried(&mut self, now: Duration, end: TryEnd, totals: Totals) -> Option<Change> {
        let State::Trying { succeeded, backoff, .. } = self.state else { return None };
        if end == TryEnd::Failed {
            let backoff = self.doubled(backoff);
            self.state = State::Waiting { until: now + backoff, backoff };
            return Some(Change::Prolonged { next_try: backoff });
        }
        let succeeded = succeeded + u32::from(end == TryEnd::Succeeded);
        if succeeded < self.settings.probes {
            self.state = State::Trying { succeeded, backoff, under_way_since: None };
            return None;
        }
        self.state = State::Serving;
        self.left = Some((now, backoff));
        self.samples.push_back((now, totals));
        Some(Change::Left)
    }

    /// One that is back soon has not recovered: it goes on where it was.
    fn first_backoff(&self, now: Duration) -> Duration {
        match self.left {
            Some((left, backoff)) if now < left + backoff + self.settings.window => self.doubled(backoff),
            _ => self.settings.backoff,
        }
    }

    fn doubled(&self, backoff: Duration) -> Duration {
        backoff.saturating_mul(2).min(self.settings.max_backoff)
    }

    fn sample(&mut self, now: Duration, totals: Totals) {
        let is_due = self.samples.back().is_none_or(|(at, _)| now >= *at + self.step());
        if is_due {
            self.samples.push_back((now, totals));
        }
        // The newest of those that are older than the window is what the window begins with.
        while self.samples.get(1).is_some_and(|(at, _)| now >= *at + self.settings.window) {
            self.samples.pop_front();
        }
    }
}

#[cfg(test)]
#[path = "quarantine_tests.rs"]
mod tests;
