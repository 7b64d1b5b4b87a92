//! Sending again: when a try may be repeated, how long to wait before, and what is remembered of it.
//!
//! The rule that everything here serves: what the upstream may have acted on is repeated only if the method says that
//! this does no harm (RFC 9110, section 9.2.2) or the route says so. A request that never reached an upstream (no
//! connection, or handed back unwritten) is repeated whatever it is.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use gateway_config::Retry as Policy;
use http::{Method, Response};
use hyper::body::Incoming;

use super::head::RequestHead;
use super::{Reason, RequestError, Retry, send};
use crate::body::{Replay, UploadProgress, UpstreamBody};
use crate::upstream::{Lease, Random, Tried, Upstream};

type Sent = Result<(Response<Incoming>, Lease), RequestError>;

/// What there is to say of the tries of one request.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) attempts: Cell<u32>,
    /// The last try failed like those before, and the policy allows no more.
    pub(super) exhausted: Cell<bool>,
}

/// What becomes of the outcome of one try.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    /// It is the answer.
    Final,
    /// It would be tried again, but must not be.
    NotAgain(&'static str),
    Again,
}

/// Sends a request until an answer is final, the policy is exhausted, or the budget is.
pub(super) async fn send(
    upstream: &Upstream,
    policy: &Policy,
    head: RequestHead,
    body: UpstreamBody,
    upload: Option<Rc<UploadProgress>>,
    tried: &mut Tried,
    tally: &Tally,
) -> Sent {
    let replay = body.into_replay(policy.replay_bytes);
    let mut permit = None;
    loop {
        let attempt = tally.attempts.get() + 1;
        tally.attempts.set(attempt);
        let body = replay.as_ref().map_or_else(UpstreamBody::empty, Replay::next_try);
        let outcome = one_try(upstream, policy, head.copied(), body, tried, upload.as_deref()).await;
        drop(permit);
        let metrics = &upstream.metrics;
        match verdict(policy, &head.method, replay.as_deref(), &outcome) {
            Verdict::Final => {
                if attempt > 1 && outcome.is_ok() {
                    metrics.retry_success.inc();
                }
                return outcome;
            }
            Verdict::NotAgain(why) => {
                tracing::debug!(upstream = %upstream.name, attempt, "not sent again: {why}");
                return outcome;
            }
            Verdict::Again if attempt > policy.attempts => {
                metrics.retry_limit_exceeded.inc();
                tally.exhausted.set(true);
                return outcome;
            }
            Verdict::Again => {}
        }
        let Some(granted) = upstream.retry_permit() else {
            metrics.retry_overflow.inc();
            tracing::debug!(upstream = %upstream.name, attempt, "not sent again: the retry budget is used up");
            return outcome;
        };
        permit = Some(granted);
        metrics.retries.inc();
        metrics.retry_backoff.inc();
        discard(outcome, upload.as_deref());
        tokio::time::sleep(backoff(policy, attempt, &upstream.random)).await;
    }
}

async fn one_try(
    upstream: &Upstream,
    policy: &Policy,
    mut head: RequestHead,
    body: UpstreamBody,
    tried: &mut Tried,
    upload: Option<&UploadProgress>,
) -> Sent {
    let Some(limit) = policy.per_try_timeout else {
        return send::send(upstream, &mut head, body, tried).await;
    };
    let outcome = tokio::select! {
        biased;
        outcome = send::send(upstream, &mut head, body, tried) => Some(outcome),
        () = overdue(upload, limit) => None,
    };
    outcome.unwrap_or_else(|| {
        upstream.metrics.per_try_timeout.inc();
        upstream.report_timeout(tried);
        Err(RequestError::upstream(Reason::PerTryTimeout))
    })
}

/// Resolves when `limit` has passed since the request was sent whole: a slow client is not the upstream's fault.
async fn overdue(upload: Option<&UploadProgress>, limit: Duration) {
    let begun = Instant::now();
    let mut counts_from = begun;
    loop {
        // As long as it is not whole, this is too early, and never too late.
        tokio::time::sleep_until((counts_from + limit).into()).await;
        let now = Instant::now();
        counts_from = match upload {
            Some(upload) if !upload.has_ended() => now,
            Some(upload) => upload.moved_at().map_or(begun, |ended| ended.max(begun)),
            None => begun,
        };
        if counts_from + limit <= now {
            return;
        }
    }
}

fn verdict(policy: &Policy, method: &Method, replay: Option<&Replay>, outcome: &Sent) -> Verdict {
    let (wanted, was_seen) = match outcome {
        Ok((response, _)) => (policy.on.has_status(response.status().as_u16()), true),
        Err(error) => (wants_error(policy, error), error.retry == Retry::Never),
    };
    if !wanted {
        return Verdict::Final;
    }
    if was_seen && !may_repeat(policy, method) {
        return Verdict::NotAgain("the upstream may have acted on it, and its method is not one to repeat");
    }
    if !replay.is_none_or(Replay::is_whole) {
        return Verdict::NotAgain("its body is larger than `retry.replayBody`");
    }
    Verdict::Again
}

fn wants_error(policy: &Policy, error: &RequestError) -> bool {
    match error.reason {
        Reason::ConnectFailed | Reason::ConnectTimeout | Reason::UpstreamTls => policy.on.connect_failure,
        Reason::UpstreamReset if error.retry == Retry::Safe => policy.on.refused_stream || policy.on.reset,
        Reason::UpstreamReset
        | Reason::UpstreamProtocol
        | Reason::UpstreamRefused(_)
        | Reason::PerTryTimeout => policy.on.reset,
        _ => false,
    }
}

fn may_repeat(policy: &Policy, method: &Method) -> bool {
    match &policy.methods {
        Some(methods) => methods.iter().any(|allowed| **allowed == *method.as_str()),
        None => method.is_idempotent(),
    }
}

/// Full jitter: random, below a bound that doubles with each retry.
fn backoff(policy: &Policy, attempt: u32, random: &Random) -> Duration {
    let factor = 1_u32.checked_shl(attempt - 1).unwrap_or(u32::MAX);
    let bound = policy.backoff_base.saturating_mul(factor).min(policy.backoff_max);
    let bound_us = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(random.below(bound_us))
}

/// A response that nobody gets. Without a body, its connection is as good as before.
fn discard(outcome: Sent, upload: Option<&UploadProgress>) {
    let Ok((response, lease)) = outcome else { return };
    let is_whole = http_body::Body::is_end_stream(response.body());
    if is_whole && upload.is_none_or(|upload| upload.has_ended()) {
        lease.release(Instant::now());
    }
}

#[cfg(test)]
#[path = "retry_tests.rs"]
mod tests;
