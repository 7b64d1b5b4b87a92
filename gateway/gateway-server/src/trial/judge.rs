//! From two sets of numbers to what becomes of a version on trial. Pure: no clock, no state.
//!
//! Failures are judged from the third on: none of them is chance where the version that serves has none. What varies by
//! itself (replies, times, CPU, memory) is judged once both versions have had enough requests to compare, and nothing is
//! promoted before that: a version that has all the traffic to itself has been compared with nothing.

use std::time::Duration;

use gateway_config::Canary;

use crate::shared::Numbers;

/// Failures from which a share of them is judged before the window is over.
const EARLY_FAILURES: u64 = 3;
/// Requests of each version from which averages are compared; at the end of the window fewer do, if the plan wants no more.
const COMPARABLE_REQUESTS: u64 = 100;
/// How many standard deviations two shares of replies must be apart to be different at all.
const CLEARLY_APART: f64 = 4.0;
/// CPU per call below which nothing is judged: what a clock and a cold cache make of a call.
const NEGLIGIBLE_BUSY_NS: f64 = 20_000.0;
/// Memory below which nothing is judged: a few pages are how allocators begin.
const NEGLIGIBLE_GROWTH_BYTES: u64 = 512 * 1024;

/// What becomes of a version on trial.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Judgement {
    /// The window is not over.
    Wait,
    /// The window is over, but too few requests came, to this version or to the one that serves.
    Hold,
    Promote,
    RollBack(Cause),
}

/// What was worse than allowed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Cause {
    /// One of `traps`, `timeouts`, `replies`, `latency`, `cpu`, `memory`.
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

/// Judges what `candidate` did against what `live` did `after` the beginning of the trial.
pub(crate) fn judge(plan: &Canary, after: Duration, live: &Numbers, candidate: &Numbers) -> Judgement {
    let is_tried = after >= plan.window && candidate.requests >= plan.min_requests;
    let comparable = if is_tried { COMPARABLE_REQUESTS.min(plan.min_requests) } else { COMPARABLE_REQUESTS };
    let is_over = is_tried && live.requests >= comparable;
    let causes = [failures(plan, is_tried, live, candidate), averages(plan, comparable, live, candidate)];
    match causes.into_iter().flatten().next() {
        Some(cause) => Judgement::RollBack(cause),
        None if is_over => Judgement::Promote,
        None if after >= plan.window => Judgement::Hold,
        None => Judgement::Wait,
    }
}

fn failures(plan: &Canary, is_over: bool, live: &Numbers, candidate: &Numbers) -> Option<Cause> {
    let of = |code, what: &str, failed: u64, live_failed: u64, allowed: u32| {
        let share = per(failed, candidate.requests);
        let allowed_share = per(live_failed, live.requests) + f64::from(allowed) / 10_000.0;
        let is_enough = failed >= EARLY_FAILURES || (is_over && failed > 0);
        (is_enough && share > allowed_share).then(|| Cause {
            code,
            message: format!(
                "{failed} of its {} requests {what} ({}), more than the {} that are allowed",
                candidate.requests,
                percent(share),
                percent(allowed_share),
            ),
        })
    };
    let Numbers { traps, timeouts, .. } = *candidate;
    of("traps", "failed", traps, live.traps, plan.thresholds.traps).or_else(|| {
        of("timeouts", "used up its CPU budget", timeouts, live.timeouts, plan.thresholds.timeouts)
    })
}

fn averages(plan: &Canary, comparable: u64, live: &Numbers, candidate: &Numbers) -> Option<Cause> {
    if live.requests < comparable || candidate.requests < comparable {
        return None;
    }
    replies(plan, live, candidate)
        .or_else(|| latency(plan, live, candidate))
        .or_else(|| cpu(plan, live, candidate))
        .or_else(|| memory(plan, live, candidate))
}

/// More or fewer: a filter that lets pass what it should refuse is worse, too.
fn replies(plan: &Canary, live: &Numbers, candidate: &Numbers) -> Option<Cause> {
    let (old, new) = (per(live.replies, live.requests), per(candidate.replies, candidate.requests));
    let pooled = per(live.replies + candidate.replies, live.requests + candidate.requests);
    let inverse = 1.0 / live.requests as f64 + 1.0 / candidate.requests as f64;
    let deviation = (pooled * (1.0 - pooled) * inverse).sqrt();
    let apart = (new - old).abs();
    let is_worse = apart > f64::from(plan.thresholds.replies) / 10_000.0 && apart > CLEARLY_APART * deviation;
    is_worse.then(|| Cause {
        code: "replies",
        message: format!(
            "it answered {} of its requests itself, the version that serves {}",
            percent(new),
            percent(old)
        ),
    })
}

fn latency(plan: &Canary, live: &Numbers, candidate: &Numbers) -> Option<Cause> {
    let (old, new) = (per(live.added_ns, live.requests), per(candidate.added_ns, candidate.requests));
    (new - old > plan.thresholds.latency.as_nanos() as f64).then(|| Cause {
        code: "latency",
        message: format!(
            "it adds {} to a request, the version that serves {}",
            milliseconds(new),
            milliseconds(old)
        ),
    })
}

fn cpu(plan: &Canary, live: &Numbers, candidate: &Numbers) -> Option<Cause> {
    let (old, new) = (per(live.busy_ns, live.calls), per(candidate.busy_ns, candidate.calls));
    let allowed = old * (1.0 + f64::from(plan.thresholds.cpu_percent) / 100.0) + NEGLIGIBLE_BUSY_NS;
    (new > allowed).then(|| Cause {
        code: "cpu",
        message: format!(
            "a call takes {}, one of the version that serves {}",
            milliseconds(new),
            milliseconds(old)
        ),
    })
}

fn memory(plan: &Canary, live: &Numbers, candidate: &Numbers) -> Option<Cause> {
    let old = per(live.grown_bytes, live.grown_requests);
    let new = per(candidate.grown_bytes, candidate.grown_requests);
    let is_worse =
        candidate.grown_bytes >= NEGLIGIBLE_GROWTH_BYTES && new > old + plan.thresholds.memory_bytes as f64;
    is_worse.then(|| Cause {
        code: "memory",
        message: format!(
            "its memory grows by {new:.0} bytes per request ({} KiB so far), that of the version that serves by {old:.0}",
            candidate.grown_bytes / 1024
        ),
    })
}

/// How much of something there is per request or call; none of either is none.
fn per(amount: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { amount as f64 / of as f64 }
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

fn milliseconds(ns: f64) -> String {
    format!("{:.3} ms", ns / 1e6)
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
