//! From HTTP/2 to HTTP/1: a request head that HTTP/1 cannot say is refused (RFC 9113, sections 8.2, 8.3 and 10.3).
//!
//! HTTP/2 frames names and values by length, so that they may have any bytes; HTTP/1 frames them by what they contain.

use crate::gate::line::{collide, has_any_control, is_token, length, mimics_framing};
use crate::gate::request::is_target_text;
use crate::{Refusal, authority};

/// The pseudo-header fields of a request that is to be said in HTTP/1.
#[derive(Clone, Copy, Debug)]
pub struct Pseudo<'a> {
    /// `:method`.
    pub method: &'a [u8],
    /// `:scheme`.
    pub scheme: &'a [u8],
    /// `:path`.
    pub path: &'a [u8],
    /// `:authority`.
    pub authority: Option<&'a [u8]>,
}

/// Whether HTTP/1 can say this head, and says the same by it. `fields` are names and values in their order, each time anew.
///
/// # Errors
/// What it cannot say, or would be read in more than one way.
pub fn check<'a, I>(pseudo: &Pseudo<'_>, fields: impl Fn() -> I) -> Result<(), Refusal>
where
    I: Iterator<Item = (&'a [u8], &'a [u8])>,
{
    if !is_token(pseudo.method) {
        return Err(Refusal::RequestLine);
    }
    if ![&b"http"[..], b"https"].contains(&pseudo.scheme) {
        return Err(Refusal::Target);
    }
    let is_form = pseudo.path.first() == Some(&b'/') || (pseudo.path == b"*" && pseudo.method == b"OPTIONS");
    if !is_form || !is_target_text(pseudo.path) {
        return Err(Refusal::Target);
    }
    if pseudo.authority.is_some_and(|authority| !authority::is_valid(authority)) {
        return Err(Refusal::Host);
    }
    let (mut host, mut has_length, mut has_underscore) = (None, false, false);
    for (name, value) in fields() {
        check_field(name, value)?;
        has_underscore |= name.contains(&b'_');
        match name {
            b"host" if host.replace(value).is_some() => return Err(Refusal::HostRepeated),
            b"content-length" if length(value).is_none() || std::mem::replace(&mut has_length, true) => {
                return Err(Refusal::ContentLength);
            }
            b"transfer-encoding" => return Err(Refusal::TransferEncoding),
            b"connection" | b"proxy-connection" | b"keep-alive" | b"upgrade" => {
                return Err(Refusal::ConnectionHeader);
            }
            b"te" if !value.eq_ignore_ascii_case(b"trailers") => return Err(Refusal::ConnectionHeader),
            _ => {}
        }
    }
    match (host, pseudo.authority) {
        (None, None) => return Err(Refusal::HostMissing),
        (Some(host), Some(authority)) if !host.eq_ignore_ascii_case(authority) => {
            return Err(Refusal::HostMismatch);
        }
        (Some(host), None) if !authority::is_valid(host) => return Err(Refusal::Host),
        _ => {}
    }
    if has_underscore { check_underscores(fields) } else { Ok(()) }
}

/// One header or trailer.
///
/// # Errors
/// A name or a value that HTTP/1 cannot say.
fn check_field(name: &[u8], value: &[u8]) -> Result<(), Refusal> {
    if !is_token(name) || name.iter().any(u8::is_ascii_uppercase) {
        return Err(Refusal::HeaderName);
    }
    if has_any_control(value) {
        return Err(Refusal::ControlByte);
    }
    match value {
        [b' ' | b'\t', ..] | [.., b' ' | b'\t'] => Err(Refusal::HeaderValue),
        _ => Ok(()),
    }
}

fn check_underscores<'a, I>(fields: impl Fn() -> I) -> Result<(), Refusal>
where
    I: Iterator<Item = (&'a [u8], &'a [u8])>,
{
    let names = || fields().map(|(name, _)| name);
    let is_taken = |name: &&[u8]| mimics_framing(name) || names().any(|other| collide(name, other));
    match names().filter(|name| name.contains(&b'_')).find(is_taken) {
        Some(_) => Err(Refusal::UnderscoreName),
        None => Ok(()),
    }
}

#[cfg(test)]
#[path = "downgrade_tests.rs"]
mod tests;
