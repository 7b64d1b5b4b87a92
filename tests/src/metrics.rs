//! The Prometheus text that the admin listener gives, as numbers.

use std::collections::HashMap;

/// All series of one reading.
#[derive(Debug)]
pub struct Metrics(HashMap<String, f64>);

impl Metrics {
    /// # Panics
    /// If a line is not a comment and not a sample.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| {
            let sample = line
                .rsplit_once(' ')
                .and_then(|(series, value)| Some((series.to_owned(), value.parse().ok()?)));
            sample.unwrap_or_else(|| panic!("not a sample: {line:?}"))
        });
        Self(samples.collect())
    }

    /// The sum over all series of `name` whose labels contain each of `labels`; 0 if there are none.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let wanted: Vec<_> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let is_of = |series: &str| series.split('{').next() == Some(name);
        let matching = self
            .0
            .iter()
            .filter(|(series, _)| is_of(series) && wanted.iter().all(|label| series.contains(label)));
        matching.map(|(_, value)| value).sum()
    }

    /// Whether there is a series of that name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.keys().any(|series| series.split('{').next() == Some(name))
    }

    /// Replies that the gateway made itself for this reason.
    #[must_use]
    pub fn replies(&self, reason: &str) -> f64 {
        self.sum("gateway_replies_total", &[("reason", reason)])
    }
}
