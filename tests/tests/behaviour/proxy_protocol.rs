//! The PROXY protocol, from proxies in front and to upstreams behind.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gateway_tests::{Authority, Client, Gateway, Origin, Request, eventually, pause, wasm};

const IN: &str = "
listeners:
  - {name: web, bind: '127.0.0.1:0', proxyProtocol: {from: 127.0.0.1}}
  - {name: others, bind: '127.0.0.1:0', proxyProtocol: {from: 192.0.2.0/24}}
  - {name: chained, bind: '127.0.0.1:0', proxyProtocol: {from: 127.0.0.1}, trustedPeers: 192.0.2.0/24}
routes:
  - {name: guests, match: {client: 192.0.2.0/24}, requestHeaders: {set: {x-route: guests}}, to: origin}
  - {name: all, requestHeaders: {set: {x-route: all}}, to: origin}
upstreams: {origin: 'ORIGIN'}
";

const V1: &[u8] = b"PROXY TCP4 192.0.2.7 192.0.2.8 4000 80\r\n";

/// A header of version 2 of a connection from 192.0.2.7:4000, and further fields.
fn v2(fields: &[u8]) -> Vec<u8> {
    let addresses = [192, 0, 2, 7, 192, 0, 2, 8, 0x0f, 0xa0, 0, 80];
    let length = (addresses.len() + fields.len()) as u16;
    [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11"[..], &length.to_be_bytes(), &addresses, fields].concat()
}

#[test]
fn whoever_a_trusted_proxy_names_is_the_client_everywhere() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::with(IN)
        .set("ORIGIN", origin.address())
        .filter("properties", &wasm::guest("properties"), "")
        .start();
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00".to_vec();
    let mut expected_lines = Vec::new();
    for (header, remote, route) in [
        (V1.to_vec(), Some("192.0.2.7:4000"), "guests"),
        (v2(&[]), Some("192.0.2.7:4000"), "guests"),
        (v2(&[0xee, 0, 3, 1, 2, 3]), Some("192.0.2.7:4000"), "guests"),
        (b"PROXY TCP6 2001:db8::1 ::1 4000 80\r\n".to_vec(), Some("[2001:db8::1]:4000"), "all"),
        (b"PROXY UNKNOWN\r\n".to_vec(), None, "all"),
        (local, None, "all"),
    ] {
        let mut client = gateway.connect();
        client.write(&header);
        assert_eq!(client.send(&Request::get("/").header("x-forwarded-for", "6.6.6.6")).status, 200);
        let seen = origin.last_request();
        let ip = remote
            .unwrap_or("127.0.0.1:0")
            .rsplit_once(':')
            .map_or("", |(ip, _)| ip)
            .trim_matches(['[', ']']);
        assert_eq!(seen.headers.all("x-forwarded-for"), [ip], "{header:?}");
        assert_eq!(seen.header("x-route"), Some(route), "{header:?}");
        let address = client.get("/properties?name=source.address").text();
        assert!(remote.is_none_or(|remote| remote == address), "{header:?}: {address}");
        expected_lines.push(remote);
    }
    let lines = gateway.stop();
    for (pair, remote) in lines.chunks(2).zip(expected_lines) {
        for line in pair {
            let shown = line["downstream_remote_address"].as_str().unwrap_or_default();
            assert!(remote.map_or(shown.starts_with("127.0.0.1:"), |remote| remote == shown), "{line}");
        }
    }
}

#[test]
fn a_header_may_come_in_pieces_with_the_request_right_behind() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::with(IN).set("ORIGIN", origin.address()).start();
    let request = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    for header in [V1.to_vec(), v2(&[0xee, 0, 1, 9])] {
        let bytes = [&header[..], request.as_bytes()].concat();
        for cut in [1, 5, 12, 15, 16, 20, header.len() - 1, header.len(), header.len() + 3] {
            let mut client = gateway.connect();
            client.write(&bytes[..cut]);
            // What was written is read, or on its way: the next piece is a segment of its own.
            pause(Duration::from_millis(20));
            client.write(&bytes[cut..]);
            assert_eq!(client.read("GET").status, 200, "cut at {cut}");
            assert_eq!(origin.last_request().header("x-forwarded-for"), Some("192.0.2.7"), "cut at {cut}");
        }
    }
}

#[test]
fn what_does_not_begin_as_it_has_to_goes_nowhere() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::with(IN).set("ORIGIN", origin.address()).start();
    let request = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut bad_checksum = v2(&[3, 0, 4, 1, 2, 3, 4]);
    bad_checksum.extend_from_slice(request.as_bytes());
    let refused = [
        request.as_bytes().to_vec(),
        format!("PROXY TCP4 192.0.2.7 192.0.2.8 4000\r\n{request}").into_bytes(),
        format!("PROXY TCP4 192.0.2.7 192.0.2.8 4000 80 {}\r\n{request}", "x".repeat(200)).into_bytes(),
        format!("PROXY TCP4 192.0.2.7 192.0.2.8 4000 80\n{request}").into_bytes(),
        [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff"[..], &[0; 5000]].concat(),
        bad_checksum,
    ];
    for bytes in &refused {
        let mut client = gateway.connect();
        client.write(bytes);
        assert!(client.is_closed(), "{:?}", String::from_utf8_lossy(bytes));
    }
    gateway.await_replies("proxy_protocol", refused.len() as u32);
    let mut silent = gateway.connect();
    silent.write(b"PROXY TCP4 192.0.2.7 ");
    assert!(silent.is_closed(), "a header has its time");
    gateway.await_replies("proxy_protocol", refused.len() as u32 + 1);
    // A client from elsewhere has no say in who it is.
    let others = gateway.listener("others").expect("a listener");
    let mut stranger = Client::connect(others);
    stranger.write(V1);
    stranger.write(request);
    assert_eq!(stranger.read("GET").status, 400);
    assert_eq!(Request::get("/").to(others).status, 200);
    assert_eq!(origin.only_request().header("x-forwarded-for"), Some("127.0.0.1"));
    for line in gateway.stop().iter().take(refused.len()) {
        assert_eq!(
            (line["response_code_details"].as_str(), line["response_code"].as_u64()),
            (Some("proxy_protocol"), Some(0)),
            "{line}"
        );
    }
}

#[test]
fn a_proxy_named_by_a_proxy_is_believed_if_it_is_trusted() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::with(IN).set("ORIGIN", origin.address()).start();
    let chained = gateway.listener("chained").expect("a listener");
    let mut client = Client::connect(chained);
    client.write(V1);
    assert_eq!(client.send(&Request::get("/").header("x-forwarded-for", "198.51.100.1")).status, 200);
    assert_eq!(origin.last_request().header("x-forwarded-for"), Some("198.51.100.1, 192.0.2.7"));
}

/// The header of a connection, and the targets of its requests.
type Told = (Vec<u8>, Vec<String>);

/// An origin that wants to be told who the client is: each connection's header, and the targets of its requests.
struct ToldOrigin {
    address: SocketAddr,
    connections: Arc<Mutex<Vec<Told>>>,
}

impl ToldOrigin {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let connections = Arc::<Mutex<Vec<_>>>::default();
        let all = connections.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (all, stream) = (all.clone(), stream.expect("a connection"));
                std::thread::spawn(move || serve_told(stream, &all));
            }
        });
        Self { address, connections }
    }

    fn seen(&self) -> Vec<Told> {
        self.connections.lock().expect("no panic before").clone()
    }
}

fn serve_told(mut stream: TcpStream, all: &Mutex<Vec<Told>>) {
    let mut header = vec![0; 1];
    let mut byte = || {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok().map(|()| byte[0])
    };
    let Some(first) = byte() else { return };
    header[0] = first;
    let is_v2 = first == b'\r';
    loop {
        let length = if is_v2 && header.len() >= 16 { 16 + usize::from(header[15]) } else { usize::MAX };
        if header.len() == length || (!is_v2 && header.ends_with(b"\r\n")) {
            break;
        }
        let Some(next) = byte() else { return };
        header.push(next);
    }
    let index = {
        let mut all = all.lock().expect("no panic before");
        all.push((header, Vec::new()));
        all.len() - 1
    };
    let mut head = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut piece) {
        head.extend_from_slice(&piece[..read]);
        if head.ends_with(b"\r\n\r\n") {
            let text = String::from_utf8(std::mem::take(&mut head)).expect("a head of text");
            let target = text.split(' ').nth(1).unwrap_or_default().to_owned();
            all.lock().expect("no panic before")[index].1.push(target);
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            if stream.write_all(answer).is_err() {
                return;
            }
        }
    }
}

const OUT: &str = "
listeners: [{name: web, bind: '127.0.0.1:0', trustedPeers: 127.0.0.1}]
routes:
  - {match: {path: {prefix: /v1}}, to: v1}
  - {match: {path: {prefix: /v2}}, to: v2}
upstreams:
  v1: {endpoints: 'ONE', proxyProtocol: v1}
  v2: {endpoints: 'TWO', proxyProtocol: v2, healthCheck: {http: /check, interval: 100ms}}
";

#[test]
fn upstreams_are_told_who_the_client_is_and_connections_stay_with_it() {
    let (one, two) = (ToldOrigin::start(), ToldOrigin::start());
    let gateway = Gateway::with(OUT).set("ONE", one.address).set("TWO", two.address).start();
    let mut client = gateway.connect();
    let mut get = |path: &str, of: &str| {
        assert_eq!(client.send(&Request::get(path).header("x-forwarded-for", of)).status, 200);
    };
    for (path, of) in [
        ("/v1/a", "192.0.2.1"),
        ("/v1/b", "192.0.2.2"),
        ("/v1/c", "192.0.2.1"),
        ("/v1/d", "2001:db8::1"),
        ("/v1/e", "192.0.2.2"),
    ] {
        get(path, of);
    }
    let local = gateway.address();
    let seen: Vec<_> = one
        .seen()
        .into_iter()
        .map(|(header, targets)| (String::from_utf8(header).expect("a line of text"), targets))
        .collect();
    let expected = [
        (format!("PROXY TCP4 192.0.2.1 127.0.0.1 0 {}\r\n", local.port()), vec!["/v1/a", "/v1/c"]),
        (format!("PROXY TCP4 192.0.2.2 127.0.0.1 0 {}\r\n", local.port()), vec!["/v1/b", "/v1/e"]),
        (format!("PROXY TCP6 2001:db8::1 ::ffff:127.0.0.1 0 {}\r\n", local.port()), vec!["/v1/d"]),
    ];
    assert_eq!(
        seen,
        expected.map(|(header, targets)| (header, targets.into_iter().map(str::to_owned).collect()))
    );

    get("/v2/a", "192.0.2.1");
    let start = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\x7f\x00\x00\x01\x00\x00";
    let expected = [&start[..], &local.port().to_be_bytes()].concat();
    let of_client = two.seen().into_iter().find(|(_, targets)| targets == &["/v2/a"]);
    assert_eq!(of_client.map(|(header, _)| header), Some(expected));
    // Checks are the gateway's own, and nobody else's connection.
    eventually("a check", || {
        two.seen().iter().any(|(header, targets)| {
            header == b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00" && targets == &["/check"]
        })
    });
}

#[test]
fn from_gateway_to_gateway_the_header_comes_before_tls() {
    let authority = Authority::new("inside");
    let origin = Origin::answering("ok");
    let behind = Gateway::with(
        "
listeners:
  - {name: web, bind: '127.0.0.1:0', proxyProtocol: {from: 127.0.0.1}, tls: {certificates: [{cert: a.pem, key: a.key}]}}
routes: [{to: origin}]
upstreams: {origin: 'ORIGIN'}",
    )
    .set("ORIGIN", origin.address())
    .certificate("a", &authority.issue(&["a.example"]))
    .start();
    for version in ["v1", "v2"] {
        let front = Gateway::with(
            "
listeners: [{name: web, bind: '127.0.0.1:0', trustedPeers: 127.0.0.1}]
routes: [{rewrite: {host: a.example}, to: behind}]
upstreams: {behind: {endpoints: 'BEHIND', proxyProtocol: VERSION, tls: {ca: ca.pem, sni: a.example}}}",
        )
        .set("VERSION", version)
        .set("BEHIND", behind.address())
        .file("ca.pem", &authority.pem())
        .start();
        let request = Request::get("/").header("x-forwarded-for", "192.0.2.7");
        assert_eq!(front.send(&request).status, 200, "{version}");
        assert_eq!(origin.last_request().header("x-forwarded-for"), Some("192.0.2.7"), "{version}");
    }
}
