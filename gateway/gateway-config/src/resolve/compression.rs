//! Compression: defaults, and algorithms that are named twice.

use super::some_items;
use crate::diagnostic::{Report, quoted};
use crate::read::{Field, Marked, Switchable};
use crate::resolved::{Coding, Compression, MediaRange, RouteCompression};
use crate::schema::compression as written;
use crate::values::{OneOf, Size};

const DEFAULT_CODINGS: [Coding; 3] = [Coding::Zstd, Coding::Brotli, Coding::Gzip];
const DEFAULT_KIND: &str = "text/";
const DEFAULT_TYPES: [&str; 11] = [
    "application/atom+xml",
    "application/javascript",
    "application/json",
    "application/ld+json",
    "application/manifest+json",
    "application/problem+json",
    "application/rss+xml",
    "application/wasm",
    "application/xhtml+xml",
    "application/xml",
    "image/svg+xml",
];

pub(super) fn of_listener(
    written: Field<Switchable<written::Compression>>,
    report: &mut Report<'_>,
) -> Option<Compression> {
    match written {
        Field::Given(Marked { value: Switchable::On(written), .. }) => Some(compression(written, report)),
        _ => None,
    }
}

pub(super) fn of_route(
    written: Field<Switchable<written::Compression>>,
    report: &mut Report<'_>,
) -> RouteCompression {
    match written {
        Field::Given(Marked { value: Switchable::On(written), .. }) => {
            RouteCompression::On(compression(written, report))
        }
        Field::Given(Marked { value: Switchable::Off, .. }) => RouteCompression::Off,
        Field::Absent | Field::Bad => RouteCompression::OfListener,
    }
}

fn compression(written: written::Compression, report: &mut Report<'_>) -> Compression {
    let off = "to compress nothing, write `compression: off`";
    let mut codings: Vec<Coding> = Vec::new();
    for item in some_items(written.algorithms, "`algorithms`", off, report).unwrap_or_default() {
        let Field::Given(Marked { mark, value: OneOf(coding) }) = item else { continue };
        if codings.contains(&coding) {
            let message = format!("`algorithms` names {} twice", quoted(coding.name()));
            report.error(mark, message, Some("the order is the preference: keep the first one".to_owned()));
        } else {
            codings.push(coding);
        }
    }
    if codings.is_empty() {
        codings = DEFAULT_CODINGS.to_vec();
    }
    let types = some_items(written.types, "`types`", off, report).map(super::good).unwrap_or_default();
    let types = if types.is_empty() { default_types() } else { types };
    let min_bytes = written.min_bytes.or(Size(written::DEFAULT_SMALLEST_BYTES)).0;
    Compression { codings, min_bytes, types }
}

fn default_types() -> Vec<MediaRange> {
    let exact = DEFAULT_TYPES.iter().map(|name| MediaRange::Exact((*name).into()));
    std::iter::once(MediaRange::Kind(DEFAULT_KIND.into())).chain(exact).collect()
}
