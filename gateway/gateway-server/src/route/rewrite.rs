//! New paths and places: what an upstream is asked for, and where a redirect leads.

use gateway_config::{PathMatch, PathRewrite, Redirect, Scheme};
use http::uri::PathAndQuery;

/// Longest path that a rewrite may make, in bytes: a request target cannot be represented beyond.
const MAX_PATH_BYTES: usize = 65_000;

/// The new path does not fit into a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TooLong;

/// The path of an upstream request, with the query of the old one. `matched` is the condition that the old one met.
pub(crate) fn rewritten(
    rewrite: &PathRewrite,
    matched: &PathMatch,
    old: &PathAndQuery,
) -> Result<PathAndQuery, TooLong> {
    let Some(mut target) = new_path(rewrite, matched, old.path()) else { return Ok(old.clone()) };
    if target.len() >= MAX_PATH_BYTES {
        return Err(TooLong);
    }
    if let Some(query) = old.query() {
        target.push(b'?');
        target.extend_from_slice(query.as_bytes());
    }
    PathAndQuery::from_maybe_shared(bytes::Bytes::from(target)).map_err(|_| TooLong)
}

/// `None` when the path stays as it is.
fn new_path(rewrite: &PathRewrite, matched: &PathMatch, old: &str) -> Option<Vec<u8>> {
    match rewrite {
        PathRewrite::Full(path) => Some(path.as_bytes().to_vec()),
        PathRewrite::Prefix(with) => {
            let rest = match matched {
                // The root's own slash begins what is kept.
                PathMatch::Prefix(prefix) if prefix.len() > 1 => old.get(prefix.len()..)?,
                _ => old,
            };
            let path = format!("{with}{rest}");
            Some(if path.is_empty() { b"/".to_vec() } else { path.into_bytes() })
        }
        PathRewrite::Regex(regex) => regex.apply(old, MAX_PATH_BYTES),
    }
}

/// What a client asked for, as far as redirects look at it.
pub(crate) struct Asked<'a> {
    pub(crate) scheme: Scheme,
    /// With port.
    pub(crate) host: &'a str,
    pub(crate) path: &'a PathAndQuery,
}

/// The value of `location`; `None` when no host is known.
pub(crate) fn location(
    redirect: &Redirect,
    matched: &PathMatch,
    asked: &Asked<'_>,
) -> Result<Option<String>, TooLong> {
    let scheme = redirect.scheme.unwrap_or(asked.scheme);
    let (old_host, old_port) = split_port(asked.host);
    let host = redirect.host.as_deref().unwrap_or(old_host);
    if host.is_empty() {
        return Ok(None);
    }
    let path = match &redirect.path {
        Some(rewrite) => &rewritten(rewrite, matched, asked.path)?,
        None => asked.path,
    };
    // Another scheme is not served on the old one's port.
    let kept = || old_port.filter(|_| redirect.scheme.is_none());
    let port = redirect.port.or_else(kept).filter(|port| *port != scheme.usual_port());
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    Ok(Some(format!("{}://{host}{port}{}", scheme.as_str(), path.as_str())))
}

fn split_port(host: &str) -> (&str, Option<u16>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port.parse().ok()),
        _ => (host, None),
    }
}
