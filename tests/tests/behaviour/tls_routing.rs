//! Routes over TLS: what they say of the scheme and of the client, and what of a connection comes before them.

use std::net::SocketAddr;

use gateway_tests::{Authority, Gateway, Origin, Request, Setup, TlsClient};

const SPIFFE_ID: &str = "spiffe://test/ns/shop/sa/web";

/// A plain listener and one with a certificate for `shop.example` and `*.shop.example`.
fn both(authority: &Authority, routes: &str) -> Setup {
    Gateway::with(&format!(
        "listeners:
  - {{name: web, bind: '127.0.0.1:0'}}
  - {{name: secure, bind: '127.0.0.1:0', tls: {{certificates: [{{cert: shop.pem, key: shop.key}}]}}}}
{routes}"
    ))
    .certificate("shop", &authority.issue(&["shop.example", "*.shop.example"]))
}

fn secure(gateway: &Gateway) -> SocketAddr {
    gateway.listener("secure").expect("the listener `secure`")
}

#[test]
fn redirects_keep_the_scheme_and_the_port_of_the_connection() {
    let authority = Authority::new("test");
    let routes = "routes:
  - {match: {path: {prefix: /moved}}, redirect: {path: {prefix: /new}}}
  - {match: {path: {prefix: /host}}, redirect: {host: other.example}}
  - {match: {path: {prefix: /plain}}, redirect: {scheme: http}}
  - {match: {path: {prefix: /tls}}, redirect: {scheme: https}}
  - {match: {path: {prefix: /port}}, redirect: {port: 443}}
";
    let gateway = both(&authority, routes).start();
    let cases = [
        ("/moved/a?b", "shop.example", "https://shop.example/new/a?b", "http://shop.example/new/a?b"),
        ("/moved", "shop.example:8443", "https://shop.example:8443/new", "http://shop.example:8443/new"),
        ("/moved", "shop.example:443", "https://shop.example/new", "http://shop.example:443/new"),
        ("/moved", "shop.example:80", "https://shop.example:80/new", "http://shop.example/new"),
        ("/host", "a.shop.example:8443", "https://other.example:8443/host", "http://other.example:8443/host"),
        ("/plain", "shop.example:8443", "http://shop.example/plain", "http://shop.example/plain"),
        ("/tls", "shop.example:8080", "https://shop.example/tls", "https://shop.example/tls"),
        ("/port", "shop.example:8443", "https://shop.example/port", "http://shop.example:443/port"),
    ];
    let client = TlsClient::trusting(&authority);
    let old = client.connect(secure(&gateway), "shop.example").unwrap();
    let new = client.offering(&["h2"]).connect(secure(&gateway), "shop.example").unwrap();
    let (mut old_client, new_client) = (old.client(), new.http2());
    for (target, host, over_tls, plain) in cases {
        let request = Request::get(target).host(host);
        assert_eq!(old_client.send(&request).header("location"), Some(over_tls), "{host}{target}");
        let answers = new_client.send_all(std::slice::from_ref(&request));
        assert_eq!(answers[0].header("location"), Some(over_tls), "{host}{target} over HTTP/2");
        assert_eq!(gateway.send(&request).header("location"), Some(plain), "{host}{target} in plain text");
    }
}

#[test]
fn variables_know_the_scheme_and_the_client_and_nobody_can_pretend() {
    let (servers, members) = (Authority::new("servers"), Authority::new("members"));
    let origin = Origin::answering("ok");
    let gateway = Gateway::with(
        "listeners:
  - {name: web, bind: '127.0.0.1:0'}
  - name: secure
    bind: '127.0.0.1:0'
    tls: {certificates: [{cert: a.pem, key: a.key}], clientCa: members.pem, clientCert: optional}
routes:
  - to: origin
    requestHeaders: {set: {x-peer: '%{downstream_peer}', x-scheme: '%{scheme}'}}
    responseHeaders: {set: {x-told: '%{scheme} %{downstream_peer}'}}
upstreams: {origin: 'ORIGIN'}",
    )
    .set("ORIGIN", origin.address())
    .certificate("a", &servers.issue(&["a.example"]))
    .file("members.pem", &members.pem())
    .start();
    let request =
        Request::get("/").host("a.example").header("x-peer", "CN=admin").header("x-scheme", "gopher");
    let (web, plain) = (members.issue_client("web", Some(SPIFFE_ID)), members.issue_client("cron", None));
    for (own, peer) in [(Some(&web), SPIFFE_ID), (Some(&plain), "CN=cron"), (None, "")] {
        let client = own
            .map_or_else(|| TlsClient::trusting(&servers), |own| TlsClient::with_certificate(&servers, own));
        let tunnel = client.connect(secure(&gateway), "a.example").unwrap();
        let told = tunnel.client().send(&request);
        assert_eq!(told.header("x-told").map(str::trim_end), Some(format!("https {peer}").trim_end()));
        let seen = origin.last_request();
        assert_eq!((seen.headers.all("x-peer"), seen.header("x-scheme")), (vec![peer], Some("https")));
    }
    assert_eq!(gateway.send(&request).header("x-told").map(str::trim_end), Some("http"));
    assert_eq!(origin.last_request().headers.all("x-peer"), [""]);
}

#[test]
fn a_host_of_another_connection_is_refused_before_any_route_answers() {
    let authority = Authority::new("test");
    let routes = "routes:
  - {hosts: [other.example], cors: {allowOrigins: ['*']}, redirect: {path: {full: /new}}}
  - {respond: {status: 200, body: hello}}
";
    let gateway = both(&authority, routes).start();
    let tunnel = TlsClient::trusting(&authority).connect(secure(&gateway), "shop.example").unwrap();
    let mut client = tunnel.client();
    let preflight = Request::new("OPTIONS", "/")
        .host("other.example")
        .header("origin", "https://a.test")
        .header("access-control-request-method", "PUT");
    for request in [Request::get("/").host("other.example"), preflight.clone()] {
        assert_eq!(client.send(&request).status, 421, "{request:?}");
    }
    assert_eq!(client.send(&Request::get("/").host("shop.example")).text(), "hello");
    assert_eq!(gateway.send(&preflight).status, 204);
    gateway.await_replies("misdirected", 2);
}

#[test]
fn a_client_that_names_no_host_is_not_at_the_wrong_one() {
    let authority = Authority::new("test");
    let gateway = both(&authority, "routes: [{respond: {status: 200, body: hello}}]").start();
    let tunnel = TlsClient::trusting(&authority).connect(secure(&gateway), "shop.example").unwrap();
    let mut client = tunnel.client();
    client.write("GET / HTTP/1.0\r\n\r\n");
    let response = client.read("GET");
    assert_eq!((response.status, response.text().as_str()), (200, "hello"));
    drop((client, tunnel));
    assert_eq!(gateway.stop()[0]["authority"], serde_json::Value::Null);
}
