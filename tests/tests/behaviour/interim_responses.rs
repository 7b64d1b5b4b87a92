//! Interim responses (1xx) reach clients of HTTP/1.1 where the route says so, at once, in order and not without end.

use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use gateway_tests::{Authority, Client, Gateway, Http2, Request, Setup, Switcher, TlsClient, pause};

const HINT: &str =
    "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\nconnection: x-hop\r\nx-hop: 1\r\n\r\n";
const FINAL: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\ndone";

fn setup(origin: &Switcher) -> Setup {
    let config = "routes: [{to: origin, interimResponses: true, timeout: 1s}]\nupstreams: {origin: 'ORIGIN'}";
    Gateway::with(config).set("ORIGIN", origin.address())
}

/// Answers every connection with these bytes.
fn saying(answer: String) -> Switcher {
    Switcher::start(move |_, mut connection| {
        connection.write(answer.as_bytes())?;
        connection.read_to_end().map(drop)
    })
}

/// Sends a hint, and the rest when the test says so.
fn hinting() -> (Switcher, Sender<&'static str>) {
    let (sender, receiver) = channel();
    let receiver = Mutex::new(receiver);
    let origin = Switcher::start(move |_, mut connection| {
        connection.write(HINT.as_bytes())?;
        if let Ok(rest) = receiver.lock().expect("one at a time").recv() {
            connection.write(str::as_bytes(rest))?;
        }
        connection.read_to_end().map(drop)
    });
    (origin, sender)
}

fn assert_hint(client: &mut Client) {
    let (status, headers) = client.read_head();
    assert_eq!((status, headers.get("link")), (103, Some("</a.css>; rel=preload")));
    assert_eq!((headers.get("connection"), headers.get("x-hop")), (None, None));
}

#[test]
fn a_hint_arrives_long_before_the_response() {
    let (origin, send) = hinting();
    let gateway = setup(&origin).start();
    let mut client = gateway.connect();
    for _ in 0..3 {
        client.write(Request::get("/").bytes());
        assert_hint(&mut client);
        send.send(FINAL).expect("the origin waits");
        assert_eq!(client.read("GET").text(), "done");
    }
    let lines = gateway.await_access_lines(3);
    assert!(lines.iter().all(|line| line["response_code"] == 200 && line["bytes_sent"] == 4));
}

#[test]
fn over_tls_too() {
    let authority = Authority::new("private");
    let origin = saying(format!("{HINT}{FINAL}"));
    let config = "
listeners: [{name: web, bind: '127.0.0.1:0', tls: {certificates: [{cert: site.pem, key: site.key}]}}]
routes: [{to: origin, interimResponses: true}]
upstreams: {origin: 'ORIGIN'}
";
    let gateway = Gateway::with(config)
        .set("ORIGIN", origin.address())
        .certificate("site", &authority.issue(&["test.example"]))
        .start();
    let tunnel =
        TlsClient::trusting(&authority).connect(gateway.address(), "test.example").expect("a handshake");
    let mut client = tunnel.client();
    client.write(Request::get("/").bytes());
    assert_hint(&mut client);
    assert_eq!(client.read("GET").text(), "done");
}

#[test]
fn eight_are_passed_on_and_a_ninth_is_a_502() {
    for (number, status) in [(8, 200), (9, 502), (10_000, 502)] {
        let origin = saying(format!("{}{FINAL}", HINT.repeat(number)));
        let gateway = setup(&origin).start();
        let mut client = gateway.connect();
        client.write(Request::get("/").bytes());
        let mut hints = 0;
        let last = loop {
            match client.read_head() {
                (103, _) => hints += 1,
                (last, _) => break last,
            }
        };
        assert_eq!(last, status, "after {number}");
        assert!(hints <= 8, "{hints} of {number}");
        if status == 200 {
            assert_eq!(hints, 8);
        } else {
            gateway.await_replies("upstream_too_many_interim", 1);
        }
    }
}

#[test]
fn a_100_is_for_the_gateway_alone_and_other_interim_responses_pass() {
    let origin = saying(format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n{FINAL}"));
    let gateway = setup(&origin).start();
    let mut client = gateway.connect();
    client.write(Request::get("/").bytes());
    assert_eq!(client.read_head().0, 102);
    assert_eq!(client.read_head().0, 200);
}

#[test]
fn pipelined_requests_keep_their_order() {
    let origin = Switcher::start(|line, mut connection| {
        let body = line.split(' ').nth(1).unwrap_or_default().to_owned();
        connection.write(
            format!(
                "{HINT}HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            )
            .as_bytes(),
        )
    });
    let gateway = setup(&origin).start();
    let mut client = gateway.connect();
    client.write(["/1", "/2", "/3"].map(|target| Request::get(target).bytes()).concat());
    for body in ["/1", "/2", "/3"] {
        assert_hint(&mut client);
        assert_eq!(client.read("GET").text(), body);
    }
}

#[test]
fn a_hint_without_a_response_still_times_out() {
    let (origin, _send) = hinting();
    let gateway = setup(&origin).start();
    let mut client = gateway.connect();
    client.write(Request::get("/").bytes());
    assert_hint(&mut client);
    assert_eq!(client.read("GET").status, 504);
    assert_eq!(gateway.await_access_lines(1)[0]["response_code_details"], "route_timeout");
}

#[test]
fn nobody_gets_them_who_did_not_ask_or_cannot() {
    let origin = saying(format!("{HINT}{FINAL}"));
    let silent = Gateway::with("routes: [{to: origin}]\nupstreams: {origin: 'ORIGIN'}")
        .set("ORIGIN", origin.address())
        .start();
    let mut client = silent.connect();
    client.write(Request::get("/").bytes());
    assert_eq!(client.read_head().0, 200, "no route says so");
    let gateway = setup(&origin).start();
    let mut old = gateway.connect();
    old.write("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(old.read_head().0, 200, "HTTP/1.0 does not know them");
    assert_eq!(Http2::connect(gateway.address()).send(&Request::get("/")).text(), "done");
}

#[test]
fn a_client_that_does_not_read_gets_no_half_of_one() {
    // Hints as large as heads may be, until the sockets are full.
    let large = format!("HTTP/1.1 103 Early Hints\r\nx-large: {}\r\n\r\n", "x".repeat(60_000));
    let origin = saying(format!("{}{FINAL}", large.repeat(7)));
    let gateway = setup(&origin).start();
    let mut client = gateway.connect();
    let requests = 40;
    client.write(Request::get("/").bytes().repeat(requests));
    pause(Duration::from_millis(300));
    for _ in 0..requests {
        for _ in 0..7 {
            let (status, headers) = client.read_head();
            assert_eq!((status, headers.get("x-large").map(str::len)), (103, Some(60_000)));
        }
        let last = client.read("GET").status;
        if last == 504 {
            return;
        }
        assert_eq!(last, 200);
    }
}
