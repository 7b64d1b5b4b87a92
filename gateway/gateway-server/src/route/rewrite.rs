//! New paths and places: what an upstream is asked for, and where a redirect leads.
//!
//! A new path is in canonical form, as the old one is. Dot segments in it are refused and not resolved: they would lead out
//! of where the configuration meant the path to be.

use std::borrow::Cow;

use gateway_config::{PathMatch, PathRewrite, Redirect, Scheme};
use gateway_wire::path::{Policy, canonical, has_dot_segments};
use http::uri::PathAndQuery;

use crate::target::with_query;

/// Longest path that a rewrite may make, in bytes: a request target cannot be represented beyond.
const MAX_PATH_BYTES: usize = 65_000;

/// A new path that nobody can be asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unfit {
    /// It does not fit into a request.
    TooLong,
    /// It has no canonical form, or what the client sent became a dot segment of it.
    NotCanonical,
}

/// The path of an upstream request, with the query of the old one. `matched` is the condition that the old one met.
pub(crate) fn rewritten(
    rewrite: &PathRewrite,
    matched: &PathMatch,
    old: &PathAndQuery,
) -> Result<PathAndQuery, Unfit> {
    let Some(path) = new_path(rewrite, matched, old.path()) else { return Ok(old.clone()) };
    if path.len() >= MAX_PATH_BYTES {
        return Err(Unfit::TooLong);
    }
    // A cut through an escape may leave anything.
    let path = String::from_utf8(path).map_err(|_| Unfit::NotCanonical)?;
    if has_dot_segments(&path) {
        return Err(Unfit::NotCanonical);
    }
    // What the client's part of it may hold was decided when it came; the rest is the configuration's.
    let form = match canonical(&path, Policy::LENIENT).map_err(|_| Unfit::NotCanonical)? {
        Cow::Borrowed(_) => path,
        Cow::Owned(form) => form,
    };
    with_query(form, old.query()).map_err(|_| Unfit::TooLong)
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
) -> Result<Option<String>, Unfit> {
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
