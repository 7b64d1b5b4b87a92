//! The numbers of every version of every filter, over all workers.
//!
//! Touched when a filter begins on a worker and when numbers are read, never per request. A version's numbers are there
//! for as long as a worker runs it, and a little longer, so that a scrape still sees how it ended; then they go, and its
//! series with them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use proxy_wasm_host::FailureReason;

use super::lock;
use crate::filter::GuestCall;
use crate::telemetry::cells::Value;
use crate::telemetry::families as f;
use crate::telemetry::filter_cells::{CallTotals, FilterCells, FilterMetrics, FilterTotals, TimeTotals};
use crate::telemetry::metrics::{Description, Kind};
use crate::telemetry::prometheus::{FamilySample, SeriesLabels};

/// How long the numbers of a version stay that nobody runs any more: a few scrapes.
pub(crate) const KEPT_AFTER_END: Duration = Duration::from_secs(60);

/// Ended versions of one filter whose numbers are kept that long.
const MAX_ENDED_VERSIONS: usize = 4;

/// The numbers of all filters.
#[derive(Default)]
pub(crate) struct FilterTable {
    filters: Mutex<BTreeMap<Box<str>, Vec<Version>>>,
}

struct Version {
    version: Arc<str>,
    memory_limit_bytes: u64,
    cells: Vec<Arc<FilterCells>>,
    /// Of workers that run it no more.
    ended: FilterTotals,
    ended_at: Option<Instant>,
}

/// One version's numbers at one moment.
pub(crate) struct VersionNumbers {
    pub(crate) version: Arc<str>,
    /// Whether a worker still runs it.
    pub(crate) is_running: bool,
    pub(crate) memory_limit_bytes: u64,
    pub(crate) totals: FilterTotals,
}

impl FilterTable {
    /// Cells for one version on one worker.
    pub(crate) fn open(&self, filter: &str, version: &Arc<str>, memory_limit_bytes: usize) -> FilterMetrics {
        let mut filters = lock(&self.filters);
        let versions = filters.entry(filter.into()).or_default();
        fold(versions, Instant::now());
        let known = versions.iter_mut().position(|known| known.version == *version);
        let index = known.unwrap_or_else(|| {
            versions.push(Version {
                version: version.clone(),
                memory_limit_bytes: 0,
                cells: Vec::new(),
                ended: FilterTotals::default(),
                ended_at: None,
            });
            versions.len() - 1
        });
        let cells = Arc::new(FilterCells::default());
        versions[index].memory_limit_bytes = memory_limit_bytes as u64;
        versions[index].ended_at = None;
        versions[index].cells.push(cells.clone());
        FilterMetrics::new(cells)
    }

    /// The versions of a filter, the oldest first; none for one that is not known.
    pub(crate) fn read(&self, filter: &str) -> Vec<VersionNumbers> {
        let mut filters = lock(&self.filters);
        let Some(versions) = filters.get_mut(filter) else { return Vec::new() };
        fold(versions, Instant::now());
        versions.iter().map(Version::numbers).collect()
    }

    /// All series, by the rules of the registry's own.
    pub(crate) fn samples(&self) -> Vec<FamilySample> {
        let numbers = self.numbers();
        let mut families = Vec::new();
        for (kind, family, value) in per_version() {
            let series = numbers.iter().map(|(filter, of)| (labels(filter, of, None), value(of)));
            families.push(sample(family, kind, series.collect()));
        }
        for (kind, family, value) in per_call() {
            let mut series = Vec::new();
            for (filter, of) in &numbers {
                for (call, totals) in GuestCall::ALL.into_iter().zip(&of.totals.calls) {
                    // A series begins with the first call of its kind.
                    if let Some(value) = value(totals) {
                        series.push((labels(filter, of, Some(call.name())), value));
                    }
                }
            }
            families.push(sample(family, kind, series));
        }
        let mut traps = Vec::new();
        for (filter, of) in &numbers {
            for reason in FailureReason::ALL.into_iter().filter(|reason| *reason != FailureReason::Deadline) {
                traps.push((
                    labels(filter, of, Some(reason.name())),
                    Value::Counter(of.totals.failed(reason)),
                ));
            }
        }
        families.push(sample(&f::FILTER_TRAPS.description, Kind::Counter, traps));
        families
    }

    fn numbers(&self) -> Vec<(Box<str>, VersionNumbers)> {
        let now = Instant::now();
        let mut filters = lock(&self.filters);
        filters.retain(|_, versions| {
            fold(versions, now);
            !versions.is_empty()
        });
        let of = |(filter, versions): (&Box<str>, &Vec<Version>)| {
            versions.iter().map(|version| (filter.clone(), version.numbers())).collect::<Vec<_>>()
        };
        filters.iter().flat_map(of).collect()
    }
}

impl Version {
    fn numbers(&self) -> VersionNumbers {
        let mut totals = self.ended.clone();
        self.cells.iter().for_each(|cells| totals.add(cells));
        VersionNumbers {
            version: self.version.clone(),
            is_running: !self.cells.is_empty(),
            memory_limit_bytes: self.memory_limit_bytes,
            totals,
        }
    }
}

/// Takes the counts of workers that run a version no more, and forgets versions that ended long enough ago.
fn fold(versions: &mut Vec<Version>, now: Instant) {
    for version in versions.iter_mut() {
        let ended = &mut version.ended;
        version.cells.retain_mut(|cells| match Arc::get_mut(cells) {
            // The handle is gone, and `get_mut` makes its last write visible.
            Some(dead) => {
                ended.add_counts(dead);
                false
            }
            None => true,
        });
        if version.cells.is_empty() {
            version.ended_at.get_or_insert(now);
        }
    }
    versions.retain(|version| {
        version.ended_at.is_none_or(|ended| now.saturating_duration_since(ended) < KEPT_AFTER_END)
    });
    let mut surplus = versions.iter().filter(|version| version.ended_at.is_some()).count();
    versions.retain(|version| {
        let goes = surplus > MAX_ENDED_VERSIONS && version.ended_at.is_some();
        surplus -= usize::from(goes);
        !goes
    });
}

type OfVersion = fn(&VersionNumbers) -> Value;
type OfCall = fn(&CallTotals) -> Option<Value>;

fn per_version() -> [(Kind, &'static Description, OfVersion); 10] {
    [
        (Kind::Counter, &f::FILTER_TIMEOUTS.description, |of| {
            Value::Counter(of.totals.failed(FailureReason::Deadline))
        }),
        (Kind::Counter, &f::FILTER_LOCAL_REPLIES.description, |of| Value::Counter(of.totals.local_replies)),
        (Kind::Counter, &f::FILTER_REPORTS_DROPPED.description, |of| {
            Value::Counter(of.totals.reports_dropped)
        }),
        (Kind::Gauge, &f::FILTER_MEMORY.description, |of| gauge_of(of.totals.memory_bytes)),
        (Kind::Gauge, &f::FILTER_MEMORY_PEAK.description, |of| gauge_of(of.totals.memory_peak_bytes)),
        (Kind::Gauge, &f::FILTER_MEMORY_LIMIT.description, |of| gauge_of(of.memory_limit_bytes)),
        (Kind::Gauge, &f::FILTER_INSTANCES.description, |of| gauge_of(of.totals.instances)),
        (Kind::Counter, &f::FILTER_REPLACEMENTS.description, |of| Value::Counter(of.totals.replaced.count)),
        (Kind::Counter, &f::FILTER_REPLACEMENT_TIME.description, |of| {
            Value::Nanoseconds(of.totals.replaced.sum_ns)
        }),
        (Kind::Gauge, &f::FILTER_REPLACEMENT_MAX.description, |of| {
            Value::Nanoseconds(of.totals.replaced.max_ns)
        }),
    ]
}

fn per_call() -> [(Kind, &'static Description, OfCall); 6] {
    [
        (Kind::Counter, &f::FILTER_CALLS.description, |of| counted(&of.own, Value::Counter(of.own.count))),
        (Kind::Counter, &f::FILTER_SELF_TIME.description, |of| {
            counted(&of.own, Value::Nanoseconds(of.own.sum_ns))
        }),
        (Kind::Gauge, &f::FILTER_SELF_MAX.description, |of| {
            counted(&of.own, Value::Nanoseconds(of.own.max_ns))
        }),
        (Kind::Counter, &f::FILTER_HOST_CALLS.description, |of| {
            counted(&of.own, Value::Counter(of.host_calls))
        }),
        (Kind::Counter, &f::FILTER_WAITS.description, |of| {
            counted(&of.waits, Value::Counter(of.waits.count))
        }),
        (Kind::Counter, &f::FILTER_WAIT_TIME.description, |of| {
            counted(&of.waits, Value::Nanoseconds(of.waits.sum_ns))
        }),
    ]
}

fn gauge_of(n: u64) -> Value {
    Value::Gauge(i64::try_from(n).unwrap_or(i64::MAX))
}

fn counted(times: &TimeTotals, value: Value) -> Option<Value> {
    (times.count > 0).then_some(value)
}

fn labels(filter: &str, of: &VersionNumbers, third: Option<&str>) -> SeriesLabels {
    let values = [Some(filter), Some(&*of.version), third].into_iter().flatten();
    SeriesLabels::Values(values.map(Into::into).collect())
}

fn sample(family: &'static Description, kind: Kind, series: Vec<(SeriesLabels, Value)>) -> FamilySample {
    let (name, help) = (Cow::Borrowed(family.name), Cow::Borrowed(family.help));
    FamilySample { name, help, kind, labels: family.labels, series }
}

#[cfg(test)]
#[path = "filter_table_tests.rs"]
mod tests;
