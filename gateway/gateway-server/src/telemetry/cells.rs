//! The numbers behind a metric, each in cache lines of its own.
//!
//! Owns how a value is stored, added to and summed. Knows nothing of names, labels or text.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// Upper bounds of the histogram buckets, in thousandths of the unit (microseconds for the millisecond histograms).
/// Envoy's defaults, so that existing dashboards keep their resolution.
pub(crate) const BUCKET_BOUNDS_THOUSANDTHS: [u64; 19] = [
    500,
    1_000,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
    600_000_000,
    1_800_000_000,
    3_600_000_000,
];

/// One bucket per bound and one for everything above the last.
pub(crate) const BUCKETS: usize = BUCKET_BOUNDS_THOUSANDTHS.len() + 1;

/// What one series adds up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Counter(u64),
    /// In microseconds.
    Time(u64),
    /// A time that is short, sum or maximum.
    Nanoseconds(u64),
    Gauge(i64),
    Histogram(Box<HistogramTotal>),
}

/// A histogram's counts per bucket (not cumulative) and its sum in thousandths of the unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HistogramTotal {
    pub(crate) buckets: [u64; BUCKETS],
    pub(crate) sum_thousandths: u64,
}

/// A cell that a series can sum up.
pub(crate) trait MeasureCell: Default {
    type Total: Default;
    /// Whether a value stays in the series when its owner is gone. A count happened and stays; a gauge says what is
    /// now, so that what a dropped owner held is no longer there.
    const OUTLIVES_OWNER: bool;

    fn add_to(&self, total: &mut Self::Total);
    fn merge(total: &mut Self::Total, other: &Self::Total);
    fn value(total: Self::Total) -> Value;
}

#[derive(Default)]
#[repr(align(64))]
pub(crate) struct CounterCell(AtomicU64);

impl CounterCell {
    /// For a cell with a single writer: a plain add, without the cost of a locked instruction.
    pub(crate) fn add_as_owner(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    pub(crate) fn add_shared(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl MeasureCell for CounterCell {
    type Total = u64;
    const OUTLIVES_OWNER: bool = true;

    fn add_to(&self, total: &mut u64) {
        *total = total.wrapping_add(self.read());
    }

    fn merge(total: &mut u64, other: &u64) {
        *total = total.wrapping_add(*other);
    }

    fn value(total: u64) -> Value {
        Value::Counter(total)
    }
}

/// A sum of durations, in microseconds.
#[derive(Default)]
pub(crate) struct TimeCell(CounterCell);

impl TimeCell {
    /// See [`CounterCell::add_as_owner`].
    pub(crate) fn add_as_owner(&self, microseconds: u64) {
        self.0.add_as_owner(microseconds);
    }
}

impl MeasureCell for TimeCell {
    type Total = u64;
    const OUTLIVES_OWNER: bool = true;

    fn add_to(&self, total: &mut u64) {
        self.0.add_to(total);
    }

    fn merge(total: &mut u64, other: &u64) {
        CounterCell::merge(total, other);
    }

    fn value(total: u64) -> Value {
        Value::Time(total)
    }
}

#[derive(Default)]
#[repr(align(64))]
pub(crate) struct GaugeCell(AtomicI64);

impl GaugeCell {
    /// See [`CounterCell::add_as_owner`].
    pub(crate) fn add_as_owner(&self, n: i64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    pub(crate) fn add_shared(&self, n: i64) {
        self.0.fetch_add(n, Relaxed);
    }

    pub(crate) fn set(&self, value: i64) {
        self.0.store(value, Relaxed);
    }

    pub(crate) fn read(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

impl MeasureCell for GaugeCell {
    type Total = i64;
    const OUTLIVES_OWNER: bool = false;

    fn add_to(&self, total: &mut i64) {
        *total = total.wrapping_add(self.read());
    }

    fn merge(total: &mut i64, other: &i64) {
        *total = total.wrapping_add(*other);
    }

    fn value(total: i64) -> Value {
        Value::Gauge(total)
    }
}

#[derive(Default)]
#[repr(align(64))]
pub(crate) struct HistogramCell {
    buckets: [AtomicU64; BUCKETS],
    sum_thousandths: AtomicU64,
}

impl HistogramCell {
    /// See [`CounterCell::add_as_owner`].
    pub(crate) fn record_as_owner(&self, thousandths: u64) {
        let bucket = &self.buckets[bucket_of(thousandths)];
        bucket.store(bucket.load(Relaxed).wrapping_add(1), Relaxed);
        let sum = self.sum_thousandths.load(Relaxed);
        self.sum_thousandths.store(sum.wrapping_add(thousandths), Relaxed);
    }

    pub(crate) fn record_shared(&self, thousandths: u64) {
        self.buckets[bucket_of(thousandths)].fetch_add(1, Relaxed);
        self.sum_thousandths.fetch_add(thousandths, Relaxed);
    }
}

impl MeasureCell for HistogramCell {
    type Total = HistogramTotal;
    const OUTLIVES_OWNER: bool = true;

    fn add_to(&self, total: &mut HistogramTotal) {
        for (sum, bucket) in total.buckets.iter_mut().zip(&self.buckets) {
            *sum = sum.wrapping_add(bucket.load(Relaxed));
        }
        total.sum_thousandths = total.sum_thousandths.wrapping_add(self.sum_thousandths.load(Relaxed));
    }

    fn merge(total: &mut HistogramTotal, other: &HistogramTotal) {
        for (sum, bucket) in total.buckets.iter_mut().zip(&other.buckets) {
            *sum = sum.wrapping_add(*bucket);
        }
        total.sum_thousandths = total.sum_thousandths.wrapping_add(other.sum_thousandths);
    }

    fn value(total: HistogramTotal) -> Value {
        Value::Histogram(Box::new(total))
    }
}

/// Prometheus bounds are inclusive: a value equal to a bound belongs to that bound's bucket.
fn bucket_of(thousandths: u64) -> usize {
    BUCKET_BOUNDS_THOUSANDTHS.partition_point(|bound| *bound < thousandths)
}
