//! Names of headers that claim to know who asks, or what was asked for before somebody changed it.
//!
//! Upstreams believe them, because some proxy sets them: so no client may. Many servers read `_` as `-`, and so do these
//! comparisons.

/// Whatever begins so.
const PREFIXES: [&[u8]; 3] = [b"x-forwarded-", b"x-original-", b"x-envoy-"];

/// Beginning with `x-`.
const EXTENSIONS: [&[u8]; 11] = [
    b"x-client-ip",
    b"x-cluster-client-ip",
    b"x-host",
    b"x-originating-ip",
    b"x-real-ip",
    b"x-remote-addr",
    b"x-remote-ip",
    b"x-request-id",
    b"x-rewrite-url",
    b"x-scheme",
    b"x-url-scheme",
];

/// All others.
const OTHERS: [&[u8]; 8] = [
    b"cf-connecting-ip",
    b"cf-connecting-ipv6",
    b"client-ip",
    b"fastly-client-ip",
    b"forwarded",
    b"front-end-https",
    PROXY,
    b"true-client-ip",
];

/// Programs started by a server take it for a setting: `HTTP_PROXY` (CVE-2016-5385). No proxy ever has to send it.
const PROXY: &[u8] = b"proxy";

/// Whether a name, in lower case, is one of these.
pub(super) fn is_claim(name: &str) -> bool {
    let name = name.as_bytes();
    // By their first letters, most names are none.
    match name {
        [b'x', ..] => {
            PREFIXES.iter().any(|prefix| name.len() > prefix.len() && is_same(&name[..prefix.len()], prefix))
                || EXTENSIONS.iter().any(|known| is_same(name, known))
        }
        [b'c' | b'f' | b'p' | b't', ..] => OTHERS.iter().any(|known| is_same(name, known)),
        _ => false,
    }
}

/// Whether not even a trusted peer is believed: those that no proxy sends.
pub(super) fn is_never_believed(name: &str) -> bool {
    is_claim(name) && (name.contains('_') || name.as_bytes() == PROXY)
}

fn is_same(name: &[u8], known: &[u8]) -> bool {
    name.len() == known.len()
        && name.iter().zip(known).all(|(byte, known)| byte == known || (*byte == b'_' && *known == b'-'))
}

#[cfg(test)]
#[path = "claims_tests.rs"]
mod tests;
