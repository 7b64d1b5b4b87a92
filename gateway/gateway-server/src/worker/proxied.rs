//! The PROXY protocol on the way in: who connects, by the word of a trusted proxy in front.
//!
//! The header comes before everything else, before TLS too. It is read without taking a byte of what follows.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use gateway_config::IpNet;
use gateway_wire::proxy_protocol::{MAX_BYTES, Progress, Proxied, Refusal, read};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::activity::ConnectionHandle;
use super::connection::LAST_WORDS_TIMEOUT;

/// Time for a whole header. Proxies send it at once, in one piece.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// The two ends of a connection. An address of IPv4 is never in its IPv6 form.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
}

impl Ends {
    pub(super) fn new(peer: SocketAddr, local: SocketAddr) -> Self {
        Self { peer: canonical(peer), local: canonical(local) }
    }
}

/// Why there is no header.
#[derive(Debug, thiserror::Error)]
pub(super) enum HeaderError {
    #[error("no PROXY protocol header after {HEADER_TIMEOUT:?}")]
    Timeout,
    #[error("the connection ended within its PROXY protocol header")]
    Ended,
    #[error("{0}")]
    Refused(Refusal),
    #[error("the PROXY protocol header could not be read: {0}")]
    Io(#[from] io::Error),
}

/// Whether connections from there begin with a header.
pub(super) fn is_expected(from: &[IpNet], peer: SocketAddr) -> bool {
    !from.is_empty() && from.iter().any(|network| network.contains(&peer.ip()))
}

/// Takes the header off the stream. `direct` are the ends of the connection itself.
pub(super) async fn read_header(
    stream: &mut TcpStream,
    direct: Ends,
    handle: &ConnectionHandle,
) -> Result<Ends, HeaderError> {
    let mut reading = pin!(tokio::time::timeout(HEADER_TIMEOUT, header(stream)));
    let header = tokio::select! {
        biased;
        header = &mut reading => header,
        // What was sent before the farewell may be here and only not have been looked at.
        () = handle.told_to_close() => {
            tokio::time::timeout(LAST_WORDS_TIMEOUT, reading).await.unwrap_or_else(Err)
        }
    };
    Ok(match header.map_err(|_| HeaderError::Timeout)?? {
        Proxied::Local => direct,
        Proxied::From { source, destination } => Ends::new(source, destination),
    })
}

async fn header(stream: &mut TcpStream) -> Result<Proxied, HeaderError> {
    let mut bytes = vec![0; MAX_BYTES];
    let mut taken = 0;
    loop {
        // Looked at first and taken then, so that what follows the header stays where it is.
        let seen = stream.peek(&mut bytes[taken..]).await?;
        if seen == 0 {
            return Err(HeaderError::Ended);
        }
        match read(&bytes[..taken + seen]).map_err(HeaderError::Refused)? {
            Progress::Complete(proxied, length) => {
                stream.read_exact(&mut bytes[taken..length]).await?;
                return Ok(proxied);
            }
            Progress::Incomplete => {
                stream.read_exact(&mut bytes[taken..taken + seen]).await?;
                taken += seen;
            }
        }
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
