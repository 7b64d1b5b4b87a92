//! Clients with certificates of their own: required, optional, refused, and known by name.

use gateway_tests::{Authority, Gateway, Origin, Pair, Request, Setup, TlsClient, eventually, wasm};

const SPIFFE_ID: &str = "spiffe://test/ns/shop/sa/web";

struct Members {
    servers: Authority,
    members: Authority,
}

impl Members {
    fn new() -> Self {
        Self { servers: Authority::new("servers"), members: Authority::new("members") }
    }

    fn setup(&self, origin: &Origin, policy: &str) -> Setup {
        Gateway::with(
            "listeners:
  - name: web
    bind: '127.0.0.1:0'
    tls: {certificates: [{cert: a.pem, key: a.key}], clientCa: members.pem, clientCert: POLICY}
routes: [{to: origin}]
upstreams: {origin: 'ORIGIN'}",
        )
        .set("POLICY", policy)
        .set("ORIGIN", origin.address())
        .certificate("a", &self.servers.issue(&["a.example"]))
        .file("members.pem", &self.members.pem())
    }

    /// The status of a request over a connection of its own; `None` without an answer.
    fn status(&self, gateway: &Gateway, own: Option<&Pair>) -> Option<u16> {
        let client = own.map_or_else(
            || TlsClient::trusting(&self.servers),
            |own| TlsClient::with_certificate(&self.servers, own),
        );
        let tunnel = client.connect(gateway.address(), "a.example").ok()?;
        let response = tunnel.client().try_send(&Request::get("/").host("a.example"));
        response.ok().map(|response| response.status)
    }
}

fn refused(gateway: &Gateway) -> f64 {
    gateway.metrics().sum("gateway_tls_handshakes_total", &[("result", "client_certificate")])
}

#[test]
fn a_required_certificate_is_required() {
    let (parties, origin) = (Members::new(), Origin::answering("ok"));
    let gateway = parties.setup(&origin, "required").start();
    let member = parties.members.issue_client("web", None);
    let stranger = Authority::new("strangers").issue_client("web", None);
    assert_eq!(parties.status(&gateway, Some(&member)), Some(200));
    assert_eq!(parties.status(&gateway, None), None);
    assert_eq!(parties.status(&gateway, Some(&stranger)), None);
    eventually("two refusals counted", || refused(&gateway) >= 2.0);
    assert_eq!(origin.received().len(), 1);
}

#[test]
fn an_optional_certificate_must_still_be_good() {
    let (parties, origin) = (Members::new(), Origin::answering("ok"));
    let gateway = parties.setup(&origin, "optional").start();
    let member = parties.members.issue_client("web", None);
    let stranger = Authority::new("strangers").issue_client("web", None);
    assert_eq!(parties.status(&gateway, Some(&member)), Some(200));
    assert_eq!(parties.status(&gateway, None), Some(200));
    assert_eq!(parties.status(&gateway, Some(&stranger)), None);
}

#[test]
fn filters_and_the_access_log_know_who_it_is() {
    let (parties, origin) = (Members::new(), Origin::answering("ok"));
    let gateway =
        parties.setup(&origin, "optional").filter("properties", &wasm::guest("properties"), "").start();
    let own = parties.members.issue_client("web", Some(SPIFFE_ID));
    let named = TlsClient::with_certificate(&parties.servers, &own);
    let tunnel = named.connect(gateway.address(), "a.example").unwrap();
    let mut client = tunnel.client();
    let mut property =
        |name: &str| client.send(&Request::get(&format!("/properties?name={name}")).host("a.example")).text();
    assert_eq!(property("connection.mtls"), "\u{1}");
    assert_eq!(property("connection.uri_san_peer_certificate"), SPIFFE_ID);
    assert_eq!(property("connection.subject_peer_certificate"), "CN=web");
    let digest = property("connection.sha256_peer_certificate_digest");
    assert!(digest.len() == 64 && digest.bytes().all(|digit| digit.is_ascii_hexdigit()), "{digest}");
    drop((client, tunnel));
    assert_eq!(parties.status(&gateway, Some(&parties.members.issue_client("plain", None))), Some(200));
    assert_eq!(parties.status(&gateway, None), Some(200));
    let peers: Vec<_> = gateway.stop().iter().map(|line| line["downstream_peer"].clone()).collect();
    let expected =
        [Some(SPIFFE_ID), Some(SPIFFE_ID), Some(SPIFFE_ID), Some(SPIFFE_ID), Some("CN=plain"), None];
    assert_eq!(peers, expected.map(|peer| serde_json::json!(peer)));
}

#[test]
fn sessions_of_clients_that_are_no_longer_trusted_end() {
    let (parties, origin) = (Members::new(), Origin::answering("ok"));
    let gateway = parties.setup(&origin, "required").start();
    let own = parties.members.issue_client("web", None);
    let client = TlsClient::with_certificate(&parties.servers, &own).resuming();
    let exchange = || {
        let tunnel = client.connect(gateway.address(), "a.example").ok()?;
        let response = tunnel.client().try_send(&Request::get("/").host("a.example")).ok()?;
        Some((response.status, tunnel.facts().is_resumed))
    };
    assert_eq!(exchange(), Some((200, false)));
    assert_eq!(exchange(), Some((200, true)));
    std::fs::write(gateway.directory().join("members.pem"), Authority::new("others").pem()).unwrap();
    eventually("the session not resumed", || exchange().is_none());
}

#[test]
fn without_the_authorities_nobody_is_let_in() {
    let (parties, origin) = (Members::new(), Origin::answering("ok"));
    let gateway = parties.setup(&origin, "optional").file("members.pem", "").start();
    assert_eq!(parties.status(&gateway, None), None);
    std::fs::write(gateway.directory().join("members.pem"), parties.members.pem()).unwrap();
    eventually("the listener open", || parties.status(&gateway, None) == Some(200));
}
