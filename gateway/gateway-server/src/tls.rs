//! TLS: certificates and what they are good for, the two ends of a handshake, and what is known of a connection after it.
//!
//! Everything that connections share is immutable and built by the control thread. Knows neither files nor the syntax of
//! the configuration: bytes come in, and what is wrong with them goes out as an error.

mod certificate;
mod client;
mod peer;
mod server;

pub(crate) use certificate::{Authorities, CertificateError, FileContent, SiteCertificate};
pub(crate) use client::{ClientTls, Trust, agreed_on_http2};
pub(crate) use peer::Peer;
pub(crate) use server::{ClientPolicy, ConnectionTls, ServerTls, Sites, chose_http2};

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;

/// Time for the handshake of a client.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// How one side of a listener or an upstream is spoken to.
pub(crate) enum Transport<T> {
    Plain,
    Tls(Arc<T>),
    /// TLS is asked for, and a file that it needs has never been good: no connection is made, least of all a plain one.
    Unusable,
}

impl<T> Clone for Transport<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Plain => Self::Plain,
            Self::Tls(tls) => Self::Tls(tls.clone()),
            Self::Unusable => Self::Unusable,
        }
    }
}

impl<T> Transport<T> {
    /// Whether connections made for one serve the other as well.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Plain, Self::Plain) | (Self::Unusable, Self::Unusable) => true,
            (Self::Tls(left), Self::Tls(right)) => Arc::ptr_eq(left, right),
            _ => false,
        }
    }
}

/// The one cryptography provider, handed on explicitly: nothing depends on a process-wide default.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
