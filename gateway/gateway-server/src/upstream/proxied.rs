//! The PROXY protocol on the way out: what endpoints are told before anything else is sent.
//!
//! A connection that told of one client never carries a request of another: pools give it to that client alone.

use std::io;

use gateway_config::ProxyVersion;
use gateway_wire::proxy_protocol::{Proxied, Version, write};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// Tells of `client`, or that the gateway itself connects.
pub(crate) async fn tell(
    stream: &mut TcpStream,
    version: ProxyVersion,
    client: Option<&Proxied>,
) -> io::Result<()> {
    let version = match version {
        ProxyVersion::V1 => Version::V1,
        ProxyVersion::V2 => Version::V2,
    };
    let mut header = Vec::new();
    write(version, client.copied().unwrap_or(Proxied::Local), &mut header);
    stream.write_all(&header).await
}
