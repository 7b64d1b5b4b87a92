//! The odd shapes of HTTP exchanges: long answers, answers that come before the request has ended, answers without a body,
//! clients of HTTP/1.0.

use std::io::Write;
use std::time::Duration;

use gateway_tests::{Answer, Gateway, Http2, Origin, Request, Setup, Switcher, noise, pause};

fn to(origin: &Switcher, settings: &str) -> Setup {
    Gateway::with("routes: [{to: origin, SETTINGS}]\nupstreams: {origin: 'ORIGIN'}")
        .set("SETTINGS", settings)
        .set("ORIGIN", origin.address())
}

/// An origin that sends an event, and another each time that the test says so.
fn events(head: &'static str) -> (Switcher, std::sync::mpsc::Sender<&'static str>) {
    let (sender, receiver) = std::sync::mpsc::channel::<&'static str>();
    let receiver = std::sync::Mutex::new(receiver);
    let origin = Switcher::start(move |_, mut connection| {
        connection.write(head.as_bytes())?;
        for event in receiver.lock().expect("one connection").iter() {
            connection.write(event.as_bytes())?;
        }
        Ok(())
    });
    (origin, sender)
}

#[test]
fn each_event_arrives_before_the_next_is_sent_and_no_timer_ends_the_stream() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let (origin, send) = events(head);
    let gateway = to(&origin, "timeout: 300ms").start();
    let mut client = gateway.connect();
    client.write(Request::get("/").bytes());
    assert_eq!(client.read_head().0, 200);
    for event in ["6\r\ndata 1\r\n", "6\r\ndata 2\r\n", "6\r\ndata 3\r\n"] {
        // Together three times as long as the route's timeout.
        pause(Duration::from_millis(300));
        send.send(event).expect("the origin waits");
        assert_eq!(client.read_bytes(event.len()), event.as_bytes());
    }
    send.send("0\r\n\r\n").expect("the origin waits");
    assert_eq!(client.read_bytes(5), b"0\r\n\r\n");
    drop(send);
    assert_eq!(gateway.await_access_lines(1)[0]["response_code_details"], serde_json::Value::Null);
}

#[test]
fn events_without_framing_arrive_one_by_one_too() {
    let (origin, send) = events("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n");
    let gateway = to(&origin, "timeout: 300ms").start();
    let mut client = gateway.connect();
    client.write(Request::get("/").bytes());
    assert_eq!(client.read_head().1.get("transfer-encoding"), Some("chunked"));
    for event in ["data 1", "data 2"] {
        pause(Duration::from_millis(400));
        send.send(event).expect("the origin waits");
        assert_eq!(client.read_bytes(11), format!("6\r\n{event}\r\n").as_bytes());
    }
    drop(send);
    assert_eq!(client.read_bytes(5), b"0\r\n\r\n");
}

#[test]
fn a_long_poll_is_bounded_by_the_route_timeout_alone() {
    let origin = Origin::start(|_| Answer::text("at last").after(Duration::from_millis(700)));
    let config = "
routes:
  - {match: {path: {exact: /patient}}, to: origin, timeout: 0s}
  - {to: origin, timeout: 300ms}
upstreams: {origin: 'ORIGIN'}
";
    let gateway = Gateway::with(config).set("ORIGIN", origin.address()).start();
    assert_eq!(gateway.get("/patient").text(), "at last");
    assert_eq!(gateway.get("/").status, 504);
}

#[test]
fn an_answer_that_comes_before_the_end_of_the_upload_reaches_the_client() {
    // More than the system's buffers hold, so that the client is still writing when it is answered.
    let body = noise(32 << 20);
    for closes in [true, false] {
        let origin = Switcher::start(move |_, mut connection| {
            connection.write(b"HTTP/1.1 413 Payload Too Large\r\ncontent-length: 8\r\n\r\ntoo much")?;
            if closes {
                return Ok(());
            }
            connection.read_to_end().map(drop)
        });
        let gateway = to(&origin, "timeout: 5s").start();
        let mut client = gateway.connect();
        let mut writer = client.socket();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len());
                // It may be told to stop at any point.
                let _ = writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(&body));
            });
            let response = client.read("POST");
            assert_eq!((response.status, response.text().as_str()), (413, "too much"), "closes: {closes}");
            assert_eq!(response.header("connection"), Some("close"));
            assert!(client.is_closed(), "what is left of the upload is no request");
        });
        assert_eq!(gateway.await_access_lines(1)[0]["response_code"], 413);
    }
}

#[test]
fn a_client_that_writes_everything_before_it_reads_gets_the_early_answer() {
    // Less than what is read after the answer, more than the system's buffers hold.
    let body = noise(12 << 20);
    let config = "routes: [{respond: {status: 403, body: 'no uploads'}}]";
    let gateway = Gateway::with(config).start();
    let mut client = gateway.connect();
    client.write(format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len()));
    client.write(&body);
    let response = client.read("POST");
    assert_eq!((response.status, response.text().as_str()), (403, "no uploads"));
    assert_eq!(response.header("connection"), Some("close"));
    assert!(client.is_closed());
}

#[test]
fn an_upload_goes_no_further_than_its_answer() {
    let (sender, received) = std::sync::mpsc::channel();
    let origin = Switcher::start(move |_, mut connection| {
        connection.write(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nenough!")?;
        sender.send(connection.read_to_end().map(|rest| rest.len()).ok()).expect("the test waits");
        Ok(())
    });
    let gateway = to(&origin, "timeout: 5s").start();
    let mut client = gateway.connect();
    client.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\nsome of it");
    assert_eq!(client.read("POST").text(), "enough!");
    // The client is still there and still silent.
    let rest = received.recv_timeout(gateway_tests::LIMIT).expect("the upstream's connection ends");
    assert!(rest.is_none_or(|rest| rest <= 10), "{rest:?} bytes");
    assert!(client.is_closed());
}

#[test]
fn a_small_body_that_nobody_wants_leaves_the_connection_usable() {
    let gateway = Gateway::with("routes: [{respond: {status: 404, body: nothing}}]").start();
    let mut client = gateway.connect();
    for _ in 0..3 {
        let response = client.send(&Request::post("/", noise(1000)));
        assert_eq!((response.status, response.header("connection")), (404, None));
    }
}

#[test]
fn over_http_2_an_early_answer_ends_only_its_stream() {
    let origin = Switcher::start(|_, mut connection| {
        // It would not answer another request, and a body that arrived whole leaves the connection fit for one.
        let head = "HTTP/1.1 413 Payload Too Large\r\nconnection: close\r\ncontent-length: 8\r\n\r\n";
        connection.write(format!("{head}too much").as_bytes())?;
        connection.read_to_end().map(drop)
    });
    let gateway = to(&origin, "timeout: 5s").start();
    let client = Http2::connect(gateway.address());
    for _ in 0..3 {
        let response = client.send(&Request::post("/", noise(4 << 20)));
        assert_eq!((response.status, response.text().as_str()), (413, "too much"));
        assert_eq!(response.header("connection"), None);
    }
}

#[test]
fn an_answer_in_place_of_100_ends_the_connection_and_says_so() {
    let origin = Origin::echoing();
    let config = "
routes:
  - {match: {path: {exact: /small}}, to: origin, maxBody: 3B}
  - {match: {path: {exact: /fixed}}, respond: {status: 403}}
  - {match: {path: {exact: /refused}}, to: nobody}
  - {match: {path: {exact: /}}, to: origin}
upstreams: {origin: 'ORIGIN', nobody: 'NOBODY'}
";
    let nobody = gateway_tests::RefusingAddress::new();
    let gateway =
        Gateway::with(config).set("ORIGIN", origin.address()).set("NOBODY", nobody.address()).start();
    for (path, status) in [("/small", 413), ("/fixed", 403), ("/refused", 502), ("/unknown", 404)] {
        let mut client = gateway.connect();
        client.write(format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n"
        ));
        let (seen, headers) = client.read_head();
        assert_eq!((seen, headers.get("connection")), (status, Some("close")), "{path}");
        let length = headers.get("content-length").expect("a length").parse().expect("a number");
        client.read_bytes(length);
        client.finish_writing();
        assert!(client.is_closed(), "{path}");
    }
    assert!(origin.received().is_empty());
}

#[test]
fn an_answer_of_the_upstream_before_the_body_is_asked_for_is_final() {
    // It reads nothing but the head.
    let origin = Switcher::start(|_, mut connection| {
        connection.write(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 3\r\n\r\nwho")?;
        connection.read_to_end().map(drop)
    });
    let gateway = to(&origin, "timeout: 5s").start();
    let mut client = gateway.connect();
    client.write("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n");
    let (mut status, mut headers) = client.read_head();
    if status == 100 {
        // The gateway may want the body before the upstream has answered.
        (status, headers) = client.read_head();
    }
    assert_eq!((status, headers.get("connection")), (401, Some("close")));
    assert_eq!(client.read_bytes(3), b"who");
    assert!(client.is_closed());
}

/// What a raw request gets, to the end of the connection.
fn raw(gateway: &Gateway, request: &str) -> String {
    let mut client = gateway.connect();
    client.write(request);
    String::from_utf8(client.read_to_end()).expect("text").to_lowercase()
}

#[test]
fn http_1_0_has_no_chunks_and_is_kept_only_if_asked() {
    let origin = Origin::start(|request| match request.target.as_str() {
        "/chunked" => Answer::chunked([&b"one "[..], b"two"]).trailer("x-sum", "7"),
        "/until-close" => Answer::until_close("all of it"),
        _ => Answer::text("sized"),
    });
    let gateway = Gateway::to(&origin).start();
    for (target, body) in [("/chunked", "one two"), ("/until-close", "all of it")] {
        for keep in ["", "connection: keep-alive\r\n"] {
            let answer = raw(&gateway, &format!("GET {target} HTTP/1.0\r\n{keep}\r\n"));
            assert!(answer.starts_with("http/1.0 200 ok\r\n"), "{answer}");
            assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{answer}");
            assert!(!answer.contains("chunked") && !answer.contains("keep-alive"), "{answer}");
        }
    }
    let mut client = gateway.connect();
    for _ in 0..3 {
        client.write("GET /sized HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
        let response = client.read("GET");
        assert_eq!((response.text().as_str(), response.header("connection")), ("sized", Some("keep-alive")));
        assert_eq!(response.header("content-length"), Some("5"));
    }
    client.write("GET /sized HTTP/1.0\r\n\r\n");
    assert_eq!(client.read("GET").text(), "sized");
    assert!(client.is_closed(), "not asked for");
    // The upstream is spoken to in HTTP/1.1 all the same: the origin here understands nothing else.
    assert!(origin.malformed().is_empty(), "{:?}", origin.malformed());
}

#[test]
fn http_1_0_uploads_are_passed_on() {
    let origin = Origin::echoing();
    let gateway = Gateway::to(&origin).start();
    let answer = raw(&gateway, "POST / HTTP/1.0\r\ncontent-length: 5\r\n\r\nhello");
    assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
    assert_eq!(origin.only_request().text(), "hello");
}

#[test]
fn answers_without_a_body_say_what_they_may_about_its_length() {
    let origin = Origin::start(|request| match request.target.as_str() {
        "/204" => Answer::head(204),
        "/304" => Answer::head(304).header("etag", "\"x\"").header("content-length", "1000"),
        "/chunked" => Answer::chunked([&b"one"[..]]),
        "/large" => Answer::zeros(5 << 30),
        _ => Answer::text("12345"),
    });
    let gateway = Gateway::to(&origin).start();
    let mut client = gateway.connect();
    let mut ask = |method: &str, target: &str| {
        let response = client.send(&Request::new(method, target));
        assert!(response.body.is_empty());
        (
            response.status,
            response.header("content-length").map(str::to_owned),
            response.header("transfer-encoding").map(str::to_owned),
        )
    };
    let length = |text: &str| Some(text.to_owned());
    assert_eq!(ask("HEAD", "/sized"), (200, length("5"), None));
    assert_eq!(ask("HEAD", "/large"), (200, length("5368709120"), None));
    assert_eq!(ask("HEAD", "/chunked").1, None);
    assert_eq!(ask("GET", "/204"), (204, None, None));
    assert_eq!(ask("HEAD", "/204"), (204, None, None));
    let (status, declared, coding) = ask("GET", "/304");
    assert_eq!((status, coding), (304, None));
    // RFC 9110, section 8.6: it may be left out, and must not say anything else.
    assert!(declared.is_none() || declared == length("1000"), "{declared:?}");
    assert_eq!(ask("HEAD", "/304").0, 304);
    assert_eq!(origin.connections(), 1, "every answer was taken as ended where it ended");
}

#[test]
fn a_body_where_none_can_be_is_not_taken_for_the_next_answer() {
    for head in ["204 No Content", "304 Not Modified"] {
        let origin = Switcher::start(move |_, mut connection| {
            connection.write(
                format!("HTTP/1.1 {head}\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison")
                    .as_bytes(),
            )?;
            connection.read_to_end().map(drop)
        });
        let gateway = to(&origin, "timeout: 5s").start();
        let mut client = gateway.connect();
        for _ in 0..3 {
            let response = client.get("/");
            assert_eq!(response.status.to_string(), head[..3]);
        }
        assert_eq!(origin.heads().len(), 3, "a connection with something left is not used again");
    }
}
