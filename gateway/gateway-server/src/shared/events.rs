//! What happened to filters: told once, and then in the log, in a metric, in a bounded list for the admin API, and to
//! whoever follows the list (the webhook).
//!
//! Any thread may emit, and nobody waits: an event costs a log line and a short lock. Those who emit bound how often
//! they do; the list is bounded by itself.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use tokio::sync::Notify;

use super::lock;
use crate::telemetry::{Registry, families};

/// Events that are kept; the oldest go first.
const MAX_EVENTS: usize = 1_024;
/// Bytes of one event's message; the rest is cut off in the list, not in the log.
const MAX_MESSAGE_BYTES: usize = 2_048;

/// What happened.
#[allow(dead_code, reason = "quarantine tells of its events where it is decided")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum EventKind {
    /// A version serves all requests of its filter.
    Loaded,
    /// A version did not pass a gate.
    Rejected,
    /// A version began to get a share of the requests, or copies of some.
    Canary,
    /// A version on trial serves all requests now.
    Promoted,
    /// A version was taken back.
    RolledBack,
    /// A filter is not called for a while because too many of its calls failed.
    Quarantined,
    /// A quarantined filter is called again.
    Released,
    /// The file of a filter that must be there is gone.
    Missing,
    /// A filter went with its file.
    Removed,
}

impl EventKind {
    /// The stable word for it in JSON and labels.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::Rejected => "rejected",
            Self::Canary => "canary",
            Self::Promoted => "promoted",
            Self::RolledBack => "rolled_back",
            Self::Quarantined => "quarantined",
            Self::Released => "released",
            Self::Missing => "missing",
            Self::Removed => "removed",
        }
    }

    const fn phrase(self) -> &'static str {
        match self {
            Self::Loaded => "filter is live",
            Self::Rejected => "filter refused",
            Self::Canary => "filter version on trial",
            Self::Promoted => "filter version promoted",
            Self::RolledBack => "filter version rolled back",
            Self::Quarantined => "filter quarantined",
            Self::Released => "filter released from quarantine",
            Self::Missing => "filter file missing",
            Self::Removed => "filter removed",
        }
    }
}

/// One event, before it is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Event {
    kind: EventKind,
    filter: Arc<str>,
    version: Option<Arc<str>>,
    reason: Option<Arc<str>>,
    message: String,
}

impl Event {
    pub(crate) fn new(kind: EventKind, filter: &str) -> Self {
        Self { kind, filter: Arc::from(filter), version: None, reason: None, message: String::new() }
    }

    /// The version that it is about.
    pub(crate) fn version(mut self, version: &str) -> Self {
        self.version = Some(Arc::from(version));
        self
    }

    /// A stable code: the gate, or what was worse than allowed.
    pub(crate) fn reason(mut self, code: &str) -> Self {
        self.reason = Some(Arc::from(code));
        self
    }

    /// For people; of several lines, the sum is on the first.
    pub(crate) fn message(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// A line of the log each, as what collects logs takes a line for an entry.
    fn log(&self) {
        let (filter, version) = (&*self.filter, self.version.as_deref().unwrap_or("-"));
        let (event, phrase) = (self.kind.code(), self.kind.phrase());
        let reason = self.reason.as_deref();
        let mut lines = self.message.lines();
        let first = lines.next().map_or_else(|| phrase.to_owned(), |line| format!("{phrase}: {line}"));
        macro_rules! tell {
            ($level:ident) => {{
                tracing::$level!(filter, version, event, reason, "{first}");
                lines.for_each(|line| tracing::$level!(filter, version, "{line}"));
            }};
        }
        match self.kind {
            EventKind::Rejected | EventKind::RolledBack | EventKind::Quarantined => tell!(error),
            EventKind::Missing => tell!(warn),
            _ => tell!(info),
        }
    }
}

/// One event as it was told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Told {
    /// Counts up from 1 for the life of the process.
    pub(crate) id: u64,
    pub(crate) at: SystemTime,
    pub(crate) kind: EventKind,
    pub(crate) filter: Arc<str>,
    pub(crate) version: Option<Arc<str>>,
    pub(crate) reason: Option<Arc<str>>,
    pub(crate) message: String,
}

/// All events of the process.
pub(crate) struct Events {
    registry: Arc<Registry>,
    list: Mutex<List>,
    told: Notify,
}

#[derive(Default)]
struct List {
    newest: VecDeque<Told>,
    last_id: u64,
}

/// A part of the list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) events: Vec<Told>,
    /// Of the newest event there is; 0 before the first.
    pub(crate) last_id: u64,
    /// Events after the one asked for that are not kept any more.
    pub(crate) lost: u64,
}

impl Events {
    pub(crate) fn new(registry: Arc<Registry>) -> Self {
        Self { registry, list: Mutex::default(), told: Notify::new() }
    }

    /// Tells it: log, metric, list.
    pub(crate) fn emit(&self, event: Event) {
        event.log();
        self.registry.counter(&families::FILTER_EVENTS, &[&event.filter, event.kind.code()]).inc();
        let Event { kind, filter, version, reason, mut message } = event;
        let mut end = message.len().min(MAX_MESSAGE_BYTES);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
        {
            let mut list = lock(&self.list);
            list.last_id += 1;
            let id = list.last_id;
            if list.newest.len() == MAX_EVENTS {
                list.newest.pop_front();
            }
            list.newest.push_back(Told { id, at: SystemTime::now(), kind, filter, version, reason, message });
        }
        self.told.notify_one();
    }

    /// The events after `since`, the oldest first, at most `limit` of them.
    pub(crate) fn since(&self, since: u64, limit: usize) -> Page {
        let list = lock(&self.list);
        let first_kept = list.newest.front().map_or(list.last_id + 1, |event| event.id);
        let events = list.newest.iter().filter(|event| event.id > since).take(limit).cloned().collect();
        Page { events, last_id: list.last_id, lost: first_kept.saturating_sub(since + 1) }
    }

    /// Resolves when something was told since the last call. For one follower.
    pub(crate) async fn changed(&self) {
        self.told.notified().await;
    }
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
