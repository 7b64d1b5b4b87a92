//! Addresses and hosts as people write them: where to listen, where to connect, which host a route means.
//!
//! Nothing here is looked up; a name stays a name. Hosts are compared in lower case and without a port (RFC 9110 4.2.3).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::diagnostic::quoted;
use crate::read::{Problem, Scalar};
use crate::resolved::{EndpointAddress, HostPattern};
use crate::values::{because, mismatch};

/// Longest host name (RFC 1035 2.3.4), in bytes.
const MAX_HOST_BYTES: usize = 253;
/// Longest label of a host name (RFC 1035 2.3.4), in bytes.
const MAX_LABEL_BYTES: usize = 63;

/// `IP:port`, or `:port` for every IPv4 address of the machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bind(pub(crate) SocketAddr);

/// `host:port`, `IP:port` or `[IPv6]:port`.
#[derive(Clone, Debug)]
pub(crate) struct Address(pub(crate) EndpointAddress);

/// A host, or `*.` and a domain.
#[derive(Clone, Debug)]
pub(crate) struct Host(pub(crate) HostPattern);

/// A host name that a TLS server is asked for (RFC 6066, section 3), in lower case.
#[derive(Clone, Debug)]
pub(crate) struct ServerName(pub(crate) Arc<str>);

impl Scalar for Bind {
    fn expects() -> String {
        "an address to listen on, such as `0.0.0.0:8080`".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        if let Ok(address) = text.parse() {
            return Ok(Self(address));
        }
        let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
        let port_number = port.parse::<u16>().ok();
        if let ("", Some(port)) = (host, port_number) {
            return Ok(Self(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))));
        }
        let help = if let Ok(port) = text.parse::<u16>() {
            format!("`:{port}` listens on every address, `127.0.0.1:{port}` for this machine only")
        } else if let (Ok(ip), Some(port)) = (host.parse::<Ipv6Addr>(), port_number) {
            format!("IPv6 addresses stand in brackets: `[{ip}]:{port}`")
        } else if let Ok(ip) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
            format!("a port is missing: {}", quoted(&SocketAddr::new(ip, 8080).to_string()))
        } else if let ("localhost", Some(port)) = (host, port_number) {
            format!("an address, not a name: `127.0.0.1:{port}`")
        } else if let ("*", Some(port)) = (host, port_number) {
            format!("every address is written `:{port}`")
        } else if port_number.is_none() && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
        {
            "ports go from 0 to 65535".to_owned()
        } else {
            "write `IP:port`, `[IPv6]:port`, or `:port` for every address; names are not looked up here"
                .to_owned()
        };
        Err(mismatch(Some(help)))
    }

    fn schema() -> Value {
        json!({"type": "string", "pattern": ":[0-9]{1,5}$", "examples": ["0.0.0.0:8080", ":8080", "[::1]:8080"]})
    }
}

impl Scalar for Address {
    fn expects() -> String {
        "an address such as `10.0.0.1:9080` or `host:9080`".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        if let Some((scheme, rest)) = text.split_once("://") {
            let authority = rest.split('/').next().unwrap_or(rest);
            let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
            let port = if has_port {
                ""
            } else if scheme == "https" {
                ":443"
            } else {
                ":80"
            };
            let help =
                format!("an endpoint is host and port, not a URL: {}", quoted(&format!("{authority}{port}")));
            return Err(mismatch(Some(help)));
        }
        if let Ok(ip) = text.parse::<Ipv6Addr>() {
            let help = format!("IPv6 addresses stand in brackets and need a port: `[{ip}]:80`");
            return Err(mismatch(Some(help)));
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return Err(mismatch(Some(format!("a port is missing: {}", quoted(&format!("{text}:80"))))));
        };
        let port = match port.parse::<u16>() {
            Ok(port) if port > 0 => port,
            _ => return Err(mismatch(Some("ports go from 1 to 65535".to_owned()))),
        };
        if let Ok(address) = text.parse() {
            return Ok(Self(EndpointAddress::Socket(address)));
        }
        let name = host.strip_suffix('.').unwrap_or(host);
        check_name(name)
            .map_err(|why| because(&format!("names the host {}, which {why}", quoted(host)), None))?;
        Ok(Self(EndpointAddress::Name { host: host.into(), port }))
    }

    fn schema() -> Value {
        json!({"type": "string", "pattern": ":[0-9]{1,5}$", "examples": ["10.0.0.1:9080", "reviews.internal:9080"]})
    }
}

impl Scalar for Host {
    fn expects() -> String {
        "a host such as `shop.example.com` or `*.example.com`".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        if text.is_empty() {
            return Err(mismatch(None));
        }
        let host = text.to_lowercase();
        let wrong = |reason: &str, help: &str| {
            Err(because(&format!("is {}: {reason}", quoted(text)), Some(help.to_owned())))
        };
        if host == "*" {
            return wrong("`*` alone is not a host", "leave `hosts` out to match every host");
        }
        if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            return match inner.parse::<Ipv6Addr>() {
                Ok(ip) => Ok(Self(HostPattern::Exact(format!("[{ip}]").into()))),
                Err(_) => Err(mismatch(None)),
            };
        }
        if let Some((name, port)) = host.rsplit_once(':')
            && port.bytes().all(|byte| byte.is_ascii_digit())
            && !name.contains(':')
        {
            return wrong("hosts are compared without their port", &format!("write {}", quoted(name)));
        }
        let domain = host.strip_prefix("*.");
        let name = domain.unwrap_or(&host);
        if name.contains('*') {
            return wrong(
                "`*` can only be the first label",
                "`*.example.com` matches every host below example.com",
            );
        }
        if let Err(why) = check_name(name) {
            let help = (!name.is_ascii())
                .then(|| "write international names in their ASCII form, `xn--...`".to_owned());
            return Err(because(&format!("is {}, which {why}", quoted(text)), help));
        }
        match domain {
            Some(domain) => Ok(Self(HostPattern::Suffix(format!(".{domain}").into()))),
            None => Ok(Self(HostPattern::Exact(name.into()))),
        }
    }

    fn schema() -> Value {
        json!({"type": "string", "minLength": 1, "examples": ["shop.example.com", "*.example.com"]})
    }
}

impl Scalar for ServerName {
    fn expects() -> String {
        "a host name such as `reviews.internal`".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        if text.parse::<IpAddr>().is_ok() {
            let help = "addresses are not sent as server names: leave it out, and the certificate must name the address";
            return Err(mismatch(Some(help.to_owned())));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        match check_name(&name) {
            Ok(()) => Ok(Self(name.into())),
            Err(why) => Err(because(&format!("is {}, which {why}", quoted(text)), None)),
        }
    }

    fn schema() -> Value {
        json!({"type": "string", "minLength": 1, "examples": ["reviews.internal"]})
    }
}

/// Letters, digits, `-` and (as container platforms use it) `_`, in labels of legal length.
fn check_name(name: &str) -> Result<(), &'static str> {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.is_empty() {
        return Err("is empty");
    }
    if name.len() > MAX_HOST_BYTES {
        return Err("is longer than 253 bytes");
    }
    for label in name.split('.') {
        if label.is_empty() {
            return Err("has an empty label");
        }
        if label.len() > MAX_LABEL_BYTES {
            return Err("has a label longer than 63 bytes");
        }
        if !label.bytes().all(is_legal) {
            return Err("holds a character that host names do not have");
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err("has a label that starts or ends with `-`");
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
