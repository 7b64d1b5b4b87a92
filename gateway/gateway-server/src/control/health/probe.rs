//! One check: a `GET` over a connection of its own, as the upstream is spoken to.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use gateway_config::{HealthCheck, ProxyVersion};
use http::header::{CONNECTION, HOST, USER_AGENT};
use http::{Request, Response};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::snapshot::ResolvedEndpoint;
use crate::tls::{ClientTls, Transport};
use crate::upstream::proxied;

/// How servers know these requests from others in their logs.
const AGENT: &str = "gateway-health-check";
/// What checks speak, whatever requests do.
const ALPN_HTTP1: &[u8] = b"http/1.1";

/// One endpoint and what it is asked.
pub(super) struct Probe {
    address: SocketAddr,
    path: Arc<str>,
    host: String,
    expect: Vec<RangeInclusive<u16>>,
    secure: Secure,
    proxy_protocol: Option<ProxyVersion>,
}

enum Secure {
    Plain,
    Tls(Arc<ClientConfig>, ServerName<'static>),
    /// The reason why it cannot be spoken to.
    Unusable(&'static str),
}

impl Probe {
    pub(super) fn new(
        check: &HealthCheck,
        endpoint: &ResolvedEndpoint,
        transport: &Transport<ClientTls>,
        proxy_protocol: Option<ProxyVersion>,
    ) -> Self {
        let address = endpoint.address;
        let host = check.host.as_deref().or(endpoint.host.as_deref());
        let secure = match transport {
            Transport::Plain => Secure::Plain,
            Transport::Unusable => Secure::Unusable("a file of its `tls` has never been good"),
            Transport::Tls(tls) => match tls.server_name(endpoint.host.as_deref(), address) {
                Some(name) => {
                    let mut config = (*tls.config).clone();
                    config.alpn_protocols = vec![ALPN_HTTP1.to_vec()];
                    Secure::Tls(Arc::new(config), name)
                }
                None => Secure::Unusable("no certificate could be for its name"),
            },
        };
        let host = host.map_or_else(|| address.to_string(), str::to_owned);
        Self { address, path: check.path.clone(), host, expect: check.expect.clone(), secure, proxy_protocol }
    }

    /// Asks once; an error says in words what was wrong.
    pub(super) async fn ask(&self) -> Result<(), String> {
        if let Secure::Unusable(why) = &self.secure {
            return Err(format!("TLS is not set up: {why}"));
        }
        let stream = TcpStream::connect(self.address).await;
        let mut stream = stream.map_err(|error| format!("connection failed: {error}"))?;
        if let Some(version) = self.proxy_protocol {
            // On nobody's behalf.
            let told = proxied::tell(&mut stream, version, None).await;
            told.map_err(|error| format!("connection failed: {error}"))?;
        }
        let response = match &self.secure {
            Secure::Tls(config, name) => {
                let connecting = TlsConnector::from(config.clone()).connect(name.clone(), stream);
                let stream = connecting.await.map_err(|error| format!("TLS handshake failed: {error}"))?;
                self.exchange(stream).await
            }
            Secure::Plain | Secure::Unusable(_) => self.exchange(stream).await,
        };
        let status = response.map_err(|error| format!("no HTTP response: {error}"))?.status();
        match self.expect.iter().any(|range| range.contains(&status.as_u16())) {
            true => Ok(()),
            false => Err(format!("{} answered {status}", self.path)),
        }
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    ) -> hyper::Result<Response<Incoming>> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::get(&*self.path)
            .header(HOST, &self.host)
            .header(USER_AGENT, AGENT)
            .header(CONNECTION, "close")
            .body(Empty::<Bytes>::new());
        // Path and host were checked when the configuration was read; a request without them asks for `/`.
        let request = request.unwrap_or_else(|_| Request::new(Empty::new()));
        let (mut response, mut connection) = (pin!(sender.send_request(request)), pin!(connection));
        let mut is_open = true;
        loop {
            tokio::select! {
                biased;
                response = &mut response => return response,
                _ = &mut connection, if is_open => is_open = false,
            }
        }
    }
}
