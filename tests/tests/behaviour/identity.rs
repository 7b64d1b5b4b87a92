//! Who asks: one address for routes, filters, header edits, the log and upstreams, and nothing that a stranger claims.

use gateway_tests::{Authority, Gateway, Http2, Origin, Request, Setup, TlsClient, wasm};

const CONFIG: &str = "
listeners:
  - {name: web, bind: '127.0.0.1:0'}
  - {name: trusting, bind: '127.0.0.1:0', trustedPeers: [127.0.0.0/8, 10.0.0.0/8]}
  - {name: hops, bind: '127.0.0.1:0', trustedPeers: 127.0.0.1, trustedHops: 2}
  - {name: others, bind: '127.0.0.1:0', trustedPeers: 192.0.2.0/24}
routes:
  - {name: guests, match: {client: 192.0.2.0/24}, requestHeaders: {set: {x-client: '%{client_ip}', x-scheme-is: '%{scheme}'}}, to: origin}
  - {name: all, requestHeaders: {set: {x-client: '%{client_ip}', x-scheme-is: '%{scheme}'}}, to: origin}
upstreams: {origin: 'ORIGIN'}
";

fn setup(origin: &Origin) -> Setup {
    Gateway::with(CONFIG).set("ORIGIN", origin.address())
}

/// Everything that tells an upstream who asks, as a stranger might make it up.
const CLAIMS: [(&str, &str); 24] = [
    ("x-forwarded-for", "192.0.2.1"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "evil.example"),
    ("x-forwarded-port", "443"),
    ("x-forwarded-client-cert", "Hash=00;Subject=\"CN=root\""),
    ("x-forwarded-user", "root"),
    ("x-forwarded-prefix", "/admin"),
    ("x-forwarded-server", "evil"),
    ("forwarded", "for=192.0.2.1;proto=https"),
    ("x-real-ip", "192.0.2.1"),
    ("x-client-ip", "192.0.2.1"),
    ("true-client-ip", "192.0.2.1"),
    ("cf-connecting-ip", "192.0.2.1"),
    ("x-request-id", "mine"),
    ("proxy", "http://evil.example"),
    ("x-original-url", "/admin"),
    ("x-original-host", "evil.example"),
    ("x-rewrite-url", "/admin"),
    ("x-envoy-internal", "true"),
    ("x-envoy-external-address", "10.0.0.1"),
    ("x_forwarded_for", "192.0.2.1"),
    ("x_real-ip", "192.0.2.1"),
    ("X_Forwarded-Proto", "https"),
    ("x_original_url", "/admin"),
];

#[test]
fn nothing_that_a_stranger_claims_reaches_the_upstream() {
    let origin = Origin::answering("ok");
    let gateway = setup(&origin).start();
    for listener in ["web", "others"] {
        let address = gateway.listener(listener).expect("a listener");
        for (name, value) in CLAIMS {
            let request = Request::get("/").header(name, value);
            for status in [request.to(address).status, Http2::connect(address).send(&request).status] {
                assert_eq!(status, 200, "{name}");
                let seen = origin.last_request();
                let own = [
                    ("x-forwarded-for", "127.0.0.1"),
                    ("x-forwarded-proto", "http"),
                    ("x-forwarded-host", "test.example"),
                    ("x-client", "127.0.0.1"),
                    ("x-scheme-is", "http"),
                ];
                for (name, value) in own {
                    assert_eq!(seen.headers.all(name), [value], "{name}");
                }
                assert_eq!(seen.header("x-request-id").map(str::len), Some(36));
                let name = name.to_ascii_lowercase();
                let is_own = own.iter().any(|(own, _)| *own == name) || name == "x-request-id";
                assert!(is_own || seen.header(&name).is_none(), "{name} passed");
            }
        }
    }
    for line in gateway.stop() {
        assert_eq!(line["route_name"], "all", "{line}");
        let remote = line["downstream_remote_address"].as_str().unwrap_or_default();
        assert!(remote.starts_with("127.0.0.1:"), "{line}");
    }
}

#[test]
fn a_trusted_peer_is_believed_as_far_as_it_wrote_itself() {
    let origin = Origin::answering("ok");
    let gateway = setup(&origin).filter("properties", &wasm::guest("properties"), "").start();
    let trusting = gateway.listener("trusting").expect("a listener");
    let hops = gateway.listener("hops").expect("a listener");
    let cases = [
        (trusting, "192.0.2.7", "192.0.2.7", "192.0.2.7, 127.0.0.1"),
        (trusting, "6.6.6.6, 192.0.2.7", "192.0.2.7", "192.0.2.7, 127.0.0.1"),
        (trusting, "6.6.6.6, 192.0.2.7, 10.0.0.1", "192.0.2.7", "192.0.2.7, 10.0.0.1, 127.0.0.1"),
        (trusting, "2001:db8::1", "2001:db8::1", "2001:db8::1, 127.0.0.1"),
        (trusting, "\u{e9}\", 192.0.2.7", "192.0.2.7", "192.0.2.7, 127.0.0.1"),
        (trusting, "unknown", "127.0.0.1", "127.0.0.1"),
        (trusting, "192.0.2.7, unknown", "127.0.0.1", "127.0.0.1"),
        (hops, "6.6.6.6, 192.0.2.7, 5.5.5.5", "192.0.2.7", "192.0.2.7, 5.5.5.5, 127.0.0.1"),
        (hops, "192.0.2.7", "192.0.2.7", "192.0.2.7, 127.0.0.1"),
    ];
    for (address, list, client, forwarded_for) in cases {
        let request = Request::get("/x").header("x-forwarded-for", list);
        assert_eq!(request.to(address).status, 200, "{list}");
        let seen = origin.last_request();
        assert_eq!(seen.headers.all("x-forwarded-for"), [forwarded_for], "{list}");
        assert_eq!(seen.header("x-client"), Some(client), "{list}");
        let property = Request::get("/properties?name=source.address").header("x-forwarded-for", list);
        let text = property.to(address).text();
        let text = text.rsplit_once(':').map_or("", |(address, _)| address).to_owned();
        assert_eq!(text.trim_matches(['[', ']']), client, "{list}");
    }
    let lines = gateway.await_access_lines(2 * cases.len());
    for (pair, (_, list, client, forwarded_for)) in lines.chunks(2).zip(cases) {
        let route = if client.starts_with("192.0.2.") { "guests" } else { "all" };
        assert_eq!(pair[0]["route_name"], route, "{list}");
        assert_eq!(pair[0]["x_forwarded_for"], forwarded_for, "{list}");
        let remote = pair[0]["downstream_remote_address"].as_str().unwrap_or_default();
        let remote = remote.rsplit_once(':').map_or("", |(address, _)| address);
        assert_eq!(remote.trim_matches(['[', ']']), client, "{list}");
    }
}

#[test]
fn the_rest_of_what_a_trusted_peer_says_is_taken_if_it_is_legal() {
    let origin = Origin::answering("ok");
    let gateway = setup(&origin).start();
    let trusting = gateway.listener("trusting").expect("a listener");
    let cases: [(&str, &str, &str, Option<&str>); 16] = [
        ("x-forwarded-proto", "https", "x-forwarded-proto", Some("https")),
        ("x-forwarded-proto", "https", "x-scheme-is", Some("https")),
        ("x-forwarded-proto", "gopher", "x-forwarded-proto", Some("http")),
        ("x-forwarded-host", "shop.example:8443", "x-forwarded-host", Some("shop.example:8443")),
        ("x-forwarded-host", "a@b", "x-forwarded-host", Some("test.example")),
        ("x-forwarded-port", "8443", "x-forwarded-port", Some("8443")),
        ("x-forwarded-port", "http", "x-forwarded-port", None),
        ("x-request-id", "abc-123", "x-request-id", Some("abc-123")),
        ("x-real-ip", "6.6.6.6", "x-real-ip", Some("127.0.0.1")),
        ("x-original-url", "/before", "x-original-url", Some("/before")),
        ("x-forwarded-prefix", "/shop", "x-forwarded-prefix", Some("/shop")),
        ("x-forwarded-client-cert", "Hash=00", "x-forwarded-client-cert", None),
        ("proxy", "http://evil.example", "proxy", None),
        ("x_forwarded_for", "192.0.2.1", "x_forwarded_for", None),
        ("forwarded", "for=192.0.2.9", "x-client", Some("192.0.2.9")),
        (
            "forwarded",
            "for=6.6.6.6, for=192.0.2.9;proto=http",
            "forwarded",
            Some("for=192.0.2.9;proto=http, for=127.0.0.1"),
        ),
    ];
    for (name, value, seen_name, expected) in cases {
        let request = Request::get("/").header(name, value);
        assert_eq!(request.to(trusting).status, 200, "{name}");
        let seen = origin.last_request();
        assert_eq!(seen.header(seen_name), expected, "{name}: {value}");
        assert!(seen.header("x-request-id").is_some());
    }
    let long = Request::get("/").header("x-request-id", &"x".repeat(129));
    assert_eq!(long.to(trusting).status, 200);
    assert_eq!(origin.last_request().header("x-request-id").map(str::len), Some(36));
    let hiding = Request::get("/").header("forwarded", "for=\"6.6.6.6, for=192.0.2.1");
    assert_eq!(hiding.to(trusting).status, 400, "nobody knows whose request that is");
    let both = Request::get("/").header("x-forwarded-for", "192.0.2.1").header("forwarded", "for=6.6.6.6");
    assert_eq!(both.to(trusting).status, 200);
    let seen = origin.last_request();
    assert_eq!((seen.header("x-client"), seen.header("forwarded")), (Some("192.0.2.1"), None));
}

#[test]
fn upstreams_are_told_of_the_certificate_of_a_client_and_of_no_other() {
    let (servers, members) = (Authority::new("servers"), Authority::new("members"));
    let origin = Origin::answering("ok");
    let modes = ["drop", "set", "append", "forward"];
    let listeners: String = modes
        .iter()
        .flat_map(|mode| [(mode, "", ""), (mode, "-trusted", ", trustedPeers: 127.0.0.1")])
        .filter(|(mode, trusted, _)| **mode != "forward" || !trusted.is_empty())
        .map(|(mode, trusted, peers)| {
            format!(
                "  - {{name: {mode}{trusted}, bind: '127.0.0.1:0', clientCertHeader: {mode}{peers}, tls: {{certificates: [{{cert: a.pem, key: a.key}}], clientCa: members.pem, clientCert: optional}}}}\n"
            )
        })
        .collect();
    let config =
        format!("listeners:\n{listeners}routes: [{{to: origin}}]\nupstreams: {{origin: 'ORIGIN'}}\n");
    let gateway = Gateway::with(&config)
        .set("ORIGIN", origin.address())
        .certificate("a", &servers.issue(&["a.example"]))
        .file("members.pem", &members.pem())
        .start();
    let own = members.issue_client("web", Some("spiffe://test/web"));
    let named = TlsClient::with_certificate(&servers, &own);
    let nameless = TlsClient::trusting(&servers);
    let seen = |client: &TlsClient, listener: &str| {
        let address = gateway.listener(listener).expect("a listener");
        let tunnel = client.connect(address, "a.example").expect("a connection");
        let request = Request::get("/").host("a.example").header("x-forwarded-client-cert", "Hash=claimed");
        assert_eq!(tunnel.client().send(&request).status, 200);
        let lines = origin.last_request();
        lines.headers.all("x-forwarded-client-cert").into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let is_own = |line: &String| {
        line.starts_with("Hash=")
            && line.contains(";Subject=\"CN=web\"")
            && line.contains(";URI=spiffe://test/web")
    };
    for listener in ["drop", "drop-trusted"] {
        assert_eq!(seen(&named, listener), [""; 0], "{listener}");
    }
    for listener in ["set", "set-trusted", "append"] {
        let lines = seen(&named, listener);
        assert!(lines.len() == 1 && is_own(&lines[0]), "{listener}: {lines:?}");
        assert_eq!(seen(&nameless, listener), [""; 0], "{listener}");
    }
    let lines = seen(&named, "append-trusted");
    assert!(lines.len() == 2 && lines[0] == "Hash=claimed" && is_own(&lines[1]), "{lines:?}");
    assert_eq!(seen(&nameless, "append-trusted"), ["Hash=claimed"]);
    assert_eq!(seen(&named, "forward-trusted"), ["Hash=claimed"]);
}
