//! Owns time in a test: when ticks fall and callouts are answered.

use std::collections::BTreeMap;
use std::time::Duration;

use super::message::CallAnswer;
use super::protocol::{Answer, Callback, SentCall};

pub(super) type Script = Box<dyn FnMut(&SentCall) -> CallAnswer>;

pub(super) struct Schedule {
    now: Duration,
    scripts: BTreeMap<String, Script>,
    /// Sent and not answered: the answer may be asked for only when it is due, so that a test can script it later.
    sent: Vec<(usize, u32, SentCall)>,
    answers: Vec<(Duration, usize, u32, Answer)>,
    /// Period and next time, by worker.
    ticks: Vec<Option<(Duration, Duration)>>,
}

impl Schedule {
    pub(super) fn new(now: Duration) -> Self {
        Self { now, scripts: BTreeMap::new(), sent: Vec::new(), answers: Vec::new(), ticks: Vec::new() }
    }

    pub(super) const fn now(&self) -> Duration {
        self.now
    }

    pub(super) const fn set_now(&mut self, now: Duration) {
        self.now = now;
    }

    pub(super) const fn workers(&self) -> usize {
        self.ticks.len()
    }

    pub(super) fn add_worker(&mut self) {
        self.ticks.push(None);
    }

    pub(super) fn script(&mut self, upstream: &str, script: Script) {
        self.scripts.insert(upstream.to_owned(), script);
    }

    pub(super) fn knows(&self, upstream: &str) -> bool {
        self.scripts.contains_key(upstream)
    }

    pub(super) fn upstreams(&self) -> Vec<String> {
        self.scripts.keys().cloned().collect()
    }

    pub(super) fn called(&mut self, worker: usize, token: u32, call: &SentCall) {
        self.sent.push((worker, token, call.clone()));
    }

    pub(super) fn set_tick(&mut self, worker: usize, milliseconds: u32) {
        let period = Duration::from_millis(milliseconds.into());
        self.ticks[worker] = (milliseconds > 0).then(|| (period, self.now + period));
    }

    /// What comes next, if it comes until `end`; the clock then shows its time.
    pub(super) fn next_until(&mut self, end: Duration) -> Option<(usize, Callback)> {
        self.answer_calls();
        let answer = (0..self.answers.len()).min_by_key(|index| self.answers[*index].0);
        let answer_at = answer.map(|index| self.answers[index].0);
        let due = |(worker, tick): (usize, &Option<(Duration, Duration)>)| tick.map(|(_, at)| (at, worker));
        let tick = self.ticks.iter().enumerate().filter_map(due).min();
        match (answer, answer_at, tick) {
            (Some(index), Some(at), tick) if at <= end && tick.is_none_or(|(tick_at, _)| at <= tick_at) => {
                let (_, worker, token, answer) = self.answers.remove(index);
                self.now = self.now.max(at);
                Some((worker, Callback::CallAnswered(token, answer)))
            }
            (_, _, Some((at, worker))) if at <= end => {
                self.now = self.now.max(at);
                if let Some((period, at)) = &mut self.ticks[worker] {
                    *at += *period;
                }
                Some((worker, Callback::Tick))
            }
            _ => None,
        }
    }

    /// An answer that takes longer than the filter waits is 504, as hosts answer it.
    fn answer_calls(&mut self) {
        for (worker, token, call) in std::mem::take(&mut self.sent) {
            let script = self.scripts.get_mut(&call.upstream);
            let scripted = script.map_or_else(|| CallAnswer::new(503), |script| script(&call));
            let timeout = Duration::from_millis(call.timeout_milliseconds);
            let in_time = scripted.delay <= timeout;
            let scripted = if in_time { scripted } else { CallAnswer::new(504).after(timeout) };
            self.answers.push((self.now + scripted.delay, worker, token, scripted.answer));
        }
    }
}
