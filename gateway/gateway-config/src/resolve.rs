//! From what the user wrote to what the gateway runs: defaults filled in, names turned into indices, and the rules that
//! concern more than one field. Collects every error; a value is only handed out when there is none.
//!
//! Must never know YAML. Reads the files that answers are made of, and nothing else.

mod action;
mod client;
mod compression;
mod containment;
mod edits;
mod file;
mod filter;
mod listener;
mod matches;
mod reach;
mod resilience;
mod rollout;
mod route;
mod telemetry;
mod tls;
mod upgrades;
mod upstream;

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

pub(crate) use filter::{default_manifest, manifest};

use crate::diagnostic::{Mark, Report};
use crate::read::{Field, List, Marked};
use crate::resolved::{Config, Place};
use crate::schema;
use crate::values::{Span, Whole};

const DEFAULT_DRAIN: Duration = Duration::from_secs(30);

/// The whole configuration, or `None` after an error that leaves nothing to go on with.
pub(crate) fn config(written: schema::Config, base_dir: &Path, report: &mut Report<'_>) -> Option<Config> {
    let workers = written.workers.given().map(|marked| marked.value);
    let upstreams = upstream::upstreams(written.upstreams, base_dir, report);
    let admin_changes = rollout::admin_changes(&written.admin, base_dir, report);
    let webhook = rollout::webhook(written.events, upstreams.names.keys().map(String::as_str), report);
    let (listeners, admin) = listener::listeners(written.listeners, written.admin, base_dir, report);
    let routes = route::routes(written.routes, &listeners, &upstreams.names, base_dir, report);
    let filters = filter::settings(written.filters, base_dir, report);
    let access_log = telemetry::access_log(written.access_log, base_dir, report);
    let warnings = report.take_warnings();
    Some(Config {
        warnings,
        workers: workers.and_then(|Whole(count)| NonZeroUsize::new(usize::try_from(count).ok()?)),
        admin,
        admin_changes,
        webhook,
        listeners,
        routes,
        upstreams: upstreams.resolved?,
        filters,
        access_log,
        drain: duration(written.drain, DEFAULT_DRAIN),
    })
}

fn duration<const MIN: u64, const MAX: u64>(written: Field<Span<MIN, MAX>>, default: Duration) -> Duration {
    written.given().map_or(default, |marked| marked.value.0)
}

/// Where a setting was written; `None` if it is the default.
fn place_of<T>(written: &Field<T>, report: &Report<'_>) -> Option<Place> {
    mark_of(written).map(|mark| report.place(mark))
}

fn mark_of<T>(field: &Field<T>) -> Option<Mark> {
    match field {
        Field::Given(marked) => Some(marked.mark),
        Field::Absent | Field::Bad => None,
    }
}

/// The items of a list that must have one. `None` when the list itself is absent or wrong, which is reported elsewhere.
fn some_items<T>(
    written: Field<List<T>>,
    what: &str,
    help: &str,
    report: &mut Report<'_>,
) -> Option<Vec<Field<T>>> {
    let Marked { mark, value: List(items) } = written.given()?;
    if items.is_empty() {
        report.error(mark, format!("{what} is empty"), Some(help.to_owned()));
        return None;
    }
    Some(items)
}

/// All items without the marks, or `None` if one is wrong (and reported).
fn all<T>(items: Vec<Field<T>>) -> Option<Vec<T>> {
    items.into_iter().map(|item| item.given().map(|marked| marked.value)).collect()
}

/// The items that are not wrong, without the marks.
fn good<T>(items: Vec<Field<T>>) -> Vec<T> {
    items.into_iter().filter_map(|item| item.given().map(|marked| marked.value)).collect()
}
