//! What goes in comes out: heads, bodies, trailers, both protocols, and back-pressure.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gateway_tests::{Answer, Client, Gate, Gateway, Http2, Origin, Request, eventually, noise, pause, wasm};

const MIB: usize = 1 << 20;
/// More than all socket buffers on the way can hold.
const LARGE_BYTES: usize = 64 * MIB;
/// What the socket buffers of two connections may hold at most, far below [`LARGE_BYTES`].
const MAX_BUFFERED_BYTES: u64 = 32 * MIB as u64;

#[test]
fn a_get_and_a_post_pass_unchanged() {
    let origin = Origin::start(|request| match request.method.as_str() {
        "GET" => Answer::text("got")
            .header("x-origin", "one")
            .header("set-cookie", "a=1")
            .header("set-cookie", "b=2"),
        _ => Answer::text(&request.body).status(201),
    });
    let gateway = Gateway::to(&origin).start();
    let mut client = gateway.connect();

    let got = client.send(
        &Request::get("/path/%20x?q=a%2Fb&c")
            .header("x-client", "v a l")
            .header("accept", "a")
            .header("accept", "b"),
    );
    assert_eq!((got.status, got.text().as_str(), got.header("x-origin")), (200, "got", Some("one")));
    assert_eq!(got.headers.all("set-cookie"), ["a=1", "b=2"]);
    let seen = origin.only_request();
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("GET", "/path/%20x?q=a%2Fb&c"));
    assert_eq!((seen.header("x-client"), seen.header("host")), (Some("v a l"), Some("test.example")));
    assert_eq!(seen.headers.all("accept"), ["a", "b"]);
    assert_eq!(seen.header("content-length"), None);

    let posted = client.send(&Request::post("/form", "some text"));
    assert_eq!((posted.status, posted.text().as_str()), (201, "some text"));
    assert_eq!(origin.last_request().header("content-length"), Some("9"));
}

#[test]
fn hop_by_hop_headers_end_at_the_gateway() {
    let origin = Origin::start(|_| {
        Answer::text("ok")
            .header("connection", "x-internal, keep-alive")
            .header("x-internal", "1")
            .header("keep-alive", "timeout=5")
    });
    let gateway = Gateway::to(&origin).start();
    let request = Request::get("/")
        .header("connection", "keep-alive, x-hop")
        .header("x-hop", "1")
        .header("keep-alive", "timeout=5")
        .header("te", "gzip")
        .header("proxy-connection", "keep-alive")
        .header("proxy-authorization", "Basic eDp5")
        .header("upgrade", "websocket")
        .header("x-end-to-end", "stays");
    let response = gateway.send(&request);
    assert_eq!(response.status, 200);
    for name in ["x-internal", "keep-alive"] {
        assert_eq!(response.header(name), None, "{name}");
    }
    let seen = origin.only_request();
    let hop_by_hop = [
        "x-hop",
        "keep-alive",
        "te",
        "proxy-connection",
        "proxy-authorization",
        "upgrade",
        "transfer-encoding",
    ];
    for name in hop_by_hop {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert_eq!(seen.header("x-end-to-end"), Some("stays"));
}

#[test]
fn the_origin_learns_who_asks_whatever_the_client_claims() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).start();
    let claim = Request::get("/")
        .header("x-forwarded-for", "192.0.2.1")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-host", "evil.example")
        .header("x-request-id", "mine");
    assert_eq!(gateway.send(&claim).status, 200);
    assert_eq!(gateway.send(&claim).status, 200);
    let received = origin.received();
    for seen in &received {
        assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
        assert_eq!(seen.header("x-forwarded-host"), Some("test.example"));
        assert_eq!(seen.header("x-request-id").map(str::len), Some(36), "a UUID");
    }
    assert_ne!(received[0].header("x-request-id"), received[1].header("x-request-id"));
    let lines = gateway.await_access_lines(2);
    assert_eq!(lines[0]["request_id"].as_str(), received[0].header("x-request-id"));
}

#[test]
fn bodies_pass_byte_for_byte_in_both_framings() {
    let chunks = |request: &gateway_tests::Received| {
        let body = request.body.clone();
        Answer::chunked(body.chunks(10_007))
    };
    let origin = Origin::start(move |request| match request.target.as_str() {
        "/sized" => Answer::text(&request.body),
        _ => chunks(request),
    });
    let gateway = Gateway::to(&origin).start();
    let body = noise(MIB);
    let mut client = gateway.connect();
    for target in ["/sized", "/chunked"] {
        let whole = client.send(&Request::post(target, &body));
        assert!(whole.body == body, "{target}: the answer to a sized body differs");
        let pieces = client.send(&Request::new("POST", target).chunked(body.chunks(7_919)));
        assert!(pieces.body == body, "{target}: the answer to a chunked body differs");
    }
    let received = origin.received();
    assert_eq!(received.len(), 4);
    assert!(received.iter().all(|request| request.body == body));
    assert_eq!(received[0].header("content-length"), Some("1048576"));
    assert_eq!(received[1].header("transfer-encoding"), Some("chunked"));
    assert!(origin.malformed().is_empty(), "{:?}", origin.malformed());
    let line = &gateway.await_access_lines(4)[0];
    assert_eq!(
        (line["bytes_received"].as_u64(), line["bytes_sent"].as_u64()),
        (Some(MIB as u64), Some(MIB as u64))
    );
}

#[test]
fn trailers_pass_both_ways() {
    let origin = Origin::start(|_| {
        Answer::chunked([&b"one"[..], b"two"]).trailer("x-sum", "6").trailer("x-other", "yes")
    });
    let gateway = Gateway::to(&origin).start();
    let request = Request::new("POST", "/")
        .header("te", "trailers")
        .header("trailer", "x-client-sum")
        .chunked([&b"abc"[..]])
        .trailer("x-client-sum", "3");
    let response = gateway.send(&request);
    assert_eq!(response.text(), "onetwo");
    assert_eq!((response.trailers.get("x-sum"), response.trailers.get("x-other")), (Some("6"), Some("yes")));
    assert_eq!(origin.only_request().trailers.get("x-client-sum"), Some("3"));
}

#[test]
fn responses_without_a_body_leave_the_connection_usable() {
    let origin = Origin::start(|request| match request.target.as_str() {
        "/204" => Answer::head(204),
        "/304" => Answer::head(304).header("etag", "\"x\""),
        _ => Answer::text("hello"),
    });
    let gateway = Gateway::to(&origin).start();
    let mut client = gateway.connect();
    let head = client.send(&Request::new("HEAD", "/"));
    assert_eq!((head.status, head.header("content-length")), (200, Some("5")));
    assert_eq!(client.get("/204").status, 204);
    let unchanged = client.get("/304");
    assert_eq!((unchanged.status, unchanged.header("etag")), (304, Some("\"x\"")));
    assert_eq!(client.get("/").text(), "hello");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::start(|request| Answer::text(&request.target));
    let gateway = Gateway::to(&origin).start();
    let mut client = gateway.connect();
    let requests = [Request::get("/1"), Request::post("/2", "body"), Request::get("/3")];
    client.write(requests.iter().flat_map(Request::bytes).collect::<Vec<_>>());
    let answers: Vec<_> = requests.iter().map(|_| client.read("GET").text()).collect();
    assert_eq!(answers, ["/1", "/2", "/3"]);
}

#[test]
fn http_1_0_is_answered_and_closed() {
    let origin = Origin::answering("old");
    let gateway = Gateway::to(&origin).start();
    let mut client = gateway.connect();
    client.write("GET /old HTTP/1.0\r\n\r\n");
    let response = client.read("GET");
    assert_eq!((response.status, response.text().as_str()), (200, "old"));
    assert_eq!(response.header("transfer-encoding"), None, "HTTP/1.0 has no chunks");
    assert!(client.is_closed());
    assert_eq!(origin.only_request().target, "/old");
}

#[test]
fn a_client_that_expects_100_gets_it_before_it_sends_the_body() {
    let origin = Origin::echoing();
    let gateway = Gateway::to(&origin).start();
    let mut client = gateway.connect();
    client
        .write("POST / HTTP/1.1\r\nhost: test.example\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n");
    assert_eq!(client.read_head().0, 100);
    client.write("late");
    assert_eq!(client.read("POST").text(), "late");
}

#[test]
fn http_2_streams_run_at_the_same_time() {
    const STREAMS: usize = 10;
    let gate = Gate::closed();
    let origin = {
        let gate = gate.clone();
        Origin::start(move |request| Answer::text(&request.target).behind(&gate))
    };
    let gateway = Gateway::to(&origin).start();
    let client = Http2::connect(gateway.address());
    let requests: Vec<_> = (0..STREAMS).map(|n| Request::get(&format!("/{n}"))).collect();
    let responses = std::thread::scope(|scope| {
        // None is answered before all have arrived.
        scope.spawn(|| {
            origin.await_requests(STREAMS);
            gate.open();
        });
        client.send_all(&requests)
    });
    for (n, response) in responses.iter().enumerate() {
        assert_eq!((response.status, response.text()), (200, format!("/{n}")));
    }
    let seen = origin.last_request();
    assert_eq!(
        (seen.header("host"), seen.header("x-forwarded-host")),
        (Some("test.example"), Some("test.example"))
    );
}

#[test]
fn http_2_bodies_and_trailers_pass() {
    let origin =
        Origin::start(|request| Answer::chunked(request.body.clone().chunks(9_973)).trailer("x-end", "yes"));
    let gateway = Gateway::to(&origin).start();
    let body = noise(MIB);
    let response = Http2::connect(gateway.address()).send(&Request::post("/", &body));
    assert!(response.body == body && origin.only_request().body == body);
    assert_eq!(response.trailers.get("x-end"), Some("yes"));
    assert_eq!(response.header("transfer-encoding"), None);
}

#[test]
fn the_first_part_of_a_slow_body_does_not_wait_for_the_last() {
    let interval = Duration::from_millis(500);
    let origin = Origin::start(move |_| Answer::slowly([&b"first"[..], b"last"], interval));
    let gateway = Gateway::to(&origin).start();
    let mut client = gateway.connect();
    client.write(Request::get("/").bytes());
    assert_eq!(client.read_head().0, 200);
    assert_eq!(client.read_bytes(10), b"5\r\nfirst\r\n");
    let first = Instant::now();
    assert_eq!(client.read_bytes(14), b"4\r\nlast\r\n0\r\n\r\n");
    assert!(first.elapsed() > interval / 2, "both parts came together");
}

#[test]
fn a_body_cut_short_by_the_origin_is_cut_short_for_the_client() {
    let origin = Origin::start(|request| match request.target.as_str() {
        "/whole" => Answer::until_close("all there is"),
        _ => Answer::cut("only half of this", 9),
    });
    let gateway = Gateway::to(&origin).start();
    let mut client = gateway.connect();
    assert!(client.try_send(&Request::get("/cut")).is_err(), "a cut body must not look whole");
    let line = &gateway.await_access_lines(1)[0];
    assert_eq!(line["response_code_details"], "upstream_reset");
    assert_eq!(gateway.get("/whole").text(), "all there is");
}

/// Looks at every byte of both bodies and changes none.
fn onlooker() -> Vec<u8> {
    let callback =
        |name: &str| format!(r#"(func (export "{name}") (param i32 i32 i32) (result i32) (i32.const 0))"#);
    wasm::small("", &[callback("proxy_on_request_body"), callback("proxy_on_response_body")].concat())
}

#[test]
fn a_slow_reader_holds_the_origin_back() {
    let origin = Origin::start(|_| Answer::zeros(LARGE_BYTES as u64));
    assert_reader_holds_back(&origin, &Gateway::to(&origin).start());
}

#[test]
fn a_slow_reader_holds_the_origin_back_through_a_filter() {
    let origin = Origin::start(|_| Answer::zeros(LARGE_BYTES as u64));
    assert_reader_holds_back(&origin, &Gateway::to(&origin).filter("onlooker", &onlooker(), "").start());
}

fn assert_reader_holds_back(origin: &Origin, gateway: &Gateway) {
    let mut client = gateway.connect();
    client.write(Request::get("/").bytes());
    assert_eq!(client.read_head().0, 200);
    let held = settled(|| origin.bytes_sent());
    assert!(held < MAX_BUFFERED_BYTES, "{held} bytes are buffered on the way");
    assert!(client.read_bytes(LARGE_BYTES).iter().all(|byte| *byte == 0));
    assert_eq!(origin.bytes_sent(), LARGE_BYTES as u64);
}

#[test]
fn a_slow_origin_holds_the_client_back() {
    let (gate, origin) = origin_behind_a_gate();
    assert_origin_holds_back(&gate, &Gateway::to(&origin).start());
}

#[test]
fn a_slow_origin_holds_the_client_back_through_a_filter() {
    let (gate, origin) = origin_behind_a_gate();
    assert_origin_holds_back(&gate, &Gateway::to(&origin).filter("onlooker", &onlooker(), "").start());
}

fn origin_behind_a_gate() -> (Gate, Origin) {
    let gate = Gate::closed();
    let origin = Origin::reading_bodies_behind(&gate, |request| Answer::text(request.body.len().to_string()));
    (gate, origin)
}

fn assert_origin_holds_back(gate: &Gate, gateway: &Gateway) {
    let written = AtomicU64::new(0);
    let response = std::thread::scope(|scope| {
        let upload = scope.spawn(|| upload(gateway, &written));
        eventually("an upload under way", || written.load(Ordering::SeqCst) > 0);
        let held = settled(|| written.load(Ordering::SeqCst));
        assert!(held < MAX_BUFFERED_BYTES, "{held} bytes are buffered on the way");
        gate.open();
        upload.join().expect("the upload ends")
    });
    assert_eq!(response, LARGE_BYTES.to_string());
}

fn upload(gateway: &Gateway, written: &AtomicU64) -> String {
    let mut stream = TcpStream::connect(gateway.address()).expect("a listener");
    let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {LARGE_BYTES}\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("the head is read");
    let piece = vec![7; 64 * 1024];
    for _ in 0..LARGE_BYTES / piece.len() {
        stream.write_all(&piece).expect("the body is read");
        written.fetch_add(piece.len() as u64, Ordering::SeqCst);
    }
    Client::over(stream).read("POST").text()
}

/// The value once it has not changed for half a second.
fn settled(value: impl Fn() -> u64) -> u64 {
    let (mut last, mut since) = (value(), Instant::now());
    while since.elapsed() < Duration::from_millis(500) {
        pause(Duration::from_millis(20));
        let now = value();
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    last
}
