//! The table of metrics that filters define.
//!
//! Owns their exported names, which must never clash with each other or with the gateway's own, and how many a filter
//! may have. Knows nothing of metric ids: those belong to whoever speaks the ABI.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use super::guest_names::GuestName;
use super::lock;
use crate::telemetry::cells::{HistogramTotal, MeasureCell, Value};
use crate::telemetry::families;
use crate::telemetry::metrics::{GuestCell, GuestMetric, Kind};
use crate::telemetry::prometheus::{FamilySample, SeriesLabels};

/// Metrics of all filters together.
pub(crate) const MAX_GUEST_METRICS: usize = 10_000;

/// Longest name a filter may give, in bytes. Names with tags inside, as Istio's filters make them, run to more than a thousand.
pub(crate) const MAX_GUEST_METRIC_NAME_BYTES: usize = 4_096;

/// The sample names that a histogram adds to its own.
const HISTOGRAM_SUFFIXES: [&str; 3] = ["_bucket", "_sum", "_count"];

/// Why a filter did not get a metric.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GuestMetricError {
    /// Empty or too long.
    #[error(
        "a metric name of {0} bytes is refused: it must have 1 to {MAX_GUEST_METRIC_NAME_BYTES}; shorten it in the filter"
    )]
    IllegalName(usize),
    /// Neither the name nor the name with its kind appended is free.
    #[error("metric name `{0}` is taken by a metric of another kind; rename it in the filter")]
    NameTaken(String),
    /// The filter, or all filters together, have too many.
    #[error(
        "metric `{name}` is refused: the limit of {limit} metrics is reached; does the filter put request data into metric names?"
    )]
    TooMany {
        /// The metric that was not made.
        name: String,
        /// The limit that was reached.
        limit: usize,
    },
}

/// All metrics of all filters.
#[derive(Default)]
pub(crate) struct GuestTable {
    guests: Mutex<Guests>,
}

#[derive(Default)]
struct Guests {
    /// By exported name and labels.
    metrics: BTreeMap<GuestName, Guest>,
    /// Exported names by plugin.
    defined: HashMap<Box<str>, BTreeSet<GuestName>>,
}

struct Guest {
    metric: GuestMetric,
    /// Who defined it first, for the help text.
    plugin: Box<str>,
}

impl GuestTable {
    pub(crate) fn define(
        &self,
        plugin: &str,
        kind: Kind,
        name: &[u8],
        limit: usize,
    ) -> Result<GuestMetric, GuestMetricError> {
        if name.is_empty() || name.len() > MAX_GUEST_METRIC_NAME_BYTES {
            return Err(GuestMetricError::IllegalName(name.len()));
        }
        lock(&self.guests).define(plugin, kind, GuestName::parse(name), limit)
    }

    pub(crate) fn samples(&self) -> Vec<FamilySample> {
        let guests = lock(&self.guests);
        let mut samples: Vec<FamilySample> = Vec::new();
        for (name, guest) in &guests.metrics {
            // In order of names, so that the series of a family follow each other.
            let labels = SeriesLabels::Own(name.labels.clone());
            match samples.last_mut().filter(|family| family.name == name.name) {
                Some(family) => family.series.push((labels, value(guest))),
                None => samples.push(family(name, labels, guest)),
            }
        }
        samples
    }
}

impl Guests {
    fn define(
        &mut self,
        plugin: &str,
        kind: Kind,
        given: GuestName,
        limit: usize,
    ) -> Result<GuestMetric, GuestMetricError> {
        let name = GuestName { name: self.free_name(kind, given.name)?, labels: given.labels };
        let total = self.metrics.len();
        let defined = self.defined.entry(plugin.into()).or_default();
        if !defined.contains(&name) && defined.len() >= limit {
            return Err(GuestMetricError::TooMany { name: name.name, limit });
        }
        if !self.metrics.contains_key(&name) && total >= MAX_GUEST_METRICS {
            return Err(GuestMetricError::TooMany { name: name.name, limit: MAX_GUEST_METRICS });
        }
        defined.insert(name.clone());
        let guest = self
            .metrics
            .entry(name)
            .or_insert_with(|| Guest { metric: new_metric(kind), plugin: plugin.into() });
        Ok(guest.metric.clone())
    }

    /// The legal name itself, or with its kind appended if something else has it.
    fn free_name(&self, kind: Kind, legal: String) -> Result<String, GuestMetricError> {
        if !self.is_taken(kind, &legal) {
            return Ok(legal);
        }
        let qualified = match kind {
            Kind::Counter => format!("{legal}_counter"),
            Kind::Gauge => format!("{legal}_gauge"),
            Kind::Histogram => format!("{legal}_histogram"),
        };
        if self.is_taken(kind, &qualified) { Err(GuestMetricError::NameTaken(legal)) } else { Ok(qualified) }
    }

    /// Whether a metric of this kind would repeat a sample name that exists. The same metric again is not taken.
    fn is_taken(&self, kind: Kind, name: &str) -> bool {
        if let Some(known) = self.kind_of(name) {
            return known != kind;
        }
        let is_histogram = |base: &str| self.kind_of(base) == Some(Kind::Histogram);
        let expands_to_taken = || {
            HISTOGRAM_SUFFIXES.iter().any(|suffix| {
                let sample = format!("{name}{suffix}");
                self.kind_of(&sample).is_some() || families::is_reserved(&sample)
            })
        };
        families::is_reserved(name)
            || HISTOGRAM_SUFFIXES.iter().filter_map(|suffix| name.strip_suffix(suffix)).any(is_histogram)
            || (kind == Kind::Histogram && expands_to_taken())
    }

    /// All series of a name are of one kind.
    fn kind_of(&self, name: &str) -> Option<Kind> {
        let first = GuestName { name: name.to_owned(), labels: Vec::new() };
        let (known, guest) = self.metrics.range(first..).next()?;
        (known.name == name).then(|| guest.metric.kind())
    }
}

fn new_metric(kind: Kind) -> GuestMetric {
    let cell = match kind {
        Kind::Counter => GuestCell::Counter(Arc::default()),
        Kind::Gauge => GuestCell::Gauge(Arc::default()),
        Kind::Histogram => GuestCell::Histogram(Arc::default()),
    };
    GuestMetric { cell }
}

fn value(guest: &Guest) -> Value {
    match &guest.metric.cell {
        GuestCell::Counter(cell) => Value::Counter(cell.read()),
        GuestCell::Gauge(cell) => Value::Gauge(cell.read()),
        GuestCell::Histogram(cell) => {
            let mut total = HistogramTotal::default();
            cell.add_to(&mut total);
            Value::Histogram(Box::new(total))
        }
    }
}

fn family(name: &GuestName, labels: SeriesLabels, guest: &Guest) -> FamilySample {
    FamilySample {
        name: Cow::Owned(name.name.clone()),
        help: Cow::Owned(format!("Defined by filter {}.", guest.plugin)),
        kind: guest.metric.kind(),
        labels: &[],
        series: vec![(labels, value(guest))],
    }
}
