//! Who is at the other end, by the certificate that it proved to have the key of.

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::X509Name;

/// Characters that are escaped in a name (RFC 2253, section 2.4).
const ESCAPED: &[char] = &[',', '+', '"', '\\', '<', '>', ';'];

/// Who is at the other end.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Peer {
    /// The first URI among the subject alternative names: a SPIFFE ID, most often.
    pub(crate) uri_san: Option<String>,
    /// The subject as RFC 2253 writes it, the most specific part first: `CN=reviews,O=Example`.
    pub(crate) subject: String,
}

impl Peer {
    /// `None` for a certificate that cannot be read, which no verifier accepts.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let extension = certificate.subject_alternative_name().ok().flatten();
        let uri_san = extension.and_then(|extension| {
            extension.value.general_names.iter().find_map(|name| match name {
                GeneralName::URI(uri) => Some((*uri).to_owned()),
                _ => None,
            })
        });
        Some(Self { uri_san, subject: distinguished_name(certificate.subject()) })
    }

    /// One name for it: the URI, else the subject.
    pub(crate) fn identity(&self) -> &str {
        self.uri_san.as_deref().unwrap_or(&self.subject)
    }
}

fn distinguished_name(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> = name
        .iter_rdn()
        .map(|rdn| {
            let attributes = rdn.iter().map(|attribute| {
                let oid = attribute.attr_type();
                let label =
                    oid2abbrev(oid, oid_registry()).map_or_else(|_| oid.to_id_string(), str::to_owned);
                format!("{label}={}", escaped(attribute.as_str().unwrap_or_default()))
            });
            attributes.collect::<Vec<_>>().join("+")
        })
        .collect();
    parts.reverse();
    parts.join(",")
}

fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (index, character) in value.chars().enumerate() {
        let at_edge = character == ' ' && (index == 0 || index == last);
        if ESCAPED.contains(&character) || at_edge || (character == '#' && index == 0) {
            text.push('\\');
        }
        text.push(character);
    }
    text
}

#[cfg(test)]
#[path = "peer_tests.rs"]
mod tests;
