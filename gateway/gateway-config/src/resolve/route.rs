//! Routes: what they match, where they send or what they answer, and which can never be reached.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::listener::Names;
use super::{all, duration, good, some_items};
use crate::diagnostic::{Mark, Report, quoted, suggestion};
use crate::http_text::{EditableHeader, HeaderName, HeaderValue};
use crate::read::{Field, List, Marked, Named, OneOrMany, ShortOr};
use crate::resolved::{
    Destination, DirectResponse, HeaderEdits, HostPattern, PathMatch, Route, RouteAction, RouteMatch,
};
use crate::schema;
use crate::values::{Name, Text, Whole};

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(15);

type UpstreamNames = BTreeMap<String, usize>;
type Header = (Arc<str>, Arc<str>);

pub(super) fn routes(
    written: Field<List<schema::Route>>,
    upstreams: &UpstreamNames,
    report: &mut Report<'_>,
) -> Vec<Route> {
    let help = "write at least one, for example `- to: UPSTREAM`";
    let items = some_items(written, "`routes`", help, report).unwrap_or_default();
    let mut names = Names::default();
    let mut reached = Reached::default();
    let mut resolved = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        let Field::Given(Marked { mark, value: written }) = item else { continue };
        let name = names.take(written.name, "route", index, mark, report);
        let hosts = hosts(written.hosts, report);
        let matches = matches(written.matches, report);
        if let (Some(hosts), Some(matches)) = (&hosts, &matches) {
            reached.check(index, mark, hosts, matches, report);
        }
        let action = action(written.to, written.respond, mark, index, upstreams, report);
        let request_headers = edits(written.request_headers, report);
        let response_headers = edits(written.response_headers, report);
        let timeout = Some(duration(written.timeout, DEFAULT_TIMEOUT)).filter(|timeout| !timeout.is_zero());
        let place = report.place(mark);
        let (Some(hosts), Some(matches), Some(action)) = (hosts, matches, action) else { continue };
        let name = name.into();
        resolved.push(Route {
            name,
            hosts,
            matches,
            action,
            timeout,
            request_headers,
            response_headers,
            place,
        });
    }
    resolved
}

/// What earlier routes match, to find one that repeats it.
#[derive(Default)]
struct Reached(HashMap<(Vec<String>, Vec<String>), (usize, Mark)>);

impl Reached {
    fn check(
        &mut self,
        index: usize,
        mark: Mark,
        hosts: &[HostPattern],
        matches: &[RouteMatch],
        report: &mut Report<'_>,
    ) {
        let key = (canonical(hosts), canonical(matches));
        let Some((first, first_mark)) = self.0.get(&key) else {
            self.0.insert(key, (index, mark));
            return;
        };
        let place = report.place(*first_mark);
        let same = format!("the same hosts and match as routes[{first}] at {}:{}", place.file, place.line);
        let help = "the first of two equal routes wins: remove one, or make it more specific".to_owned();
        report.error(mark, format!("routes[{index}] is never reached: {same}"), Some(help));
    }
}

/// Independent of order and repetition. `Debug` is unambiguous, and this runs once per load.
fn canonical<T: std::fmt::Debug>(items: &[T]) -> Vec<String> {
    let mut texts: Vec<String> = items.iter().map(|item| format!("{item:?}")).collect();
    texts.sort();
    texts.dedup();
    texts
}

/// `None` if wrong, empty for every host.
fn hosts(written: Field<List<crate::address::Host>>, report: &mut Report<'_>) -> Option<Vec<HostPattern>> {
    if written.is_absent() {
        return Some(Vec::new());
    }
    let items = some_items(written, "`hosts`", "leave `hosts` out to match every host", report)?;
    Some(all(items)?.into_iter().map(|host| host.0).collect())
}

fn matches(written: Field<OneOrMany<schema::Match>>, report: &mut Report<'_>) -> Option<Vec<RouteMatch>> {
    if written.is_absent() {
        let path = PathMatch::Prefix("/".into());
        return Some(vec![RouteMatch { path, method: None, headers: Vec::new() }]);
    }
    let Marked { mark, value: OneOrMany(items) } = written.given()?;
    let help = "leave `match` out to match every request";
    let items = some_items(Field::Given(Marked { mark, value: List(items) }), "`match`", help, report)?;
    let resolved: Vec<_> = items.into_iter().map(|item| one_match(item.given()?, report)).collect();
    resolved.into_iter().collect()
}

fn one_match(
    Marked { value: written, .. }: Marked<schema::Match>,
    report: &mut Report<'_>,
) -> Option<RouteMatch> {
    let path = match written.path {
        Field::Absent => Some(PathMatch::Prefix("/".into())),
        Field::Bad => None,
        Field::Given(path) => path_match(path, report),
    };
    let method = match written.method {
        Field::Absent => Some(None),
        Field::Bad => None,
        Field::Given(method) => Some(Some(method.value.0.into())),
    };
    let mut headers = match written.headers {
        Field::Absent => Some(Vec::new()),
        Field::Bad => None,
        Field::Given(headers) => pairs(headers.value, |HeaderName(name)| name, report),
    };
    if let Some(headers) = &mut headers {
        // All must hold, so order means nothing: equal conditions should look equal.
        headers.sort();
    }
    Some(RouteMatch { path: path?, method: method?, headers: headers? })
}

fn path_match(
    Marked { mark, value: written }: Marked<schema::PathMatch>,
    report: &mut Report<'_>,
) -> Option<PathMatch> {
    match (written.exact, written.prefix) {
        (Field::Given(exact), Field::Absent) => Some(PathMatch::Exact(exact.value.0.into())),
        (Field::Absent, Field::Given(prefix)) => {
            let segments = prefix.value.0.trim_end_matches('/');
            Some(PathMatch::Prefix(if segments.is_empty() { "/" } else { segments }.into()))
        }
        (Field::Absent, Field::Absent) => {
            let help = "write `prefix: /` to match every path".to_owned();
            report.error(mark, "`path` needs `exact` or `prefix`", Some(help));
            None
        }
        (Field::Given(_), Field::Given(prefix)) => {
            let help = "two entries under `match` match either of them".to_owned();
            report.error(prefix.mark, "`path` takes `exact` or `prefix`, not both", Some(help));
            None
        }
        _ => None,
    }
}

fn action(
    to: Field<OneOrMany<ShortOr<Name, schema::Destination>>>,
    respond: Field<schema::Respond>,
    route: Mark,
    index: usize,
    upstreams: &UpstreamNames,
    report: &mut Report<'_>,
) -> Option<RouteAction> {
    match (to, respond) {
        (Field::Absent, Field::Absent) => {
            let help = "`to: UPSTREAM` forwards, `respond: {status: 404}` answers".to_owned();
            report.error(route, format!("routes[{index}] needs `to` or `respond`"), Some(help));
            None
        }
        (Field::Given(to), Field::Given(respond)) => {
            let help = "a request is either forwarded or answered: remove one".to_owned();
            report.error(
                respond.mark,
                format!("routes[{index}] takes `to` or `respond`, not both"),
                Some(help),
            );
            forward(to, upstreams, report);
            None
        }
        (Field::Given(to), _) => forward(to, upstreams, report).map(RouteAction::Forward),
        (_, Field::Given(Marked { value: written, .. })) => {
            let body = written.body.or(Text(String::new())).0;
            let status = u16::try_from(written.status.given()?.value.0).ok()?;
            Some(RouteAction::Respond(DirectResponse { status, body: body.into_bytes().into() }))
        }
        _ => None,
    }
}

fn forward(
    Marked { mark, value: OneOrMany(items) }: Marked<OneOrMany<ShortOr<Name, schema::Destination>>>,
    upstreams: &UpstreamNames,
    report: &mut Report<'_>,
) -> Option<Vec<Destination>> {
    let list = Field::Given(Marked { mark, value: List(items) });
    let items = some_items(list, "`to`", "name the upstream that gets the requests", report)?;
    let resolved: Vec<_> =
        items.into_iter().map(|item| destination(item.given()?, upstreams, report)).collect();
    let destinations: Vec<Destination> = resolved.into_iter().collect::<Option<_>>()?;
    if destinations.iter().all(|destination| destination.weight == 0) {
        let help = "a route that should answer nothing is written with `respond`".to_owned();
        report.error(mark, "every weight is 0, so that no upstream gets a request", Some(help));
        return None;
    }
    Some(destinations)
}

fn destination(
    Marked { mark, value: written }: Marked<ShortOr<Name, schema::Destination>>,
    upstreams: &UpstreamNames,
    report: &mut Report<'_>,
) -> Option<Destination> {
    let (name, weight) = match written {
        ShortOr::Short(name) => (Some(Marked { mark, value: name }), Some(1)),
        ShortOr::Long(written) if written.weight.is_bad() => (written.upstream.given(), None),
        ShortOr::Long(written) => {
            (written.upstream.given(), u32::try_from(written.weight.or(Whole(1)).0).ok())
        }
    };
    let Marked { mark, value: Name(name) } = name?;
    let Some(upstream) = upstreams.get(&name) else {
        let none = Some("there are no `upstreams` yet: write `upstreams: {NAME: HOST:PORT}`".to_owned());
        let help = suggestion(&name, upstreams.keys().map(String::as_str), "upstreams").or(none);
        report.error(mark, format!("there is no upstream {}", quoted(&name)), help);
        return None;
    };
    Some(Destination { upstream: *upstream, weight: weight? })
}

/// Wrong edits are reported and left out.
fn edits(written: Field<schema::HeaderEdits>, report: &mut Report<'_>) -> HeaderEdits {
    let Some(Marked { value: written, .. }) = written.given() else { return HeaderEdits::default() };
    let editable = |EditableHeader(name)| name;
    let remove = written.remove.or(List(Vec::new())).0;
    HeaderEdits {
        remove: good(remove).into_iter().map(|name| editable(name).into()).collect(),
        set: written.set.given().and_then(|set| pairs(set.value, editable, report)).unwrap_or_default(),
        add: written.add.given().and_then(|add| pairs(add.value, editable, report)).unwrap_or_default(),
    }
}

/// Headers with their values; names that differ only in case are one name written twice.
fn pairs<K>(
    Named(entries): Named<K, HeaderValue>,
    name_of: impl Fn(K) -> String,
    report: &mut Report<'_>,
) -> Option<Vec<Header>> {
    let mut lines = HashMap::new();
    let mut headers = Vec::new();
    for (Marked { mark, value: name }, value) in entries {
        let name = name_of(name);
        if let Some(line) = lines.insert(name.clone(), mark.line) {
            let message = format!("header {} stands already in line {line}", quoted(&name));
            report.error(mark, message, Some("case does not tell header names apart".to_owned()));
        }
        headers.push(value.given().map(|value| (name.into(), value.value.0.into())));
    }
    headers.into_iter().collect()
}
