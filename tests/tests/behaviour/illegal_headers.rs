//! What no message may have, and nobody can put into one: neither a filter, by any of the calls that write, nor a client
//! through the configuration's variables.

use std::time::Duration;

use gateway_tests::{Answer, Gateway, Origin, Request, pause, wasm};

#[test]
fn a_filter_is_refused_at_the_call_and_changes_nothing() {
    let origin = Origin::start(|_| Answer::text("ok").header("x-of-origin", "1"));
    let gateway = Gateway::to(&origin)
        .filter("illegal", &wasm::guest("illegal"), "capabilities: {callouts: [origin]}")
        .start();
    let said = gateway.get("/try").text();
    assert!(said.lines().count() > 100, "{said}");
    for line in said.lines() {
        let (attempt, statuses) = line.rsplit_once(": [").expect("statuses at the end");
        let statuses = statuses.trim_end_matches(']');
        assert!(statuses.split(", ").all(|status| status == "2"), "{line}");
        assert!(!attempt.contains("same=false"), "{line}");
    }
    let response = gateway.get("/pass");
    assert_eq!(response.status, 200);
    assert_eq!(response.header("x-refused"), Some("66 of 66, same=true"));
    assert_eq!((response.header("x-of-origin"), response.header("x-injected")), (Some("1"), None));
    let seen = origin.only_request();
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("GET", "/pass"));
    for name in
        ["x-injected", "x-a", "transfer-encoding", "connection", "upgrade", "te", "expect", "content-length"]
    {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert_eq!(seen.headers.all("host"), ["test.example"]);
    pause(Duration::from_millis(50));
    assert_eq!(origin.count("/called"), 0, "a refused call is none");
    assert!(origin.malformed().is_empty(), "{:?}", origin.malformed());
}

#[test]
fn what_a_client_sends_cannot_break_out_of_an_edited_header() {
    let origin = Origin::answering("ok");
    let config = "
routes:
  - to: origin
    requestHeaders: {set: {x-all: '%{path}|%{query}|%{host}|%{method}'}}
    responseHeaders: {set: {x-path: '%{path}?%{query}'}}
upstreams: {origin: 'ORIGIN'}
";
    let gateway = Gateway::with(config).set("ORIGIN", origin.address()).start();
    let response = gateway.send(&Request::get("/a%20b;c?q=%0d%0aset-cookie:%20x=1&r=%00"));
    assert_eq!(response.status, 200);
    assert_eq!(response.header("x-path"), Some("/a%20b;c?q=%0d%0aset-cookie:%20x=1&r=%00"));
    assert_eq!(response.header("set-cookie"), None);
    let seen = origin.only_request();
    assert_eq!(seen.header("x-all"), Some("/a%20b;c|q=%0d%0aset-cookie:%20x=1&r=%00|test.example|GET"));
}
