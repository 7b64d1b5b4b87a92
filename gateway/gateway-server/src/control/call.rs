//! One request of the control thread's own to an endpoint, over a connection of its own, as the upstream is spoken to.
//!
//! HTTP/1.1 in any case. Only the status of the answer is of interest; its body is not read.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use gateway_config::ProxyVersion;
use http::header::{CONNECTION, HOST};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::Full;
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

/// What is spoken here, whatever requests of clients do.
const ALPN_HTTP1: &[u8] = b"http/1.1";

/// An endpoint and how it is spoken to.
#[derive(Clone)]
pub(super) struct Callee {
    address: SocketAddr,
    host: String,
    secure: Secure,
    proxy_protocol: Option<ProxyVersion>,
}

#[derive(Clone)]
enum Secure {
    Plain,
    Tls(Arc<ClientConfig>, ServerName<'static>),
    /// The reason why it cannot be spoken to.
    Unusable(&'static str),
}

impl Callee {
    /// `host` is what the request says; else the endpoint's own.
    pub(super) fn new(
        endpoint: &ResolvedEndpoint,
        host: Option<&str>,
        transport: &Transport<ClientTls>,
        proxy_protocol: Option<ProxyVersion>,
    ) -> Self {
        let address = endpoint.address;
        let host = host.or(endpoint.host.as_deref());
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
        Self { address, host, secure, proxy_protocol }
    }

    /// Sends it once; an error says in words what was wrong.
    pub(super) async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<StatusCode, String> {
        if let Secure::Unusable(why) = &self.secure {
            return Err(format!("TLS is not set up: {why}"));
        }
        // A host was checked when the configuration was read.
        if let Ok(host) = HeaderValue::from_str(&self.host) {
            request.headers_mut().insert(HOST, host);
        }
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        let stream = TcpStream::connect(self.address).await;
        let mut stream = stream.map_err(|error| format!("connection failed: {error}"))?;
        if let Some(version) = self.proxy_protocol {
            // On nobody's behalf.
            let told = proxied::tell(&mut stream, version, None).await;
            told.map_err(|error| format!("connection failed: {error}"))?;
        }
        let status = match &self.secure {
            Secure::Tls(config, name) => {
                let connecting = TlsConnector::from(config.clone()).connect(name.clone(), stream);
                let stream = connecting.await.map_err(|error| format!("TLS handshake failed: {error}"))?;
                exchange(stream, request).await
            }
            Secure::Plain | Secure::Unusable(_) => exchange(stream, request).await,
        };
        status.map_err(|error| format!("no HTTP response: {error}"))
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> hyper::Result<StatusCode> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let (mut response, mut connection) = (pin!(sender.send_request(request)), pin!(connection));
    let mut is_open = true;
    loop {
        tokio::select! {
            biased;
            response = &mut response => return response.map(|response| response.status()),
            _ = &mut connection, if is_open => is_open = false,
        }
    }
}
