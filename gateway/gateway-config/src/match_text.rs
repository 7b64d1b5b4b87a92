//! What match conditions are written with: regular expressions, networks, names of cookies and query parameters.
//!
//! Regular expressions are those of the `regex` crate: no look-around and no back-references, so that matching takes
//! time linear in the value whatever a client sends.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Value, json};

use crate::diagnostic::quoted;
use crate::read::{Problem, Scalar};
use crate::resolved::Pattern;
use crate::values::{because, mismatch, show_size};

/// Longest regular expression, in bytes.
const MAX_PATTERN_BYTES: usize = 4 * 1024;
/// Largest compiled form of one regular expression, in bytes.
const MAX_COMPILED_BYTES: usize = 1024 * 1024;
/// Longest name of a cookie, query parameter or property, in bytes.
const MAX_PARAMETER_BYTES: usize = 1024;

/// A network in CIDR notation, or a single address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Network(pub(crate) IpNet);

/// The name of a cookie (RFC 6265, section 4.1.1); case matters.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct CookieName(pub(crate) String);

/// The name of a query parameter, decoded; case matters.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct ParameterName(pub(crate) String);

/// The name of a property that a filter sets, as routes and access lines write it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct StateName(pub(crate) String);

impl Scalar for Pattern {
    fn expects() -> String {
        "a regular expression".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        if text.is_empty() {
            return Err(because("is empty", None));
        }
        if text.len() > MAX_PATTERN_BYTES {
            return Err(because(&format!("is longer than {}", show_size(MAX_PATTERN_BYTES as u64)), None));
        }
        // Alone first: `a)|(b` must not become legal by what is put around it.
        let compiled = compile(text).and_then(|_| compile(&format!(r"\A(?:{text})\z")));
        match compiled {
            Ok(regex) => Ok(Self::new(text.into(), regex)),
            Err(regex::Error::CompiledTooBig(_)) => Err(because(
                &format!("needs more than {} when compiled", show_size(MAX_COMPILED_BYTES as u64)),
                Some("repeat less: `{1,1000}` multiplies what stands before it".to_owned()),
            )),
            Err(error) => Err(because(
                &format!("is not a regular expression: {}", last_line(&error.to_string())),
                Some("the syntax is that of RE2: no look-around, no back-references".to_owned()),
            )),
        }
    }

    fn schema() -> Value {
        json!({"type": "string", "minLength": 1, "format": "regex"})
    }
}

fn compile(text: &str) -> Result<regex::bytes::Regex, regex::Error> {
    regex::bytes::RegexBuilder::new(text).size_limit(MAX_COMPILED_BYTES).build()
}

/// The reason itself: the lines before it show the expression again.
fn last_line(message: &str) -> &str {
    let last = message.lines().last().unwrap_or(message);
    last.strip_prefix("error: ").unwrap_or(last)
}

impl Scalar for Network {
    fn expects() -> String {
        "an address or a network such as `10.0.0.0/8`".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self(ip.to_canonical().into()));
        }
        let Ok(network) = text.parse::<IpNet>() else {
            let help = "write `IP/BITS`, for example `192.168.0.0/16` or `fd00::/8`; names are not looked up";
            return Err(mismatch(Some(help.to_owned())));
        };
        if network.trunc() != network {
            let help = format!("the network is {}", quoted(&network.trunc().to_string()));
            return Err(because("has bits set after its prefix", Some(help)));
        }
        Ok(Self(network))
    }

    fn schema() -> Value {
        json!({"type": "string", "examples": ["10.0.0.0/8", "192.0.2.7", "fd00::/8"]})
    }
}

impl Scalar for CookieName {
    fn expects() -> String {
        "the name of a cookie".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        let is_legal = |byte: u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte);
        match !text.is_empty() && text.len() <= MAX_PARAMETER_BYTES && text.bytes().all(is_legal) {
            true => Ok(Self(text.to_owned())),
            false => Err(mismatch(Some("letters, digits and signs such as `-` and `_`".to_owned()))),
        }
    }

    fn schema() -> Value {
        json!({"type": "string", "minLength": 1})
    }
}

impl Scalar for StateName {
    fn expects() -> String {
        "the name of a property that a filter sets".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        let is_legal = |byte: u8| byte.is_ascii_graphic() && !b"%():".contains(&byte);
        match !text.is_empty() && text.len() <= MAX_PARAMETER_BYTES && text.bytes().all(is_legal) {
            true => Ok(Self(text.to_owned())),
            false => Err(mismatch(Some("for property `tenant` it is `wasm.tenant`".to_owned()))),
        }
    }

    fn schema() -> Value {
        json!({"type": "string", "minLength": 1, "examples": ["wasm.tenant"]})
    }
}

impl Scalar for ParameterName {
    fn expects() -> String {
        "the name of a query parameter".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        match !text.is_empty() && text.len() <= MAX_PARAMETER_BYTES {
            true => Ok(Self(text.to_owned())),
            false => Err(mismatch(Some(format!("1 to {MAX_PARAMETER_BYTES} bytes, not percent-encoded")))),
        }
    }

    fn schema() -> Value {
        json!({"type": "string", "minLength": 1})
    }
}
