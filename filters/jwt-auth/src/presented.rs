//! Owns finding tokens in a request and taking them out of it.

use gateway_sdk::prelude::*;
use gateway_sdk::query;

use crate::denial::Denial;
use crate::settings::Source;

/// The scheme of `authorization` (RFC 6750, section 2.1), compared without case.
const BEARER: &[u8] = b"bearer ";

/// The token, wherever it is; several places may have the same one.
pub(crate) fn find(request: &Request, from: &[Source]) -> Result<Result<Vec<u8>, Denial>> {
    let mut found: Vec<Vec<u8>> = Vec::new();
    for source in from {
        match source {
            Source::Header(name) => {
                let values = request.headers().get_all(name);
                found.extend(values.filter_map(|value| of_header(name, value)).map(<[u8]>::to_vec));
            }
            Source::Query(parameter) => found.extend(query::take(request.path()?, parameter).values),
            Source::Cookie(name) => found.extend(cookies(request).filter_map(|cookie| named(cookie, name))),
        }
    }
    found.retain(|token| !token.is_empty());
    Ok(match found.as_slice() {
        [] => Err(Denial::Missing),
        [first, rest @ ..] if rest.iter().any(|other| other != first) => Err(Denial::Ambiguous),
        [_, ..] => Ok(found.swap_remove(0)),
    })
}

/// Takes tokens out of all the places where they may be.
pub(crate) fn strip(request: &mut Request, from: &[Source]) -> Result<()> {
    for source in from {
        match source {
            Source::Header(name) => request.headers_mut().remove(name)?,
            Source::Query(parameter) => {
                if let Some(path) = query::take(request.path()?, parameter).path {
                    request.set_path(&path)?;
                }
            }
            Source::Cookie(name) => strip_cookie(request, name)?,
        }
    }
    Ok(())
}

/// Other schemes are none of ours.
fn of_header<'a>(name: &str, value: &'a [u8]) -> Option<&'a [u8]> {
    if !name.eq_ignore_ascii_case("authorization") {
        return Some(value.trim_ascii());
    }
    let (scheme, token) = value.split_at_checked(BEARER.len())?;
    scheme.eq_ignore_ascii_case(BEARER).then(|| token.trim_ascii())
}

/// `name=value` of all cookie headers (RFC 6265, section 4.2.1).
fn cookies(request: &Request) -> impl Iterator<Item = &[u8]> {
    let values = request.headers().get_all("cookie");
    values.flat_map(|value| value.split(|byte| *byte == b';')).map(<[u8]>::trim_ascii)
}

fn named(cookie: &[u8], name: &str) -> Option<Vec<u8>> {
    cookie.strip_prefix(name.as_bytes())?.strip_prefix(b"=").map(<[u8]>::to_vec)
}

fn strip_cookie(request: &mut Request, name: &str) -> Result<()> {
    let kept: Vec<&[u8]> = cookies(request).filter(|cookie| named(cookie, name).is_none()).collect();
    if kept.len() == cookies(request).count() {
        return Ok(());
    }
    let kept = kept.join(&b"; "[..]);
    if kept.is_empty() {
        request.headers_mut().remove("cookie")?;
    } else {
        request.headers_mut().set("cookie", kept)?;
    }
    Ok(())
}
