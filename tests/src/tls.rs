//! TLS around the plain clients and origins of this harness: an authority that issues certificates, a tunnel from a plain
//! client through TLS to the gateway, and a front that ends TLS before a plain origin. Only the TLS itself is rustls's.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, HandshakeKind, ProtocolVersion, RootCertStore, ServerConfig, SupportedProtocolVersion,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::eventually::LIMIT;
use crate::{Client, Http2};

/// Issues certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, as PEM.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The chain.
    pub cert: String,
    /// The private key.
    pub key: String,
}

impl Authority {
    /// # Panics
    /// Never: the parameters are right.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    /// Its own certificate.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A new certificate for these names and addresses, with a key of its own.
    ///
    /// # Panics
    /// If one is no name.
    #[must_use]
    pub fn issue(&self, names: &[&str]) -> Pair {
        self.issue_for("server", names, None)
    }

    /// A new certificate for a client: its common name, and a URI by which it is known.
    ///
    /// # Panics
    /// If the URI is none.
    #[must_use]
    pub fn issue_client(&self, name: &str, uri: Option<&str>) -> Pair {
        self.issue_for(name, &[], uri)
    }

    fn issue_for(&self, name: &str, names: &[&str], uri: Option<&str>) -> Pair {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names.extend(uri.map(|uri| SanType::URI(uri.try_into().expect("a URI"))));
        let key = KeyPair::generate().expect("a key");
        Pair {
            cert: params.signed_by(&key, &*self.0).expect("a certificate").pem(),
            key: key.serialize_pem(),
        }
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("an authority");
        Arc::new(roots)
    }
}

impl Pair {
    fn der(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(self.cert.as_bytes()).collect();
        (chain.expect("PEM"), PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("PEM"))
    }
}

/// How a client speaks TLS. Copies share their sessions.
#[derive(Clone)]
pub struct TlsClient(ClientConfig);

impl TlsClient {
    /// Believes certificates of this authority, speaks HTTP/1.1, resumes no session.
    #[must_use]
    pub fn trusting(authority: &Authority) -> Self {
        Self::new(authority, None, &[&rustls::version::TLS13, &rustls::version::TLS12])
    }

    /// The same, with a certificate of its own.
    #[must_use]
    pub fn with_certificate(authority: &Authority, own: &Pair) -> Self {
        Self::new(authority, Some(own), &[&rustls::version::TLS13, &rustls::version::TLS12])
    }

    /// Speaks nothing newer than TLS 1.2.
    #[must_use]
    pub fn outdated(authority: &Authority) -> Self {
        Self::new(authority, None, &[&rustls::version::TLS12])
    }

    fn new(
        authority: &Authority,
        own: Option<&Pair>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let verifier = WebPkiServerVerifier::builder_with_provider(authority.roots(), provider());
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .expect("versions")
            .with_webpki_verifier(verifier.build().expect("roots"));
        let mut config = match own.map(Pair::der) {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).expect("a pair"),
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self(config)
    }

    /// Offers these protocols.
    #[must_use]
    pub fn offering(mut self, protocols: &[&str]) -> Self {
        self.0.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        self
    }

    /// Goes on with earlier sessions.
    #[must_use]
    pub fn resuming(mut self) -> Self {
        self.0.resumption = Resumption::default();
        self
    }

    /// For clients of a test's own.
    #[must_use]
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::new(self.0.clone())
    }

    /// Connects and shakes hands, asking for `name`; an address as name is checked and not asked for.
    ///
    /// # Errors
    /// There is no connection, or no certificate that it believes.
    ///
    /// # Panics
    /// If `name` is none.
    pub fn connect(&self, address: SocketAddr, name: &str) -> io::Result<Tunnel> {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let connector = TlsConnector::from(Arc::new(self.0.clone()));
        let runtime = runtime();
        let (front, stream, plain) = runtime.block_on(async {
            let handshake = async {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                connector.connect(name, stream).await
            };
            let stream = tokio::time::timeout(LIMIT, handshake).await??;
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            Ok::<_, io::Error>((listener.local_addr()?, stream, listener))
        })?;
        let session = stream.get_ref().1;
        let facts = Facts {
            certificate: session.peer_certificates().expect("a certificate")[0].clone(),
            protocol: session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
            version: session.protocol_version(),
            is_resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
            group: session.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name())),
        };
        runtime.spawn(async move {
            let mut stream = stream;
            if let Ok((mut client, _)) = plain.accept().await {
                // Either end may break off; the test sees it at its own end.
                let _ = tokio::io::copy_bidirectional(&mut client, &mut stream).await;
            }
        });
        Ok(Tunnel { front, facts, _runtime: runtime })
    }
}

/// A TLS connection, for one plain client.
pub struct Tunnel {
    front: SocketAddr,
    facts: Facts,
    _runtime: Runtime,
}

/// What a handshake came to.
#[derive(Clone, Debug)]
pub struct Facts {
    certificate: CertificateDer<'static>,
    /// The protocol agreed on.
    pub protocol: Option<String>,
    /// The version agreed on.
    pub version: Option<ProtocolVersion>,
    /// Whether it went on with an earlier session.
    pub is_resumed: bool,
    /// The key exchange.
    pub group: Option<String>,
}

impl Tunnel {
    /// Its client of HTTP/1.1.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::connect(self.front)
    }

    /// Its client of HTTP/2.
    #[must_use]
    pub fn http2(&self) -> Http2 {
        Http2::connect(self.front)
    }

    /// What the handshake came to.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Whether the other end showed this certificate.
    #[must_use]
    pub fn was_shown(&self, pair: &Pair) -> bool {
        pair.der().0[0] == self.facts.certificate
    }
}

/// Ends TLS before a plain origin.
pub struct TlsFront {
    address: SocketAddr,
    _runtime: Runtime,
}

impl TlsFront {
    /// Shows `pair`; asks for certificates of `clients` if there is such an authority.
    ///
    /// # Panics
    /// If there is no free port.
    #[must_use]
    pub fn before(origin: SocketAddr, pair: &Pair, clients: Option<&Authority>) -> Self {
        Self::offering(origin, pair, clients, &[])
    }

    /// The same, agreeing to these protocols in this order.
    ///
    /// # Panics
    /// If there is no free port.
    #[must_use]
    pub fn offering(
        origin: SocketAddr,
        pair: &Pair,
        clients: Option<&Authority>,
        protocols: &[&str],
    ) -> Self {
        let (chain, key) = pair.der();
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("versions");
        let builder = match clients {
            Some(authority) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(authority.roots(), provider());
                builder.with_client_cert_verifier(verifier.build().expect("roots"))
            }
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).expect("a pair");
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let runtime = runtime();
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                drop(tokio::runtime::Handle::current().spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let Ok(mut plain) = TcpStream::connect(origin).await else { return };
                    // Either end may break off.
                    let _ = tokio::io::copy_bidirectional(&mut stream, &mut plain).await;
                }));
            }
        });
        Self { address, _runtime: runtime }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}
