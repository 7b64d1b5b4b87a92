//! Who is at the other end, by the certificate that it proved to have the key of.

use http::HeaderValue;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
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
    /// The first DNS name among them.
    pub(crate) dns_san: Option<String>,
    /// SHA-256 of the certificate, in lower-case hex.
    pub(crate) sha256: String,
    /// The subject as RFC 2253 writes it, the most specific part first: `CN=reviews,O=Example`.
    pub(crate) subject: String,
    /// The same and more, as `x-forwarded-client-cert` has it.
    pub(crate) forwarded: Option<HeaderValue>,
}

impl Peer {
    /// `None` for a certificate that cannot be read, which no verifier accepts.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let sha256: String = Sha256::digest(certificate).iter().map(|byte| format!("{byte:02x}")).collect();
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let extension = certificate.subject_alternative_name().ok().flatten();
        let names = extension.map_or(&[][..], |extension| &extension.value.general_names);
        let subject = distinguished_name(certificate.subject());
        let forwarded = forwarded(&sha256, &subject, names);
        let uri_san = names.iter().find_map(|name| match name {
            GeneralName::URI(uri) => Some((*uri).to_owned()),
            _ => None,
        });
        let dns_san = names.iter().find_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        });
        Some(Self { uri_san, dns_san, sha256, subject, forwarded })
    }

    /// One name for it: the URI, else the subject.
    pub(crate) fn identity(&self) -> &str {
        self.uri_san.as_deref().unwrap_or(&self.subject)
    }
}

/// One element of `x-forwarded-client-cert`, as Envoy writes it: `Hash`, `Subject`, each `URI` and each `DNS`. `None` if a
/// name holds what no header may.
fn forwarded(hash: &str, subject: &str, names: &[GeneralName<'_>]) -> Option<HeaderValue> {
    let mut text = format!("Hash={hash};Subject={}", quoted(subject));
    for name in names {
        let (key, value) = match name {
            GeneralName::URI(uri) => ("URI", *uri),
            GeneralName::DNSName(name) => ("DNS", *name),
            _ => continue,
        };
        // Quotes only where a reader needs them.
        let needs_quotes = value.contains([',', ';', '=', '"', '\\', ' ']);
        let value = if needs_quotes { quoted(value) } else { value.to_owned() };
        text.push_str(&format!(";{key}={value}"));
    }
    HeaderValue::try_from(text).ok()
}

fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
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
