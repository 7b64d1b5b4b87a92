//! WebSocket over HTTP/2: extended CONNECT towards the client, an upgrade towards the upstream (RFC 8441).

use gateway_tests::{
    Gateway, Http2, Http2Socket, Origin, Request, Response, Setup, Switcher, eventually, eventually_some,
    noise, wasm,
};

const ROUTES: &str =
    "routes: [{name: chat, to: origin, upgrades: [websocket]}]\nupstreams: {origin: 'ORIGIN'}";

fn setup(origin: &Switcher) -> Setup {
    Gateway::with(ROUTES).set("ORIGIN", origin.address())
}

/// An origin that answers the key as a WebSocket server does, and echoes.
fn websocket_server() -> Switcher {
    Switcher::start(|_, mut connection| {
        let key = connection.headers().get("sec-websocket-key").unwrap_or_default().to_owned();
        let accept = gateway_tests::websocket_accept(&key);
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-accept: {accept}\r\nsec-websocket-protocol: chat\r\n\r\nwelcome"
        );
        connection.write(head.as_bytes())?;
        connection.echo()
    })
}

fn ask<'c>(client: &'c Http2, request: &Request) -> Result<Http2Socket<'c>, Response> {
    eventually_some("settings that allow extended CONNECT", || client.extended_connect(request, "websocket"))
}

fn chat() -> Request {
    Request::get("/chat").header("sec-websocket-version", "13").header("sec-websocket-protocol", "chat")
}

#[test]
fn bytes_pass_both_ways_and_are_counted() {
    let origin = websocket_server();
    let gateway = setup(&origin).filter("stamp", &wasm::guest("stamp"), "config: seen").start();
    let client = Http2::connect(gateway.address());
    let mut socket = ask(&client, &chat()).unwrap_or_else(|refused| panic!("{refused:?}"));
    assert_eq!(socket.headers.get("sec-websocket-protocol"), Some("chat"));
    assert_eq!(socket.headers.get("sec-websocket-accept"), None);
    assert_eq!(socket.headers.get("upgrade"), None);
    assert_eq!(socket.headers.get("x-stamp"), Some("seen"));
    assert_eq!(socket.read(7), b"welcome");
    let sent = noise(1 << 20);
    assert!(socket.exchange(&sent) == sent);
    assert_eq!(socket.finish().unwrap(), b"");

    let (line, headers) = origin.heads().remove(0);
    assert_eq!(line, "GET /chat HTTP/1.1");
    assert_eq!((headers.get("connection"), headers.get("upgrade")), (Some("upgrade"), Some("websocket")));
    assert_eq!((headers.get("host"), headers.get("content-length")), (Some("test.example"), None));
    let line = gateway.await_access_lines(1).remove(0);
    assert_eq!(
        (&line["response_code"], &line["method"], &line["protocol"]),
        (&200.into(), &"CONNECT".into(), &"HTTP/2".into())
    );
    assert_eq!((&line["bytes_received"], &line["bytes_sent"]), (&(1 << 20).into(), &((1 << 20) + 7).into()));
}

#[test]
fn several_share_a_connection_with_requests() {
    let origin = websocket_server();
    let config = "
routes:
  - {match: {path: {exact: /plain}}, respond: {status: 200, body: plain}}
  - {to: origin, upgrades: websocket}
upstreams: {origin: 'ORIGIN'}
";
    let gateway = Gateway::with(config).set("ORIGIN", origin.address()).start();
    let client = Http2::connect(gateway.address());
    let mut sockets: Vec<_> =
        (0..5).map(|_| ask(&client, &chat()).unwrap_or_else(|refused| panic!("{refused:?}"))).collect();
    for (index, socket) in sockets.iter_mut().enumerate() {
        assert_eq!(socket.read(7), b"welcome");
        socket.write(format!("number {index}").as_bytes());
        assert_eq!(client.send(&Request::get("/plain")).text(), "plain");
    }
    for (index, socket) in sockets.iter_mut().enumerate().rev() {
        assert_eq!(socket.read(8), format!("number {index}").as_bytes());
    }
}

#[test]
fn the_settings_say_whether_any_route_takes_it() {
    let origin = Origin::answering("plain");
    let gateway = Gateway::to(&origin).start();
    let client = Http2::connect(gateway.address());
    assert!(client.extended_connect(&chat(), "websocket").is_none());
    gateway.configure(&ROUTES.replace("ORIGIN", &origin.address().to_string()));
    eventually("settings of a new connection", || {
        let client = Http2::connect(gateway.address());
        client.extended_connect(&chat(), "websocket").is_some()
    });
}

#[test]
fn what_no_route_takes_is_refused_with_501() {
    let origin = websocket_server();
    let config = "
routes:
  - {match: {path: {exact: /chat}}, to: origin, upgrades: websocket}
  - {match: {path: {exact: /plain}}, to: origin}
  - {match: {path: {exact: /fixed}}, respond: {status: 200}}
upstreams: {origin: 'ORIGIN'}
";
    let gateway = Gateway::with(config).set("ORIGIN", origin.address()).start();
    let client = Http2::connect(gateway.address());
    drop(ask(&client, &chat()));
    let refusal = |target: &str, protocol| {
        let answer = client.extended_connect(&Request::get(target), protocol).expect("the settings allow it");
        answer.err().expect("a refusal").status
    };
    assert_eq!(refusal("/plain", "websocket"), 501);
    assert_eq!(refusal("/fixed", "websocket"), 501);
    assert_eq!(refusal("/chat", "connect-udp"), 501);
    assert_eq!(refusal("/nowhere", "websocket"), 404);
    gateway.await_replies("upgrade_refused", 3);
    assert_eq!(origin.heads().len(), 1);
}

#[test]
fn an_upstream_that_does_not_speak_it_is_a_502_and_a_refusal_passes() {
    let answers = [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", 502),
        ("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno", 403),
        ("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n", 502),
        (
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
            502,
        ),
    ];
    for (answer, expected) in answers {
        let origin = Switcher::start(move |_, mut connection| {
            connection.write(answer.as_bytes())?;
            connection.read_to_end().map(drop)
        });
        let gateway = setup(&origin).start();
        let client = Http2::connect(gateway.address());
        let refused = ask(&client, &chat()).err().expect("no stream");
        assert_eq!(refused.status, expected, "{answer}");
    }
}

#[test]
fn a_filter_that_answers_with_success_opens_no_stream() {
    let origin = websocket_server();
    let reply = wasm::small(
        r#"(import "env" "proxy_send_local_response" (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))"#,
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (drop (call $reply (i32.const 200) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
               (i32.const 0) (i32.const 0) (i32.const -1)))
             (i32.const 1))"#,
    );
    let gateway = setup(&origin).filter("reply", &reply, "config: {}").start();
    let client = Http2::connect(gateway.address());
    assert_eq!(ask(&client, &chat()).err().expect("no stream").status, 502);
    assert!(origin.heads().is_empty());
}

#[test]
fn the_end_of_the_gateway_ends_the_streams() {
    let origin = websocket_server();
    let gateway = Gateway::with(&format!("drain: 500ms\n{ROUTES}")).set("ORIGIN", origin.address()).start();
    let client = Http2::connect(gateway.address());
    let mut socket = ask(&client, &chat()).unwrap_or_else(|refused| panic!("{refused:?}"));
    assert_eq!(socket.read(7), b"welcome");
    gateway.begin_stop();
    socket.write(b"still here");
    assert_eq!(socket.read(10), b"still here");
    let lines = gateway.ended();
    assert_eq!(lines.len(), 1);
    assert_eq!(
        (&lines[0]["response_code_details"], &lines[0]["bytes_sent"]),
        (&"drain_timeout".into(), &17.into())
    );
}
