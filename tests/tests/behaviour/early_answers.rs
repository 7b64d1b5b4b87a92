//! Requests that are answered before their body was read: its rest is read in vain, within limits, and the connection goes
//! on with the next request; or the connection ends. What is left of a body is never taken for a request.

use std::time::{Duration, Instant};

use gateway_tests::{Client, Gateway, Origin, Request, Switcher, noise, wasm};

/// What is read in vain.
const DRAINED_BYTES: usize = 64 * 1024;

const CONFIG: &str = "
routes:
  - {match: {path: {exact: /forbidden}}, respond: {status: 403, body: 'no uploads'}}
  - {match: {path: {exact: /next}}, to: origin}
  - {match: {path: {exact: /small}}, to: origin, maxBody: 3B}
upstreams: {origin: 'ORIGIN'}
";

fn gateway(origin: &Origin) -> Gateway {
    Gateway::with(CONFIG).set("ORIGIN", origin.address()).start()
}

/// Begins an upload, and gets its answer before anything was sent of its body.
fn answered_early(gateway: &Gateway, framing: &str) -> (Client, Option<String>) {
    let mut client = gateway.connect();
    client.write(format!("POST /forbidden HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n"));
    let response = client.read("POST");
    assert_eq!((response.status, response.text().as_str()), (403, "no uploads"));
    let connection = response.header("connection").map(str::to_owned);
    (client, connection)
}

fn assert_goes_on(client: &mut Client) {
    let response = client.get("/next");
    assert_eq!((response.status, response.text().as_str()), (200, "next"));
}

fn chunked(pieces: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in pieces {
        bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        bytes.extend_from_slice(piece);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

#[test]
fn a_body_within_the_limit_is_read_in_vain_and_the_next_request_served() {
    let origin = Origin::answering("next");
    let gateway = gateway(&origin);
    let (mut client, connection) = answered_early(&gateway, &format!("content-length: {DRAINED_BYTES}"));
    assert_eq!(connection, None);
    for half in noise(DRAINED_BYTES).chunks(DRAINED_BYTES / 2) {
        client.write(half);
    }
    assert_goes_on(&mut client);
    assert_eq!(origin.only_request().target, "/next");
    // An idle connection like any other: nothing is read in vain any more.
    drop(client);
    assert_eq!(gateway.await_access_lines(2).len(), 2);
}

#[test]
fn a_body_over_the_limit_ends_the_connection_which_says_so() {
    let origin = Origin::answering("next");
    let gateway = gateway(&origin);
    let (mut client, connection) =
        answered_early(&gateway, &format!("content-length: {}", DRAINED_BYTES + 1));
    assert_eq!(connection.as_deref(), Some("close"));
    client.write(noise(DRAINED_BYTES + 1));
    assert!(client.is_closed());
}

#[test]
fn a_chunked_body_within_the_limit_is_read_in_vain_and_the_next_request_served() {
    let origin = Origin::answering("next");
    let gateway = gateway(&origin);
    let (mut client, connection) = answered_early(&gateway, "transfer-encoding: chunked");
    assert_eq!(connection, None);
    let body = noise(DRAINED_BYTES);
    let pieces: Vec<_> = body.chunks(1000).collect();
    client.write(chunked(&pieces));
    assert_goes_on(&mut client);
    assert_eq!(origin.only_request().target, "/next");
}

#[test]
fn a_chunked_body_over_the_limit_ends_the_connection_and_what_follows_it_is_no_request() {
    let origin = Origin::answering("next");
    let gateway = gateway(&origin);
    let mut client = gateway.connect();
    client.write("POST /forbidden HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    client.write(chunked(&[&noise(DRAINED_BYTES), b"and one more"]));
    client.write(Request::get("/next").bytes());
    assert_eq!(client.read("POST").text(), "no uploads");
    assert!(client.is_closed());
    assert!(origin.received().is_empty());
}

#[test]
fn a_body_that_does_not_come_ends_the_connection_soon() {
    let origin = Origin::answering("next");
    let gateway = gateway(&origin);
    for framing in ["content-length: 10", "transfer-encoding: chunked"] {
        let (mut client, _) = answered_early(&gateway, framing);
        let begun = Instant::now();
        assert!(client.is_closed(), "{framing}");
        let took = begun.elapsed();
        assert!(took > Duration::from_millis(800) && took < Duration::from_secs(4), "{framing}: {took:?}");
    }
}

#[test]
fn a_broken_body_is_no_request() {
    let origin = Origin::answering("next");
    let gateway = gateway(&origin);
    let (mut client, _) = answered_early(&gateway, "transfer-encoding: chunked");
    client.write("zz\r\n\r\nGET /next HTTP/1.1\r\nhost: a\r\n\r\n");
    assert!(client.is_closed());
    assert!(origin.received().is_empty());
}

#[test]
fn a_client_that_wants_the_connection_to_end_does_not_wait_for_it() {
    let origin = Origin::answering("next");
    let gateway = gateway(&origin);
    for (version, headers) in [("1.1", "connection: keep-alive, close\r\n"), ("1.0", "")] {
        let mut client = gateway.connect();
        let begun = Instant::now();
        client.write(format!(
            "POST /forbidden HTTP/{version}\r\nhost: a\r\n{headers}content-length: 9\r\n\r\n"
        ));
        assert_eq!(client.read("POST").status, 403);
        assert!(client.is_closed());
        assert!(begun.elapsed() < Duration::from_millis(900), "{version}");
    }
}

#[test]
fn a_body_over_the_limit_of_the_route_is_one_that_nobody_wants() {
    let origin = Origin::answering("next");
    let gateway = gateway(&origin);
    let mut client = gateway.connect();
    client.write("POST /small HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    client.write(chunked(&[b"longer than that"]));
    assert_eq!(client.read("POST").status, 413);
    assert_goes_on(&mut client);
}

#[test]
fn what_a_filter_did_not_wait_for_reaches_nobody() {
    let origin = Origin::answering("next");
    let gateway = Gateway::with("routes: [{to: origin}]\nupstreams: {origin: 'ORIGIN'}")
        .set("ORIGIN", origin.address())
        .filter(
            "api-key",
            &wasm::api_key(),
            "phase: authn\nconfig: {consumers: [{name: alice, keys: [secret]}]}",
        )
        .start();
    let next = Request::get("/next").header("x-api-key", "secret").bytes();
    for (length, answers) in [(1 << 20, 1), (DRAINED_BYTES, 2)] {
        let mut client = gateway.connect();
        let mut writer = client.socket();
        let upload = [chunked(&[&noise(length)]), next.clone()].concat();
        let writing = std::thread::spawn(move || {
            use std::io::Write as _;
            let head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
            // It may be told to stop at any point.
            drop(writer.write_all(head).and_then(|()| writer.write_all(&upload)));
        });
        assert_eq!(client.read("POST").status, 401);
        if answers == 2 {
            assert_eq!(client.read("GET").text(), "next");
        } else {
            assert!(client.is_closed());
        }
        writing.join().expect("a writer that ends");
        assert_eq!(origin.received().len(), answers - 1, "{length} bytes");
    }
    assert_eq!(origin.only_request().target, "/next");
}

#[test]
fn an_upstream_that_answers_early_does_not_end_the_connection_over_a_short_rest() {
    let origin = Switcher::start(|_, mut connection| {
        connection.write(b"HTTP/1.1 413 Payload Too Large\r\ncontent-length: 8\r\n\r\ntoo much")?;
        connection.read_to_end().map(drop)
    });
    let gateway = Gateway::with("routes: [{to: origin}]\nupstreams: {origin: 'ORIGIN'}")
        .set("ORIGIN", origin.address())
        .start();
    let mut client = gateway.connect();
    for _ in 0..3 {
        client.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\nhalf");
        let response = client.read("POST");
        assert_eq!((response.status, response.header("connection")), (413, None));
        assert_eq!(response.text(), "too much");
        client.write(noise(996));
    }
}
