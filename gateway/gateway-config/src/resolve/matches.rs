//! What a route matches: hosts and conditions. Every name once, exactly one way to compare a value.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use super::client::warn_of_path;
use super::{all, some_items};
use crate::address::Host;
use crate::diagnostic::{Mark, Report, quoted};
use crate::http_text::{HeaderName, HeaderValue, UrlPath};
use crate::match_text::{CookieName, Network, ParameterName, StateName};
use crate::read::{Field, List, Marked, Named, OneOrMany, Scalar, ShortOr};
use crate::resolved::{HostPattern, Listener, PathMatch, RouteMatch, ValueMatch};
use crate::schema;
use crate::values::{Switch, Text};

type NamedValues<K, V> = Field<Named<K, ShortOr<V, schema::ValueMatch>>>;
type Values = Vec<(Arc<str>, ValueMatch)>;

/// `None` if wrong, empty for every host.
pub(super) fn hosts(written: Field<List<Host>>, report: &mut Report<'_>) -> Option<Vec<HostPattern>> {
    if written.is_absent() {
        return Some(Vec::new());
    }
    let items = some_items(written, "`hosts`", "leave `hosts` out to match every host", report)?;
    Some(all(items)?.into_iter().map(|host| host.0).collect())
}

/// `None` if wrong; without `match`, one that every request meets.
pub(super) fn matches(
    written: Field<OneOrMany<schema::Match>>,
    route: Mark,
    listeners: &[Listener],
    report: &mut Report<'_>,
) -> Option<Vec<RouteMatch>> {
    if written.is_absent() {
        return Some(vec![RouteMatch {
            path: every_path(),
            method: None,
            headers: Vec::new(),
            query: Vec::new(),
            cookies: Vec::new(),
            filter_state: Vec::new(),
            clients: Vec::new(),
            not: Vec::new(),
            place: report.place(route),
        }]);
    }
    let help = "leave `match` out to match every request";
    let items = some_items(as_list(written), "`match`", help, report)?;
    let resolved: Vec<_> =
        items.into_iter().map(|item| one_match(item.given()?, listeners, report)).collect();
    resolved.into_iter().collect()
}

fn one_match(
    Marked { mark, value: written }: Marked<schema::Match>,
    listeners: &[Listener],
    report: &mut Report<'_>,
) -> Option<RouteMatch> {
    let schema::Match { path, method, headers, query, cookie, filter_state, client, not } = written;
    let not = negated(not, listeners, report);
    let plain = schema::NotMatch { path, method, headers, query, cookie, filter_state, client };
    let conditions = conditions(plain, mark, listeners, report)?;
    let not = not?;
    if not.iter().any(|not| implies(&conditions, not)) {
        let help = "what `not` names must differ from what the rest of the match asks for".to_owned();
        report.error(mark, "`not` repeats the match, so that no request can meet both", Some(help));
        return None;
    }
    Some(RouteMatch { not, ..conditions })
}

/// Whether every request that meets `conditions` meets `other` too, as far as their texts tell.
fn implies(conditions: &RouteMatch, other: &RouteMatch) -> bool {
    let all_in = |theirs: &Values, ours: &Values| theirs.iter().all(|value| ours.contains(value));
    (other.path == every_path() || other.path == conditions.path)
        && (other.method.is_none() || other.method == conditions.method)
        && all_in(&other.headers, &conditions.headers)
        && all_in(&other.query, &conditions.query)
        && all_in(&other.cookies, &conditions.cookies)
        && all_in(&other.filter_state, &conditions.filter_state)
        && (other.clients.is_empty() || other.clients == conditions.clients)
}

fn negated(
    written: Field<OneOrMany<schema::NotMatch>>,
    listeners: &[Listener],
    report: &mut Report<'_>,
) -> Option<Vec<RouteMatch>> {
    if written.is_absent() {
        return Some(Vec::new());
    }
    let items = some_items(as_list(written), "`not`", "leave `not` out", report)?;
    let one = |item: Field<schema::NotMatch>| {
        let Marked { mark, value: written } = item.given()?;
        let asks_nothing = written.path.is_absent()
            && written.method.is_absent()
            && written.headers.is_absent()
            && written.query.is_absent()
            && written.cookie.is_absent()
            && written.filter_state.is_absent()
            && written.client.is_absent();
        if asks_nothing {
            let help = "name what must not hold, for example `not: {method: GET}`".to_owned();
            report.error(mark, "an empty `not` excludes every request", Some(help));
            return None;
        }
        conditions(written, mark, listeners, report)
    };
    let resolved: Vec<_> = items.into_iter().map(one).collect();
    resolved.into_iter().collect()
}

fn conditions(
    written: schema::NotMatch,
    mark: Mark,
    listeners: &[Listener],
    report: &mut Report<'_>,
) -> Option<RouteMatch> {
    let path = match written.path {
        Field::Absent => Some(every_path()),
        Field::Bad => None,
        Field::Given(path) => path_match(path, listeners, report),
    };
    let method = match written.method {
        Field::Absent => Some(None),
        Field::Bad => None,
        Field::Given(method) => Some(Some(method.value.0.into())),
    };
    let headers =
        values(written.headers, "header", |name: HeaderName| name.0, |value: HeaderValue| value.0, report);
    let query =
        values(written.query, "query parameter", |name: ParameterName| name.0, |value: Text| value.0, report);
    let cookies =
        values(written.cookie, "cookie", |name: CookieName| name.0, |value: HeaderValue| value.0, report);
    let filter_state =
        values(written.filter_state, "property", |name: StateName| name.0, |value: Text| value.0, report);
    let clients = match written.client {
        Field::Absent => Some(Vec::new()),
        client => some_items(as_list(client), "`client`", "leave `client` out to match every client", report)
            .and_then(all)
            .map(|networks| networks.into_iter().map(|Network(network)| network).collect()),
    };
    Some(RouteMatch {
        path: path?,
        method: method?,
        headers: headers?,
        query: query?,
        cookies: cookies?,
        filter_state: filter_state?,
        clients: clients?,
        not: Vec::new(),
        place: report.place(mark),
    })
}

fn every_path() -> PathMatch {
    PathMatch::Prefix("/".into())
}

fn as_list<T>(written: Field<OneOrMany<T>>) -> Field<List<T>> {
    match written {
        Field::Absent => Field::Absent,
        Field::Bad => Field::Bad,
        Field::Given(Marked { mark, value: OneOrMany(items) }) => {
            Field::Given(Marked { mark, value: List(items) })
        }
    }
}

fn path_match(
    Marked { mark, value: written }: Marked<schema::PathMatch>,
    listeners: &[Listener],
    report: &mut Report<'_>,
) -> Option<PathMatch> {
    for Marked { mark, value: UrlPath(path) } in written.exact.iter().chain(written.prefix.iter()) {
        warn_of_path(path, *mark, listeners, report);
    }
    match (written.exact, written.prefix, written.regex) {
        (Field::Given(exact), Field::Absent, Field::Absent) => Some(PathMatch::Exact(exact.value.0.into())),
        (Field::Absent, Field::Given(prefix), Field::Absent) => {
            let segments = prefix.value.0.trim_end_matches('/');
            Some(PathMatch::Prefix(if segments.is_empty() { "/" } else { segments }.into()))
        }
        (Field::Absent, Field::Absent, Field::Given(regex)) => Some(PathMatch::Regex(regex.value)),
        (Field::Absent, Field::Absent, Field::Absent) => {
            let help = "write `prefix: /` to match every path".to_owned();
            report.error(mark, "`path` needs `exact`, `prefix` or `regex`", Some(help));
            None
        }
        (Field::Bad, _, _) | (_, Field::Bad, _) | (_, _, Field::Bad) => None,
        _ => {
            let help = "two entries under `match` match either of them".to_owned();
            report.error(mark, "`path` takes one of `exact`, `prefix` and `regex`", Some(help));
            None
        }
    }
}

/// Conditions on named values; a name that stands twice is reported.
fn values<K: Scalar, V: Scalar>(
    written: NamedValues<K, V>,
    kind: &str,
    name_of: impl Fn(K) -> String,
    text_of: impl Fn(V) -> String,
    report: &mut Report<'_>,
) -> Option<Values> {
    let entries = match written {
        Field::Absent => return Some(Vec::new()),
        Field::Bad => return None,
        Field::Given(Marked { value: Named(entries), .. }) => entries,
    };
    let mut once = Once::default();
    let mut resolved = Vec::new();
    for (Marked { mark, value: name }, value) in entries {
        let name = name_of(name);
        once.check(name.clone(), mark, kind, report);
        let value = value.given().and_then(|Marked { mark, value }| match value {
            ShortOr::Short(text) => Some(ValueMatch::Exact(text_of(text).into())),
            ShortOr::Long(written) => {
                value_match(Marked { mark, value: written }, &format!("{kind} {}", quoted(&name)), report)
            }
        });
        resolved.push(value.map(|value| (Arc::from(name), value)));
    }
    resolved.into_iter().collect()
}

fn value_match(
    Marked { mark, value: written }: Marked<schema::ValueMatch>,
    what: &str,
    report: &mut Report<'_>,
) -> Option<ValueMatch> {
    match (written.exact, written.regex, written.present) {
        (Field::Given(exact), Field::Absent, Field::Absent) => {
            let Text(text) = exact.value;
            Some(ValueMatch::Exact(text.into()))
        }
        (Field::Absent, Field::Given(regex), Field::Absent) => Some(ValueMatch::Regex(regex.value)),
        (Field::Absent, Field::Absent, Field::Given(present)) => {
            let Switch(present) = present.value;
            Some(ValueMatch::Present(present))
        }
        (Field::Bad, _, _) | (_, Field::Bad, _) | (_, _, Field::Bad) => None,
        _ => {
            let help =
                "write one of `{exact: TEXT}`, `{regex: EXPRESSION}`, `{present: true}`, or just the text";
            let message = format!("{what} takes exactly one of `exact`, `regex` and `present`");
            report.error(mark, message, Some(help.to_owned()));
            None
        }
    }
}

/// Names written so far; for header names, case does not tell them apart.
pub(super) struct Once<K>(HashMap<K, usize>);

impl<K> Default for Once<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash + AsRef<str>> Once<K> {
    pub(super) fn check(&mut self, name: K, mark: Mark, kind: &str, report: &mut Report<'_>) {
        let shown = quoted(name.as_ref());
        if let Some(line) = self.0.insert(name, mark.line) {
            let message = format!("{kind} {shown} stands already in line {line}");
            let help = (kind == "header").then(|| "case does not tell header names apart".to_owned());
            report.error(mark, message, help);
        }
    }
}
