//! How the certificate of a client is told.

use rcgen::{CertificateParams, DnType, KeyPair, SanType};

use super::*;

fn peer(uris: &[&str], names: &[(DnType, &str)]) -> Peer {
    let mut params = CertificateParams::new(vec!["client.example".to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    for (kind, value) in names {
        params.distinguished_name.push(kind.clone(), *value);
    }
    params.subject_alt_names.extend(uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())));
    Peer::of(params.self_signed(&KeyPair::generate().unwrap()).unwrap().der()).unwrap()
}

#[test]
fn the_first_uri_is_the_identity() {
    let peer = peer(&["spiffe://a/ns/b/sa/c", "spiffe://second"], &[(DnType::CommonName, "reviews")]);
    assert_eq!(peer.uri_san.as_deref(), Some("spiffe://a/ns/b/sa/c"));
    assert_eq!(peer.identity(), "spiffe://a/ns/b/sa/c");
    assert_eq!(peer.dns_san.as_deref(), Some("client.example"));
}

#[test]
fn without_a_uri_the_subject_is() {
    let names = [
        (DnType::CountryName, "DE"),
        (DnType::OrganizationName, "Example, Inc."),
        (DnType::CommonName, "reviews"),
    ];
    let peer = peer(&[], &names);
    assert_eq!((peer.uri_san.as_deref(), peer.identity()), (None, "CN=reviews,O=Example\\, Inc.,C=DE"));
}

#[test]
fn what_upstreams_are_told_cannot_be_read_in_two_ways() {
    let peer = peer(&["spiffe://a/b", "https://x/?a=1,2;c"], &[(DnType::CommonName, "a\",URI=\"b")]);
    let text = peer.forwarded.unwrap();
    let (hash, rest) = text.to_str().unwrap().split_once(';').unwrap();
    assert!(
        hash.len() == "Hash=".len() + 64 && hash[5..].bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{hash}"
    );
    let expected =
        r#"Subject="CN=a\\\"\\,URI=\\\"b";DNS=client.example;URI=spiffe://a/b;URI="https://x/?a=1,2;c""#;
    assert_eq!(rest, expected);
}

#[test]
fn what_is_special_at_the_edges_is_escaped() {
    assert_eq!(escaped("#a b "), "\\#a b\\ ");
    assert_eq!(escaped(" "), "\\ ");
    assert_eq!(escaped("a\"b<c>"), "a\\\"b\\<c\\>");
}

#[test]
fn bytes_that_are_no_certificate_are_nobody() {
    assert_eq!(Peer::of(&CertificateDer::from(vec![1, 2, 3])), None);
}
