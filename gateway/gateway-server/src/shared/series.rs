//! The table of metric series and the cells that count for each.
//!
//! Touched when a handle is opened and when metrics are read, never per request. Owns which series exist and what their
//! dropped handles left behind; knows neither text formats nor what is being measured.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::lock;
use crate::telemetry::cells::{CounterCell, GaugeCell, HistogramCell, MeasureCell, TimeCell, Value};
use crate::telemetry::families::METRIC_SERIES_DROPPED;
use crate::telemetry::metrics::{Description, Kind};
use crate::telemetry::prometheus::{FamilySample, SeriesLabels};

/// Series per family; a scrape of more is a burden on whoever stores it, and label values may come from outside.
pub(crate) const MAX_SERIES_PER_FAMILY: usize = 10_000;

/// Fewer cells of a series than these are not folded when one more comes: a scrape will.
pub(crate) const MIN_CELLS_TO_FOLD: usize = 8;

/// A full family is folded once per so many new series: each time looks at all that there are.
const MIN_ASKED_BETWEEN_FOLDS: usize = 1_000;

/// The label value that stands for all series beyond the limit.
const OVERFLOW_LABEL: &str = "other";

/// All series of the gateway's own families.
#[derive(Default)]
pub(crate) struct SeriesTable {
    tables: Mutex<Tables>,
}

#[derive(Default)]
struct Tables {
    counters: Families<CounterCell>,
    times: Families<TimeCell>,
    gauges: Families<GaugeCell>,
    histograms: Families<HistogramCell>,
}

type Families<C> = BTreeMap<&'static str, FamilySeries<C>>;
type Labels = Arc<[Box<str>]>;

impl SeriesTable {
    pub(crate) fn counter(&self, family: &'static Description, labels: &[&str]) -> Arc<CounterCell> {
        open(&mut lock(&self.tables).counters, family, labels)
    }

    pub(crate) fn time(&self, family: &'static Description, labels: &[&str]) -> Arc<TimeCell> {
        open(&mut lock(&self.tables).times, family, labels)
    }

    pub(crate) fn gauge(&self, family: &'static Description, labels: &[&str]) -> Arc<GaugeCell> {
        open(&mut lock(&self.tables).gauges, family, labels)
    }

    pub(crate) fn histogram(&self, family: &'static Description, labels: &[&str]) -> Arc<HistogramCell> {
        open(&mut lock(&self.tables).histograms, family, labels)
    }

    #[cfg(test)]
    pub(crate) fn counter_total(&self, family: &'static Description, labels: &[&str]) -> u64 {
        let tables = lock(&self.tables);
        let series =
            tables.counters.get(family.name).and_then(|found| found.series.get(&key(family, labels)));
        series.map_or(0, Series::total)
    }

    /// Folds what dropped handles left behind and copies every series, so that text is written without the lock.
    pub(crate) fn samples(&self) -> Vec<FamilySample> {
        let mut tables = lock(&self.tables);
        let tables = &mut *tables;
        let mut dropped = Vec::new();
        let mut samples = sample(&mut tables.counters, Kind::Counter, &mut dropped);
        samples.extend(sample(&mut tables.times, Kind::Counter, &mut dropped));
        samples.extend(sample(&mut tables.gauges, Kind::Gauge, &mut dropped));
        samples.extend(sample(&mut tables.histograms, Kind::Histogram, &mut dropped));

        let family = &METRIC_SERIES_DROPPED.description;
        samples.push(family_sample(family, Kind::Counter, dropped));
        samples
    }
}

#[cfg(test)]
impl SeriesTable {
    /// How many counter cells the table holds on to.
    pub(crate) fn counter_cells(&self) -> usize {
        lock(&self.tables)
            .counters
            .values()
            .flat_map(|found| found.series.values())
            .map(|it| it.live.len())
            .sum()
    }
}

struct FamilySeries<C: MeasureCell> {
    family: &'static Description,
    series: BTreeMap<Labels, Series<C>>,
    /// How often a new series was refused.
    refused: u64,
    /// New series that were asked for since all were folded.
    asked: usize,
}

struct Series<C: MeasureCell> {
    live: Vec<Arc<C>>,
    /// So many cells are worth folding.
    fold_at: usize,
    /// The sum of the cells whose handles are gone.
    retained: C::Total,
}

fn open<C: MeasureCell>(families: &mut Families<C>, family: &'static Description, labels: &[&str]) -> Arc<C> {
    let found = families.entry(family.name).or_insert_with(|| FamilySeries {
        family,
        series: BTreeMap::new(),
        refused: 0,
        asked: 0,
    });
    let mut labels = key(family, labels);
    if !found.series.contains_key(&labels) {
        found.asked += 1;
        let is_full = found.series.len() >= MAX_SERIES_PER_FAMILY;
        if is_full && !C::OUTLIVES_OWNER && found.asked >= MIN_ASKED_BETWEEN_FOLDS {
            found.fold();
        }
        if found.series.len() >= MAX_SERIES_PER_FAMILY {
            found.refused += 1;
            labels = family.labels.iter().map(|_| OVERFLOW_LABEL.into()).collect();
        }
    }
    let series = found.series.entry(labels).or_default();
    series.push()
}

/// Always as many values as the family has labels, whatever the caller passed.
fn key(family: &Description, labels: &[&str]) -> Labels {
    debug_assert_eq!(family.labels.len(), labels.len(), "label values for {}", family.name);
    let values = labels.iter().copied().chain(std::iter::repeat(""));
    family.labels.iter().zip(values).map(|(_, value)| value.into()).collect()
}

fn sample<C: MeasureCell>(
    families: &mut Families<C>,
    kind: Kind,
    dropped: &mut Vec<(Labels, Value)>,
) -> Vec<FamilySample> {
    let mut samples = Vec::with_capacity(families.len());
    for found in families.values_mut() {
        found.fold();
        if found.refused > 0 {
            dropped.push((Arc::new([found.family.name.into()]), Value::Counter(found.refused)));
        }
        let series =
            found.series.iter().map(|(labels, series)| (Arc::clone(labels), C::value(series.total())));
        samples.push(family_sample(found.family, kind, series.collect()));
    }
    samples
}

fn family_sample(family: &'static Description, kind: Kind, series: Vec<(Labels, Value)>) -> FamilySample {
    let (name, help) = (Cow::Borrowed(family.name), Cow::Borrowed(family.help));
    let series = series.into_iter().map(|(labels, value)| (SeriesLabels::Values(labels), value)).collect();
    FamilySample { name, help, kind, labels: family.labels, series }
}

impl<C: MeasureCell> FamilySeries<C> {
    /// Folds every series and forgets those of which nothing is left.
    fn fold(&mut self) {
        self.asked = 0;
        self.series.retain(|_, series| {
            series.fold();
            C::OUTLIVES_OWNER || !series.live.is_empty()
        });
    }
}

impl<C: MeasureCell> Series<C> {
    /// One cell more. Those that are dead are folded now and then, so that a cell costs the same however many there are.
    fn push(&mut self) -> Arc<C> {
        if self.live.len() >= self.fold_at {
            self.fold();
            self.fold_at = (self.live.len() * 2).max(MIN_CELLS_TO_FOLD);
        }
        let cell = Arc::new(C::default());
        self.live.push(Arc::clone(&cell));
        cell
    }

    fn fold(&mut self) {
        let retained = &mut self.retained;
        self.live.retain_mut(|cell| match Arc::get_mut(cell) {
            // The handle is gone, and `get_mut` makes its last write visible.
            Some(dead) => {
                if C::OUTLIVES_OWNER {
                    dead.add_to(retained);
                }
                false
            }
            None => true,
        });
    }

    fn total(&self) -> C::Total {
        let mut total = C::Total::default();
        C::merge(&mut total, &self.retained);
        self.live.iter().for_each(|cell| cell.add_to(&mut total));
        total
    }
}

impl<C: MeasureCell> Default for Series<C> {
    fn default() -> Self {
        Self { live: Vec::new(), fold_at: MIN_CELLS_TO_FOLD, retained: C::Total::default() }
    }
}
