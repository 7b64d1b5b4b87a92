//! Modules that wait to be compiled, and those that are known not to compile.
//!
//! Filled by the control side's blocking threads, emptied by the threads that talk to helper processes. Small modules go
//! first, and have a helper that takes no others. One that keeps it for long, and others waiting, is put aside: it goes on (from
//! its beginning) where large ones are compiled, so that no module, large or small, keeps small ones waiting for long.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::lock;
use crate::compile::{Artifact, CompileError, CompileLimits, Work};

/// Jobs that may wait. Each has a thread that waits for it, so that there are never many.
const MAX_WAITING: usize = 64;
/// What a module and its state may have, in bytes, to be small: filters of most languages, with what they keep.
const SMALL_BYTES: usize = 4 << 20;
/// Modules that are remembered not to compile; the oldest are forgotten.
const MAX_FAILURES: usize = 256;

/// A module on its way to a helper.
pub(crate) struct CompileJob {
    pub(crate) work: Work,
    pub(crate) limits: CompileLimits,
    pub(crate) cancel: Cancel,
    pub(crate) reply: SyncSender<Result<Artifact, CompileError>>,
    /// It was put aside.
    pub(crate) takes_long: bool,
}

/// Which jobs a helper takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lane {
    Any,
    /// Small ones that were not put aside.
    Express,
}

impl Lane {
    fn takes(self, job: &CompileJob) -> bool {
        self == Self::Any || (!job.takes_long && job.work.size_bytes() <= SMALL_BYTES)
    }
}

impl CompileJob {
    pub(crate) fn answer(self, outcome: Result<Artifact, CompileError>) {
        // Whoever asked may have given up.
        let _ = self.reply.send(outcome);
    }
}

/// Says that nobody wants a result any more. Clones say the same.
#[derive(Clone, Default, Debug)]
pub(crate) struct Cancel(Arc<AtomicBool>);

impl Cancel {
    pub(crate) fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Modules that wait to be compiled.
#[derive(Default)]
pub(crate) struct CompileQueue {
    waiting: Mutex<Vec<CompileJob>>,
    arrived: Condvar,
    closed: AtomicBool,
}

impl CompileQueue {
    /// Answers at once if there is no place, or if there will be nobody to compile.
    pub(crate) fn add(&self, job: CompileJob) {
        let mut waiting = lock(&self.waiting);
        if self.is_closed() {
            job.answer(Err(CompileError::Cancelled));
        } else if waiting.len() >= MAX_WAITING {
            job.answer(Err(CompileError::NoHelper(format!("{MAX_WAITING} modules wait already"))));
        } else {
            waiting.push(job);
            // Not every helper may take it.
            self.arrived.notify_all();
        }
    }

    /// Takes back a job that took long while others waited.
    pub(crate) fn put_aside(&self, job: CompileJob) {
        let mut waiting = lock(&self.waiting);
        if self.is_closed() {
            job.answer(Err(CompileError::Cancelled));
        } else {
            waiting.push(CompileJob { takes_long: true, ..job });
            self.arrived.notify_all();
        }
    }

    /// Whether a job waits that this lane takes.
    pub(crate) fn has_work_for(&self, lane: Lane) -> bool {
        lock(&self.waiting).iter().any(|job| lane.takes(job) && !job.cancel.is_cancelled())
    }

    /// Waits for a job: the smallest module, the one that came first among equals, and those that were put aside after all
    /// others. None once the queue is closed.
    pub(crate) fn take(&self, lane: Lane) -> Option<CompileJob> {
        let mut waiting = lock(&self.waiting);
        loop {
            if self.is_closed() {
                return None;
            }
            waiting.retain(|job| !job.cancel.is_cancelled());
            let fitting = waiting.iter().enumerate().filter(|(_, job)| lane.takes(job));
            let smallest = fitting.min_by_key(|(_, job)| (job.takes_long, job.work.size_bytes()));
            if let Some((index, _)) = smallest {
                return Some(waiting.remove(index));
            }
            waiting = self.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Nothing is compiled any more.
    pub(crate) fn close(&self) {
        let mut waiting = lock(&self.waiting);
        self.closed.store(true, Ordering::Release);
        waiting.clear();
        self.arrived.notify_all();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

/// Modules that do not compile within limits, by their digest, so that the same bytes are refused at once.
#[derive(Default)]
pub(crate) struct CompileFailures(Mutex<VecDeque<([u8; 32], CompileLimits, CompileError)>>);

impl CompileFailures {
    pub(crate) fn of(&self, sha256: &[u8; 32], limits: CompileLimits) -> Option<CompileError> {
        let known = lock(&self.0);
        let same = known.iter().find(|(digest, tried, _)| digest == sha256 && *tried == limits);
        same.map(|(_, _, error)| error.clone())
    }

    pub(crate) fn note(&self, sha256: [u8; 32], limits: CompileLimits, error: CompileError) {
        let mut known = lock(&self.0);
        known.retain(|(digest, ..)| *digest != sha256);
        if known.len() >= MAX_FAILURES {
            known.pop_front();
        }
        known.push_back((sha256, limits, error));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(bytes: usize) -> (CompileJob, Cancel, std::sync::mpsc::Receiver<Result<Artifact, CompileError>>) {
        let (reply, answer) = std::sync::mpsc::sync_channel(1);
        let cancel = Cancel::default();
        let (limits, work) = (CompileLimits::default(), Work { wasm: vec![0; bytes].into(), state: None });
        (CompileJob { work, limits, cancel: cancel.clone(), reply, takes_long: false }, cancel, answer)
    }

    #[test]
    fn small_modules_go_first_and_unwanted_ones_not_at_all() {
        let queue = CompileQueue::default();
        let (mut cancels, mut answers) = (Vec::new(), Vec::new());
        for bytes in [30, 10, 20, 5] {
            let (job, cancel, answer) = job(bytes);
            queue.add(job);
            cancels.push(cancel);
            answers.push(answer);
        }
        cancels[3].cancel();
        let order: Vec<_> = (0..3).filter_map(|_| Some(queue.take(Lane::Any)?.work.size_bytes())).collect();
        assert_eq!(order, [10, 20, 30]);
        assert!(answers[3].recv().is_err(), "who cancelled is not answered");
    }

    #[test]
    fn large_modules_and_those_put_aside_never_take_the_express_lane() {
        let queue = CompileQueue::default();
        let mut answers = Vec::new();
        for bytes in [SMALL_BYTES + 1, 10, SMALL_BYTES] {
            let (job, _, answer) = job(bytes);
            queue.add(job);
            answers.push(answer);
        }
        let size = |lane| queue.take(lane).map(|job| job.work.size_bytes());
        let small = queue.take(Lane::Express).unwrap();
        assert_eq!(small.work.size_bytes(), 10);
        queue.put_aside(small);
        assert_eq!(size(Lane::Express), Some(SMALL_BYTES));
        assert!(!queue.has_work_for(Lane::Express) && queue.has_work_for(Lane::Any));
        assert_eq!([size(Lane::Any), size(Lane::Any)], [Some(SMALL_BYTES + 1), Some(10)], "aside is last");
    }

    #[test]
    fn a_full_or_closed_queue_answers_at_once() {
        let queue = CompileQueue::default();
        let mut kept = Vec::new();
        for _ in 0..MAX_WAITING {
            let (job, _, answer) = job(1);
            queue.add(job);
            kept.push(answer);
        }
        let (beyond, _, answer) = job(1);
        queue.add(beyond);
        assert!(matches!(answer.recv().unwrap(), Err(CompileError::NoHelper(_))));
        queue.close();
        assert!(queue.take(Lane::Any).is_none() && queue.take(Lane::Express).is_none());
        assert!(kept[0].recv().is_err(), "nobody is left waiting");
        let (late, _, answer) = job(1);
        queue.add(late);
        assert!(matches!(answer.recv().unwrap(), Err(CompileError::Cancelled)));
    }

    #[test]
    fn failures_are_known_by_bytes_and_limits_and_the_oldest_are_forgotten() {
        let failures = CompileFailures::default();
        let limits = CompileLimits::default();
        let error = || CompileError::Crashed("x".to_owned());
        let digest = |n: usize| {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&n.to_le_bytes());
            digest
        };
        for n in 0..=MAX_FAILURES {
            failures.note(digest(n), limits, error());
        }
        assert!(failures.of(&digest(0), limits).is_none());
        assert!(failures.of(&digest(1), limits).is_some());
        let larger = CompileLimits { memory_bytes: limits.memory_bytes * 2, ..limits };
        assert!(failures.of(&digest(1), larger).is_none(), "with other limits it is worth a try");
    }
}
