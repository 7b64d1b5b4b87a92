//! Clients come over TLS: certificates by name, protocols, versions, sessions, and hosts that a connection is not for.

use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use gateway_tests::{Authority, Client, Gateway, Origin, Request, Setup, TlsClient, eventually, wasm};
use rustls::ProtocolVersion;

const LISTENERS: &str = "listeners: [{name: web, bind: '127.0.0.1:0', tls: {certificates: CERTIFICATES}}]\n";
const HELLO: &str = "routes: [{respond: {status: 200, body: hello}}]";

/// One site, `shop.example`, that answers `hello`.
fn shop(authority: &Authority) -> Setup {
    Gateway::with(&format!("{LISTENERS}{HELLO}"))
        .set("CERTIFICATES", "[{cert: shop.pem, key: shop.key}]")
        .certificate("shop", &authority.issue(&["shop.example", "*.shop.example"]))
}

fn to_origin(authority: &Authority, origin: &Origin) -> Setup {
    Gateway::with(&format!("{LISTENERS}routes: [{{to: origin}}]\nupstreams: {{origin: 'ORIGIN'}}"))
        .set("CERTIFICATES", "[{cert: shop.pem, key: shop.key}]")
        .set("ORIGIN", origin.address())
        .certificate("shop", &authority.issue(&["shop.example"]))
}

fn get(host: &str) -> Request {
    Request::get("/").host(host)
}

fn handshakes(gateway: &Gateway, result: &str) -> f64 {
    gateway.metrics().sum("gateway_tls_handshakes_total", &[("listener", "web"), ("result", result)])
}

#[test]
fn requests_over_tls_are_served_and_the_upstream_is_told() {
    let authority = Authority::new("test");
    let origin = Origin::echoing();
    let gateway = to_origin(&authority, &origin).start();
    let tunnel = TlsClient::trusting(&authority).connect(gateway.address(), "shop.example").unwrap();
    let mut client = tunnel.client();
    for body in ["one", "two"] {
        let request = Request::post("/", body).host("shop.example").header("x-forwarded-proto", "http");
        assert_eq!(client.send(&request).text(), body);
        assert_eq!(origin.last_request().header("x-forwarded-proto"), Some("https"));
    }
    assert_eq!(origin.connections(), 1);
    assert!(handshakes(&gateway, "success") > 0.5);
    drop((client, tunnel));
    let lines = gateway.stop();
    assert_eq!((lines.len(), &lines[0]["downstream_peer"]), (2, &serde_json::Value::Null));
}

#[test]
fn large_bodies_pass_unchanged_both_ways() {
    let authority = Authority::new("test");
    let origin = Origin::echoing();
    let gateway = to_origin(&authority, &origin).start();
    let tunnel = TlsClient::trusting(&authority).connect(gateway.address(), "shop.example").unwrap();
    let body = gateway_tests::noise(3 << 20);
    let response = tunnel.client().send(&Request::post("/", &body).host("shop.example"));
    assert_eq!(response.body.len(), body.len());
    assert!(response.body == body);
}

#[test]
fn the_client_chooses_the_protocol() {
    let authority = Authority::new("test");
    let gateway = shop(&authority).start();
    let client = TlsClient::trusting(&authority);
    let both =
        client.clone().offering(&["h2", "http/1.1"]).connect(gateway.address(), "shop.example").unwrap();
    assert_eq!(both.facts().protocol.as_deref(), Some("h2"));
    let responses = both.http2().send_all(&[get("shop.example"), get("shop.example")]);
    assert!(responses.iter().all(|response| response.version == "HTTP/2.0" && response.text() == "hello"));

    let old = client.clone().connect(gateway.address(), "shop.example").unwrap();
    assert_eq!(old.facts().protocol.as_deref(), Some("http/1.1"));
    assert_eq!(old.client().send(&get("shop.example")).text(), "hello");

    let silent = client.clone().offering(&[]).connect(gateway.address(), "shop.example").unwrap();
    assert_eq!(silent.facts().protocol, None);
    assert_eq!(silent.client().send(&get("shop.example")).text(), "hello");

    assert!(client.offering(&["imap"]).connect(gateway.address(), "shop.example").is_err());
}

#[test]
fn the_minimum_version_holds_and_key_exchange_is_post_quantum() {
    let authority = Authority::new("test");
    let gateway = Gateway::with(&format!(
        "listeners:
  - {{name: web, bind: '127.0.0.1:0', tls: {{certificates: [{{cert: a.pem, key: a.key}}]}}}}
  - {{name: new, bind: '127.0.0.1:0', tls: {{certificates: [{{cert: a.pem, key: a.key}}], minVersion: '1.3'}}}}
{HELLO}"
    ))
    .certificate("a", &authority.issue(&["a.example"]))
    .start();
    let (any, new) = (gateway.address(), gateway.listener("new").unwrap());
    let (modern, outdated) = (TlsClient::trusting(&authority), TlsClient::outdated(&authority));
    let version = |client: &TlsClient, address| {
        client.connect(address, "a.example").ok().and_then(|tunnel| tunnel.facts().version)
    };
    assert_eq!(version(&modern, any), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(version(&modern, new), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(version(&outdated, any), Some(ProtocolVersion::TLSv1_2));
    assert_eq!(version(&outdated, new), None);
    let tunnel = modern.connect(any, "a.example").unwrap();
    assert_eq!(tunnel.facts().group.as_deref(), Some("X25519MLKEM768"));
    let old = outdated.connect(any, "a.example").unwrap();
    assert_eq!(old.client().send(&get("a.example")).text(), "hello");
}

#[test]
fn the_server_name_chooses_the_certificate() {
    let authority = Authority::new("test");
    let pairs = [
        authority.issue(&["first.example", "127.0.0.1"]),
        authority.issue(&["*.shop.example"]),
        authority.issue(&["a.shop.example"]),
    ];
    let gateway = Gateway::with(&format!("{LISTENERS}{HELLO}"))
        .set(
            "CERTIFICATES",
            "[{cert: 0.pem, key: 0.key}, {cert: 1.pem, key: 1.key}, {cert: 2.pem, key: 2.key}]",
        )
        .certificate("0", &pairs[0])
        .certificate("1", &pairs[1])
        .certificate("2", &pairs[2])
        .start();
    let client = TlsClient::trusting(&authority);
    let cases = [("first.example", 0), ("b.shop.example", 1), ("a.shop.example", 2), ("127.0.0.1", 0)];
    for (name, expected) in cases {
        let tunnel =
            client.connect(gateway.address(), name).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(tunnel.was_shown(&pairs[expected]), "{name}");
    }
    // The first one, which is not for it: the client refuses.
    assert!(client.connect(gateway.address(), "other.example").is_err());
}

#[test]
fn a_request_for_a_host_of_another_certificate_is_misdirected() {
    let authority = Authority::new("test");
    let origin = Origin::echoing();
    let gateway =
        Gateway::with(&format!("{LISTENERS}routes: [{{to: origin}}]\nupstreams: {{origin: 'ORIGIN'}}"))
            .set("CERTIFICATES", "[{cert: a.pem, key: a.key}, {cert: b.pem, key: b.key}]")
            .set("ORIGIN", origin.address())
            .certificate("a", &authority.issue(&["a.example", "*.a.example"]))
            .certificate("b", &authority.issue(&["b.example"]))
            .start();
    let client = TlsClient::trusting(&authority).offering(&["h2"]);
    let tunnel = client.connect(gateway.address(), "a.example").unwrap();
    let requests = ["a.example", "x.a.example", "A.Example:8443", "b.example", "a.example"].map(get);
    let statuses: Vec<u16> =
        tunnel.http2().send_all(&requests).iter().map(|response| response.status).collect();
    assert_eq!(statuses, [200, 200, 200, 421, 200]);
    assert_eq!(origin.received().len(), 4, "the origin has not seen it");
    gateway.await_replies("misdirected", 1);
    let own = client.connect(gateway.address(), "b.example").unwrap();
    assert_eq!(own.http2().send(&get("b.example")).status, 200);
}

#[test]
fn sessions_are_resumed_over_both_versions_and_over_a_reload() {
    let authority = Authority::new("test");
    let gateway = shop(&authority).start();
    for client in [TlsClient::trusting(&authority), TlsClient::outdated(&authority)] {
        let client = client.resuming();
        let is_resumed = || {
            let tunnel = client.connect(gateway.address(), "shop.example").unwrap();
            // Tickets come along with the first response.
            assert_eq!(tunnel.client().send(&get("shop.example")).text(), "hello");
            tunnel.facts().is_resumed
        };
        assert!(!is_resumed());
        assert!(is_resumed());
        let reloads = || gateway.metrics().sum("gateway_config_reloads_total", &[("result", "success")]);
        let before = reloads();
        let listeners = LISTENERS.replace("CERTIFICATES", "[{cert: shop.pem, key: shop.key}]");
        gateway.configure(&format!("{listeners}{HELLO}\n# {before}"));
        eventually("a reload", || reloads() > before);
        assert!(is_resumed());
    }
}

#[test]
fn filters_know_that_it_is_tls() {
    let authority = Authority::new("test");
    let origin = Origin::answering("ok");
    let gateway = to_origin(&authority, &origin).filter("properties", &wasm::guest("properties"), "").start();
    let tunnel = TlsClient::trusting(&authority).connect(gateway.address(), "shop.example").unwrap();
    let mut client = tunnel.client();
    let mut property = |name: &str| {
        let response = client.send(&Request::get(&format!("/properties?name={name}")).host("shop.example"));
        (response.status, response.text())
    };
    assert_eq!(property("request.scheme"), (200, "https".into()));
    assert_eq!(property("connection.tls_version"), (200, "TLSv1.3".into()));
    assert_eq!(property("connection.requested_server_name"), (200, "shop.example".into()));
    assert_eq!(property("connection.mtls"), (200, "\0".into()));
    assert_eq!(property("connection.subject_peer_certificate").0, 404);
}

#[test]
fn what_is_not_tls_is_turned_away() {
    let authority = Authority::new("test");
    let gateway = shop(&authority).start();
    let mut plain = Client::connect(gateway.address());
    assert!(plain.try_send(&get("shop.example")).is_err());
    eventually("a failure counted", || handshakes(&gateway, "failure") >= 1.0);
    drop(TcpStream::connect(gateway.address()).unwrap());
    eventually("a client that went away", || handshakes(&gateway, "closed") >= 1.0);
    assert_eq!(
        TlsClient::trusting(&authority)
            .connect(gateway.address(), "shop.example")
            .unwrap()
            .client()
            .send(&get("shop.example"))
            .text(),
        "hello"
    );
}

#[test]
fn a_handshake_that_does_not_end_is_cut() {
    let authority = Authority::new("test");
    let gateway = shop(&authority).start();
    let began = Instant::now();
    let mut silent = TcpStream::connect(gateway.address()).unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert_eq!(silent.read(&mut [0; 16]).unwrap(), 0, "closed");
    let waited = began.elapsed();
    assert!(waited > Duration::from_secs(4) && waited < Duration::from_secs(9), "{waited:?}");
    eventually("it is counted", || handshakes(&gateway, "timeout") > 0.5);
}
