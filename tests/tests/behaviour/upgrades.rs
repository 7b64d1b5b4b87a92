//! Connections change to another protocol where the route allows it, carry every byte, and outlive what changes around them.

use std::io::Write;
use std::time::{Duration, Instant};

use gateway_tests::{
    Answer, Authority, Client, Gateway, Origin, Request, Setup, Switcher, TlsClient, TlsFront, eventually,
    noise, pause, wasm,
};

const ROUTES: &str = "routes: [{name: chat, to: origin, upgrades: [websocket], upgradeIdleTimeout: IDLE}]\n\
                      upstreams: {origin: 'ORIGIN'}";

fn setup(origin: &Switcher) -> Setup {
    Gateway::with(ROUTES).set("ORIGIN", origin.address()).set("IDLE", "5m")
}

/// A connection that has changed its protocol.
fn open(gateway: &Gateway) -> Client {
    let mut client = gateway.connect();
    shake_hands(&mut client);
    client
}

fn shake_hands(client: &mut Client) {
    client.write(Switcher::HANDSHAKE);
    let (status, headers) = client.read_head();
    assert_eq!(status, 101);
    assert_eq!(headers.get("upgrade"), Some("websocket"));
    assert_eq!(headers.get("connection"), Some("upgrade"));
    assert_eq!((headers.get("content-length"), headers.get("transfer-encoding")), (None, None));
}

/// Sends bytes while they come back.
fn assert_echo(client: &mut Client, length: usize) {
    let (sent, mut writer) = (noise(length), client.socket());
    let back = std::thread::scope(|scope| {
        scope.spawn(|| writer.write_all(&sent).expect("the gateway reads"));
        client.read_bytes(length)
    });
    assert!(back == sent, "{length} bytes come back as they were");
}

#[test]
fn bytes_pass_both_ways_and_are_counted() {
    let origin = Switcher::echoing();
    let gateway = setup(&origin).start();
    let mut client = open(&gateway);
    assert_echo(&mut client, 3 << 20);
    let active = "envoy_http_downstream_cx_upgrades_active";
    assert!((gateway.metrics().sum(active, &[]) - 1.0).abs() < 0.5);
    assert!(gateway.access_lines().is_empty(), "the line is written at the end");
    client.finish_writing();
    assert_eq!(client.read_to_end(), b"");

    let (line, headers) = origin.heads().remove(0);
    assert_eq!(line, "GET /chat HTTP/1.1");
    assert_eq!((headers.get("connection"), headers.get("upgrade")), (Some("upgrade"), Some("websocket")));
    assert_eq!(headers.get("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
    assert_eq!(headers.get("x-forwarded-proto"), Some("http"));
    let line = gateway.await_access_lines(1).remove(0);
    assert_eq!((&line["response_code"], &line["route_name"]), (&101.into(), &"chat".into()));
    assert_eq!((&line["bytes_received"], &line["bytes_sent"]), (&(3 << 20).into(), &(3 << 20).into()));
    assert_eq!(line["response_code_details"], serde_json::Value::Null);
    let metrics = gateway.metrics();
    assert!(metrics.sum(active, &[]).abs() < 0.5);
    assert!((metrics.sum("envoy_http_downstream_cx_upgrades_total", &[]) - 1.0).abs() < 0.5);
    assert!(metrics.sum("envoy_cluster_upstream_cx_active", &[]).abs() < 0.5, "its connection is closed");
}

#[test]
fn tls_on_both_sides_changes_nothing() {
    let authority = Authority::new("private");
    let origin = Switcher::echoing();
    let front = TlsFront::before(origin.address(), &authority.issue(&["reviews.internal"]), None);
    let config = "
listeners: [{name: web, bind: '127.0.0.1:0', tls: {certificates: [{cert: site.pem, key: site.key}]}}]
routes: [{to: origin, upgrades: websocket}]
upstreams: {origin: {endpoints: ['ORIGIN'], tls: {ca: ca.pem, sni: reviews.internal}}}
";
    let gateway = Gateway::with(config)
        .set("ORIGIN", front.address())
        .file("ca.pem", &authority.pem())
        .certificate("site", &authority.issue(&["test.example"]))
        .start();
    let tunnel =
        TlsClient::trusting(&authority).connect(gateway.address(), "test.example").expect("a handshake");
    let mut client = tunnel.client();
    shake_hands(&mut client);
    assert_echo(&mut client, 1 << 20);
    client.finish_writing();
    assert_eq!(client.read_to_end(), b"");
    assert_eq!(origin.heads()[0].1.get("x-forwarded-proto"), Some("https"));
}

#[test]
fn a_request_that_may_not_change_its_protocol_goes_on_without() {
    let origin = Origin::answering("plain");
    let config = "
routes:
  - {match: {path: {prefix: /other}}, to: origin, upgrades: [acme]}
  - {match: {path: {prefix: /none}}, to: origin}
  - {match: {path: {prefix: /chat}}, to: origin, upgrades: [websocket]}
upstreams: {origin: 'ORIGIN'}
";
    let gateway = Gateway::with(config).set("ORIGIN", origin.address()).start();
    let mut client = gateway.connect();
    let asking =
        |target: &str| Request::get(target).header("connection", "upgrade").header("upgrade", "websocket");
    let requests = [
        asking("/other"),
        asking("/none"),
        // Named by nobody's `connection`, so it is no request to change.
        Request::get("/chat").header("upgrade", "websocket"),
        // A body would have to be read as something else afterwards.
        asking("/chat").body("a body"),
        Request::get("/chat").header("connection", "upgrade").header("upgrade", "h2c, acme"),
    ];
    for request in &requests {
        assert_eq!(client.send(request).text(), "plain");
        let seen = origin.last_request();
        assert_eq!((seen.header("upgrade"), seen.header("connection")), (None, None), "{request:?}");
    }
    assert_eq!(origin.connections(), 1, "they use one connection like any other request");
}

#[test]
fn the_first_allowed_protocol_of_a_list_is_asked_for() {
    let origin = Switcher::echoing();
    let gateway = setup(&origin).start();
    let mut client = gateway.connect();
    client.write("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: h2c, WebSocket\r\n\r\n");
    assert_eq!(client.read_head().0, 101);
    assert_eq!(origin.heads()[0].1.get("upgrade"), Some("websocket"));
}

#[test]
fn a_client_of_http_1_0_is_not_upgraded() {
    let origin = Origin::answering("plain");
    let gateway = Gateway::with(ROUTES).set("ORIGIN", origin.address()).set("IDLE", "0s").start();
    let mut client = gateway.connect();
    client.write(Switcher::HANDSHAKE.replace("HTTP/1.1", "HTTP/1.0"));
    assert_eq!(client.read("GET").status, 200);
    assert_eq!(origin.last_request().header("upgrade"), None);
}

#[test]
fn an_answer_other_than_101_is_an_ordinary_response() {
    let origin = Origin::start(|request| match request.header("upgrade") {
        Some(_) => Answer::text("not you").status(403).header("x-from", "origin"),
        None => Answer::text("plain"),
    });
    let gateway = Gateway::with(ROUTES).set("ORIGIN", origin.address()).set("IDLE", "5m").start();
    let mut client = gateway.connect();
    for _ in 0..2 {
        client.write(Switcher::HANDSHAKE);
        let response = client.read("GET");
        assert_eq!((response.status, response.text().as_str()), (403, "not you"));
        assert_eq!(response.header("x-from"), Some("origin"));
        assert_eq!(client.get("/").text(), "plain", "both connections go on");
    }
    assert_eq!(
        origin.connections(),
        2,
        "a request to change gets a connection of its own, which then is as good as any"
    );
    assert_eq!(gateway.await_access_lines(4)[0]["response_code"], 403);
}

#[test]
fn a_refusal_arrives_whole_however_the_upstream_ends_it() {
    let ends = [
        "content-length: 7\r\nconnection: close\r\n\r\nrefused",
        "connection: close\r\n\r\nrefused",
        "transfer-encoding: chunked\r\n\r\n7\r\nrefused\r\n0\r\n\r\n",
    ];
    for end in ends {
        let answer = format!("HTTP/1.1 426 Upgrade Required\r\n{end}");
        // Head, body and end of the connection at once.
        let origin = Switcher::start(move |_, mut connection| connection.write(answer.as_bytes()));
        let gateway = setup(&origin).start();
        let mut client = gateway.connect();
        for _ in 0..20 {
            client.write(Switcher::HANDSHAKE);
            let response = client.read("GET");
            assert_eq!((response.status, response.text().as_str()), (426, "refused"), "{end}");
        }
        assert_eq!(origin.heads().len(), 20);
    }
}

#[test]
fn a_101_that_was_not_asked_for_is_a_502() {
    let switching = |upgrade: &str| format!("HTTP/1.1 101 Switching Protocols\r\n{upgrade}\r\nsecret");
    let cases = [
        switching("connection: upgrade\r\nupgrade: h2c\r\n"),
        switching("connection: upgrade\r\nupgrade: websocket, acme\r\n"),
        switching("connection: upgrade\r\nupgrade: websocket\r\nupgrade: acme\r\n"),
        switching("connection: upgrade\r\n"),
        switching("upgrade: websocket\r\n"),
        switching(""),
    ];
    for answer in cases {
        let sent = answer.clone();
        let origin = Switcher::start(move |_, mut connection| {
            connection.write(sent.as_bytes())?;
            connection.read_to_end().map(drop)
        });
        let gateway = setup(&origin).start();
        let mut client = gateway.connect();
        client.write(Switcher::HANDSHAKE);
        let response = client.read("GET");
        assert_eq!(response.status, 502, "{answer}");
        assert!(!response.text().contains("secret"));
        gateway.await_replies("upstream_protocol", 1);
    }
    // Nobody asked at all.
    let origin = Switcher::start(|_, mut connection| connection.accept(b"secret"));
    let gateway = setup(&origin).start();
    assert_eq!(gateway.get("/").status, 502);
}

#[test]
fn bytes_that_come_right_with_the_handshake_are_not_lost() {
    let origin = Switcher::start(|_, mut connection| {
        connection.accept(b"from the origin at once;")?;
        let early = connection.read(b"from the client at once;".len())?;
        connection.write(&early)?;
        connection.echo()
    });
    let gateway = setup(&origin).start();
    let mut client = gateway.connect();
    client.write(format!("{}from the client at once;", Switcher::HANDSHAKE));
    assert_eq!(client.read_head().0, 101);
    assert_eq!(client.read_bytes(48), b"from the origin at once;from the client at once;");
    assert_echo(&mut client, 1000);
}

#[test]
fn a_direction_may_end_before_the_other() {
    let origin = Switcher::start(|_, mut connection| {
        connection.accept(b"")?;
        let all = connection.read_to_end()?;
        pause(Duration::from_millis(100));
        connection.write(format!("{} bytes", all.len()).as_bytes())?;
        connection.finish()
    });
    let gateway = setup(&origin).start();
    let mut client = open(&gateway);
    client.write(noise(100_000));
    client.finish_writing();
    assert_eq!(client.read_to_end(), b"100000 bytes");

    let origin = Switcher::start(|_, mut connection| {
        connection.accept(b"")?;
        connection.finish()?;
        assert_eq!(connection.read_to_end()?.len(), 100_000);
        Ok(())
    });
    let gateway = setup(&origin).start();
    let mut client = open(&gateway);
    assert_eq!(client.read_to_end(), b"");
    client.write(noise(100_000));
    client.finish_writing();
    let line = gateway.await_access_lines(1).remove(0);
    assert_eq!((&line["bytes_received"], &line["bytes_sent"]), (&100_000.into(), &0.into()));
}

#[test]
fn a_peer_that_does_not_read_is_not_read_for() {
    let gate = gateway_tests::Gate::closed();
    let opened = gate.clone();
    let origin = Switcher::start(move |_, mut connection| {
        connection.accept(b"")?;
        opened.pass();
        connection.echo()
    });
    let gateway = setup(&origin).start();
    let mut client = open(&gateway);
    // More than all buffers of the system together would take.
    let (sent, mut writer) = (noise(64 << 20), client.socket());
    let written = std::sync::atomic::AtomicUsize::new(0);
    let count = || written.load(std::sync::atomic::Ordering::SeqCst);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for chunk in sent.chunks(1 << 16) {
                writer.write_all(chunk).expect("the gateway reads");
                written.fetch_add(chunk.len(), std::sync::atomic::Ordering::SeqCst);
            }
        });
        let mut before = usize::MAX;
        eventually("a client that is held up", || std::mem::replace(&mut before, count()) == count());
        pause(Duration::from_millis(200));
        assert!(count() < sent.len() / 2, "{} bytes went somewhere", count());
        gate.open();
        assert!(client.read_bytes(sent.len()) == sent);
    });
}

#[test]
fn silence_ends_a_tunnel_and_its_line_says_so() {
    let origin = Switcher::echoing();
    let gateway = Gateway::with(ROUTES).set("ORIGIN", origin.address()).set("IDLE", "500ms").start();
    let (mut silent, mut busy) = (open(&gateway), open(&gateway));
    let started = Instant::now();
    let writing = busy.socket();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..10 {
                pause(Duration::from_millis(100));
                (&writing).write_all(b"x").expect("it is not cut");
            }
        });
        assert!(silent.is_closed());
        assert!(started.elapsed() >= Duration::from_millis(450), "{:?}", started.elapsed());
        assert_eq!(busy.read_bytes(10), b"xxxxxxxxxx");
    });
    let line = gateway.await_access_lines(1).remove(0);
    assert_eq!(
        (&line["response_code_details"], &line["response_flags"]),
        (&"upgrade_idle".into(), &"SI".into())
    );
    assert_eq!(line["response_code"], 101);
}

#[test]
fn the_route_timeout_ends_with_the_handshake() {
    let origin = Switcher::start(|line, mut connection| {
        if line.contains("/late") {
            pause(Duration::from_millis(600));
        }
        connection.accept(b"")?;
        connection.echo()
    });
    let config = "routes: [{to: origin, upgrades: websocket, timeout: 300ms}]\nupstreams: {origin: 'ORIGIN'}";
    let gateway = Gateway::with(config).set("ORIGIN", origin.address()).start();
    let mut client = open(&gateway);
    pause(Duration::from_millis(500));
    assert_echo(&mut client, 10);
    let mut late = gateway.connect();
    late.write(Switcher::HANDSHAKE.replace("/chat", "/late"));
    assert_eq!(late.read("GET").status, 504);
}

#[test]
fn tunnels_outlive_changes_of_routes_and_filters() {
    let origin = Switcher::echoing();
    let stamp = wasm::guest("stamp");
    let gateway = setup(&origin).filter("stamp", &stamp, "config: one").start();
    let mut clients: Vec<_> = (0..20).map(|_| open(&gateway)).collect();
    for round in 0..5 {
        gateway.replace_manifest("stamp", &format!("config: round-{round}"));
        gateway.configure(&format!("routes: [{{respond: {{status: 200, body: 'round {round}'}}}}]"));
        eventually("the new routes", || gateway.get("/").text() == format!("round {round}"));
        for client in &mut clients {
            assert_echo(client, 1000);
        }
    }
    let handshakes = origin.heads().iter().filter(|(_, headers)| headers.get("upgrade").is_some()).count();
    assert_eq!(handshakes, clients.len(), "every one is the connection that it was");
    drop(clients);
    let lines = gateway.stop();
    let chats: Vec<_> = lines.iter().filter(|line| line["response_code"] == 101).collect();
    assert_eq!(chats.len(), 20);
    assert!(chats.iter().all(|line| line["bytes_received"] == 5000 && line["bytes_sent"] == 5000));
}

#[test]
fn tunnels_go_on_while_draining_and_are_cut_at_its_end() {
    let origin = Switcher::echoing();
    let config = format!("drain: 1500ms\n{ROUTES}");
    let gateway = Gateway::with(&config).set("ORIGIN", origin.address()).set("IDLE", "5m").start();
    let (mut client, mut other) = (open(&gateway), open(&gateway));
    let started = Instant::now();
    gateway.begin_stop();
    eventually("new connections refused", || Client::try_connect(gateway.address()).is_err());
    assert_echo(&mut client, 100_000);
    other.finish_writing();
    assert_eq!(other.read_to_end(), b"");
    let lines = gateway.ended();
    assert!(started.elapsed() >= Duration::from_millis(1400), "{:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
    assert!(client.is_closed());
    let mut ends: Vec<_> = lines
        .iter()
        .map(|line| (line["bytes_sent"].as_u64(), line["response_code_details"].as_str()))
        .collect();
    ends.sort_unstable();
    assert_eq!(ends, [(Some(0), None), (Some(100_000), Some("drain_timeout"))]);
}

#[test]
fn filters_see_both_heads_and_none_of_the_bytes() {
    let origin = Switcher::echoing();
    let gateway = setup(&origin).filter("stamp", &wasm::guest("stamp"), "config: seen").start();
    let mut client = gateway.connect();
    client.write(Switcher::HANDSHAKE);
    let (status, headers) = client.read_head();
    assert_eq!((status, headers.get("x-stamp")), (101, Some("seen")));
    assert_echo(&mut client, 100_000);
}

#[test]
fn a_filter_may_refuse_a_handshake() {
    let origin = Switcher::echoing();
    let manifest = "config: {query: api_key, consumers: [{name: alice, keys: [key-of-alice]}]}";
    let gateway = setup(&origin).filter("api-key", &wasm::api_key(), manifest).start();
    let mut client = gateway.connect();
    client.write(Switcher::HANDSHAKE);
    assert_eq!(client.read("GET").status, 401);
    assert!(origin.heads().is_empty());
    client.write(Switcher::HANDSHAKE.replace("/chat", "/chat?api_key=key-of-alice"));
    assert_eq!(client.read_head().0, 101);
    assert_echo(&mut client, 10);
}

#[test]
fn an_upstream_that_cannot_be_reached_is_tried_at_its_next_endpoint() {
    let (origin, nobody) = (Switcher::echoing(), gateway_tests::RefusingAddress::new());
    let config =
        "routes: [{to: origin, upgrades: websocket}]\nupstreams: {origin: {endpoints: ['NOBODY', 'ORIGIN']}}";
    let gateway =
        Gateway::with(config).set("NOBODY", nobody.address()).set("ORIGIN", origin.address()).start();
    for _ in 0..4 {
        assert_echo(&mut open(&gateway), 10);
    }
}

#[test]
fn a_client_that_breaks_off_ends_the_upstreams_side() {
    let (sender, ended) = std::sync::mpsc::channel();
    let origin = Switcher::start(move |_, mut connection| {
        connection.accept(b"")?;
        let rest = connection.read_to_end();
        sender.send(rest.is_ok()).expect("the test waits");
        Ok(())
    });
    let gateway = setup(&origin).start();
    let client = open(&gateway);
    drop(client);
    assert!(ended.recv_timeout(gateway_tests::LIMIT).is_ok());
    gateway.await_access_lines(1);
}

#[test]
fn an_upgrade_gets_a_new_connection_where_only_one_may_be_open() {
    let origin = Switcher::start(|line, mut connection| {
        if line.starts_with("GET /chat") {
            connection.accept(b"")?;
            return connection.echo();
        }
        connection.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
        connection.read_to_end().map(drop)
    });
    let gateway = Gateway::with(
        "workers: 1\nroutes: [{to: origin, upgrades: [websocket]}]\n\
         upstreams: {origin: {endpoints: ['ORIGIN'], limits: {connections: 1}}}",
    )
    .set("ORIGIN", origin.address())
    .start();
    assert_eq!(gateway.get("/").status, 200);
    let mut client = open(&gateway);
    assert_echo(&mut client, 1000);
    assert_eq!(origin.heads().len(), 2);
}
