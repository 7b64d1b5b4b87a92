//! Requests that two readers could read in two ways: each is refused with its reason, nothing of it reaches the upstream, and
//! nothing that follows it on its connection is read as a request.

use gateway_tests::{Answer, Caller, Client, Gateway, Http2, Origin, Request, Switcher, eventually, noise};

/// What an attacker would like to be read as a request of its own.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";

/// Sends each of these bytes over a connection of its own, with [`SMUGGLED`] after them: each gets its status and reason, is
/// logged and counted, ends its connection, and reaches the origin with no byte.
fn refused(cases: &[(String, u16, &str)]) {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).start();
    for (nth, (raw, status, reason)) in cases.iter().enumerate() {
        let mut client = gateway.connect();
        client.write([raw, SMUGGLED].concat());
        let response = client.read("GET");
        assert_eq!((response.status, response.header("connection")), (*status, Some("close")), "{raw:?}");
        assert!(client.is_closed(), "{raw:?}: more than one answer");
        let line = &gateway.await_access_lines(nth + 1)[nth];
        assert_eq!(
            (&line["response_code_details"], &line["response_code"]),
            (&(*reason).into(), &(*status).into()),
            "{raw:?}"
        );
        assert_eq!(line["response_flags"], "DPE", "{raw:?}");
    }
    assert_eq!(gateway.access_lines().len(), cases.len(), "one line for each");
    for reason in cases.iter().map(|(.., reason)| reason) {
        let number = cases.iter().filter(|(.., other)| other == reason).count();
        gateway.await_replies(reason, u32::try_from(number).expect("few"));
    }
    assert!(origin.received().is_empty(), "{:#?}", origin.received());
    assert!(origin.malformed().is_empty(), "{:#?}", origin.malformed());
    assert_eq!(origin.connections(), 0, "the upstream heard of it");
}

fn heads(status: u16, reason: &'static str, fields: &[&str]) -> Vec<(String, u16, &'static str)> {
    let head = |fields| format!("POST /x HTTP/1.1\r\nhost: a\r\n{fields}\r\n\r\n");
    fields.iter().map(|fields| (head(fields), status, reason)).collect()
}

fn lines(reason: &'static str, lines: &[&str]) -> Vec<(String, u16, &'static str)> {
    lines.iter().map(|line| (format!("{line}\r\nhost: a\r\n\r\n"), 400, reason)).collect()
}

#[test]
fn two_lengths_are_refused() {
    refused(
        &[
            heads(
                400,
                "length_and_coding",
                &[
                    "content-length: 5\r\ntransfer-encoding: chunked",
                    "transfer-encoding: chunked\r\ncontent-length: 5",
                    "Transfer-Encoding: CHUNKED\r\nContent-Length: 0",
                ],
            ),
            heads(
                400,
                "content_length",
                &[
                    "content-length: 5\r\ncontent-length: 5",
                    "content-length: 5\r\ncontent-length: 6",
                    "content-length: 5, 5",
                    "content-length: +5",
                    "content-length: -5",
                    "content-length: 0x5",
                    "content-length: 05",
                    "content-length: 5 5",
                    "content-length: 1e1",
                    "content-length:",
                    "content-length: 18446744073709551617",
                ],
            ),
            heads(
                501,
                "transfer_coding",
                &[
                    "transfer-encoding: gzip, chunked",
                    "transfer-encoding: chunked, gzip",
                    "transfer-encoding: identity",
                    "transfer-encoding: xchunked",
                    "transfer-encoding: identity\r\ntransfer-encoding: chunked",
                ],
            ),
            heads(
                400,
                "transfer_encoding",
                &[
                    "transfer-encoding: chunked, chunked",
                    "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
                    "transfer-encoding: , chunked",
                    "transfer-encoding: chunked,",
                    "transfer-encoding: chunked;q=1",
                    "transfer-encoding: 'chunked'\u{e4}",
                    "transfer-encoding: \"chunked\"",
                    "transfer-encoding: \u{b}chunked",
                    "transfer-encoding:",
                ],
            ),
            vec![(
                "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".into(),
                400,
                "coding_in_http_1_0",
            )],
        ]
        .concat(),
    );
}

#[test]
fn lines_that_others_end_elsewhere_are_refused() {
    refused(
        &[
            heads(400, "bare_lf", &["x: y\nz: 1", "x: y\n\n", "x: y\n transfer-encoding: chunked"]),
            heads(400, "bare_cr", &["x: y\rz", "x: y\rtransfer-encoding: chunked", "x: y\r\r\nz: 1"]),
            heads(400, "folded_line", &["x: y\r\n z", "x:\r\n\ty", " x: y", "content-type:\r\n chunked"]),
            heads(
                400,
                "space_before_colon",
                &["x : y", "transfer-encoding : chunked", "content-length\t: 5"],
            ),
            heads(
                400,
                "header_name",
                &[": y", "no colon", "x y: z", "(x): y", "x\0: y", "x\u{b}: y", "\u{e4}: y", "x[y]: z"],
            ),
            heads(400, "control_byte", &["x: a\0b", "x: \u{1}", "x: \u{7f}", "x: \u{b}y", "x: y\u{1b}"]),
            heads(
                400,
                "underscore_name",
                &[
                    "transfer_encoding: chunked",
                    "Content_Length: 5",
                    "x-user: 1\r\nx_user: 2",
                    "x_user: 1\r\nX-User: 2",
                ],
            ),
            vec![
                ("GET / HTTP/1.1\nhost: a\n\n".into(), 400, "bare_lf"),
                ("GET / HTTP/1.1\rhost: a\r\r".into(), 400, "bare_cr"),
            ],
        ]
        .concat(),
    );
}

#[test]
fn first_lines_that_are_none_are_refused() {
    refused(
        &[
            lines(
                "request_line",
                &[
                    "GET  / HTTP/1.1",
                    "GET / HTTP/1.1 ",
                    " GET / HTTP/1.1",
                    "GET\t/ HTTP/1.1",
                    "GET / x HTTP/1.1",
                    "GET /",
                    "G{T / HTTP/1.1",
                    "GET / http/1.1",
                    "GET / HTTP",
                    "\r\n\r\nGET / HTTP/1.1",
                ],
            ),
            lines(
                "version",
                &["GET / HTTP/0.9", "GET / HTTP/1.2", "GET / HTTP/2.0", "GET / HTTP/1.01", "GET / HTTP/11"],
            ),
            lines(
                "target",
                &[
                    "GET a HTTP/1.1",
                    "GET * HTTP/1.1",
                    "GET ?x HTTP/1.1",
                    "GET /a#b HTTP/1.1",
                    "GET /\u{e4} HTTP/1.1",
                    "GET /\u{7f} HTTP/1.1",
                    "GET /`a HTTP/1.1",
                    "GET ftp://a/ HTTP/1.1",
                    "GET http:// HTTP/1.1",
                    "GET http://u:p@a/ HTTP/1.1",
                    "GET http://a:x/ HTTP/1.1",
                ],
            ),
            lines("connect", &["CONNECT a:443 HTTP/1.1"]),
        ]
        .concat(),
    );
}

#[test]
fn hosts_that_are_none_are_refused() {
    let host = |value: &str| format!("GET / HTTP/1.1\r\nhost: {value}\r\n\r\n");
    let bad =
        ["", "u@a", "u:p@a", "a/b", "a b", "a,b", "a:", "a:x", "a:65536", "[::1", "a%2fb", "a\\b", "a?b"];
    let mut cases: Vec<_> = bad.iter().map(|value| (host(value), 400, "host")).collect();
    cases.push(("GET / HTTP/1.1\r\nx: y\r\n\r\n".into(), 400, "host_missing"));
    cases.push(("GET http://a/ HTTP/1.1\r\n\r\n".into(), 400, "host_missing"));
    cases.push(("GET / HTTP/1.1\r\nhost: a\r\nHost: a\r\n\r\n".into(), 400, "host_repeated"));
    cases.push(("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n".into(), 400, "host_repeated"));
    refused(&cases);
}

#[test]
fn a_refusal_is_answered_in_its_turn_and_ends_the_connection() {
    let origin = Origin::start(|request| Answer::text(&request.target));
    let gateway = Gateway::to(&origin).start();
    let mut client = gateway.connect();
    let bad = "POST /bad HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n";
    client.write(
        ["GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\n\r\n", bad, SMUGGLED].concat(),
    );
    assert_eq!(client.read("GET").text(), "/1");
    assert_eq!(client.read("GET").text(), "/2");
    assert_eq!(client.read("POST").status, 400);
    assert!(client.is_closed());
    let lines = gateway.await_access_lines(3);
    assert_eq!((&lines[2]["method"], &lines[2]["path"]), (&"POST".into(), &"/bad".into()), "{}", lines[2]);
    assert_eq!(origin.received().len(), 2);
}

#[test]
fn a_refused_head_that_arrives_in_pieces_is_refused_all_the_same() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).start();
    let mut client = gateway.connect();
    for piece in [
        "GET / HT",
        "TP/1.1\r\nhost: a\r",
        "\ncontent-length: 5\r\nx: ",
        "y\r\ntransfer-encoding: chunked\r\n",
        "\r\n0\r\n\r\n",
    ] {
        client.write(piece);
        gateway_tests::pause(std::time::Duration::from_millis(20));
    }
    assert_eq!(client.read("GET").status, 400);
    assert!(client.is_closed());
    assert_eq!(gateway.await_access_lines(1)[0]["response_code_details"], "length_and_coding");
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_refused_head_request_is_answered_without_a_body() {
    let gateway = Gateway::with("routes: [{respond: {status: 204}}]").start();
    let mut client = gateway.connect();
    client.write("HEAD / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n");
    let answer = String::from_utf8(client.read_to_end()).expect("text");
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("\r\n\r\n"), "{answer}");
}

/// A body under way whose framing breaks: the upstream has its beginning and must not get an end.
#[test]
fn chunks_that_others_end_elsewhere_never_make_a_whole_request() {
    let size = |line: &str| format!("5\r\nhello\r\n{line}");
    let cases = [
        (size("0x5\r\nhello\r\n0\r\n\r\n"), "chunk_size"),
        (size("+5\r\nhello\r\n0\r\n\r\n"), "chunk_size"),
        (size(" 5\r\nhello\r\n0\r\n\r\n"), "chunk_size"),
        (size("5 \r\nhello\r\n0\r\n\r\n"), "chunk_size"),
        (size("1_0\r\nhello\r\n0\r\n\r\n"), "chunk_size"),
        (size("10000000000000005\r\nhello\r\n0\r\n\r\n"), "chunk_size"),
        (size("\r\n0\r\n\r\n"), "chunk_size"),
        (size("5\nhello\r\n0\r\n\r\n"), "bare_lf"),
        (size("5\rhello\r\n0\r\n\r\n"), "bare_cr"),
        (size("5;x\nhello\r\n0\r\n\r\n"), "bare_lf"),
        (size("5;\0\r\nhello\r\n0\r\n\r\n"), "control_byte"),
        (size("5\r\nhello0\r\n\r\n"), "chunk_end"),
        (size("5\r\nhello\n0\r\n\r\n"), "chunk_end"),
        (size("5\r\nhello!\r\n0\r\n\r\n"), "chunk_end"),
        (size(&format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(5000))), "chunk_extensions"),
        (size("0\r\nx: y\n\r\n"), "bare_lf"),
        (size("0\r\nx : y\r\n\r\n"), "space_before_colon"),
        (size("0\r\nno colon\r\n\r\n"), "header_name"),
        (size("0\r\nx: \0\r\n\r\n"), "control_byte"),
        (size(&format!("0\r\nx: {}\r\n\r\n", "y".repeat(9000))), "trailers"),
        (size(&format!("0\r\n{}\r\n", "x: y\r\n".repeat(40))), "trailers"),
    ];
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).start();
    for (nth, (body, reason)) in cases.iter().enumerate() {
        let mut client = gateway.connect();
        client.write("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
        client.write([body.as_str(), SMUGGLED].concat());
        let response = client.read("POST");
        assert_eq!((response.status, response.header("connection")), (400, Some("close")), "{body:?}");
        assert!(client.is_closed(), "{body:?}");
        let line = &gateway.await_access_lines(nth + 1)[nth];
        assert_eq!(line["response_code_details"], *reason, "{body:?}");
    }
    assert!(origin.received().is_empty(), "{:#?}", origin.received());
    // Cut in the middle of a message is all that the origin saw; nothing of it was legal to the end, or something else.
    assert!(origin.malformed().is_empty(), "{:#?}", origin.malformed());
}

#[test]
fn chunk_extensions_go_no_further_and_trailers_keep_their_place() {
    let origin = Origin::echoing();
    let gateway = Gateway::to(&origin).start();
    let mut client = gateway.connect();
    client.write(
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: ChunkeD\r\nte: trailers\r\ntrailer: x-sum, host, content-length\r\n\r\n\
         3;a=\"b\"\r\nabc\r\n002;c\r\nde\r\n000\r\nx-sum: 5\r\nhost: evil\r\ncontent-length: 1\r\ntransfer-encoding: x\r\n\r\n",
    );
    assert_eq!(client.read("POST").text(), "abcde");
    let request = origin.only_request();
    assert_eq!((request.text().as_str(), request.header("transfer-encoding")), ("abcde", Some("chunked")));
    let forbidden = ["host", "content-length", "transfer-encoding"];
    assert!(forbidden.iter().all(|name| request.trailers.get(name).is_none()), "{:?}", request.trailers);
    assert_eq!(request.trailers.get("x-sum"), Some("5"));
}

#[test]
fn the_absolute_form_wins_over_host_and_rewrites_it() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).start();
    let mut client = gateway.connect();
    client.write("GET http://b.example:80/x?y HTTP/1.1\r\nhost: a.example\r\n\r\n");
    assert_eq!(client.read("GET").status, 200);
    let request = origin.only_request();
    assert_eq!((request.target.as_str(), request.header("host")), ("/x?y", Some("b.example:80")));
    assert_eq!(request.header("x-forwarded-host"), Some("b.example:80"));
}

#[test]
fn what_can_be_read_in_one_way_only_is_not_refused() {
    let origin = Origin::start(|request| Answer::text(&request.body));
    let gateway = Gateway::to(&origin).start();
    let mut client = gateway.connect();
    for (raw, body) in [
        ("\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n", ""),
        ("GET / HTTP/1.1\r\nHOST:\ta.example:8080 \t\r\nx:\r\ny_z: \t a\tb \u{e4} \r\n\r\n", ""),
        ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nx_y: 1\r\nX_Y: 2\r\n\r\nhello", "hello"),
        ("POST / HTTP/1.1\r\nhost: [::1]:80\r\ncontent-length:0\r\n\r\n", ""),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding:\tCHUNKED\t\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n",
            "0123456789",
        ),
        ("OPTIONS / HTTP/1.1\r\nhost: a\r\nmax-forwards: 1\r\n\r\n", ""),
        ("GET /a|b{c}^?`d=\\'| HTTP/1.1\r\nhost: a\r\n\r\n", ""),
    ] {
        client.write(raw);
        let response = client.read("GET");
        assert_eq!((response.status, response.text().as_str()), (200, body), "{raw:?}");
    }
    assert_eq!(origin.received().len(), 7);
    assert!(origin.malformed().is_empty());
}

#[test]
fn what_follows_a_request_for_another_protocol_is_the_next_request_when_it_is_refused() {
    let origin = Origin::start(|request| Answer::text(&request.target));
    let gateway =
        Gateway::with("routes: [{to: origin, upgrades: [websocket]}]\nupstreams: {origin: 'ORIGIN'}")
            .set("ORIGIN", origin.address())
            .start();
    let ask = "GET /ask HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    let mut client = gateway.connect();
    client.write([ask, "GET /next HTTP/1.1\r\nhost: a\r\n\r\n"].concat());
    assert_eq!(client.read("GET").text(), "/ask");
    assert_eq!(client.read("GET").text(), "/next");
    let mut client = gateway.connect();
    client.write([ask, "GET /next HTTP/1.1\nhost: a\n\n"].concat());
    assert_eq!(client.read("GET").text(), "/ask");
    assert_eq!(client.read("GET").status, 400);
    assert!(client.is_closed());
    let targets: Vec<_> = origin.received().into_iter().map(|request| request.target).collect();
    assert_eq!(targets, ["/ask", "/next", "/ask"]);
}

#[test]
fn what_follows_a_request_for_another_protocol_waits_for_the_upstreams_answer() {
    let (sender, received) = std::sync::mpsc::channel();
    let origin = Switcher::start(move |_, mut connection| {
        // Nothing may come before the answer.
        sender.send(()).expect("the test waits");
        connection.accept(b"")?;
        connection.echo()
    });
    let gateway =
        Gateway::with("routes: [{to: origin, upgrades: [websocket]}]\nupstreams: {origin: 'ORIGIN'}")
            .set("ORIGIN", origin.address())
            .start();
    let early = noise(100_000);
    let mut client = gateway.connect();
    client.write("GET / HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n");
    client.write(&early);
    received.recv_timeout(gateway_tests::LIMIT).expect("a handshake");
    assert_eq!(client.read_head().0, 101);
    assert_eq!(client.read_bytes(early.len()), early);
}

#[test]
fn a_head_that_is_on_its_way_when_the_gateway_stops_is_served() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).start();
    let mut first: Client = gateway.connect();
    first.write("GET / HTTP/1.1\r\nho");
    let mut second = gateway.connect();
    assert_eq!(second.get("/").status, 200);
    second.write("GET / HTTP/1.1\r\nho");
    // Both have arrived once a later request was answered.
    assert_eq!(gateway.get("/").status, 200);
    gateway.begin_stop();
    eventually("not ready", || gateway.try_admin_get("/ready").is_ok_and(|answer| answer.status != 200));
    gateway_tests::pause(std::time::Duration::from_millis(300));
    for client in [&mut first, &mut second] {
        client.write("st: a\r\n\r\n");
        let response = client.read("GET");
        assert_eq!((response.status, response.header("connection")), (200, Some("close")));
    }
}

#[test]
fn connection_cannot_name_what_says_who_asks_or_what_the_message_is() {
    let origin = Origin::echoing();
    let gateway = Gateway::to(&origin).start();
    let kept = [
        ("authorization", "Basic eDp5"),
        ("cookie", "a=b"),
        ("content-type", "text/plain"),
        ("origin", "http://a.example"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ];
    let names: Vec<_> = kept.iter().map(|(name, _)| *name).collect();
    let stamped = "Host, Content-Length, X-Forwarded-For, x-forwarded-proto, x-request-id, x-real-ip";
    let connection = format!("close, X-Hop, {}, {stamped}", names.join(", "));
    let request = Request::post("/", "hello").header("connection", &connection).header("x-hop", "1");
    let request = kept.iter().fold(request, |request, (name, value)| request.header(name, value));
    assert_eq!(gateway.send(&request).text(), "hello");
    let seen = origin.only_request();
    for (name, value) in kept {
        assert_eq!(seen.header(name), Some(value), "{name}");
    }
    assert_eq!((seen.header("x-hop"), seen.header("connection")), (None, None));
    assert_eq!(
        (seen.header("x-forwarded-for"), seen.header("content-length")),
        (Some("127.0.0.1"), Some("5"))
    );
    assert!(seen.header("x-request-id").is_some());
}

#[test]
fn trailers_cannot_take_the_place_of_headers_in_either_direction() {
    let origin = Origin::start(|_| {
        let forbidden =
            ["content-length", "transfer-encoding", "set-cookie", "x-forwarded-for", "connection"];
        let answer = Answer::chunked([&b"ok"[..]]).trailer("x-sum", "7");
        forbidden.iter().fold(answer, |answer, name| answer.trailer(name, "1"))
    });
    let gateway = Gateway::to(&origin).start();
    let client = Caller::connect(gateway.address());
    let mut call = client.begin("/", &[("trailer", "x-sum, authorization, x-forwarded-for, host")]);
    call.send("hello");
    call.finish(&[
        ("x-sum", "5"),
        ("authorization", "evil"),
        ("x-forwarded-for", "192.0.2.1"),
        ("host", "evil"),
    ]);
    origin.await_requests(1);
    let sent = origin.only_request().trailers;
    assert_eq!(sent.0, [("x-sum".to_owned(), "5".to_owned())]);
    let response = Http2::connect(gateway.address()).send(&Request::get("/"));
    assert_eq!(response.trailers.0, [("x-sum".to_owned(), "7".to_owned())]);
}
