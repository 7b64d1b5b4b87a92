//! What is known of a connection to an upstream besides its endpoint: for filters that want to know.

use std::net::SocketAddr;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConnection, ProtocolVersion};

use crate::tls::Peer;

/// The two ends of one connection.
#[derive(Default)]
pub(crate) struct ConnectionEnds {
    /// The gateway's own; a socket that is just closing has none.
    pub(crate) local: Option<SocketAddr>,
    /// `None` on a plain connection.
    pub(crate) tls: Option<UpstreamTls>,
}

/// What is known after the handshake.
pub(crate) struct UpstreamTls {
    /// As Envoy writes it: `TLSv1.3`.
    pub(crate) version: &'static str,
    certificate: Option<CertificateDer<'static>>,
}

impl UpstreamTls {
    pub(super) fn of(connection: &ClientConnection) -> Self {
        let version = match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLSv1.3",
        };
        let certificate = connection.peer_certificates().and_then(<[_]>::first);
        Self { version, certificate: certificate.map(|certificate| certificate.clone().into_owned()) }
    }

    /// Who the upstream is. Read anew each time: few ask.
    pub(crate) fn peer(&self) -> Option<Peer> {
        self.certificate.as_ref().and_then(Peer::of)
    }
}
