//! The examples do what their READMEs say: each runs as it is, with free ports in place of its own.

use std::path::PathBuf;

use gateway_tests::{Authority, Client, Gateway, Origin, Request, Setup, Switcher, TlsClient};

/// The configuration of an example, on free ports.
fn example(name: &str) -> Setup {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name).join("gateway.yaml");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let text = text.replace("bind: 127.0.0.1:8080", "bind: 127.0.0.1:0");
    Gateway::with(&text.replace("bind: 127.0.0.1:8443", "bind: 127.0.0.1:0"))
}

#[test]
fn quickstart_answers_one_path_and_forwards_the_rest() {
    let service = Origin::answering("from the service");
    let gateway = example("quickstart").set("127.0.0.1:9001", service.address()).start();
    assert_eq!(gateway.get("/hello").text(), "hello from the gateway\n");
    assert_eq!(gateway.get("/").text(), "from the service");
    assert_eq!(gateway.send(&Request::post("/hello", "x")).text(), "from the service");
}

#[test]
fn canary_split_sends_a_tenth_to_the_new_version_and_testers_always() {
    let (one, two) = (Origin::answering("one"), Origin::answering("two"));
    let gateway = example("canary-split")
        .set("127.0.0.1:9001", one.address())
        .set("127.0.0.1:9002", two.address())
        .start();
    let answers: Vec<_> = (0..20).map(|_| gateway.get("/")).collect();
    assert_eq!(answers.iter().filter(|answer| answer.text() == "two").count(), 2);
    assert!(answers.iter().all(|answer| answer.header("x-served-by") == Some("split")));
    for _ in 0..5 {
        assert_eq!(gateway.send(&Request::get("/").header("x-tester", "yes")).text(), "two");
    }
}

#[test]
fn tls_shows_each_host_its_certificate_and_leads_plain_requests_there() {
    let authority = Authority::new("example");
    let (site, shop) = (authority.issue(&["localhost"]), authority.issue(&["shop.localhost"]));
    let service = Origin::answering("from the service");
    let gateway = example("tls")
        .set("127.0.0.1:9001", service.address())
        .certificate("site", &site)
        .certificate("shop", &shop)
        .start();
    let client = TlsClient::trusting(&authority);
    for (host, pair, body) in
        [("localhost", &site, "from the service"), ("shop.localhost", &shop, "the shop\n")]
    {
        let tunnel = client.connect(gateway.address(), host).expect("a handshake");
        assert!(tunnel.was_shown(pair), "{host}");
        assert_eq!(tunnel.client().send(&Request::get("/").host(host)).text(), body);
    }
    assert_eq!(service.only_request().header("x-scheme"), Some("https"));
    let plain = gateway.listener("plain").expect("a listener");
    let redirect = Client::connect(plain).send(&Request::get("/x").host("old.localhost"));
    assert_eq!((redirect.status, redirect.header("location")), (308, Some("https://localhost:8443/x")));
}

#[test]
fn websocket_carries_a_chat_and_nothing_else() {
    let server = Switcher::echoing();
    let gateway = example("websocket").set("127.0.0.1:9001", server.address()).start();
    let mut client = gateway.connect();
    client.write(Switcher::HANDSHAKE);
    assert_eq!(client.read_head().0, 101);
    client.write("it comes back");
    assert_eq!(client.read_bytes(13), b"it comes back");
    let elsewhere =
        gateway.send(&Request::get("/").header("connection", "upgrade").header("upgrade", "websocket"));
    assert_eq!((elsewhere.status, elsewhere.text().as_str()), (404, "the chat is at /chat\n"));
    assert_eq!(server.heads().len(), 1);
}

#[test]
fn api_key_lets_its_consumers_pass() {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/api-key");
    let manifest = std::fs::read_to_string(directory.join("filters/api-key.yaml")).expect("a manifest");
    let gateway = example("api-key").filter("api-key", &gateway_tests::wasm::api_key(), &manifest).start();
    assert_eq!(gateway.get("/").status, 401);
}
