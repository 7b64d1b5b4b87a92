//! Writes samples in the Prometheus text exposition format, version 0.0.4.
//!
//! Pure: samples in, text out. Never touches a cell or a lock.
//! Source: <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>.

use std::borrow::Cow;
use std::sync::Arc;

use super::cells::{BUCKET_BOUNDS_THOUSANDTHS, HistogramTotal, Value};
use super::metrics::Kind;

/// A family as it stood at one moment.
pub(crate) struct FamilySample {
    pub(crate) name: Cow<'static, str>,
    pub(crate) help: Cow<'static, str>,
    pub(crate) kind: Kind,
    pub(crate) labels: &'static [&'static str],
    pub(crate) series: Vec<(SeriesLabels, Value)>,
}

/// What tells the series of a family apart.
pub(crate) enum SeriesLabels {
    /// Values in the order of the family's labels.
    Values(Arc<[Box<str>]>),
    /// Names and values of its own, as filters give them.
    Own(Vec<(String, String)>),
}

/// Writes the families in the order given, leaving out those without series.
pub(crate) fn write(families: &[FamilySample]) -> String {
    let mut out = String::new();
    for family in families.iter().filter(|family| !family.series.is_empty()) {
        write_head(&mut out, family);
        for (values, value) in &family.series {
            let labels = match values {
                SeriesLabels::Values(values) => {
                    render_labels(family.labels.iter().copied().zip(values.iter().map(|value| &**value)))
                }
                SeriesLabels::Own(labels) => {
                    render_labels(labels.iter().map(|(name, value)| (name.as_str(), value.as_str())))
                }
            };
            match value {
                Value::Counter(n) => write_sample(&mut out, &family.name, "", &labels, &itoa(*n)),
                Value::Time(microseconds) => {
                    write_sample(&mut out, &family.name, "", &labels, &seconds(*microseconds));
                }
                Value::Nanoseconds(n) => {
                    let seconds = format!("{}.{:09}", n / 1_000_000_000, n % 1_000_000_000);
                    write_sample(&mut out, &family.name, "", &labels, &seconds);
                }
                Value::Gauge(n) => write_sample(&mut out, &family.name, "", &labels, &itoa(*n)),
                Value::Histogram(total) => write_histogram(&mut out, &family.name, &labels, total),
            }
        }
    }
    out
}

fn write_head(out: &mut String, family: &FamilySample) {
    out.push_str("# HELP ");
    out.push_str(&family.name);
    out.push(' ');
    push_escaped(out, &family.help, false);
    out.push_str("\n# TYPE ");
    out.push_str(&family.name);
    out.push_str(match family.kind {
        Kind::Counter => " counter\n",
        Kind::Gauge => " gauge\n",
        Kind::Histogram => " histogram\n",
    });
}

/// Buckets are cumulative, and the count is their last, so that a scrape is consistent in itself even while workers
/// count on.
fn write_histogram(out: &mut String, name: &str, labels: &str, total: &HistogramTotal) {
    let separator = if labels.is_empty() { "" } else { "," };
    let mut count = 0_u64;
    for (index, bucket) in total.buckets.iter().enumerate() {
        count = count.wrapping_add(*bucket);
        let bound = BUCKET_BOUNDS_THOUSANDTHS.get(index).map_or("+Inf".to_owned(), |bound| decimal(*bound));
        write_sample(out, name, "_bucket", &format!("{labels}{separator}le=\"{bound}\""), &itoa(count));
    }
    write_sample(out, name, "_sum", labels, &decimal(total.sum_thousandths));
    write_sample(out, name, "_count", labels, &itoa(count));
}

fn write_sample(out: &mut String, name: &str, suffix: &str, labels: &str, value: &str) {
    out.push_str(name);
    out.push_str(suffix);
    if !labels.is_empty() {
        out.push('{');
        out.push_str(labels);
        out.push('}');
    }
    out.push(' ');
    out.push_str(value);
    out.push('\n');
}

fn render_labels<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::new();
    for (name, value) in labels {
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str(name);
        out.push_str("=\"");
        push_escaped(&mut out, value, true);
        out.push('"');
    }
    out
}

/// Help texts escape backslash and line feed; label values escape the double quote as well.
fn push_escaped(out: &mut String, text: &str, quoted: bool) {
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quoted => out.push_str("\\\""),
            other => out.push(other),
        }
    }
}

/// Microseconds as seconds.
fn seconds(microseconds: u64) -> String {
    format!("{}.{:06}", microseconds / 1_000_000, microseconds % 1_000_000)
}

/// Thousandths as a decimal number without needless zeros.
fn decimal(thousandths: u64) -> String {
    let whole = thousandths / 1_000;
    match thousandths % 1_000 {
        0 => itoa(whole),
        fraction => format!("{whole}.{fraction:03}").trim_end_matches('0').to_owned(),
    }
}

fn itoa(number: impl itoa::Integer) -> String {
    itoa::Buffer::new().format(number).to_owned()
}
