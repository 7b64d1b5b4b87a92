//! The request head in one form for HTTP/1 and HTTP/2: method, path with query, and headers with exactly one `host`.
//!
//! What belongs to the connection and not to the message (RFC 9110, section 7.6.1) is gone after this.

use std::borrow::Cow;
use std::net::SocketAddr;

use gateway_config::ListenerLimits;
use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
    TE, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Version};

use super::fixed::is_fixed;
use super::interim::InterimSink;
use super::{Reason, RequestError, list_size};
use crate::filter::Chain;

/// A request head in normal form.
pub(crate) struct RequestHead {
    pub(crate) method: Method,
    pub(crate) path: PathAndQuery,
    pub(crate) headers: HeaderMap,
    /// Where interim responses go, if anybody wants them.
    pub(crate) interim: Option<InterimSink>,
}

/// What is left where a head was taken from.
impl Default for RequestHead {
    fn default() -> Self {
        Self {
            method: Method::GET,
            path: PathAndQuery::from_static("/"),
            headers: HeaderMap::new(),
            interim: None,
        }
    }
}

impl RequestHead {
    /// Host in lower case without port.
    pub(crate) fn host(&self) -> Cow<'_, str> {
        let host = self.headers.get(HOST).and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
        let host = strip_port(host.unwrap_or(""));
        // No early exit: so written, the compiler looks at many bytes at once.
        if host.bytes().fold(false, |any, byte| any | byte.is_ascii_uppercase()) {
            Cow::Owned(host.to_ascii_lowercase())
        } else {
            Cow::Borrowed(host)
        }
    }

    /// The same once more, for sending it again.
    pub(super) fn copied(&self) -> Self {
        Self {
            method: self.method.clone(),
            path: self.path.clone(),
            headers: self.headers.clone(),
            interim: self.interim.clone(),
        }
    }

    /// The body length that the sender declared.
    pub(crate) fn content_length(&self) -> Option<u64> {
        content_length(&self.headers)
    }
}

/// The declared body length of a head.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Whether whoever sent this means the connection to end with it (RFC 9112, section 9.6).
pub(super) fn asks_to_close(headers: &HeaderMap) -> bool {
    let mut tokens =
        headers.get_all(CONNECTION).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    tokens.any(|token| token.trim_ascii().eq_ignore_ascii_case(b"close"))
}

/// Brings a head into normal form, or says why it cannot be. With it comes the protocol that the client wants to change to.
pub(super) fn normalise(
    parts: Parts,
    limits: &ListenerLimits,
    local: SocketAddr,
) -> Result<(RequestHead, Option<HeaderValue>), RequestError> {
    let Parts { method, uri, version, mut headers, .. } = parts;
    if version == Version::HTTP_2 {
        list_size::check(&method, &uri, &headers, limits)?;
    }
    if method == Method::CONNECT {
        return Err(RequestError::client(Reason::BadRequest));
    }
    let uri = uri.into_parts();
    let path = uri.path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/"));
    if path.as_str().len() > limits.uri_bytes {
        return Err(RequestError::client(Reason::UriTooLong));
    }
    // Authority form is for CONNECT alone; and no other scheme is spoken here.
    let has_known_scheme =
        uri.scheme.as_ref().is_some_and(|scheme| matches!(scheme.as_str(), "http" | "https"));
    if uri.authority.is_some() && !has_known_scheme {
        return Err(RequestError::client(Reason::BadRequest));
    }
    // Absolute form and `:authority` win over `host` (RFC 9112, section 3.2.2).
    if let Some(authority) = uri.authority {
        if authority.as_str().contains('@') {
            return Err(RequestError::client(Reason::BadRequest));
        }
        let value = HeaderValue::from_str(authority.as_str())
            .map_err(|_| RequestError::client(Reason::BadRequest))?;
        headers.insert(HOST, value);
    }
    let mut hosts = headers.get_all(HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    if second.is_some() || (host.is_none() && version != Version::HTTP_10) {
        return Err(RequestError::client(Reason::BadRequest));
    }
    if host.is_none() {
        // An upstream of HTTP/1.1 must refuse a request without one; what the client connected to is what it meant.
        let local =
            HeaderValue::try_from(local.to_string()).map_err(|_| RequestError::client(Reason::BadRequest))?;
        headers.insert(HOST, local);
    }
    if version == Version::HTTP_2 {
        join_cookies(&mut headers);
    }
    let upgrade = strip_connection_headers(&mut headers)?;
    Ok((RequestHead { method, path, headers, interim: None }, upgrade))
}

/// HTTP/2 may carry cookies in several fields; everybody else expects one (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    // Parts of legal values and legal separators are a legal value.
    if let Ok(cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, cookie);
    }
}

/// What the filters made of the head, and whether it may take another route now.
pub(super) fn take_from_chain(chain: &Chain) -> (RequestHead, bool) {
    let mut stream = chain.stream.borrow_mut();
    // The stream keeps its copy: filters may read it until the end.
    let head = RequestHead {
        method: stream.method.clone(),
        path: stream.path.clone(),
        headers: stream.request_headers.clone(),
        interim: None,
    };
    (head, std::mem::take(&mut stream.routing_changed))
}

/// Removes what belongs to the connection, and what `connection` names. Returns the `upgrade` that it named.
///
/// # Errors
/// A `connection` header that is not a list of tokens.
pub(crate) fn strip_connection_headers(headers: &mut HeaderMap) -> Result<Option<HeaderValue>, RequestError> {
    // One walk over a few names is cheaper than looking up each that could be there.
    let mut present = [false; CONNECTION_HEADER_COUNT];
    for name in headers.keys().filter(|name| has_length_of_connection_header(name)) {
        if let Some(index) = CONNECTION_HEADERS.iter().position(|known| known == name) {
            present[index] = true;
        }
    }
    let mut upgrade = None;
    if present[0] {
        for name in named_by_connection(headers)? {
            if name == UPGRADE {
                // It goes with the others below.
                upgrade = headers.get(UPGRADE).cloned();
            } else if !is_fixed(&name) {
                headers.remove(name);
            }
        }
    }
    for (name, _) in CONNECTION_HEADERS.iter().zip(present).filter(|(_, present)| *present) {
        let says_trailers =
            name == TE && headers.get_all(TE).iter().all(|value| value.as_bytes() == b"trailers");
        if !says_trailers {
            headers.remove(name);
        }
    }
    Ok(upgrade)
}

/// What `connection` names besides the two words that nearly every message has.
fn named_by_connection(headers: &HeaderMap) -> Result<Vec<HeaderName>, RequestError> {
    let bad = || RequestError::client(Reason::BadRequest);
    let mut named = Vec::new();
    for value in headers.get_all(CONNECTION).iter().filter(|value| *value != "keep-alive") {
        for token in value.to_str().map_err(|_| bad())?.split(',').map(str::trim) {
            if !matches!(token, "" | "keep-alive" | "close") {
                named.push(token.parse::<HeaderName>().map_err(|_| bad())?);
            }
        }
    }
    Ok(named)
}

/// Most headers have not even the length of one that ends with its connection.
fn has_length_of_connection_header(name: &HeaderName) -> bool {
    matches!(name.as_str().len(), 2 | 6 | 7 | 10 | 16 | 17 | 18 | 19 | 25)
}

const CONNECTION_HEADER_COUNT: usize = 10;

/// Headers that end with the connection they came on (RFC 9110, section 7.6.1, and what RFC 2616 named).
/// `connection` is the first; [`has_length_of_connection_header`] knows their lengths.
static CONNECTION_HEADERS: [HeaderName; CONNECTION_HEADER_COUNT] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    TE,
    PROXY_AUTHORIZATION,
    // The gateway answers `100 Continue` itself when it reads the body.
    EXPECT,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-authentication-info"),
];

fn strip_port(host: &str) -> &str {
    if let Some(end) = host.strip_prefix('[').and_then(|rest| rest.find(']')) {
        return &host[..end + 2];
    }
    // The colon is near the end: a port has five digits at most.
    host.bytes().rposition(|byte| byte == b':').map_or(host, |colon| &host[..colon])
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
