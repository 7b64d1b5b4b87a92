//! HTTP/2 to upstreams: what is spoken, how many connections there are, and what a request survives.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use gateway_tests::{
    Answer, Authority, Call, Caller, FrameOrigin, Gateway, Http2, Http2Origin, Manner, Origin, Request,
    TlsFront, eventually, noise, wasm,
};

const PLAIN: &str = "routes: [{to: origin}]\nupstreams: {origin: {endpoints: ['ORIGIN'], protocol: http2}}";

fn to(origin: &Http2Origin) -> Gateway {
    Gateway::with(PLAIN).set("ORIGIN", origin.address()).start()
}

/// Sends a piece and has it back, over and over: each side waits for the other.
fn ping_pong(call: &mut Call, pieces: &[&str]) {
    for piece in pieces {
        call.send(piece);
        assert_eq!(call.receive().expect("an echo").as_deref(), Some(*piece));
    }
}

/// A call of which the first piece was echoed, and that goes on.
fn under_way(caller: &Caller) -> Call {
    let mut call = caller.begin("/echo", &[]);
    call.send("first");
    assert_eq!(call.head().expect("a response").0, 200);
    assert_eq!(call.receive().expect("an echo").as_deref(), Some("first"));
    call
}

#[test]
fn clients_of_http1_are_served_over_one_connection_of_http2() {
    let origin = Http2Origin::start();
    let gateway = to(&origin);
    let mut client = gateway.connect();
    for n in 0..5 {
        let response = client.send(&Request::get(&format!("/page?n={n}")));
        assert_eq!((response.status, response.text().as_str()), (200, "ok"));
        assert_eq!(response.header("content-length"), Some("2"));
    }
    let response = client.send(&Request::post("/echo", noise(200_000)));
    assert!(response.body == noise(200_000), "the body comes back whole");
    assert_eq!(origin.connections(), 1);
    let head = &origin.heads()[4];
    assert_eq!((head.method.as_str(), head.uri.as_str()), ("GET", "http://test.example/page?n=4"));
    assert_eq!(head.headers.all("host"), [""; 0], "the host is in the URI");
    assert_eq!(head.headers.get("x-forwarded-host"), Some("test.example"));
}

#[test]
fn nothing_of_a_connection_of_http1_is_passed_on() {
    let origin = Http2Origin::start();
    let gateway = to(&origin);
    let request = Request::get("/")
        .header("connection", "keep-alive, x-secret, te")
        .header("x-secret", "1")
        .header("te", "trailers")
        .header("keep-alive", "timeout=5")
        .header("proxy-connection", "keep-alive");
    assert_eq!(gateway.send(&request).status, 200);
    let request = Request::get("/").header("te", "trailers").header("upgrade", "h2c");
    assert_eq!(gateway.send(&request).status, 200);
    let heads = origin.heads();
    for name in ["connection", "x-secret", "keep-alive", "proxy-connection", "upgrade", "transfer-encoding"] {
        assert!(heads.iter().all(|head| head.headers.all(name).is_empty()), "{name}");
    }
    assert_eq!(heads[1].headers.get("te"), Some("trailers"));
}

#[test]
fn a_host_that_is_none_is_a_400() {
    let origin = Http2Origin::start();
    let gateway = to(&origin);
    assert_eq!(gateway.send(&Request::get("/").host("a b")).status, 400);
    assert_eq!(gateway.send(&Request::get("/").host("ok.example:81")).status, 200);
    assert_eq!(origin.last_head().uri, "http://ok.example:81/");
}

#[test]
fn requests_share_a_connection_and_each_side_may_wait_for_the_other() {
    let origin = Http2Origin::start();
    let gateway = to(&origin);
    let caller = Caller::connect(gateway.address());
    let mut calls: Vec<_> = (0..20).map(|_| under_way(&caller)).collect();
    for call in &mut calls {
        ping_pong(call, &["two", "three"]);
    }
    for call in &mut calls {
        call.finish(&[("x-checksum", "17")]);
        assert_eq!(call.receive().unwrap(), None);
        let trailers = call.trailers().unwrap();
        assert_eq!((trailers.get("x-echoed"), trailers.get("x-checksum")), (Some("whole"), Some("17")));
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_further_connection_is_made_when_streams_run_out() {
    let origin = Http2Origin::with_streams(Some(2));
    let gateway = to(&origin);
    let caller = Caller::connect(gateway.address());
    let mut calls: Vec<_> = (0..5).map(|_| under_way(&caller)).collect();
    assert_eq!(origin.connections(), 3);
    let mut on_connection = HashMap::new();
    for head in origin.heads() {
        *on_connection.entry(head.connection).or_insert(0) += 1;
    }
    assert!(on_connection.values().all(|streams| *streams <= 2), "{on_connection:?}");
    for call in &mut calls {
        ping_pong(call, &["more"]);
        call.finish(&[]);
        assert_eq!(call.receive().unwrap(), None);
    }
    // Free streams are used before a fourth connection is made.
    let mut again: Vec<_> = (0..5).map(|_| under_way(&caller)).collect();
    ping_pong(&mut again[4], &["more"]);
    assert_eq!(origin.connections(), 3);
    assert_eq!(origin.resets(), [], "no stream was refused");
}

#[test]
fn a_burst_is_not_a_burst_of_connections() {
    let origin = Http2Origin::start();
    let gateway = to(&origin);
    let client = Http2::connect(gateway.address());
    let responses = client.send_all(&vec![Request::get("/"); 60]);
    assert!(responses.iter().all(|response| response.status == 200));
    assert_eq!((origin.connections(), origin.heads().len()), (1, 60));
}

#[test]
fn what_a_client_calls_off_is_called_off_upstream() {
    let origin = Http2Origin::start();
    let gateway = to(&origin);
    let caller = Caller::connect(gateway.address());
    // While nothing was answered, while the response streams, and while both stream.
    let silent = caller.ask("/silent", &[]);
    eventually("the request at the origin", || origin.heads().len() == 1);
    silent.cancel();
    eventually("the first reset", || origin.resets() == [h2::Reason::CANCEL]);
    let mut forever = caller.ask("/forever", &[]);
    assert_eq!(forever.head().unwrap().0, 200);
    forever.cancel();
    eventually("the second reset", || origin.resets() == [h2::Reason::CANCEL; 2]);
    under_way(&caller).cancel();
    eventually("the third reset", || origin.resets() == [h2::Reason::CANCEL; 3]);
    // Clients of HTTP/1.1 can only go away.
    let mut client = gateway.connect();
    client.write(Request::get("/forever").bytes());
    assert_eq!(client.read_head().0, 200);
    drop(client);
    eventually("the fourth reset", || origin.resets() == [h2::Reason::CANCEL; 4]);
    let lines = gateway.await_access_lines(4);
    assert!(lines.iter().all(|line| line["response_code_details"] == "client_closed"), "{lines:?}");
    assert_eq!(origin.connections(), 1, "the connection is none the worse");
}

#[test]
fn an_answer_before_the_end_of_the_request_ends_the_request() {
    let origin = Http2Origin::start();
    let gateway = to(&origin);
    let caller = Caller::connect(gateway.address());
    let mut call = caller.begin("/early", &[]);
    call.send_if_open("a beginning");
    assert_eq!(call.head().unwrap().0, 200);
    assert_eq!(call.receive().unwrap().as_deref(), Some("ok"));
    assert_eq!(call.receive().unwrap(), None);
    eventually("the rest called off", || origin.resets() == [h2::Reason::CANCEL]);
    // A client of HTTP/1.1 goes on sending, or waits for better times.
    let mut client = gateway.connect();
    client.write("POST /early HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\nbeginning");
    let response = client.read("POST");
    assert_eq!((response.status, response.text().as_str()), (200, "ok"));
    eventually("the rest called off", || origin.resets() == [h2::Reason::CANCEL; 2]);
    // The stream is free, although the client never ended its body.
    let limited = Http2Origin::with_streams(Some(1));
    let gateway = to(&limited);
    let caller = Caller::connect(gateway.address());
    let _held: Vec<_> = (0..3)
        .map(|_| {
            let mut call = caller.begin("/early", &[]);
            assert_eq!(call.head().unwrap().0, 200);
            assert_eq!(call.receive().unwrap().as_deref(), Some("ok"));
            assert_eq!(call.receive().unwrap(), None);
            call
        })
        .collect();
    eventually("all called off", || limited.resets() == [h2::Reason::CANCEL; 3]);
    assert!(limited.connections() <= 2, "a stream may be asked for before the last one is free");
}

#[test]
fn an_answer_also_ends_a_request_that_a_filter_holds() {
    let holds = r#"(func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) (i32.const 1))"#;
    let origin = Http2Origin::start();
    let gateway = Gateway::with(PLAIN)
        .set("ORIGIN", origin.address())
        .filter("hold", &wasm::small("", holds), "")
        .start();
    let caller = Caller::connect(gateway.address());
    let mut call = caller.begin("/early", &[]);
    call.send_if_open("held");
    assert_eq!(call.head().unwrap().0, 200);
    assert_eq!(call.receive().unwrap().as_deref(), Some("ok"));
    eventually("the rest called off", || origin.resets() == [h2::Reason::CANCEL]);
}

#[test]
fn early_hints_of_an_upstream_do_no_harm() {
    let origin = Http2Origin::start();
    let gateway = to(&origin);
    let response = gateway.get("/hints");
    assert_eq!((response.status, response.text().as_str()), (200, "ok"));
}

#[test]
fn cookies_of_http2_are_one_field_for_the_upstream() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).start();
    let crumbs = Request::get("/").header("cookie", "a=1").header("cookie", "b=2").header("cookie", "c=3");
    assert_eq!(Http2::connect(gateway.address()).send(&crumbs).status, 200);
    assert_eq!(origin.only_request().header("cookie"), Some("a=1; b=2; c=3"));
}

#[test]
fn an_upstream_that_goes_away_under_load_is_no_clients_error() {
    const REQUESTS: usize = 400;
    let origin = FrameOrigin::start(Manner::GoesAwayAfter(7));
    let gateway = Gateway::with(PLAIN).set("ORIGIN", origin.address()).start();
    let client = Http2::connect(gateway.address());
    let requests: Vec<_> = (0..REQUESTS).map(|n| Request::post("/", format!("order {n}"))).collect();
    for some in requests.chunks(20) {
        for response in client.send_all(some) {
            assert_eq!(response.status, 200);
        }
    }
    let mut bodies = origin.bodies();
    bodies.sort();
    let mut expected: Vec<_> = (0..REQUESTS).map(|n| format!("order {n}")).collect();
    expected.sort();
    assert_eq!(bodies, expected, "each was acted on exactly once");
    assert!(origin.unanswered() > 0, "no request was on its way when the upstream went away");
    assert!(origin.connections() > REQUESTS / 40, "{} connections", origin.connections());
}

#[test]
fn what_an_upstream_refuses_to_look_at_is_sent_again() {
    let origin = FrameOrigin::start(Manner::RefusesAllBut(2));
    let gateway = Gateway::with(PLAIN).set("ORIGIN", origin.address()).start();
    let mut client = gateway.connect();
    for n in 0..20 {
        assert_eq!(client.send(&Request::post("/", format!("order {n}"))).status, 200);
    }
    assert_eq!(origin.bodies(), (0..20).map(|n| format!("order {n}")).collect::<Vec<_>>());
    assert_eq!((origin.unanswered(), origin.connections()), (20, 1));
    let retries = gateway.metrics().sum("envoy_cluster_upstream_rq_retry", &[]);
    assert!((retries - 20.0).abs() < 0.5, "{retries}");
    // It ends somewhere.
    let never = FrameOrigin::start(Manner::RefusesAllBut(usize::MAX));
    let gateway = Gateway::with(PLAIN).set("ORIGIN", never.address()).start();
    assert_eq!(gateway.send(&Request::post("/", "order")).status, 502);
    assert_eq!(never.unanswered(), 4);
}

#[test]
fn an_upstream_of_http1_is_told_from_one_of_http2() {
    let old = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = Gateway::with(PLAIN).set("ORIGIN", old.local_addr().unwrap()).start();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = old.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        // Until the gateway has read it and closed.
        stream.read_to_end(&mut Vec::new())
    });
    assert_eq!(gateway.get("/").status, 502);
    gateway.await_replies("connect_failed", 1);
    // It may end by a reset: the gateway has not read everything.
    let _ = answering.join().unwrap();
}

#[test]
fn over_tls_the_upstream_chooses() {
    let authority = Authority::new("private");
    let pair = authority.issue(&["127.0.0.1"]);
    let (old, new) = (Origin::answering("http1"), Http2Origin::start());
    // What the endpoint offers, what the configuration says, and what becomes of it.
    let cases = [
        ("auto", vec!["h2", "http/1.1"], true, 200),
        ("auto", vec!["h2"], true, 200),
        ("auto", vec!["http/1.1"], false, 200),
        ("auto", vec![], false, 200),
        ("http2", vec!["h2", "http/1.1"], true, 200),
        ("http2", vec!["http/1.1"], false, 502),
        ("http2", vec![], false, 502),
        ("http1", vec!["h2", "http/1.1"], false, 200),
        ("http1", vec!["h2"], true, 502),
    ];
    for (protocol, offered, is_http2, status) in cases {
        let behind = if is_http2 { new.address() } else { old.address() };
        let front = TlsFront::offering(behind, &pair, None, &offered);
        let gateway = Gateway::with(
            "routes: [{to: origin}]\n\
             upstreams: {origin: {endpoints: ['ORIGIN'], protocol: PROTOCOL, tls: {ca: ca.pem}}}",
        )
        .set("ORIGIN", front.address())
        .set("PROTOCOL", protocol)
        .file("ca.pem", &authority.pem())
        .start();
        for _ in 0..3 {
            assert_eq!(gateway.get("/").status, status, "{protocol} {offered:?}");
        }
        if status == 200 {
            let connections = gateway.metrics().sum("envoy_cluster_upstream_cx_total", &[]);
            assert!((connections - 1.0).abs() < 0.1, "{protocol} {offered:?}: {connections} connections");
        } else {
            gateway.await_replies("upstream_tls", 3);
        }
    }
    assert!(new.heads().iter().all(|head| head.uri == "https://test.example/"), "{:?}", new.heads());
}

#[test]
fn trailers_reach_clients_and_upstreams_of_either_version() {
    // From HTTP/1.1 to HTTP/2.
    let origin = Http2Origin::start();
    let gateway = to(&origin);
    let request = Request::new("POST", "/echo")
        .header("te", "trailers")
        .chunked([&b"body"[..]])
        .trailer("x-checksum", "17");
    let response = gateway.send(&request);
    assert_eq!((response.text().as_str(), response.trailers.get("x-checksum")), ("body", Some("17")));
    let caller = Caller::connect(gateway.address());
    let mut call = under_way(&caller);
    call.finish(&[("x-checksum", "17")]);
    assert_eq!(call.receive().unwrap(), None);
    assert_eq!(call.trailers().unwrap().get("x-checksum"), Some("17"));
    // From an upstream of HTTP/1.1 to a client of HTTP/2.
    let old = Origin::start(|_| Answer::chunked([&b"body"[..]]).trailer("x-checksum", "18"));
    let gateway = Gateway::to(&old).start();
    let response = Http2::connect(gateway.address()).send(&Request::get("/"));
    assert_eq!((response.text().as_str(), response.trailers.get("x-checksum")), ("body", Some("18")));
}

#[test]
fn connections_without_a_request_are_closed_after_their_time() {
    let origin = Http2Origin::start();
    let gateway = Gateway::with(
        "routes: [{to: origin}]\nupstreams: {origin: {endpoints: ['ORIGIN'], protocol: http2, idle: 300ms}}",
    )
    .set("ORIGIN", origin.address())
    .start();
    let caller = Caller::connect(gateway.address());
    let active = |gateway: &Gateway| gateway.metrics().sum("envoy_cluster_upstream_cx_active", &[]);
    let mut call = under_way(&caller);
    gateway_tests::pause(Duration::from_millis(900));
    ping_pong(&mut call, &["still there"]);
    call.finish(&[]);
    assert_eq!(call.receive().unwrap(), None);
    eventually("the connection closed", || active(&gateway) < 0.5);
    assert_eq!(gateway.get("/").status, 200);
    assert_eq!(origin.connections(), 2);
}

#[test]
fn reloads_keep_streams_and_connections() {
    let origin = Http2Origin::start();
    let gateway = to(&origin);
    let caller = Caller::connect(gateway.address());
    let mut calls: Vec<_> = (0..50).map(|_| under_way(&caller)).collect();
    for n in 0..10 {
        gateway.configure(&format!(
            "routes: [{{to: origin, responseHeaders: {{set: {{x-version: '{n}'}}}}}}]\n\
             upstreams: {{origin: {{endpoints: ['{}'], protocol: http2}}}}",
            origin.address()
        ));
        let version = n.to_string();
        eventually("the new configuration", || gateway.get("/").header("x-version") == Some(&*version));
        for call in &mut calls {
            ping_pong(call, &["after a reload"]);
        }
    }
    assert_eq!((origin.connections(), origin.resets()), (1, vec![]));
    // Another protocol is another connection, and the old one goes on for those who are on it.
    gateway.configure(&format!("routes: [{{to: origin}}]\nupstreams: {{origin: '{}'}}", origin.address()));
    eventually("HTTP/1.1 spoken", || gateway.get("/").status == 502);
    ping_pong(&mut calls[49], &["still", "there"]);
}

#[test]
fn connections_of_http2_change_to_no_other_protocol() {
    let origin = Http2Origin::start();
    let gateway = Gateway::with(
        "routes: [{to: origin, upgrades: [websocket]}]\nupstreams: {origin: {endpoints: ['ORIGIN'], protocol: http2}}",
    )
    .set("ORIGIN", origin.address())
    .start();
    let request = Request::get("/").header("connection", "upgrade").header("upgrade", "websocket");
    assert_eq!(gateway.send(&request).status, 502);
    gateway.await_replies("upstream_protocol", 1);
    assert_eq!((gateway.get("/").status, origin.heads().len(), origin.connections()), (200, 1, 1));
}
