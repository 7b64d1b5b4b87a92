//! The gateway's end towards clients: which certificate for which name, and what a connection proved.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use gateway_config::{ClientCertificate, TlsVersion};
use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{ProtocolVersion, ServerConfig, ServerConnection, SupportedProtocolVersion};

use super::certificate::{Authorities, SiteCertificate};
use super::peer::Peer;

/// In the order of preference.
const ALPN_PROTOCOLS: [&[u8]; 2] = [ALPN_HTTP2, b"http/1.1"];
const ALPN_HTTP2: &[u8] = b"h2";
const TLS13_ONLY: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
const TLS12_AND_13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

/// What the connections of one TLS listener share.
#[derive(Debug)]
pub(crate) struct ServerTls {
    pub(crate) config: Arc<ServerConfig>,
    sites: Arc<Sites>,
}

/// Which client certificates are accepted.
pub(crate) struct ClientPolicy {
    pub(crate) authorities: Arc<Authorities>,
    pub(crate) certificate: ClientCertificate,
}

/// Certificates by the names that they are good for.
#[derive(Debug, Default)]
pub(crate) struct Sites {
    /// Several of one name differ in the kind of key; the first that suits the client is shown.
    by_name: HashMap<Box<str>, Vec<Arc<SiteCertificate>>>,
    /// For clients that ask for no name, or one that is not here.
    default: Vec<Arc<SiteCertificate>>,
}

/// What is known of one connection after its handshake.
#[derive(Debug)]
pub(crate) struct ConnectionTls {
    /// As Envoy writes it: `TLSv1.3`.
    pub(crate) version: &'static str,
    /// The name that the client asked for, in lower case.
    pub(crate) server_name: Option<Box<str>>,
    /// Who the client is, if it has a certificate.
    pub(crate) peer: Option<Peer>,
    tls: Arc<ServerTls>,
}

impl ServerTls {
    /// `tickets` must not be shared between policies: a resumed session is not asked for its certificate again.
    pub(crate) fn new(
        provider: &Arc<CryptoProvider>,
        min_version: TlsVersion,
        sites: Sites,
        clients: Option<&ClientPolicy>,
        tickets: Arc<dyn ProducesTickets>,
    ) -> Result<Self, rustls::Error> {
        let versions = match min_version {
            TlsVersion::Tls12 => TLS12_AND_13,
            TlsVersion::Tls13 => TLS13_ONLY,
        };
        let sites = Arc::new(sites);
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions)?;
        let builder = match clients {
            Some(policy) => builder.with_client_cert_verifier(policy.verifier(provider)?),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(sites.clone());
        config.alpn_protocols = ALPN_PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        config.ticketer = tickets;
        // Sessions live in tickets alone: nothing is kept, and workers share no cache.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self { config: Arc::new(config), sites })
    }
}

impl ClientPolicy {
    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, rustls::Error> {
        let roots = self.authorities.roots.clone();
        let builder = WebPkiClientVerifier::builder_with_provider(roots, provider.clone());
        let builder = match self.certificate {
            ClientCertificate::Required => builder,
            ClientCertificate::Optional => builder.allow_unauthenticated(),
        };
        builder.build().map_err(|error| rustls::Error::General(error.to_string()))
    }
}

impl Sites {
    /// In the order of the configuration; `None` stands for one that has never been good.
    pub(crate) fn new(certificates: &[Option<Arc<SiteCertificate>>]) -> Self {
        let mut by_name: HashMap<Box<str>, Vec<_>> = HashMap::new();
        for certificate in certificates.iter().flatten() {
            for name in &certificate.names {
                by_name.entry(name.clone()).or_default().push(certificate.clone());
            }
        }
        let mut default: Vec<_> = certificates.first().cloned().flatten().into_iter().collect();
        if let Some(name) = default.first().and_then(|first| first.names.first()) {
            // Those of the same name come along, for clients that cannot use the first one's key.
            default = by_name.get(name).cloned().unwrap_or(default);
        }
        Self { by_name, default }
    }

    /// Exact name, else wildcard of its domain, else the default.
    fn choose(&self, name: Option<&str>) -> &[Arc<SiteCertificate>] {
        name.and_then(|name| self.named(name)).unwrap_or(&self.default)
    }

    fn named(&self, name: &str) -> Option<&[Arc<SiteCertificate>]> {
        if let Some(found) = self.by_name.get(name) {
            return Some(found);
        }
        // A wildcard stands for exactly one label (RFC 6125, section 6.4.3).
        let (_, domain) = name.split_once('.')?;
        self.by_name.get(format!("*.{domain}").as_str()).map(Vec::as_slice)
    }
}

impl ResolvesServerCert for Sites {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let candidates = self.choose(name.as_deref());
        let suits = |site: &&Arc<SiteCertificate>| {
            site.certified.key.choose_scheme(hello.signature_schemes()).is_some()
        };
        let chosen = candidates.iter().find(suits).or(candidates.first())?;
        Some(chosen.certified.clone())
    }
}

impl ConnectionTls {
    /// After the handshake.
    pub(crate) fn of(connection: &ServerConnection, tls: Arc<ServerTls>) -> Self {
        let version = match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLSv1.3",
        };
        let server_name = connection.server_name().map(|name| name.to_ascii_lowercase().into());
        let certificate = connection.peer_certificates().and_then(<[_]>::first);
        Self { version, server_name, peer: certificate.and_then(Peer::of), tls }
    }

    /// Who the gateway said it is. Of certificates for one name that differ in the kind of key, the first.
    pub(crate) fn own(&self) -> Option<Peer> {
        let shown = self.tls.sites.choose(self.server_name.as_deref()).first()?;
        Peer::of(shown.certified.cert.first()?)
    }

    /// Whether a request for `host` (in lower case, without port) came over the wrong connection (RFC 9110, section
    /// 7.4): a client may use one connection for several hosts, but only for those that its certificate names.
    ///
    /// The host that the client asked for in its handshake is never wrong, whatever certificate there was for it.
    pub(crate) fn is_misdirected(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        if host.is_empty() || self.server_name.as_deref() == Some(host) {
            return false;
        }
        let shown = self.tls.sites.choose(self.server_name.as_deref());
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        match bare.parse::<IpAddr>() {
            // Addresses cannot be asked for in a handshake: without a name, an address may be what was meant.
            Ok(address) => {
                self.server_name.is_some() && !shown.iter().any(|site| site.addresses.contains(&address))
            }
            Err(_) => !shown.iter().any(|site| site.covers(host)),
        }
    }
}

impl SiteCertificate {
    fn covers(&self, host: &str) -> bool {
        self.names.iter().any(|name| match name.strip_prefix("*.") {
            Some(domain) => host.split_once('.').is_some_and(|(_, rest)| rest == domain),
            None => **name == *host,
        })
    }
}

/// Whether the client chose HTTP/2 (RFC 7301, RFC 9113 section 3.2).
pub(crate) fn chose_http2(connection: &ServerConnection) -> bool {
    connection.alpn_protocol() == Some(ALPN_HTTP2)
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
