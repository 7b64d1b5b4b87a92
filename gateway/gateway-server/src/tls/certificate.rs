//! From PEM to certificates: a chain with its key, the names it is good for and until when; and sets of authorities.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// What marks a key that is encrypted, in PEM.
const ENCRYPTED_KEY_MARKS: [&[u8]; 2] = [b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED"];

/// A certificate chain with its key, ready to be shown.
#[derive(Debug)]
pub(crate) struct SiteCertificate {
    pub(crate) certified: Arc<CertifiedKey>,
    /// DNS names of the subject alternative names, in lower case; wildcards as `*.example.com`.
    pub(crate) names: Vec<Box<str>>,
    /// Addresses among the subject alternative names.
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
}

/// Authorities whose certificates are believed.
#[derive(Debug)]
pub(crate) struct Authorities {
    pub(crate) roots: Arc<RootCertStore>,
    certificates: Vec<CertificateDer<'static>>,
}

/// What a file that TLS needs held when it was last good; `None` if it never was.
#[derive(Clone)]
pub(crate) enum FileContent {
    Pair(Option<Arc<SiteCertificate>>),
    Authorities(Option<Arc<Authorities>>),
}

impl FileContent {
    /// Whether nothing new was read in between.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        fn same<T>(left: &Option<Arc<T>>, right: &Option<Arc<T>>) -> bool {
            left.as_ref().map(Arc::as_ptr) == right.as_ref().map(Arc::as_ptr)
        }
        match (self, other) {
            (Self::Pair(left), Self::Pair(right)) => same(left, right),
            (Self::Authorities(left), Self::Authorities(right)) => same(left, right),
            _ => false,
        }
    }
}

/// Why the content of a file is no certificate that could be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateError {
    #[error(
        "the certificate file holds no PEM certificate; it has to begin with `-----BEGIN CERTIFICATE-----`"
    )]
    NoCertificate,
    #[error("the certificate file is damaged or only half written: {0}")]
    BadPem(rustls::pki_types::pem::Error),
    #[error("the certificate file holds a certificate that cannot be read: {0}")]
    BadCertificate(String),
    #[error("the key file holds no PEM private key; it has to have `-----BEGIN PRIVATE KEY-----` in it")]
    NoKey,
    #[error("the private key is encrypted; decrypt it with `openssl pkey -in KEY -out NEW-KEY`")]
    EncryptedKey,
    #[error("the private key cannot be used: {0}; ECDSA, Ed25519 and RSA keys from 2048 bits can")]
    UnusableKey(rustls::Error),
    #[error("the private key does not belong to the certificate; both files have to be of one pair")]
    Mismatch,
}

impl SiteCertificate {
    /// Reads a chain (the end entity first) and its key.
    pub(crate) fn read(
        chain: &[u8],
        key: &[u8],
        provider: &CryptoProvider,
    ) -> Result<Self, CertificateError> {
        let chain = certificates(chain)?;
        let bad = |error: &dyn std::fmt::Display| CertificateError::BadCertificate(error.to_string());
        let first = chain.first().ok_or(CertificateError::NoCertificate)?;
        let (_, parsed) = X509Certificate::from_der(first).map_err(|error| bad(&error))?;
        let (names, addresses) = names_of(&parsed).map_err(|error| bad(&error))?;
        let not_before = time(parsed.validity().not_before.timestamp());
        let not_after = time(parsed.validity().not_after.timestamp());
        let key = private_key(key)?;
        let certified = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => CertificateError::Mismatch,
            rustls::Error::InvalidCertificate(error) => bad(&format!("{error:?}")),
            error => CertificateError::UnusableKey(error),
        })?;
        Ok(Self { certified: Arc::new(certified), names, addresses, not_before, not_after })
    }

    /// Whether it shows the same certificates.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.certified.cert == other.certified.cert
    }
}

impl Authorities {
    /// Reads every certificate of a PEM file.
    pub(crate) fn read(pem: &[u8]) -> Result<Self, CertificateError> {
        let certificates = certificates(pem)?;
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots
                .add(certificate.clone())
                .map_err(|error| CertificateError::BadCertificate(error.to_string()))?;
        }
        Ok(Self { roots: Arc::new(roots), certificates })
    }

    /// Whether they are the same authorities.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.certificates == other.certificates
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = certificates.map_err(CertificateError::BadPem)?;
    if certificates.is_empty() { Err(CertificateError::NoCertificate) } else { Ok(certificates) }
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, CertificateError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        let holds = |mark: &&[u8]| pem.windows(mark.len()).any(|window| window == *mark);
        if ENCRYPTED_KEY_MARKS.iter().any(holds) {
            CertificateError::EncryptedKey
        } else {
            CertificateError::NoKey
        }
    })
}

type Names = (Vec<Box<str>>, Vec<IpAddr>);

fn names_of(certificate: &X509Certificate<'_>) -> Result<Names, x509_parser::error::X509Error> {
    let (mut names, mut addresses) = (Vec::new(), Vec::new());
    let Some(extension) = certificate.subject_alternative_name()? else { return Ok((names, addresses)) };
    for name in &extension.value.general_names {
        match name {
            GeneralName::DNSName(name) => names.push(name.to_ascii_lowercase().into()),
            GeneralName::IPAddress(bytes) => addresses.extend(address(bytes)),
            _ => {}
        }
    }
    Ok((names, addresses))
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(|octets| Ipv4Addr::from(octets).into()),
        _ => <[u8; 16]>::try_from(bytes).ok().map(|octets| Ipv6Addr::from(octets).into()),
    }
}

/// Times before 1970 count as 1970: both mean that it has begun, or has ended.
fn time(unix_seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(unix_seconds).unwrap_or(0))
}

#[cfg(test)]
#[path = "certificate_tests.rs"]
mod tests;
