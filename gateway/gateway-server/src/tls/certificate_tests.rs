//! What files may hold, and what is said of those that hold something else.

use rcgen::{CertificateParams, KeyPair};

use super::*;
use crate::tls::provider;

fn pair(names: &[&str]) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

fn read(chain: &str, key: &str) -> Result<SiteCertificate, CertificateError> {
    SiteCertificate::read(chain.as_bytes(), key.as_bytes(), &provider())
}

#[test]
fn a_pair_says_what_it_is_good_for() {
    let (chain, key) = pair(&["Shop.Example.com", "*.example.org", "192.0.2.7", "2001:db8::1"]);
    let site = read(&chain, &key).unwrap();
    assert_eq!(
        site.names.iter().map(|name| &**name).collect::<Vec<_>>(),
        ["shop.example.com", "*.example.org"]
    );
    assert_eq!(site.addresses, ["192.0.2.7".parse::<IpAddr>().unwrap(), "2001:db8::1".parse().unwrap()]);
    assert!(site.not_before < site.not_after);
}

#[test]
fn certificate_and_key_may_be_in_one_file() {
    let (chain, key) = pair(&["a.example"]);
    let both = format!("{key}{chain}");
    assert_eq!(read(&both, &both).unwrap().names.len(), 1);
}

#[test]
fn what_cannot_be_used_says_why() {
    let (chain, key) = pair(&["a.example"]);
    let (_, other_key) = pair(&["a.example"]);
    let cases = [
        ("", key.as_str(), "no PEM certificate"),
        (key.as_str(), key.as_str(), "no PEM certificate"),
        (&chain[..chain.len() / 2], key.as_str(), "half written"),
        (chain.as_str(), "", "no PEM private key"),
        (chain.as_str(), chain.as_str(), "no PEM private key"),
        (chain.as_str(), &key[..key.len() / 2], "no PEM private key"),
        (
            chain.as_str(),
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----",
            "encrypted",
        ),
        (chain.as_str(), other_key.as_str(), "does not belong"),
        ("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----", key.as_str(), "cannot be read"),
    ];
    for (chain, key, expected) in cases {
        let error = read(chain, key).unwrap_err().to_string();
        assert!(error.contains(expected), "{error:?} instead of {expected:?}");
    }
}

#[test]
fn authorities_are_all_certificates_of_a_file() {
    let (one, _) = pair(&["ca.example"]);
    let (two, _) = pair(&["ca.example"]);
    let both = Authorities::read(format!("{one}\n{two}").as_bytes()).unwrap();
    assert_eq!(both.roots.len(), 2);
    assert!(both.is_same(&Authorities::read(format!("{one}{two}").as_bytes()).unwrap()));
    assert!(!both.is_same(&Authorities::read(one.as_bytes()).unwrap()));
    assert!(Authorities::read(b"nothing").unwrap_err().to_string().contains("no PEM certificate"));
}
