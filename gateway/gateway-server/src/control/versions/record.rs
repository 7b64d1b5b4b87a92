//! What is known of the versions of one filter. Pure: events in, a record out, and the record as JSON.
//!
//! The text on disk is written by this program and yet read as if it were not: what is damaged is left out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::VersionKey;
use crate::telemetry::rfc3339;

/// Entries of a filter's history.
pub(crate) const MAX_ENTRIES: usize = 20;
/// Good versions of a filter whose bytes are kept, besides a pinned one and one that was rolled back to.
pub(crate) const MAX_KEPT: usize = 5;
/// Versions of a filter that are not tried again.
pub(crate) const MAX_MARKS: usize = 64;
/// Bytes of an entry's message.
const MAX_MESSAGE_BYTES: usize = 2_048;
/// What the file says of itself; another number is another program's.
const FORMAT: u64 = 1;

/// Everything about one filter. Newest first, where there is an order.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Record {
    pub(crate) entries: VecDeque<Entry>,
    /// What serves all requests, or served them last.
    pub(crate) live: Option<String>,
    /// What serves whatever the file says.
    pub(crate) pinned: Option<String>,
    /// What serves while the file is a marked version.
    pub(crate) held: Option<String>,
    pub(crate) marks: Vec<Mark>,
    /// Versions whose bytes are kept.
    pub(crate) kept: Vec<VersionKey>,
}

/// A version that is not tried again until somebody says so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Mark {
    pub(crate) version: String,
    pub(crate) reason: String,
}

/// One version at one time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub(crate) version: String,
    pub(crate) at: SystemTime,
    pub(crate) source: Source,
    /// The gate that it reached: the one that refused it, `canary` or `shadow`, or `commit`.
    pub(crate) gate: String,
    /// What was against it, as a code.
    pub(crate) reason: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) live_from: Option<SystemTime>,
    pub(crate) live_to: Option<SystemTime>,
    /// Why it serves no more, or never did.
    pub(crate) ended: Option<String>,
}

/// Where a version came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    /// The filter directory.
    File,
    /// Kept bytes, after a rollback.
    Rollback,
    /// Kept bytes, as somebody pinned them.
    Pin,
}

impl Source {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Rollback => "rollback",
            Self::Pin => "pin",
        }
    }

    fn of(word: &str) -> Option<Self> {
        [Self::File, Self::Rollback, Self::Pin].into_iter().find(|source| source.word() == word)
    }
}

impl Record {
    pub(crate) fn mark_of(&self, version: &str) -> Option<&Mark> {
        self.marks.iter().find(|mark| mark.version == version)
    }

    pub(super) fn mark(&mut self, version: &str, reason: &str) {
        self.marks.retain(|mark| mark.version != version);
        self.marks.insert(0, Mark { version: version.to_owned(), reason: reason.to_owned() });
        self.marks.truncate(MAX_MARKS);
    }

    pub(crate) fn kept(&self, version: &str) -> Option<&VersionKey> {
        self.kept.iter().find(|key| key.version() == version)
    }

    /// The same bytes refused again, as after each restart, are one entry.
    pub(super) fn refused(
        &mut self,
        version: &str,
        source: Source,
        gate: &str,
        message: &str,
        now: SystemTime,
    ) {
        let message = shortened(message);
        if let Some(newest) = self.entries.front()
            && newest.version == version
            && newest.gate == gate
            && newest.message.as_ref() == Some(&message)
        {
            return;
        }
        let mut entry = Entry::new(version, source, gate, now);
        entry.reason = Some(gate.to_owned());
        entry.message = Some(message);
        entry.ended = Some("refused".to_owned());
        self.add(entry);
    }

    pub(super) fn tried(&mut self, version: &str, how: &str, now: SystemTime) {
        self.add(Entry::new(version, Source::File, how, now));
    }

    pub(super) fn went_live(&mut self, version: &str, source: Source, now: SystemTime) {
        let before = self.live.replace(version.to_owned());
        if before.as_deref() == Some(version) && self.entries.iter().any(|entry| entry.is_live_as(version)) {
            // It served before a restart, and serves on.
            return;
        }
        if let Some(before) = before {
            self.ended(&before, None, &format!("replaced by {version}"), now);
        }
        // A trial that ended well is the same entry.
        let tried = self.entries.iter_mut().find(|entry| entry.version == version && entry.is_open());
        match tried {
            Some(entry) => {
                entry.gate = "commit".to_owned();
                entry.live_from = Some(now);
            }
            None => {
                let mut entry = Entry::new(version, source, "commit", now);
                entry.live_from = Some(now);
                self.add(entry);
            }
        }
        if self.held.as_deref() != Some(version) && self.mark_of(version).is_none() {
            self.held = None;
        }
    }

    pub(super) fn ended(&mut self, version: &str, reason: Option<&str>, why: &str, now: SystemTime) {
        let open = |entry: &&mut Entry| entry.version == version && entry.ended.is_none();
        if let Some(entry) = self.entries.iter_mut().find(open) {
            entry.ended = Some(shortened(why));
            entry.reason = reason.map(str::to_owned);
            entry.live_to = entry.live_from.map(|from| now.max(from));
        }
        if self.live.as_deref() == Some(version) && reason == Some("removed") {
            self.live = None;
        }
    }

    /// Keeps the bytes of a good version, and forgets those of the oldest.
    pub(super) fn keep(&mut self, key: &VersionKey) {
        let key = VersionKey { secrets: None, ..key.clone() };
        self.kept.retain(|known| *known != key);
        self.kept.insert(0, key);
        let wanted = [self.pinned.clone(), self.held.clone(), self.live.clone()];
        let mut others = 0;
        self.kept.retain(|known| {
            others += 1;
            others <= MAX_KEPT || wanted.iter().flatten().any(|wanted| *wanted == known.version())
        });
    }

    fn add(&mut self, entry: Entry) {
        self.entries.push_front(entry);
        while self.entries.len() > MAX_ENTRIES {
            // What serves stays in sight.
            let oldest =
                self.entries.iter().rposition(|entry| entry.live_from.is_none() || entry.ended.is_some());
            match oldest {
                Some(index) => self.entries.remove(index),
                None => self.entries.pop_back(),
            };
        }
    }

    /// As it stands on disk.
    pub(crate) fn to_json(&self, filter: &str) -> Value {
        let kept = |key: &VersionKey| json!({ "sha256": super::hex(&key.sha256), "manifest": key.manifest.as_deref() });
        json!({
            "format": FORMAT,
            "filter": filter,
            "live": self.live,
            "pinned": self.pinned,
            "held": self.held,
            "marks": self.marks.iter().map(|mark| json!({ "version": mark.version, "reason": mark.reason })).collect::<Vec<_>>(),
            "kept": self.kept.iter().map(kept).collect::<Vec<_>>(),
            "entries": self.entries.iter().map(Entry::to_json).collect::<Vec<_>>(),
        })
    }

    /// `None` for what is no record at all.
    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        if value.get("format")?.as_u64()? != FORMAT {
            return None;
        }
        let items = |name: &str| value.get(name).and_then(Value::as_array).into_iter().flatten();
        let mark =
            |value: &Value| Some(Mark { version: text(value, "version")?, reason: text(value, "reason")? });
        let kept = |value: &Value| {
            let sha256 = unhex(value.get("sha256")?.as_str()?)?;
            Some(VersionKey { sha256, manifest: text(value, "manifest").map(Arc::from), secrets: None })
        };
        Some(Self {
            entries: items("entries").filter_map(Entry::from_json).take(MAX_ENTRIES).collect(),
            live: text(value, "live"),
            pinned: text(value, "pinned"),
            held: text(value, "held"),
            marks: items("marks").filter_map(mark).take(MAX_MARKS).collect(),
            kept: items("kept").filter_map(kept).take(MAX_KEPT + 3).collect(),
        })
    }
}

impl Entry {
    fn new(version: &str, source: Source, gate: &str, at: SystemTime) -> Self {
        Self {
            version: version.to_owned(),
            at,
            source,
            gate: gate.to_owned(),
            reason: None,
            message: None,
            live_from: None,
            live_to: None,
            ended: None,
        }
    }

    /// On trial: neither live nor over.
    fn is_open(&self) -> bool {
        self.live_from.is_none() && self.ended.is_none()
    }

    fn is_live_as(&self, version: &str) -> bool {
        self.version == version && self.live_from.is_some() && self.ended.is_none()
    }

    /// For the admin API.
    pub(crate) fn shown(&self) -> Value {
        let state = match (self.live_from, &self.ended) {
            (Some(_), None) => "live",
            (None, None) => "trial",
            (None, Some(_)) if self.reason.as_deref() == Some(&*self.gate) => "refused",
            _ => "ended",
        };
        json!({
            "version": self.version,
            "state": state,
            "at": rfc3339(self.at),
            "source": self.source.word(),
            "gate": self.gate,
            "reason": self.reason,
            "message": self.message,
            "liveFrom": self.live_from.map(rfc3339),
            "liveTo": self.live_to.map(rfc3339),
            "ended": self.ended,
        })
    }

    fn to_json(&self) -> Value {
        json!({
            "version": self.version,
            "at": millis(self.at),
            "source": self.source.word(),
            "gate": self.gate,
            "reason": self.reason,
            "message": self.message,
            "liveFrom": self.live_from.map(millis),
            "liveTo": self.live_to.map(millis),
            "ended": self.ended,
        })
    }

    fn from_json(value: &Value) -> Option<Self> {
        let time = |name: &str| value.get(name)?.as_u64().and_then(time_of);
        Some(Self {
            version: text(value, "version")?,
            at: time("at")?,
            source: Source::of(value.get("source")?.as_str()?)?,
            gate: text(value, "gate")?,
            reason: text(value, "reason"),
            message: text(value, "message"),
            live_from: time("liveFrom"),
            live_to: time("liveTo"),
            ended: text(value, "ended"),
        })
    }
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name)?.as_str().map(str::to_owned)
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn time_of(millis: u64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[index * 2..index * 2 + 2], 16).ok()?;
    }
    Some(bytes)
}

fn shortened(message: &str) -> String {
    let mut end = message.len().min(MAX_MESSAGE_BYTES);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message[..end].to_owned()
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
