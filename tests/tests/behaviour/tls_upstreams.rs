//! Upstreams are spoken to over TLS: whom the gateway believes, and what it shows.

use std::io::{Read, Write};
use std::net::TcpListener;

use gateway_tests::{Authority, Gateway, Origin, Request, Setup, TlsFront, eventually, wasm};

fn setup(front: &TlsFront, tls: &str) -> Setup {
    Gateway::with("routes: [{to: origin}]\nupstreams: {origin: {endpoints: ['ORIGIN'], tls: TLS}}")
        .set("ORIGIN", front.address())
        .set("TLS", tls)
}

#[test]
fn a_certificate_of_the_given_authority_is_believed() {
    let authority = Authority::new("private");
    let origin = Origin::echoing();
    let front = TlsFront::before(origin.address(), &authority.issue(&["reviews.internal"]), None);
    let gateway =
        setup(&front, "{ca: ca.pem, sni: reviews.internal}").file("ca.pem", &authority.pem()).start();
    for body in ["one", "two"] {
        let response = gateway.send(&Request::post("/", body));
        assert_eq!((response.status, response.text().as_str()), (200, body));
    }
    assert_eq!(origin.connections(), 1, "one connection is used again");
    assert_eq!(origin.last_request().header("host"), Some("test.example"));
}

#[test]
fn filters_know_whom_the_gateway_speaks_to() {
    let authority = Authority::new("private");
    let origin = Origin::answering("ok");
    let front = TlsFront::before(origin.address(), &authority.issue(&["reviews.internal"]), None);
    let gateway = setup(&front, "{ca: ca.pem, sni: reviews.internal}")
        .file("ca.pem", &authority.pem())
        .filter("properties", &wasm::guest("properties"), "")
        .start();
    let property = |name: &str| {
        let asking = Request::get(&format!("/properties?name={name}")).header("x-phase", "response");
        let response = gateway.send(&asking);
        (response.status, response.text())
    };
    assert_eq!(property("upstream.tls_version"), (200, "TLSv1.3".into()));
    assert_eq!(property("upstream.dns_san_peer_certificate"), (200, "reviews.internal".into()));
    assert_eq!(property("upstream.sha256_peer_certificate_digest").1.len(), 64);
    assert_eq!(property("upstream.uri_san_peer_certificate").0, 404);
    let (status, local) = property("upstream.local_address");
    assert!(status == 200 && local.starts_with("127.0.0.1:"), "{local}");
    assert_ne!(local, front.address().to_string());
}

#[test]
fn without_a_name_the_address_is_expected() {
    let authority = Authority::new("private");
    let origin = Origin::answering("ok");
    let front = TlsFront::before(origin.address(), &authority.issue(&["127.0.0.1"]), None);
    let gateway = setup(&front, "{ca: ca.pem}").file("ca.pem", &authority.pem()).start();
    assert_eq!(gateway.get("/").text(), "ok");
}

#[test]
fn the_name_of_the_endpoint_is_expected() {
    let authority = Authority::new("private");
    let origin = Origin::answering("ok");
    let front = TlsFront::before(origin.address(), &authority.issue(&["localhost"]), None);
    let named = format!("localhost:{}", front.address().port());
    let gateway = Gateway::with(
        "routes: [{to: origin}]\nupstreams: {origin: {endpoints: ['NAME'], tls: {ca: ca.pem}}}",
    )
    .set("NAME", named)
    .file("ca.pem", &authority.pem())
    .start();
    assert_eq!(gateway.get("/").text(), "ok");
}

#[test]
fn a_certificate_that_cannot_be_believed_is_a_502_and_the_origin_sees_nothing() {
    let (authority, stranger) = (Authority::new("private"), Authority::new("stranger"));
    let origin = Origin::answering("ok");
    let cases = [
        ("{ca: ca.pem, sni: reviews.internal}", stranger.issue(&["reviews.internal"])),
        ("{ca: ca.pem, sni: other.internal}", authority.issue(&["reviews.internal"])),
        ("{ca: ca.pem}", authority.issue(&["reviews.internal"])),
        ("{sni: reviews.internal}", authority.issue(&["reviews.internal"])),
        ("{ca: missing.pem, sni: reviews.internal}", authority.issue(&["reviews.internal"])),
    ];
    for (tls, pair) in cases {
        let front = TlsFront::before(origin.address(), &pair, None);
        let gateway = setup(&front, tls).file("ca.pem", &authority.pem()).start();
        assert_eq!(gateway.get("/").status, 502, "{tls}");
        gateway.await_replies("upstream_tls", 1);
        let lines = gateway.stop();
        assert_eq!(lines[0]["response_code_details"], "upstream_tls");
        assert_eq!(lines[0]["response_flags"], "UF");
    }
    assert_eq!(origin.received().len(), 0);
}

#[test]
fn an_upstream_without_tls_is_a_502() {
    let authority = Authority::new("private");
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = plain.local_addr().unwrap();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = plain.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        // Until the gateway has read it and closed.
        stream.read_to_end(&mut Vec::new())
    });
    let gateway = Gateway::with(
        "routes: [{to: origin}]\nupstreams: {origin: {endpoints: ['PLAIN'], tls: {ca: ca.pem}}}",
    )
    .set("PLAIN", address)
    .file("ca.pem", &authority.pem())
    .start();
    assert_eq!(gateway.get("/").status, 502);
    gateway.await_replies("upstream_tls", 1);
    // It may end by a reset: the gateway has not read everything.
    let _ = answering.join().unwrap();
}

#[test]
fn verification_can_be_switched_off_only_by_saying_so() {
    let origin = Origin::answering("ok");
    let front = TlsFront::before(origin.address(), &Authority::new("stranger").issue(&["x.example"]), None);
    let gateway = setup(&front, "{verify: false}").start();
    assert_eq!(gateway.get("/").text(), "ok");
    gateway.configure(&format!(
        "routes: [{{to: origin}}]\nupstreams: {{origin: {{endpoints: ['{}'], tls: {{}}}}}}",
        front.address()
    ));
    eventually("verification, also where a connection was open", || gateway.get("/").status == 502);
}

#[test]
fn an_upstream_that_asks_for_a_certificate_gets_the_gateways_own() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let origin = Origin::answering("ok");
    let front = TlsFront::before(origin.address(), &servers.issue(&["127.0.0.1"]), Some(&clients));
    let with = "{ca: ca.pem, cert: own.pem, key: own.key}";
    let gateway = setup(&front, with)
        .file("ca.pem", &servers.pem())
        .certificate("own", &clients.issue_client("gateway", None))
        .start();
    assert_eq!(gateway.get("/").text(), "ok");
    let without = setup(&front, "{ca: ca.pem}").file("ca.pem", &servers.pem()).start();
    assert_eq!(without.get("/").status, 502);
    assert_eq!(origin.received().len(), 1);
}

#[test]
fn new_authorities_are_taken_up_from_the_file() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let origin = Origin::answering("ok");
    let front = TlsFront::before(origin.address(), &new.issue(&["127.0.0.1"]), None);
    let gateway = setup(&front, "{ca: ca.pem}").file("ca.pem", &old.pem()).start();
    assert_eq!(gateway.get("/").status, 502);
    std::fs::write(gateway.directory().join("ca.pem"), new.pem()).unwrap();
    eventually("the new authority believed", || gateway.get("/").status == 200);
}
