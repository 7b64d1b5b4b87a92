//! Calls of gRPC: they stream both ways, their deadlines hold, and what the gateway has to say is said as `grpc-status`.

use std::time::{Duration, Instant};

use gateway_tests::{
    Call, Caller, Gateway, Headers, Http2, Http2Origin, RefusingAddress, Request, eventually, wasm,
};

const CALLS: &str = "
routes:
  - {match: {path: {prefix: /closed}}, respond: {status: 403, body: 'members only'}}
  - {match: {path: {prefix: /hello}}, respond: {status: 200, body: 'hello'}}
  - {match: {path: {prefix: /small}}, to: origin, maxBody: 4B}
  - {match: {path: {prefix: /down}}, to: down}
  - {match: {path: {exact: /echo}}, to: origin}
  - {match: {path: {exact: /silent}}, to: origin}
  - {match: {path: {exact: /forever}}, to: origin}
  - {match: {path: {exact: /not-found}}, to: origin}
upstreams:
  origin: {endpoints: ['ORIGIN'], protocol: http2}
  down: {endpoints: ['DOWN'], protocol: http2}
";
const GRPC: (&str, &str) = ("content-type", "application/grpc");

struct World {
    origin: Http2Origin,
    gateway: Gateway,
    caller: Caller,
    _down: RefusingAddress,
}

fn world() -> World {
    let (origin, down) = (Http2Origin::start(), RefusingAddress::new());
    let gateway = Gateway::with(CALLS).set("ORIGIN", origin.address()).set("DOWN", down.address()).start();
    let caller = Caller::connect(gateway.address());
    World { origin, gateway, caller, _down: down }
}

/// The head of a response that has nothing else.
fn only_head(mut call: Call) -> Headers {
    let (status, headers) = call.head().expect("a response");
    assert_eq!(status, 200, "gRPC has its own statuses");
    assert_eq!(call.receive().expect("an end"), None);
    assert_eq!(call.trailers().expect("an end").get("grpc-status"), None);
    headers
}

fn status(headers: &Headers) -> (Option<&str>, Option<&str>) {
    (headers.get("grpc-status"), headers.get("grpc-message"))
}

#[test]
fn what_the_gateway_answers_is_a_status_for_callers() {
    let world = world();
    let mut large = world.caller.begin("/small", &[GRPC]);
    large.send("12345");
    let cases = [
        (world.caller.ask("/nothing", &[GRPC]), "12", "no route for this request"),
        (world.caller.ask("/closed", &[GRPC]), "7", "members only"),
        (world.caller.ask("/down", &[GRPC]), "14", "the upstream refused the connection"),
        (large, "8", "the request body is too large"),
    ];
    for (call, code, message) in cases {
        let head = only_head(call);
        assert_eq!(status(&head), (Some(code), Some(message)));
        assert_eq!(head.get("content-type"), Some("application/grpc"));
        assert_eq!(head.get("content-length"), None);
    }
    world.gateway.await_replies("no_route", 1);
    let lines = world.gateway.await_access_lines(4);
    let mut details: Vec<_> =
        lines.iter().map(|line| line["response_code_details"].as_str().unwrap()).collect();
    details.sort_unstable();
    assert_eq!(details, ["body_too_large", "connect_failed", "direct_response", "no_route"]);
}

#[test]
fn whoever_does_not_call_gets_an_answer_of_http() {
    let world = world();
    let client = Http2::connect(world.gateway.address());
    for content_type in ["application/grpc-web", "application/json"] {
        let response = client.send(&Request::post("/nothing", "x").header("content-type", content_type));
        assert_eq!((response.status, response.header("grpc-status")), (404, None), "{content_type}");
    }
    let old = world.gateway.send(&Request::post("/nothing", "x").header(GRPC.0, GRPC.1));
    assert_eq!((old.status, old.header("grpc-status")), (404, None), "calls need HTTP/2");
    let subtype = Request::post("/nothing", "x").header("content-type", "application/grpc+proto");
    assert_eq!(client.send(&subtype).header("grpc-status"), Some("12"));
    let hello = client.send(&Request::post("/hello", "").header(GRPC.0, GRPC.1));
    assert_eq!((hello.text().as_str(), hello.header("grpc-status")), ("hello", None), "no error, no status");
}

#[test]
fn a_status_of_the_upstream_stays_as_it_is() {
    let world = world();
    let head = only_head(world.caller.ask("/not-found", &[GRPC]));
    assert_eq!(status(&head), (Some("5"), Some("no such row")));
    let line = &world.gateway.await_access_lines(1)[0];
    assert!(line["response_code_details"].is_null(), "{line}");
}

#[test]
fn the_reply_of_a_filter_is_a_status_for_callers() {
    let origin = Http2Origin::start();
    let keys = "config: {consumers: [{name: alice, keys: [key-of-alice]}]}";
    let gateway = Gateway::with(
        "routes: [{to: origin}]\nupstreams: {origin: {endpoints: ['ORIGIN'], protocol: http2}}",
    )
    .set("ORIGIN", origin.address())
    .filter("api-key", &wasm::api_key(), keys)
    .start();
    let caller = Caller::connect(gateway.address());
    let head = only_head(caller.ask("/echo", &[GRPC]));
    assert_eq!(head.get("grpc-status"), Some("16"), "401 is UNAUTHENTICATED");
    assert!(head.get("grpc-message").is_some() && head.get("www-authenticate").is_some(), "{head:?}");
    let head = only_head(caller.ask("/echo", &[GRPC, ("x-api-key", "guess")]));
    assert_eq!(head.get("grpc-status"), Some("7"), "403 is PERMISSION_DENIED");
    let mut call = caller.begin("/echo", &[GRPC, ("x-api-key", "key-of-alice")]);
    call.send("ping");
    assert_eq!(call.head().unwrap().0, 200);
    assert_eq!(call.receive().unwrap().as_deref(), Some("ping"), "filters do not hold up a call");
}

#[test]
fn the_status_that_a_filter_asks_for_is_the_one() {
    // 500 and RESOURCE_EXHAUSTED.
    let module = wasm::small(
        r#"(import "env" "proxy_send_local_response"
            (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))"#,
        r#"(data (i32.const 16) "50% used\n")
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (drop (call $reply (i32.const 500) (i32.const 0) (i32.const 0) (i32.const 16) (i32.const 9)
                                (i32.const 0) (i32.const 0) (i32.const 8)))
             (i32.const 1))"#,
    );
    let origin = Http2Origin::start();
    let gateway = Gateway::with(
        "routes: [{to: origin}]\nupstreams: {origin: {endpoints: ['ORIGIN'], protocol: http2}}",
    )
    .set("ORIGIN", origin.address())
    .filter("quota", &module, "")
    .start();
    let head = only_head(Caller::connect(gateway.address()).ask("/echo", &[GRPC]));
    assert_eq!(status(&head), (Some("8"), Some("50%25 used")));
    assert_eq!(gateway.send(&Request::post("/echo", "")).status, 500);
}

#[test]
fn a_deadline_holds_before_and_after_the_response_begins() {
    let world = world();
    let begun = Instant::now();
    let head = only_head(world.caller.ask("/silent", &[GRPC, ("grpc-timeout", "300m")]));
    assert_eq!(status(&head), (Some("4"), Some("the deadline of the call has passed")));
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert_eq!(world.origin.last_head().headers.get("grpc-timeout"), Some("300m"), "it is passed on");
    eventually("the reset", || world.origin.resets() == [h2::Reason::CANCEL]);

    let mut call = world.caller.ask("/forever", &[GRPC, ("grpc-timeout", "300000u")]);
    assert_eq!(call.head().unwrap().0, 200);
    assert_eq!(call.receive().unwrap().as_deref(), Some("begun"));
    assert_eq!(call.receive().unwrap(), None, "the stream ends well");
    assert_eq!(status(&call.trailers().unwrap()).0, Some("4"));
    eventually("the second reset", || world.origin.resets() == [h2::Reason::CANCEL; 2]);

    let mut call = world.caller.begin("/echo", &[GRPC, ("grpc-timeout", "500m")]);
    call.send("ping");
    assert_eq!(call.head().unwrap().0, 200);
    assert_eq!(call.receive().unwrap().as_deref(), Some("ping"));
    assert_eq!(call.receive().unwrap(), None, "also while the client could still send");
    assert_eq!(status(&call.trailers().unwrap()).0, Some("4"));
    let lines = world.gateway.await_access_lines(3);
    assert!(lines.iter().all(|line| line["response_code_details"] == "grpc_deadline"), "{lines:?}");
    assert!(lines.iter().all(|line| line["response_flags"] == "UT"), "{lines:?}");
}

#[test]
fn a_written_timeout_is_for_the_head_of_calls_too_and_cuts_no_stream() {
    let origin = Http2Origin::start();
    let gateway = Gateway::with(
        "routes: [{to: origin, timeout: 300ms}]\nupstreams: {origin: {endpoints: ['ORIGIN'], protocol: http2}}",
    )
    .set("ORIGIN", origin.address())
    .start();
    let caller = Caller::connect(gateway.address());
    for deadline in ["60S", "not-a-time"] {
        let head = only_head(caller.ask("/silent", &[GRPC, ("grpc-timeout", deadline)]));
        assert_eq!(status(&head), (Some("4"), Some("the upstream took too long")), "{deadline}");
    }
    let mut call = caller.begin("/echo", &[GRPC]);
    for piece in ["one", "two", "three"] {
        call.send(piece);
        if piece == "one" {
            assert_eq!(call.head().unwrap().0, 200);
        }
        assert_eq!(call.receive().unwrap().as_deref(), Some(piece));
        gateway_tests::pause(Duration::from_millis(400));
    }
    call.finish(&[("grpc-status", "0")]);
    assert_eq!(call.receive().unwrap(), None);
    assert_eq!(status(&call.trailers().unwrap()).0, Some("0"));
}

#[test]
fn an_upstream_that_dies_in_a_call_is_unavailable() {
    let World { origin, gateway, caller, .. } = world();
    let mut call = caller.ask("/forever", &[GRPC]);
    assert_eq!(call.head().unwrap().0, 200);
    assert_eq!(call.receive().unwrap().as_deref(), Some("begun"));
    drop(origin);
    assert_eq!(call.receive().unwrap(), None);
    assert_eq!(status(&call.trailers().unwrap()), (Some("14"), Some("the upstream closed the connection")));
    let line = &gateway.await_access_lines(1)[0];
    assert_eq!(line["response_code_details"], "upstream_reset");
}
