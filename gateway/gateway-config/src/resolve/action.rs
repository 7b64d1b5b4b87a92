//! What routes do: forward, answer or redirect; and what they change on the way.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::edits::edits;
use super::file::{Files, content_type};
use super::{all, mark_of, some_items};
use crate::address::Host;
use crate::cors_text::Allowed;
use crate::diagnostic::{Mark, Report, quoted, suggestion};
use crate::http_text::{PathReplacement, UrlPath};
use crate::read::{Field, List, Marked, OneOrMany, Problem, Scalar, ShortOr};
use crate::resolved::{
    AllowList, Cors, Destination, DirectResponse, HostPattern, OriginPattern, PathMatch, PathPiece,
    PathRewrite, Redirect, RegexRewrite, Rewrite, RouteAction, RouteMatch,
};
use crate::schema;
use crate::template::path_pieces;
use crate::values::{Name, Switch, Text, Whole};

const DEFAULT_REDIRECT_STATUS: u16 = 302;

pub(super) type UpstreamNames = BTreeMap<String, usize>;

/// The fields of a route that say what it does.
pub(super) struct Written {
    pub(super) to: Field<OneOrMany<ShortOr<Name, schema::Destination>>>,
    pub(super) respond: Field<schema::Respond>,
    pub(super) redirect: Field<schema::Redirect>,
    pub(super) rewrite: Field<schema::Rewrite>,
}

/// What surrounds them.
pub(super) struct Context<'a, 'dir> {
    pub(super) index: usize,
    pub(super) route: Mark,
    pub(super) matches: Option<&'a [RouteMatch]>,
    pub(super) upstreams: &'a UpstreamNames,
    pub(super) files: &'a mut Files<'dir>,
}

/// Exactly one of `to`, `respond` and `redirect`; a rewrite only where something is forwarded.
pub(super) fn action(
    written: Written,
    context: &mut Context<'_, '_>,
    report: &mut Report<'_>,
) -> Option<(RouteAction, Rewrite)> {
    let Written { to, respond, redirect, rewrite: written_rewrite } = written;
    let forwards = matches!(to, Field::Given(_));
    let marks = [mark_of(&to), mark_of(&respond), mark_of(&redirect)];
    let index = context.index;
    if let [first, .., last] = marks.into_iter().flatten().collect::<Vec<_>>()[..] {
        let later = if (last.line, last.column) > (first.line, first.column) { last } else { first };
        let help = "a request is either forwarded, answered or redirected: keep one".to_owned();
        let message = format!("routes[{index}] takes one of `to`, `respond` and `redirect`");
        report.error(later, message, Some(help));
        if let Field::Given(to) = to {
            forward(to, context.upstreams, report);
        }
        return None;
    }
    if let (Field::Given(rewrite), false, false) = (&written_rewrite, forwards, to.is_bad()) {
        let help = "a redirect has its own `host` and `path`".to_owned();
        report.error(rewrite.mark, "`rewrite` changes what goes to an upstream: it needs `to`", Some(help));
    }
    let rewrite = match written_rewrite {
        Field::Absent => Some(Rewrite::default()),
        Field::Bad => None,
        Field::Given(written) => rewrite(written, context, report),
    };
    let action = match (to, respond, redirect) {
        (Field::Given(to), ..) => forward(to, context.upstreams, report).map(RouteAction::Forward),
        (_, Field::Given(written), _) => respond_with(written, context, report).map(RouteAction::Respond),
        (_, _, Field::Given(written)) => redirect_to(written, context, report).map(RouteAction::Redirect),
        (Field::Absent, Field::Absent, Field::Absent) => {
            let help = "`to` names an upstream, `respond: {status: 404}` answers, `redirect` sends elsewhere";
            let message = format!("routes[{index}] needs `to`, `respond` or `redirect`");
            report.error(context.route, message, Some(help.to_owned()));
            None
        }
        _ => None,
    };
    Some((action?, rewrite?))
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
    let long = match written {
        ShortOr::Long(long) => long,
        ShortOr::Short(name) => schema::Destination {
            upstream: Field::Given(Marked { mark, value: name }),
            weight: Field::Absent,
            request_headers: Field::Absent,
            response_headers: Field::Absent,
        },
    };
    let weight = match long.weight.is_bad() {
        true => None,
        false => u32::try_from(long.weight.or(Whole(1)).0).ok(),
    };
    let request_headers = edits(long.request_headers, report);
    let response_headers = edits(long.response_headers, report);
    let Marked { mark, value: Name(name) } = long.upstream.given()?;
    let Some(upstream) = upstreams.get(&name) else {
        let none = Some("there are no `upstreams` yet: write `upstreams: {NAME: HOST:PORT}`".to_owned());
        let help = suggestion(&name, upstreams.keys().map(String::as_str), "upstreams").or(none);
        report.error(mark, format!("there is no upstream {}", quoted(&name)), help);
        return None;
    };
    Some(Destination { upstream: *upstream, weight: weight?, request_headers, response_headers })
}

fn respond_with(
    Marked { value: written, .. }: Marked<schema::Respond>,
    context: &mut Context<'_, '_>,
    report: &mut Report<'_>,
) -> Option<DirectResponse> {
    if let (Field::Given(_), Field::Given(file)) = (&written.body, &written.file) {
        let help = "the answer is either written here or read from a file".to_owned();
        report.error(file.mark, "`respond` takes `body` or `file`, not both", Some(help));
    }
    let (body, file, content_type) = match written.file {
        Field::Bad => return None,
        Field::Given(file) => {
            let (path, content) = context.files.content(&file.value.0, file.mark, report)?;
            let content_type = content_type(&path);
            (content, Some(path), Some(content_type))
        }
        Field::Absent => (written.body.or(Text(String::new())).0.into_bytes().into(), None, None),
    };
    let status = u16::try_from(written.status.given()?.value.0).ok()?;
    Some(DirectResponse { status, body, content_type, file })
}

fn redirect_to(
    Marked { mark, value: written }: Marked<schema::Redirect>,
    context: &Context<'_, '_>,
    report: &mut Report<'_>,
) -> Option<Redirect> {
    if written.scheme.is_absent()
        && written.host.is_absent()
        && written.port.is_absent()
        && written.path.is_absent()
    {
        let help = "name what changes: `scheme`, `host`, `port` or `path`".to_owned();
        report.error(mark, "this redirect leads to where the request was sent to", Some(help));
        return None;
    }
    let host = host(written.host, report);
    let path = path(written.path, context, report);
    let bad = written.scheme.is_bad() || written.port.is_bad() || written.status.is_bad();
    let port = written.port.given().and_then(|port| u16::try_from(port.value.0).ok());
    let redirect = Redirect {
        scheme: written.scheme.given().map(|scheme| scheme.value.0),
        host: host?,
        port,
        path: path?,
        status: written.status.given().map_or(DEFAULT_REDIRECT_STATUS, |status| status.value.0),
    };
    (!bad).then_some(redirect)
}

fn rewrite(
    Marked { mark, value: written }: Marked<schema::Rewrite>,
    context: &Context<'_, '_>,
    report: &mut Report<'_>,
) -> Option<Rewrite> {
    if written.host.is_absent() && written.path.is_absent() {
        let help = "name what changes: `host` or `path`".to_owned();
        report.error(mark, "this rewrite changes nothing", Some(help));
        return None;
    }
    let host = host(written.host, report);
    let path = path(written.path, context, report);
    Some(Rewrite { host: host?, path: path? })
}

fn host(written: Field<Host>, report: &mut Report<'_>) -> Option<Option<Arc<str>>> {
    match written {
        Field::Absent => Some(None),
        Field::Bad => None,
        Field::Given(Marked { value: Host(HostPattern::Exact(host)), .. }) => Some(Some(host)),
        Field::Given(Marked { mark, .. }) => {
            let help = "write one host".to_owned();
            report.error(mark, "a wildcard is no host to send to", Some(help));
            None
        }
    }
}

fn path(
    written: Field<schema::PathRewrite>,
    context: &Context<'_, '_>,
    report: &mut Report<'_>,
) -> Option<Option<PathRewrite>> {
    let Marked { mark, value: written } = match written {
        Field::Absent => return Some(None),
        Field::Bad => return None,
        Field::Given(written) => written,
    };
    match (written.full, written.prefix, written.regex) {
        (Field::Given(full), Field::Absent, Field::Absent) => {
            Some(Some(PathRewrite::Full(full.value.0.into())))
        }
        (Field::Absent, Field::Given(Marked { mark, value: UrlPath(prefix) }), Field::Absent) => {
            let mut paths = context.matches.unwrap_or_default().iter().map(|condition| &condition.path);
            if paths.any(|path| !matches!(path, PathMatch::Prefix(_))) {
                let help = "every entry of the route's `match` must have `path: {prefix: ...}`; else use `full` or `regex`";
                let message =
                    "`prefix` replaces the prefix that matched, and this route also matches in other ways";
                report.error(mark, message, Some(help.to_owned()));
                return None;
            }
            Some(Some(PathRewrite::Prefix(prefix.trim_end_matches('/').into())))
        }
        (Field::Absent, Field::Absent, Field::Given(regex)) => {
            regex_rewrite(regex.value, report).map(|regex| Some(PathRewrite::Regex(regex)))
        }
        (Field::Bad, _, _) | (_, Field::Bad, _) | (_, _, Field::Bad) => None,
        _ => {
            let help = "`full` replaces the whole path, `prefix` the prefix that matched, `regex` what an expression matches";
            report.error(
                mark,
                "`path` takes exactly one of `full`, `prefix` and `regex`",
                Some(help.to_owned()),
            );
            None
        }
    }
}

fn regex_rewrite(written: schema::RegexRewrite, report: &mut Report<'_>) -> Option<RegexRewrite> {
    let (pattern, with) = (written.matches.given(), written.with.given());
    let (pattern, Marked { mark, value: PathReplacement(text) }) = (pattern?.value, with?);
    match path_pieces(&text, &pattern) {
        Ok(with) => {
            let filled = |piece: &PathPiece| match piece {
                PathPiece::Text(text) => text.to_string(),
                PathPiece::Group(_) => "x".to_owned(),
            };
            // What groups bring along is seen when it is there.
            let sample: String = with.iter().map(filled).collect();
            if let Err(Problem::Because { reason, help }) = UrlPath::parse(&sample) {
                report.error(mark, format!("the replacement {reason}"), help);
                return None;
            }
            Some(RegexRewrite { pattern, with })
        }
        Err((message, help)) => {
            report.error(mark, format!("the replacement {message}"), help);
            None
        }
    }
}

/// `Some(None)` without `cors`, `None` if wrong.
pub(super) fn cors(written: Field<schema::Cors>, report: &mut Report<'_>) -> Option<Option<Cors>> {
    let Marked { value: written, .. } = match written {
        Field::Absent => return Some(None),
        Field::Bad => return None,
        Field::Given(written) => written,
    };
    let help = "list the sites whose scripts may read responses, for example `https://www.example.com`";
    let origins = some_items(written.allow_origins, "`allowOrigins`", help, report).and_then(all);
    let credentials_mark = mark_of(&written.allow_credentials);
    let Switch(credentials) = written.allow_credentials.or(Switch(false));
    if let (true, Some(mark), Some(origins)) = (credentials, credentials_mark, &origins)
        && origins.contains(&OriginPattern::Any)
    {
        let message = "credentials from `*` would let every site read what the user may read";
        let help = "list the origins that may send credentials".to_owned();
        report.error(mark, message, Some(help));
        return None;
    }
    let methods = allow_list(written.allow_methods);
    let headers = allow_list(written.allow_headers);
    let expose = all(written.expose_headers.or(List(Vec::new())).0);
    Some(Some(Cors {
        origins: origins?,
        methods: methods?,
        headers: headers?,
        expose: joined(&expose?).into(),
        credentials,
        max_age: written.max_age.given().map(|age| age.value.0),
    }))
}

fn allow_list<T: AsRef<str>>(written: Field<List<Allowed<T>>>) -> Option<AllowList> {
    let mut these = Vec::new();
    for item in all(written.or(List(Vec::new())).0)? {
        match item {
            Allowed::Any => return Some(AllowList::Any),
            Allowed::This(item) => these.push(item),
        }
    }
    Some(AllowList::These(joined(&these).into()))
}

fn joined<T: AsRef<str>>(items: &[T]) -> String {
    items.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ")
}
