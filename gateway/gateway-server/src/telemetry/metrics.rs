//! The registry of metrics: where handles come from and how they are read.
//!
//! Opening a handle and scraping take a lock in `shared`; counting never does. Every handle owns a cell of its own, so
//! that each worker counts into memory that only it writes to, and a scrape adds the cells of a series up. This module
//! never knows what is counted: names are in [`super::families`], or come from a filter.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::cells::{CounterCell, GaugeCell, HistogramCell, TimeCell};
use super::filter_cells::FilterMetrics;
use super::prometheus;
use crate::shared::filter_table::{FilterTable, VersionNumbers};
use crate::shared::guest_series::GuestTable;
use crate::shared::series::SeriesTable;

pub(crate) use crate::shared::guest_series::GuestMetricError;

/// All metrics of the process.
#[derive(Default)]
pub(crate) struct Registry {
    series: SeriesTable,
    guests: GuestTable,
    filters: FilterTable,
}

impl Registry {
    /// An empty registry; one lives as long as the process.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Opens a counter of its own for this owner. What it counted stays in the series when the handle is dropped.
    ///
    /// `labels` are the values in the order of the family's label names. A new set of values counts under `other`
    /// once the family is full.
    pub(crate) fn counter(&self, family: &'static Family<Counter>, labels: &[&str]) -> Counter {
        Counter { cell: self.series.counter(&family.description, labels), owned: PhantomData }
    }

    /// Opens a counter of time; else as [`Registry::counter`].
    pub(crate) fn time_counter(&self, family: &'static Family<TimeCounter>, labels: &[&str]) -> TimeCounter {
        TimeCounter { cell: self.series.time(&family.description, labels), owned: PhantomData }
    }

    /// Opens a gauge of its own for this owner. What it shows is taken out of the series when the handle is dropped:
    /// raise and lower it through the same handle.
    pub(crate) fn gauge(&self, family: &'static Family<Gauge>, labels: &[&str]) -> Gauge {
        Gauge { cell: self.series.gauge(&family.description, labels), owned: PhantomData }
    }

    /// Opens a histogram of its own for this owner; else as [`Registry::counter`].
    pub(crate) fn histogram(&self, family: &'static Family<Histogram>, labels: &[&str]) -> Histogram {
        Histogram { cell: self.series.histogram(&family.description, labels), owned: PhantomData }
    }

    /// Defines a filter's metric, or finds it again: all workers and plugins that use the same name and kind share one
    /// value, as in Envoy. It is exported under exactly this name, with `_` for each character that Prometheus does not
    /// allow and `_counter`, `_gauge` or `_histogram` appended if the name is taken by something else.
    ///
    /// `limit` is how many the filter may have; names may come from request data, so that it could define them for ever.
    ///
    /// # Errors
    /// An empty or overlong name, no free name, or a full table.
    pub(crate) fn guest(
        &self,
        plugin: &str,
        kind: Kind,
        name: &[u8],
        limit: usize,
    ) -> Result<GuestMetric, GuestMetricError> {
        self.guests.define(plugin, kind, name, limit)
    }

    /// Opens the numbers of one version of a filter on one worker.
    pub(crate) fn filter(
        &self,
        filter: &str,
        version: &Arc<str>,
        memory_limit_bytes: usize,
    ) -> FilterMetrics {
        self.filters.open(filter, version, memory_limit_bytes)
    }

    /// The numbers of a filter's versions, the oldest first.
    pub(crate) fn filter_numbers(&self, filter: &str) -> Vec<VersionNumbers> {
        self.filters.read(filter)
    }

    /// The sum of a counter series over all owners, past and present; 0 if there is none.
    #[cfg(test)]
    pub(crate) fn counter_total(&self, family: &'static Family<Counter>, labels: &[&str]) -> u64 {
        self.series.counter_total(&family.description, labels)
    }

    /// Everything in the Prometheus text format 0.0.4, families sorted by name.
    pub(crate) fn render(&self) -> String {
        let mut families = self.series.samples();
        families.extend(self.guests.samples());
        families.extend(self.filters.samples());
        families.sort_by(|a, b| a.name.cmp(&b.name));
        prometheus::write(&families)
    }
}

/// What a metric measures, in Prometheus' terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Only ever grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
}

/// A named set of series that differ in their label values; `M` is the handle type that measures it.
pub(crate) struct Family<M> {
    pub(crate) description: Description,
    measure: PhantomData<fn() -> M>,
}

impl<M> Family<M> {
    pub(crate) const fn new(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { description: Description { name, labels, help }, measure: PhantomData }
    }
}

/// A family without its type.
pub(crate) struct Description {
    pub(crate) name: &'static str,
    pub(crate) labels: &'static [&'static str],
    pub(crate) help: &'static str,
}

/// A count, written by one owner. May move to another thread, but is never shared between two.
pub(crate) struct Counter {
    cell: Arc<CounterCell>,
    owned: PhantomData<Cell<()>>,
}

impl Counter {
    /// Adds `n`.
    pub(crate) fn add(&self, n: u64) {
        self.cell.add_as_owner(n);
    }

    /// Adds one.
    pub(crate) fn inc(&self) {
        self.add(1);
    }
}

/// A sum of durations, written by one owner; exported in seconds.
pub(crate) struct TimeCounter {
    cell: Arc<TimeCell>,
    owned: PhantomData<Cell<()>>,
}

impl TimeCounter {
    /// Adds a duration, to the microsecond.
    pub(crate) fn add(&self, duration: Duration) {
        self.cell.add_as_owner(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }
}

/// A value that goes up and down, written by one owner; a series shows the sum over its owners.
pub(crate) struct Gauge {
    cell: Arc<GaugeCell>,
    owned: PhantomData<Cell<()>>,
}

impl Gauge {
    /// Where the value is, for whoever sums it up.
    pub(crate) fn cell(&self) -> &Arc<GaugeCell> {
        &self.cell
    }

    /// Adds one.
    pub(crate) fn inc(&self) {
        self.cell.add_as_owner(1);
    }

    /// Takes one away.
    pub(crate) fn dec(&self) {
        self.cell.add_as_owner(-1);
    }

    /// Sets this owner's share.
    pub(crate) fn set(&self, value: i64) {
        self.cell.set(value);
    }
}

/// A distribution of durations in Envoy's default buckets, written by one owner; exported in milliseconds.
pub(crate) struct Histogram {
    cell: Arc<HistogramCell>,
    owned: PhantomData<Cell<()>>,
}

impl Histogram {
    /// Counts one duration, to the microsecond.
    pub(crate) fn record(&self, duration: Duration) {
        let microseconds = duration.as_secs().saturating_mul(1_000_000);
        self.cell.record_as_owner(microseconds.saturating_add(u64::from(duration.subsec_micros())));
    }
}

/// A metric that a filter defined; shared by all that use its name. Semantics are those of the Proxy-Wasm metrics
/// functions as Envoy implements them.
#[derive(Clone)]
pub(crate) struct GuestMetric {
    pub(crate) cell: GuestCell,
}

#[derive(Clone)]
pub(crate) enum GuestCell {
    Counter(Arc<CounterCell>),
    Gauge(Arc<GaugeCell>),
    Histogram(Arc<HistogramCell>),
}

/// An operation that this kind of metric does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a {0:?} metric has no such operation, or not with this value")]
pub(crate) struct WrongMetricUse(pub(crate) Kind);

impl GuestMetric {
    /// What it measures.
    pub(crate) fn kind(&self) -> Kind {
        match self.cell {
            GuestCell::Counter(_) => Kind::Counter,
            GuestCell::Gauge(_) => Kind::Gauge,
            GuestCell::Histogram(_) => Kind::Histogram,
        }
    }

    /// Adds to a counter or a gauge.
    ///
    /// # Errors
    /// A counter takes values above zero only, a histogram none.
    pub(crate) fn increment(&self, offset: i64) -> Result<(), WrongMetricUse> {
        match (&self.cell, u64::try_from(offset)) {
            (GuestCell::Counter(cell), Ok(n)) if n > 0 => cell.add_shared(n),
            (GuestCell::Gauge(cell), _) => cell.add_shared(offset),
            _ => return Err(WrongMetricUse(self.kind())),
        }
        Ok(())
    }

    /// Adds to a counter, sets a gauge, counts one value in a histogram.
    pub(crate) fn record(&self, value: u64) {
        match &self.cell {
            GuestCell::Counter(cell) => cell.add_shared(value),
            GuestCell::Gauge(cell) => cell.set(value.cast_signed()),
            GuestCell::Histogram(cell) => cell.record_shared(value.saturating_mul(1_000)),
        }
    }

    /// The value of a counter or a gauge.
    ///
    /// # Errors
    /// A histogram has no single value.
    pub(crate) fn value(&self) -> Result<u64, WrongMetricUse> {
        match &self.cell {
            GuestCell::Counter(cell) => Ok(cell.read()),
            GuestCell::Gauge(cell) => Ok(cell.read().cast_unsigned()),
            GuestCell::Histogram(_) => Err(WrongMetricUse(Kind::Histogram)),
        }
    }
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
