//! Which certificate for which name, and which hosts a connection is for.

use rcgen::{CertificateParams, KeyPair};

use super::*;
use crate::tls::provider;

fn site(names: &[&str]) -> Option<Arc<SiteCertificate>> {
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let chain = CertificateParams::new(names).unwrap().self_signed(&key).unwrap().pem();
    let site = SiteCertificate::read(chain.as_bytes(), key.serialize_pem().as_bytes(), &provider());
    Some(Arc::new(site.unwrap()))
}

fn connection(sites: Sites, server_name: Option<&str>) -> ConnectionTls {
    let tickets = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
    let tls = ServerTls::new(&provider(), TlsVersion::Tls12, sites, None, tickets).unwrap();
    ConnectionTls {
        version: "TLSv1.3",
        server_name: server_name.map(Into::into),
        peer: None,
        tls: Arc::new(tls),
    }
}

#[test]
fn exact_before_wildcard_before_the_first() {
    let all = [site(&["first.example"]), site(&["*.shop.example"]), site(&["a.shop.example"])];
    let sites = Sites::new(&all);
    let cases = [
        (Some("a.shop.example"), 2),
        (Some("b.shop.example"), 1),
        (Some("x.b.shop.example"), 0),
        (Some("shop.example"), 0),
        (Some("other.example"), 0),
        (None, 0),
    ];
    for (name, expected) in cases {
        let expected = all[expected].as_ref().unwrap();
        assert!(Arc::ptr_eq(&sites.choose(name)[0], expected), "{name:?}");
    }
}

#[test]
fn a_certificate_that_was_never_good_takes_nobody_with_it() {
    let sites = Sites::new(&[None, site(&["b.example"])]);
    assert_eq!(sites.choose(Some("b.example")).len(), 1);
    assert!(sites.choose(Some("a.example")).is_empty(), "not somebody else's certificate");
    assert!(sites.choose(None).is_empty());
}

#[test]
fn certificates_of_one_name_are_alternatives() {
    let sites = Sites::new(&[site(&["a.example"]), site(&["a.example"])]);
    assert_eq!(sites.choose(Some("a.example")).len(), 2);
    assert_eq!(sites.choose(None).len(), 2);
}

#[test]
fn a_connection_is_for_the_hosts_of_its_certificate() {
    let sites = || Sites::new(&[site(&["a.example", "*.b.example", "192.0.2.7"]), site(&["c.example"])]);
    let cases = [
        (Some("a.example"), "a.example", false),
        (Some("a.example"), "a.example.", false),
        (Some("a.example"), "x.b.example", false),
        (Some("a.example"), "192.0.2.7", false),
        (Some("a.example"), "192.0.2.8", true),
        (Some("a.example"), "c.example", true),
        (Some("a.example"), "b.example", true),
        (Some("a.example"), "x.y.b.example", true),
        (Some("a.example"), "", false),
        (Some("unknown.example"), "unknown.example", false),
        (Some("unknown.example"), "a.example", false),
        (Some("unknown.example"), "c.example", true),
        (None, "a.example", false),
        (None, "c.example", true),
        (None, "192.0.2.8", false),
        (None, "[2001:db8::1]", false),
    ];
    for (server_name, host, expected) in cases {
        assert_eq!(
            connection(sites(), server_name).is_misdirected(host),
            expected,
            "{server_name:?} {host:?}"
        );
    }
}
