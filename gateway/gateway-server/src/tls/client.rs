//! The gateway's end towards upstreams: whom to believe, which name to ask for, what to show.

use std::net::SocketAddr;
use std::sync::Arc;

use gateway_config::UpstreamProtocol;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::certificate::SiteCertificate;

/// The names of HTTP/2 and HTTP/1.1 in ALPN (RFC 9113, section 3.1; RFC 7301, section 6).
const H2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";

/// What the connections to one TLS upstream share.
pub(crate) struct ClientTls {
    pub(crate) config: Arc<ClientConfig>,
    server_name: Option<Arc<str>>,
}

/// Whose certificates are believed.
pub(crate) enum Trust {
    Roots(Arc<RootCertStore>),
    Anyone,
}

impl ClientTls {
    pub(crate) fn new(
        provider: &Arc<CryptoProvider>,
        trust: Trust,
        certificate: Option<&SiteCertificate>,
        server_name: Option<Arc<str>>,
        protocol: UpstreamProtocol,
    ) -> Result<Self, rustls::Error> {
        let builder =
            ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let verifier: Arc<dyn ServerCertVerifier> = match trust {
            Trust::Anyone => Arc::new(BelieveAnyone(provider.clone())),
            Trust::Roots(roots) => WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
                .build()
                .map_err(|error| rustls::Error::General(error.to_string()))?,
        };
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let mut config = match certificate {
            Some(site) => builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(
                site.certified.clone(),
            ))),
            None => builder.with_no_client_auth(),
        };
        let offered: &[&[u8]] = match protocol {
            UpstreamProtocol::Http1 => &[HTTP_1_1],
            UpstreamProtocol::Http2 => &[H2],
            UpstreamProtocol::Auto => &[H2, HTTP_1_1],
        };
        config.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
        Ok(Self { config: Arc::new(config), server_name })
    }

    /// The name expected of the endpoint with this host and address: the configured one, else its own.
    pub(crate) fn server_name(&self, host: Option<&str>, address: SocketAddr) -> Option<ServerName<'static>> {
        match self.server_name.as_deref().or(host) {
            Some(name) => ServerName::try_from(name.to_owned()).ok(),
            None => Some(ServerName::IpAddress(address.ip().into())),
        }
    }
}

/// Whether the two ends agreed on HTTP/2.
pub(crate) fn agreed_on_http2(session: &ClientConnection) -> bool {
    session.alpn_protocol() == Some(H2)
}

/// Takes every certificate, because the operator said so. Still proves that the other end has its key.
#[derive(Debug)]
struct BelieveAnyone(Arc<CryptoProvider>);

impl ServerCertVerifier for BelieveAnyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
