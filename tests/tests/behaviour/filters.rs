//! What filters can do with requests and responses, and which of them see which request.

use gateway_tests::{Answer, Gateway, Http2, Origin, Request, wasm};

use crate::stamps::stamps;

const EVERYWHERE: &str = "config: v1";

#[test]
fn api_keys_let_their_owners_pass() {
    let origin = Origin::answering("secret");
    let manifest = "
phase: authn
config: {query: api_key, consumers: [{name: alice, keys: [key-of-alice]}, {name: bob, keys: [key-of-bob]}]}
";
    let gateway = Gateway::to(&origin).filter("api-key", &wasm::api_key(), manifest).start();
    let mut client = gateway.connect();
    let missing = client.get("/");
    assert_eq!(missing.status, 401);
    assert_eq!(missing.header("www-authenticate"), Some("ApiKey realm=\"api\""));
    assert_eq!(client.send(&Request::get("/").header("x-api-key", "guess")).status, 403);
    assert!(origin.received().is_empty(), "a refused request never reaches the origin");

    let allowed = Request::get("/").header("x-api-key", "key-of-alice").header("x-consumer", "root");
    assert_eq!(client.send(&allowed).text(), "secret");
    let seen = origin.only_request();
    assert_eq!((seen.header("x-consumer"), seen.header("x-api-key")), (Some("alice"), None));

    assert_eq!(client.get("/x?a=1&api_key=key-of-bob&b=2").status, 200);
    let seen = origin.last_request();
    assert_eq!((seen.header("x-consumer"), seen.target.as_str()), (Some("bob"), "/x?a=1&b=2"));

    gateway.await_replies("filter_reply", 2);
    let replies = gateway.metrics().sum("gateway_filter_local_replies_total", &[("filter", "api-key")]);
    assert!((replies - 2.0).abs() < 0.5, "{replies}");
}

#[test]
fn a_route_can_be_chosen_for_a_filter() {
    let origin = Origin::answering("ok");
    let config = "
listeners: [{name: web, bind: '127.0.0.1:0'}, {name: inside, bind: '127.0.0.1:0'}]
routes:
  - {name: open, match: {path: {prefix: /open}}, to: origin}
  - {name: guarded, to: origin}
upstreams: {origin: 'ORIGIN'}
";
    let stamp = wasm::guest("stamp");
    let gateway = Gateway::with(config)
        .set("ORIGIN", origin.address())
        .filter("by-route", &stamp, "config: route\nmatch: {routes: [guarded]}\npriority: 3")
        .filter("by-host", &stamp, "config: host\nmatch: {hosts: ['*.example.com']}\npriority: 2")
        .filter("by-listener", &stamp, "config: listener\nmatch: {listeners: [inside]}\npriority: 1")
        .start();
    let inside = gateway.listener("inside").expect("a listener");
    let of_host = Request::get("/open").host("a.example.com");
    assert_eq!(stamps(&gateway.get("/open")), [""; 0]);
    assert_eq!(stamps(&gateway.get("/")), ["route"]);
    assert_eq!(stamps(&gateway.send(&of_host)), ["host"]);
    assert_eq!(stamps(&of_host.to(inside)), ["listener", "host"]);
    assert_eq!(stamps(&Request::get("/").to(inside)), ["listener", "route"]);
}

#[test]
fn phases_and_priorities_order_filters_and_responses_run_in_reverse() {
    let origin = Origin::answering("ok");
    let stamp = wasm::guest("stamp");
    let gateway = Gateway::to(&origin)
        .filter("a-none", &stamp, "config: none")
        .filter("b-stats", &stamp, "config: stats\nphase: stats")
        .filter("c-authz", &stamp, "config: authz\nphase: authz")
        .filter("d-authn-late", &stamp, "config: authn-late\nphase: authn\npriority: -1")
        .filter("e-authn-early", &stamp, "config: authn-early\nphase: authn\npriority: 7")
        .start();
    let response = gateway.get("/");
    assert_eq!(stamps(&response), ["none", "stats", "authz", "authn-late", "authn-early"]);
    assert_eq!(origin.only_request().header("x-stamp-seen"), Some("none"), "each sets it; the last one wins");
}

#[test]
fn a_reply_of_an_earlier_filter_spares_the_later_ones() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin)
        .filter("stamp", &wasm::guest("stamp"), EVERYWHERE)
        .filter("api-key", &wasm::api_key(), "phase: authn\nconfig: {consumers: [{name: a, keys: [k]}]}")
        .start();
    let refused = gateway.get("/");
    assert_eq!(
        (refused.status, stamps(&refused)),
        (401, vec![]),
        "a filter that saw no request sees no response"
    );
    assert_eq!(stamps(&gateway.send(&Request::get("/").header("x-api-key", "k"))), ["v1"]);
}

#[test]
fn properties_say_where_a_request_is() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).filter("properties", &wasm::guest("properties"), "").start();
    let ask = |name: &str, phase: &str| {
        let request = Request::get(&format!("/properties?name={name}"))
            .header("x-phase", phase)
            .header("user-agent", "tests");
        gateway.send(&request)
    };
    for (name, expected) in [
        ("request.method", "GET"),
        ("request.url_path", "/properties"),
        ("request.path", "/properties?name=request.path"),
        ("request.query", "name=request.query"),
        ("request.host", "test.example"),
        ("request.scheme", "http"),
        ("request.protocol", "HTTP/1.1"),
        ("request.useragent", "tests"),
        ("request.headers.x-phase", "request"),
        ("plugin_name", "properties"),
        ("route_name", "all"),
    ] {
        let response = ask(name, "request");
        assert_eq!((response.status, response.text().as_str()), (200, expected), "{name}");
    }
    let port = gateway.address().port();
    assert_eq!(ask("destination.port", "request").body, u64::from(port).to_le_bytes());
    assert_eq!(ask("destination.address", "request").text(), format!("127.0.0.1:{port}"));
    assert!(ask("source.address", "request").text().starts_with("127.0.0.1:"));
    assert_eq!(ask("no.such.property", "request").status, 404);
    assert_eq!(ask("response.code", "request").status, 404, "not known yet");
    assert!(origin.received().is_empty());
    assert_eq!(ask("response.code", "response").body, 200_u64.to_le_bytes());
    assert_eq!(ask("cluster_name", "response").text(), "origin");
    assert_eq!(ask("upstream.address", "response").text(), origin.address().to_string());
}

#[test]
fn trailers_can_be_edited() {
    let origin = Origin::start(|_| {
        let answer = Answer::chunked([&b"body"[..]]).trailer("x-sum", "4").trailer("x-remove", "1");
        // HTTP/1.1 carries only trailers that the head announced.
        answer.header("trailer", "x-response-trailers")
    });
    let gateway = Gateway::to(&origin).filter("trailers", &wasm::guest("trailers"), "").start();
    let request = Request::new("POST", "/")
        .header("te", "trailers")
        .header("trailer", "x-client, x-remove, x-request-trailers")
        .chunked([&b"abc"[..]])
        .trailer("x-client", "1")
        .trailer("x-remove", "1");
    let response = gateway.send(&request);
    assert_eq!(response.text(), "body");
    assert_eq!((response.trailers.get("x-sum"), response.trailers.get("x-remove")), (Some("4"), None));
    // How many there were when the filter asked: `x-remove` was still among them.
    assert_eq!(response.trailers.get("x-response-trailers"), Some("2"));
    let seen = origin.only_request();
    assert_eq!((seen.trailers.get("x-client"), seen.trailers.get("x-remove")), (Some("1"), None));
    assert_eq!(seen.trailers.get("x-request-trailers"), Some("2"));
}

#[test]
fn a_trailer_that_a_filter_adds_needs_no_announcement_over_http_2() {
    let origin = Origin::start(|_| Answer::chunked([&b"body"[..]]).trailer("x-sum", "4"));
    let gateway = Gateway::to(&origin).filter("trailers", &wasm::guest("trailers"), "").start();
    let response = Http2::connect(gateway.address()).send(&Request::get("/"));
    assert_eq!((response.text().as_str(), response.trailers.get("x-sum")), ("body", Some("4")));
    assert_eq!(response.trailers.get("x-response-trailers"), Some("1"));
}
