//! Talking to the admin interface of a running gateway: where it is, and who is asking.
//!
//! What the configuration says is the default, so that the commands need nothing but the name of a filter where the
//! gateway runs. One request over a connection of its own, never repeated.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::commands::Failure;

/// Where it listens unless somebody says otherwise.
const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9901);
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer may take: a change waits until all workers have it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);
/// Largest answer.
const MAX_ANSWER_BYTES: u64 = 64 << 20;
/// Largest file with a token.
const MAX_TOKEN_BYTES: u64 = 4_096;

/// How to reach a running gateway.
#[derive(clap::Args)]
pub(crate) struct Reach {
    /// The configuration of the running gateway, which says where its admin interface is
    #[arg(short, long, value_name = "FILE", default_value = "gateway.yaml")]
    config: PathBuf,

    /// The admin interface: an address, or the path of its Unix socket [default: as the configuration says]
    #[arg(long, value_name = "ADDRESS|PATH", value_parser = door)]
    admin: Option<Door>,

    /// The file with the token for changes [default: as the configuration says]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Where an admin interface is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Door {
    Tcp(SocketAddr),
    Socket(PathBuf),
}

/// A running gateway's admin interface.
#[derive(Debug)]
pub(crate) struct Admin {
    door: Door,
    token_file: Option<PathBuf>,
}

/// Why there is no answer, or none that is of use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminError {
    #[error(
        "no gateway answers at {0}: {1}\n  = help: is it running, and is this its configuration? `--admin` names another place"
    )]
    Unreachable(String, io::Error),
    #[error("{0}: {1}")]
    Token(String, io::Error),
    #[error("{message}")]
    Refused {
        /// HTTP status.
        status: u16,
        message: String,
    },
    #[error("{0} gave an answer that is none of a gateway's admin interface: {1}")]
    NoAnswer(String, String),
}

fn door(text: &str) -> Result<Door, String> {
    if text.contains('/') {
        return Ok(Door::Socket(text.into()));
    }
    let address = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    address.as_deref().unwrap_or(text).parse().map(Door::Tcp).map_err(|_| {
        "write IP:PORT, such as 127.0.0.1:9901, or the path of a Unix socket, such as ./admin.sock".to_owned()
    })
}

impl std::fmt::Display for Door {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(out, "{address}"),
            Self::Socket(path) => write!(out, "{}", path.display()),
        }
    }
}

impl Reach {
    /// Works out where the gateway is.
    pub(crate) fn admin(self) -> Result<Admin, Failure> {
        let is_given = self.admin.is_some();
        // Whoever says where it is needs no configuration.
        let config = match self.config.exists() || !is_given {
            true if is_given => gateway_config::load(&self.config).ok(),
            true if self.config.exists() => Some(gateway_config::load(&self.config)?),
            _ => None,
        };
        let changes = config.as_ref().map(|config| &config.admin_changes);
        let of_config = || match &config {
            None => Ok(Door::Tcp(DEFAULT_ADMIN)),
            Some(config) => match (&config.admin_changes.socket, config.admin) {
                (Some(socket), _) => Ok(Door::Socket(socket.clone())),
                (None, Some(address)) => Ok(Door::Tcp(reachable(address))),
                (None, None) => {
                    Err(Failure::Message(format!("the admin interface is off in {}", self.config.display())))
                }
            },
        };
        let door = self.admin.map_or_else(of_config, Ok)?;
        let token_file = self.token_file.or_else(|| changes?.token_file.clone());
        Ok(Admin { door, token_file })
    }
}

/// `0.0.0.0` is where it listens, not where it is reached.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => {
            SocketAddr::new(Ipv4Addr::LOCALHOST.into(), v4.port())
        }
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
            SocketAddr::new(std::net::Ipv6Addr::LOCALHOST.into(), v6.port())
        }
        address => address,
    }
}

impl Admin {
    /// Reads something.
    pub(crate) fn get(&self, path: &str) -> Result<Value, AdminError> {
        self.ask("GET", path, "")
    }

    /// Changes something.
    pub(crate) fn post(&self, path: &str) -> Result<Value, AdminError> {
        let authorization = match (&self.door, &self.token_file) {
            (Door::Socket(_), _) | (_, None) => String::new(),
            (Door::Tcp(_), Some(file)) => {
                let token = read_token(file);
                let token = token.map_err(|error| AdminError::Token(file.display().to_string(), error))?;
                format!("authorization: Bearer {token}\r\n")
            }
        };
        self.ask("POST", path, &authorization)
    }

    fn ask(&self, method: &str, path: &str, extra: &str) -> Result<Value, AdminError> {
        let place = self.door.to_string();
        let unreachable = |error| AdminError::Unreachable(place.clone(), error);
        let host = match &self.door {
            Door::Tcp(address) => address.to_string(),
            Door::Socket(_) => "localhost".to_owned(),
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\nconnection: close\r\n{extra}\r\n"
        );
        let answer = match &self.door {
            Door::Tcp(address) => TcpStream::connect_timeout(address, CONNECT_TIMEOUT).and_then(|stream| {
                stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
                exchange(stream, &request)
            }),
            Door::Socket(path) => UnixStream::connect(path).and_then(|stream| {
                stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
                exchange(stream, &request)
            }),
        };
        let answer = answer.map_err(unreachable)?;
        let (status, body) = parts(&answer).map_err(|why| AdminError::NoAnswer(place.clone(), why))?;
        if status != 200 {
            let message = String::from_utf8_lossy(body).trim_end().to_owned();
            return Err(AdminError::Refused { status, message });
        }
        serde_json::from_slice(body).map_err(|error| AdminError::NoAnswer(place, error.to_string()))
    }
}

fn read_token(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(file)?.take(MAX_TOKEN_BYTES).read_to_string(&mut text)?;
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "holds no token"));
    }
    Ok(token.to_owned())
}

fn exchange(mut stream: impl Read + Write, request: &str) -> io::Result<Vec<u8>> {
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer)?;
    Ok(answer)
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
    fn places_are_addresses_or_paths() {
        assert_eq!(door("127.0.0.1:9901"), Ok(Door::Tcp(DEFAULT_ADMIN)));
        assert_eq!(door("localhost:9901"), Ok(Door::Tcp(DEFAULT_ADMIN)));
        assert_eq!(door("/run/admin.sock"), Ok(Door::Socket("/run/admin.sock".into())));
        for wrong in ["", "9901", "localhost", "gateway.example:9901", "http:"] {
            assert!(door(wrong).is_err(), "{wrong}");
        }
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
