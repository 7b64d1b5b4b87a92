//! Pieces of HTTP messages as configuration writes them: paths, methods, header names and values (RFC 9110, RFC 3986).

use serde_json::{Value, json};

use std::borrow::Cow;

use gateway_wire::path::{Policy, canonical};

use crate::diagnostic::quoted;
use crate::read::{Problem, Scalar};
use crate::resolved::MediaRange;
use crate::values::{because, mismatch, show_size};

/// Longest path, method, header name or value, in bytes.
const MAX_BYTES: usize = 8 * 1024;

/// Headers that say how a message is framed or to whom a connection belongs: the gateway writes these itself.
const OWNED_HEADERS: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// An absolute path without query.
#[derive(Clone, Debug)]
pub(crate) struct UrlPath(pub(crate) String);

/// A path with references to groups of an expression; what it becomes is checked where those are known.
#[derive(Clone, Debug)]
pub(crate) struct PathReplacement(pub(crate) String);

/// A method, upper case.
#[derive(Clone, Debug)]
pub(crate) struct Method(pub(crate) String);

/// A protocol that a connection may change to (RFC 9110, section 7.8), lower case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct UpgradeProtocol(pub(crate) String);

/// A header name, lower case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct HeaderName(pub(crate) String);

/// A header name that an edit may change, lower case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct EditableHeader(pub(crate) String);

/// A header value: printable ASCII, spaces and tabs inside.
#[derive(Clone, Debug)]
pub(crate) struct HeaderValue(pub(crate) String);

impl Scalar for UrlPath {
    fn expects() -> String {
        "a path that starts with `/`".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        check_path(text)?;
        match canonical(text, Policy::LENIENT) {
            Ok(Cow::Borrowed(_)) => Ok(Self(text.to_owned())),
            Ok(Cow::Owned(form)) => {
                let help = format!("write {}", quoted(&form));
                Err(because("is not in canonical form, which every path has here", Some(help)))
            }
            Err(refusal) => Err(because(&format!("{refusal}: such paths are refused"), None)),
        }
    }

    fn schema() -> Value {
        json!({"type": "string", "pattern": "^/[^?#\\s]*$"})
    }
}

impl Scalar for PathReplacement {
    fn expects() -> String {
        UrlPath::expects()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        check_path(text).map(|()| Self(text.to_owned()))
    }

    fn schema() -> Value {
        <UrlPath as Scalar>::schema()
    }
}

impl Scalar for Method {
    fn expects() -> String {
        "a method such as `GET`".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        check_length(text)?;
        match is_token(text) {
            true => Ok(Self(text.to_ascii_uppercase())),
            false => Err(mismatch(Some("one method per match; several matches are a list".to_owned()))),
        }
    }

    fn schema() -> Value {
        json!({"type": "string", "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", "examples": ["GET", "POST"]})
    }
}

impl Scalar for UpgradeProtocol {
    fn expects() -> String {
        "a protocol such as `websocket`".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        check_length(text)?;
        let protocol = text.to_ascii_lowercase();
        let name = protocol.split('/').next().unwrap_or_default();
        if matches!(name, "h2c" | "http" | "tls") {
            let reason = "would carry requests that routes and filters do not see";
            let help = "HTTP/2 needs no upgrade: the gateway speaks it by prior knowledge and over TLS";
            return Err(because(reason, Some(help.to_owned())));
        }
        match protocol.split('/').count() <= 2 && protocol.split('/').all(is_token) {
            true => Ok(Self(protocol)),
            false => Err(mismatch(Some("a name, or a name and a version as `name/1.0`".to_owned()))),
        }
    }

    fn schema() -> Value {
        let token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
        json!({"type": "string", "pattern": format!("^{token}(/{token})?$"), "examples": ["websocket"]})
    }
}

impl Scalar for HeaderName {
    fn expects() -> String {
        "a header name".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        check_length(text)?;
        if text.starts_with(':') {
            let help = "match `:path` and `:method` with `path` and `method`, `:authority` with `hosts`";
            return Err(mismatch(Some(help.to_owned())));
        }
        match is_token(text) {
            true => Ok(Self(text.to_ascii_lowercase())),
            false => Err(mismatch(Some(
                "header names are letters, digits and `-`, without spaces or `:`".to_owned(),
            ))),
        }
    }

    fn schema() -> Value {
        json!({"type": "string", "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"})
    }
}

impl Scalar for EditableHeader {
    fn expects() -> String {
        "a header name".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        if !is_token(text) {
            let help = "header names are letters, digits and `-`, without spaces or `:`; pseudo-headers cannot be edited";
            return Err(mismatch(Some(help.to_owned())));
        }
        let HeaderName(name) = HeaderName::parse(text)?;
        if OWNED_HEADERS.contains(&name.as_str()) {
            let reason = format!("names {}, which the gateway writes itself", quoted(&name));
            let help = format!("these cannot be edited: {}", OWNED_HEADERS.join(", "));
            return Err(because(&reason, Some(help)));
        }
        Ok(Self(name))
    }

    fn schema() -> Value {
        <HeaderName as Scalar>::schema()
    }
}

impl Scalar for HeaderValue {
    fn expects() -> String {
        "a header value".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        check_length(text)?;
        if text != text.trim_matches([' ', '\t']) {
            return Err(because(
                "starts or ends with a space, which headers do not keep",
                Some("remove the space".into()),
            ));
        }
        match text.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte)) {
            true => Ok(Self(text.to_owned())),
            false => Err(because(
                "holds a character that is not printable ASCII",
                Some("encode it, for example with percent signs; line ends cannot stand in a header".into()),
            )),
        }
    }

    fn schema() -> Value {
        json!({"type": ["string", "number", "boolean"]})
    }
}

/// RFC 9110 5.6.2.
impl Scalar for MediaRange {
    fn expects() -> String {
        "a content type such as `application/json`, or `text/*`".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        check_length(text)?;
        if text.contains(';') {
            return Err(because(
                "has parameters",
                Some(
                    "a content type is meant with all its parameters: leave out `;` and what follows".into(),
                ),
            ));
        }
        match text.split_once('/') {
            Some((kind, "*")) if is_token(kind) && kind != "*" => {
                Ok(Self::Kind(format!("{}/", kind.to_ascii_lowercase()).into()))
            }
            Some((kind, name)) if is_token(kind) && is_token(name) && !text.contains('*') => {
                Ok(Self::Exact(text.to_ascii_lowercase().into()))
            }
            _ => Err(mismatch(None)),
        }
    }

    fn schema() -> Value {
        json!({"type": "string", "pattern": "^[^/;*\\s]+/([^/;*\\s]+|\\*)$", "examples": ["application/json", "text/*"]})
    }
}

fn check_path(text: &str) -> Result<(), Problem> {
    check_length(text)?;
    if !text.starts_with('/') {
        let help =
            if text.contains("://") { None } else { Some(format!("write {}", quoted(&format!("/{text}")))) };
        return Err(mismatch(help));
    }
    if text.contains(['?', '#']) {
        return Err(because(
            "is a path: it cannot hold a query or a fragment",
            Some("leave out `?` or `#` and what follows".into()),
        ));
    }
    if let Some(stem) = text.strip_suffix('*') {
        let help = format!(
            "a prefix already matches everything below it: {}",
            quoted(&format!("prefix: /{}", stem.trim_matches('/')))
        );
        return Err(because("ends with `*`, which is no pattern here", Some(help)));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(because(
            "holds a character that paths do not have",
            Some("percent-encode it: a space is `%20`".into()),
        ));
    }
    if text.split('/').any(|segment| segment == "." || segment == "..") {
        return Err(because("holds a `.` or `..` segment, so that no request can match it", None));
    }
    Ok(())
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn check_length(text: &str) -> Result<(), Problem> {
    match text.len() > MAX_BYTES {
        true => Err(because(&format!("is longer than {}", show_size(MAX_BYTES as u64)), None)),
        false => Ok(()),
    }
}

#[cfg(test)]
#[path = "http_text_tests.rs"]
mod tests;
