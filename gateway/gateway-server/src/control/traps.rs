//! How guests ended, made readable: names and lines of their code, in the log and for the admin API.
//!
//! Workers hand over numbers; what those mean is worked out here, on the blocking pool, once for each stack that differs.
//! The rate is bounded by the workers and by the queue, which count what they leave out.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use proxy_wasm_host::{Location, Symbols};
use serde_json::{Value, json};

use super::admin::Status;
use crate::process::Process;
use crate::shared::TrapRecord;
use crate::telemetry::rfc3339;

/// Reports of one filter that are kept; the oldest go first.
const MAX_KEPT_PER_FILTER: usize = 20;
/// Filters of which reports are kept; the one whose last report is the oldest goes first.
const MAX_FILTERS: usize = 256;
/// Stacks whose names and lines are remembered.
const MAX_STACKS: usize = 64;

/// How one guest ended, readable.
pub(crate) struct TrapReport {
    record: TrapRecord,
    /// The innermost function first.
    stack: Arc<[Location]>,
}

/// The last reports of each filter.
#[derive(Default)]
pub(crate) struct TrapReports(BTreeMap<Arc<str>, VecDeque<TrapReport>>);

impl TrapReports {
    fn note(&mut self, report: TrapReport) {
        let filter = report.record.spec.name.clone();
        if !self.0.contains_key(&filter) && self.0.len() >= MAX_FILTERS {
            let last = |reports: &VecDeque<TrapReport>| reports.back().map(|report| report.record.at);
            let oldest = self.0.iter().min_by_key(|(_, reports)| last(reports)).map(|(name, _)| name.clone());
            oldest.and_then(|name| self.0.remove(&name));
        }
        let reports = self.0.entry(filter).or_default();
        if reports.len() >= MAX_KEPT_PER_FILTER {
            reports.pop_front();
        }
        reports.push_back(report);
    }

    /// Of one filter, or of all; the newest first.
    pub(crate) fn json(&self, filter: Option<&str>) -> Vec<Value> {
        let wanted = self.0.iter().filter(|(name, _)| filter.is_none_or(|filter| &***name == filter));
        let mut reports: Vec<_> = wanted.flat_map(|(_, reports)| reports).collect();
        reports.sort_by_key(|report| std::cmp::Reverse(report.record.at));
        reports.into_iter().map(TrapReport::json).collect()
    }
}

impl TrapReport {
    fn json(&self) -> Value {
        let TrapRecord { spec, at, worker, callback, failure } = &self.record;
        let place = |location: &Location| {
            let source = location.source.as_ref();
            json!({
                "function": location.function,
                "file": source.map(|source| &source.file),
                "line": source.map(|source| source.line),
                "column": source.map(|source| source.column).filter(|column| *column > 0),
                "offset": location.offset,
            })
        };
        json!({
            "time": rfc3339(*at),
            "filter": &*spec.name,
            "version": &*spec.version,
            "callback": callback,
            "reason": failure.reason.name(),
            "cause": failure.cause,
            "said": (!failure.last_words.is_empty()).then_some(&failure.last_words),
            "requestId": failure.request_id,
            "worker": worker,
            "stack": self.stack.iter().map(place).collect::<Vec<_>>(),
            "hostCalls": failure.host_calls,
            "memoryBytes": failure.memory_bytes,
        })
    }

    /// One event, since what collects logs takes a line for an entry.
    fn log(&self) {
        let TrapRecord { spec, worker, callback, failure, .. } = &self.record;
        let mut text = format!("filter failed in {callback}: {}", failure.cause);
        if !failure.last_words.is_empty() {
            let said: String =
                failure.last_words.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            text.push_str(&format!("; it said: {said}"));
        }
        for (index, location) in self.stack.iter().enumerate() {
            text.push_str(if index == 0 { "; at " } else { " < " });
            text.push_str(&location.to_string());
        }
        if !failure.host_calls.is_empty() {
            text.push_str(&format!("; host calls before: {}", failure.host_calls.join(", ")));
        }
        let request_id = failure.request_id.as_deref().unwrap_or("-");
        tracing::error!(
            filter = %spec.name, version = %spec.version, reason = failure.reason.name(), request_id, worker,
            "{text}"
        );
    }
}

/// Makes records readable for as long as the process lives.
pub(crate) struct TrapReader {
    process: Arc<Process>,
    status: Rc<RefCell<Status>>,
    known: RefCell<HashMap<StackKey, Arc<[Location]>>>,
}

/// A module and where it was.
type StackKey = ([u8; 32], Vec<(u32, u32)>);

impl TrapReader {
    pub(crate) fn new(process: Arc<Process>, status: Rc<RefCell<Status>>) -> Rc<Self> {
        Rc::new(Self { process, status, known: RefCell::default() })
    }

    /// Reads until the task is dropped.
    pub(crate) async fn run(self: Rc<Self>) {
        loop {
            self.process.traps.arrived().await;
            self.read_all().await;
        }
    }

    /// Reads what is waiting.
    pub(crate) async fn read_all(&self) {
        while let Some(record) = self.process.traps.pop() {
            let stack = self.stack(&record).await;
            let report = TrapReport { record, stack };
            report.log();
            self.status.borrow_mut().traps.note(report);
        }
    }

    async fn stack(&self, record: &TrapRecord) -> Arc<[Location]> {
        let Ok(live) = &record.spec.live else { return Arc::default() };
        let frames = record.failure.frames.iter().map(|frame| (frame.function, frame.offset)).collect();
        let key = (live.sha256, frames);
        if let Some(known) = self.known.borrow().get(&key) {
            return known.clone();
        }
        let (wasm, failure) = (live.wasm.clone(), record.failure.clone());
        let read = move || Symbols::read(&wasm).map(|symbols| symbols.stack(&failure)).unwrap_or_default();
        // Debug information is the module's: reading it must not take the control thread along.
        let stack: Arc<[Location]> = tokio::task::spawn_blocking(read).await.unwrap_or_default().into();
        let mut known = self.known.borrow_mut();
        if known.len() >= MAX_STACKS {
            known.clear();
        }
        known.insert(key, stack.clone());
        stack
    }
}

#[cfg(test)]
#[path = "traps_tests.rs"]
mod tests;
