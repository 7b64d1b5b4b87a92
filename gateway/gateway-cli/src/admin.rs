//! Talking to the admin interface of a running gateway: where it is, and one question over a connection of its own, never
//! repeated.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::commands::Failure;

/// Where it listens unless somebody says otherwise.
const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9901);
/// How long connecting, and waiting for an answer, may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Largest answer.
const MAX_ANSWER_BYTES: u64 = 64 << 20;

/// How to reach a running gateway.
#[derive(clap::Args)]
pub(crate) struct Reach {
    /// The configuration of the running gateway, which says where its admin interface is
    #[arg(short, long, value_name = "FILE", default_value = "gateway.yaml")]
    config: PathBuf,

    /// The admin interface [default: as the configuration says, or 127.0.0.1:9901 without one]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    admin: Option<SocketAddr>,
}

/// A running gateway's admin interface.
#[derive(Debug)]
pub(crate) struct Admin {
    address: SocketAddr,
}

/// Why there is no answer, or none that is of use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminError {
    #[error(
        "no gateway answers at {0}: {1}\n  = help: is it running, and is this its configuration? `--admin` names another place"
    )]
    Unreachable(String, io::Error),
    #[error("{message}")]
    Refused {
        /// In words, as the gateway gave it.
        message: String,
    },
    #[error("{0} gave an answer that is none of a gateway's admin interface: {1}")]
    NoAnswer(String, String),
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let address = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    address.as_deref().unwrap_or(text).parse().map_err(|_| "write IP:PORT, such as 127.0.0.1:9901".to_owned())
}

impl Reach {
    /// Works out where the gateway is.
    pub(crate) fn admin(&self) -> Result<Admin, Failure> {
        let address = match self.admin {
            // Whoever says where it is needs no configuration.
            Some(address) => address,
            None if !self.config.exists() => DEFAULT_ADMIN,
            None => match gateway_config::load(&self.config)?.admin {
                Some(address) => reachable(address),
                None => {
                    return Err(Failure::Message(format!(
                        "the admin interface is off in {}",
                        self.config.display()
                    )));
                }
            },
        };
        Ok(Admin { address })
    }
}

/// `0.0.0.0` is where it listens, not where it is reached.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::new(Ipv6Addr::LOCALHOST.into(), address.port()),
        _ => address,
    }
}

impl Admin {
    /// Reads something.
    pub(crate) fn get(&self, path: &str) -> Result<Value, AdminError> {
        let place = self.address.to_string();
        let answer = self.exchange(path).map_err(|error| AdminError::Unreachable(place.clone(), error))?;
        let (status, body) = parts(&answer).map_err(|why| AdminError::NoAnswer(place.clone(), why))?;
        if status != 200 {
            return Err(AdminError::Refused { message: String::from_utf8_lossy(body).trim_end().to_owned() });
        }
        serde_json::from_slice(body).map_err(|error| AdminError::NoAnswer(place, error.to_string()))
    }

    fn exchange(&self, path: &str) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address);
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer)?;
        Ok(answer)
    }
}

/// Status and body; an answer that was cut off is none.
fn parts(answer: &[u8]) -> Result<(u16, &[u8]), String> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").ok_or("it has no head")?;
    let head = String::from_utf8_lossy(&answer[..end]);
    let body = &answer[end + 4..];
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
    let status = status.ok_or("it has no status")?;
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    match length.and_then(|(_, length)| length.trim().parse::<usize>().ok()) {
        Some(length) if length == body.len() => Ok((status, body)),
        _ => Err("it was cut off".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_addresses() {
        assert_eq!(address("127.0.0.1:9901"), Ok(DEFAULT_ADMIN));
        assert_eq!(address("localhost:9901"), Ok(DEFAULT_ADMIN));
        for wrong in ["", "9901", "localhost", "gateway.example:9901"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
        assert_eq!(reachable("0.0.0.0:1".parse().unwrap()), "127.0.0.1:1".parse().unwrap());
        assert_eq!(reachable("[::]:1".parse().unwrap()), "[::1]:1".parse().unwrap());
        assert_eq!(reachable("10.0.0.1:1".parse().unwrap()), "10.0.0.1:1".parse().unwrap());
    }

    #[test]
    fn an_answer_counts_when_it_is_whole() {
        assert_eq!(parts(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"), Ok((200, b"{}".as_slice())));
        assert_eq!(parts(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"), Ok((404, b"".as_slice())));
        for wrong in [
            b"".as_slice(),
            b"SSH-2.0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\n\r\n{}",
        ] {
            assert!(parts(wrong).is_err(), "{}", String::from_utf8_lossy(wrong));
        }
    }
}
