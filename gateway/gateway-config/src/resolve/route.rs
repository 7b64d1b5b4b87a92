//! Routes: what they match, what they do, and what they change.

use std::path::Path;
use std::time::Duration;

use super::action::{Context, UpstreamNames, Written, action, cors};
use super::edits::edits;
use super::file::Files;
use super::listener::Names;
use super::matches::{hosts, matches};
use super::reach::Reach;
use super::resilience::retry;
use super::upgrades::upgrades;
use super::{compression, duration, mark_of, place_of, some_items};
use crate::diagnostic::Report;
use crate::read::{Field, List, Marked};
use crate::resolved::{Listener, Route};
use crate::schema;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(15);

pub(super) fn routes(
    written: Field<List<schema::Route>>,
    listeners: &[Listener],
    upstreams: &UpstreamNames,
    base_dir: &Path,
    report: &mut Report<'_>,
) -> Vec<Route> {
    let help = "write at least one, for example `- to: UPSTREAM`";
    let items = some_items(written, "`routes`", help, report).unwrap_or_default();
    let mut names = Names::default();
    let mut files = Files::new(base_dir);
    let mut reach = Reach::default();
    // Routes are large: a list that grows would copy them again and again.
    let mut resolved = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let Field::Given(Marked { mark, value: written }) = item else { continue };
        let name = names.take(written.name, "route", index, mark, report);
        let hosts = hosts(written.hosts, report);
        let matches = matches(written.matches, mark, listeners, report);
        if let (Some(hosts), Some(matches)) = (&hosts, &matches) {
            reach.add(index, mark, hosts, matches, report);
        }
        // A `to` that is wrong is still one.
        let forwards = !matches!(written.to, Field::Absent);
        let upgrades = upgrades(written.upgrades, written.upgrade_idle_timeout, forwards, report);
        if let (Some(mark), false) = (mark_of(&written.interim_responses), forwards) {
            let help = "only an upstream sends interim responses".to_owned();
            report.error(
                mark,
                "`interimResponses` concerns what an upstream answers: it needs `to`",
                Some(help),
            );
        }
        let written_action = Written {
            to: written.to,
            respond: written.respond.unboxed(),
            redirect: written.redirect.unboxed(),
            rewrite: written.rewrite.unboxed(),
        };
        let forwards = !written_action.to.is_absent();
        let mut context =
            Context { index, route: mark, matches: matches.as_deref(), upstreams, files: &mut files };
        let action = action(written_action, &mut context, report);
        let cors = cors(written.cors.unboxed(), report);
        let request_headers = edits(written.request_headers.unboxed(), report);
        let response_headers = edits(written.response_headers.unboxed(), report);
        let compression = compression::of_route(written.compression, report);
        let timeout_place = place_of(&written.timeout, report);
        let timeout = Some(duration(written.timeout, DEFAULT_TIMEOUT)).filter(|timeout| !timeout.is_zero());
        let retry = retry(written.retry.unboxed(), forwards, report);
        let place = report.place(mark);
        let (Some(hosts), Some(matches), Some((action, rewrite)), Some(cors), Some(retry)) =
            (hosts, matches, action, cors, retry)
        else {
            continue;
        };
        resolved.push(Route {
            name: name.into(),
            hosts,
            matches,
            action,
            rewrite,
            max_body_bytes: written.max_body.given().map(|size| size.value.0),
            cors,
            timeout,
            timeout_place,
            retry,
            upgrades,
            interim_responses: written.interim_responses.given().is_some_and(|written| written.value.0),
            request_headers,
            response_headers,
            compression,
            place,
        });
    }
    reach.warn(report);
    resolved
}
