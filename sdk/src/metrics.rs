//! Owns metrics of a filter, with labels. What the host does not take is logged once and lost: a filter must not fail
//! because of its metrics.
//!
//! The ABI has no labels. They are part of the name, as the telemetry extensions of Istio write them
//! (`label=.=value;.;` before the name), which its Envoy takes apart again.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::host::{self, MetricType};

/// How many combinations of label values a metric has if [`Counter::max_series`] and its neighbours say nothing else;
/// all further ones count as one, with [`OVERFLOW`] as each label's value.
pub const DEFAULT_MAX_SERIES: usize = 500;
/// The value of all labels of what is beyond the limit.
pub const OVERFLOW: &str = "overflow";

/// Counts events. `N` labels.
pub struct Counter<const N: usize = 0>(Family<N>);

/// A value that goes up and down. `N` labels.
pub struct Gauge<const N: usize = 0>(Family<N>);

/// A distribution of values. `N` labels.
pub struct Histogram<const N: usize = 0>(Family<N>);

impl<const N: usize> Counter<N> {
    /// A counter with these labels; the host knows of it from the first event on.
    pub const fn new(name: &'static str, labels: [&'static str; N]) -> Self {
        Self(Family::new(MetricType::Counter, name, labels))
    }

    /// Bounds the combinations of label values.
    #[must_use]
    pub const fn max_series(mut self, series: usize) -> Self {
        self.0.max_series = series;
        self
    }

    /// Counts so many events with these label values.
    pub fn add(&self, values: [&str; N], events: u64) {
        self.add_to(self.series(values), events);
    }

    /// The series with these label values, to be kept by a filter that meets them often.
    pub fn series(&self, values: [&str; N]) -> Series {
        Series(self.0.id(values))
    }

    /// Counts so many events of a series of this counter.
    pub fn add_to(&self, series: Series, events: u64) {
        let offset = i64::try_from(events).unwrap_or(i64::MAX);
        if offset > 0 {
            self.0.with(series, |id| host::increment_metric(id, offset));
        }
    }
}

impl<const N: usize> Gauge<N> {
    /// A gauge with these labels; the host knows of it from the first value on.
    pub const fn new(name: &'static str, labels: [&'static str; N]) -> Self {
        Self(Family::new(MetricType::Gauge, name, labels))
    }

    /// Bounds the combinations of label values.
    #[must_use]
    pub const fn max_series(mut self, series: usize) -> Self {
        self.0.max_series = series;
        self
    }

    /// Sets the value.
    pub fn set(&self, values: [&str; N], value: u64) {
        self.0.with(Series(self.0.id(values)), |id| host::record_metric(id, value));
    }

    /// Adds to the value, or takes from it.
    pub fn add(&self, values: [&str; N], offset: i64) {
        self.0.with(Series(self.0.id(values)), |id| host::increment_metric(id, offset));
    }
}

impl<const N: usize> Histogram<N> {
    /// A histogram with these labels; the host knows of it from the first value on.
    pub const fn new(name: &'static str, labels: [&'static str; N]) -> Self {
        Self(Family::new(MetricType::Histogram, name, labels))
    }

    /// Bounds the combinations of label values.
    #[must_use]
    pub const fn max_series(mut self, series: usize) -> Self {
        self.0.max_series = series;
        self
    }

    /// Records a value.
    pub fn record(&self, values: [&str; N], value: u64) {
        self.record_in(self.series(values), value);
    }

    /// The series with these label values, to be kept by a filter that meets them often.
    pub fn series(&self, values: [&str; N]) -> Series {
        Series(self.0.id(values))
    }

    /// Records a value in a series of this histogram.
    pub fn record_in(&self, series: Series, value: u64) {
        self.0.with(series, |id| host::record_metric(id, value));
    }
}

/// One combination of label values of one metric.
#[derive(Clone, Copy, Debug)]
pub struct Series(Option<u32>);

struct Family<const N: usize> {
    kind: MetricType,
    name: &'static str,
    labels: [&'static str; N],
    max_series: usize,
    /// The host's ids, by the names that it knows; `None` for one that it refused.
    series: RefCell<BTreeMap<String, Option<u32>>>,
    complained: Cell<bool>,
}

impl<const N: usize> Family<N> {
    const fn new(kind: MetricType, name: &'static str, labels: [&'static str; N]) -> Self {
        Self {
            kind,
            name,
            labels,
            max_series: DEFAULT_MAX_SERIES,
            series: RefCell::new(BTreeMap::new()),
            complained: Cell::new(false),
        }
    }

    fn with(&self, series: Series, act: impl FnOnce(u32) -> Result<(), crate::HostError>) {
        if let Some(id) = series.0
            && let Err(error) = act(id)
        {
            self.complain(&error);
        }
    }

    fn id(&self, values: [&str; N]) -> Option<u32> {
        let name = self.full_name(values);
        if let Some(id) = self.series.borrow().get(&name) {
            return *id;
        }
        let full = self.series.borrow().len() >= self.max_series;
        let overflow = [OVERFLOW; N];
        if full && values != overflow {
            return self.id(overflow);
        }
        let id = host::define_metric(self.kind, &name).inspect_err(|error| self.complain(error)).ok();
        self.series.borrow_mut().insert(name, id);
        id
    }

    /// What would end a value early is left out of it.
    fn full_name(&self, values: [&str; N]) -> String {
        let sizes = self.labels.iter().zip(values).map(|(label, value)| label.len() + value.len() + 6);
        let mut name = String::with_capacity(self.name.len() + sizes.sum::<usize>());
        for (label, value) in self.labels.iter().zip(values) {
            name.push_str(label);
            name.push_str("=.=");
            if value.contains(";.;") {
                name.push_str(&value.replace(";.;", ""));
            } else {
                name.push_str(value);
            }
            name.push_str(";.;");
        }
        name.push_str(self.name);
        name
    }

    fn complain(&self, error: &crate::HostError) {
        if !self.complained.replace(true) {
            log::warn!("metric `{}` is not complete: {error}", self.name);
        }
    }
}
