//! Pieces of the CORS protocol as configuration writes them (Fetch standard).

use serde_json::{Value, json};

use crate::address::{Address, Host};
use crate::http_text::{HeaderName, Method};
use crate::read::{Problem, Scalar};
use crate::resolved::{HostPattern, OriginPattern};
use crate::values::mismatch;

/// A method or header that is allowed, or `*`.
#[derive(Clone, Debug)]
pub(crate) enum Allowed<T> {
    Any,
    This(T),
}

impl<T: Scalar> Scalar for Allowed<T> {
    fn expects() -> String {
        format!("{}, or `*`", T::expects())
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        if text == "*" { Ok(Self::Any) } else { T::parse(text).map(Self::This) }
    }

    fn schema() -> Value {
        T::schema()
    }
}

impl AsRef<str> for Method {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for HeaderName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Scalar for OriginPattern {
    fn expects() -> String {
        "an origin such as `https://www.example.com` or `https://*.example.com`, or `*`".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let wrong =
            || mismatch(Some("scheme, host and, if it is not the usual one, port; no path".to_owned()));
        let text = text.to_ascii_lowercase();
        let (scheme, authority) = text.split_once("://").ok_or_else(wrong)?;
        let is_scheme = !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let (host, port) = match authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
            // Checks the port.
            Some((host, port)) => (host, Address::parse(&format!("a:{port}")).ok().map(|_| port)),
            None => (authority, Some("")),
        };
        let (Ok(Host(host)), Some(_), true) = (Host::parse(host), port, is_scheme) else {
            return Err(wrong());
        };
        match host {
            HostPattern::Exact(_) => Ok(Self::Exact(text.as_str().into())),
            HostPattern::Suffix(_) => Ok(Self::Below {
                scheme: format!("{scheme}://").into(),
                // Without the `*`.
                suffix: authority[1..].into(),
            }),
        }
    }

    fn schema() -> Value {
        json!({"type": "string", "examples": ["https://www.example.com", "https://*.example.com", "*"]})
    }
}
