//! Messages that are no messages: from clients, whose fault is named, and from upstreams, which are not believed.

use gateway_tests::{Answer, Gateway, Origin, Request};

/// What the gateway answers to these bytes, and the reason in its log.
fn refusal(raw: &str) -> (u16, String) {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).start();
    let mut client = gateway.connect();
    client.write(raw);
    let status = client.read("GET").status;
    let lines = gateway.await_access_lines(1);
    assert!(origin.received().is_empty(), "{raw:?} reached the origin");
    (status, lines[0]["response_code_details"].as_str().unwrap_or("none").to_owned())
}

/// What a client gets when the upstream answers with these bytes, and the reason in the log.
fn answer_to(raw: &'static str) -> (u16, String) {
    let origin = Origin::start(move |_| Answer::raw(raw));
    let gateway = Gateway::to(&origin).start();
    let status = gateway.get("/").status;
    let lines = gateway.await_access_lines(1);
    (status, lines[0]["response_code_details"].as_str().unwrap_or("none").to_owned())
}

#[test]
fn a_malformed_head_gets_400_and_goes_nowhere() {
    for (raw, reason) in [
        ("GET a.example HTTP/1.1\r\nhost: a\r\n\r\n", "target"),
        ("GET ftp://a.example/ HTTP/1.1\r\nhost: a\r\n\r\n", "target"),
        ("GET / HTTP/1.1\r\n\r\n", "host_missing"),
        ("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", "host_repeated"),
        ("CONNECT a.example:443 HTTP/1.1\r\nhost: a.example\r\n\r\n", "connect"),
        ("GET / HTTP/1.1\r\nhost: a\r\nno colon\r\n\r\n", "header_name"),
    ] {
        assert_eq!(refusal(raw), (400, reason.to_owned()), "{raw:?}");
    }
}

#[test]
fn a_body_that_is_no_body_is_the_clients_error() {
    let origin = Origin::echoing();
    let gateway = Gateway::to(&origin).start();
    let mut client = gateway.connect();
    client.write("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n");
    assert_eq!(client.read("POST").status, 400);
    gateway.await_replies("chunk_size", 1);
}

#[test]
fn a_request_of_http_1_0_without_host_reaches_the_origin_with_one() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).start();
    let mut client = gateway.connect();
    client.write("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.read("GET").status, 200);
    let host = origin.only_request().header("host").map(str::to_owned);
    assert_eq!(host, Some(gateway.address().to_string()));
}

#[test]
fn an_upstream_that_says_two_things_is_not_believed() {
    for (raw, reason) in [
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            "upstream_length_and_coding",
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
            "upstream_unasked_switch",
        ),
        ("HTTP/1.1 banana\r\n\r\n", "upstream_status_line"),
    ] {
        assert_eq!(answer_to(raw), (502, reason.to_owned()), "{raw:?}");
    }
}

#[test]
fn a_response_with_trailers_is_logged_as_complete() {
    let trailers = |_: &gateway_tests::Received| {
        Answer::chunked([&b"body"[..]]).header("trailer", "x-sum").trailer("x-sum", "7")
    };
    let origin = Origin::start(trailers);
    let gateway = Gateway::to(&origin).start();
    let response = gateway.send(&Request::get("/").header("te", "trailers"));
    assert_eq!(response.status, 200);
    let line = &gateway.await_access_lines(1)[0];
    assert!(line["response_code_details"].is_null(), "{line}");
    assert_eq!(line["response_flags"], "-", "{line}");
}

#[test]
fn a_client_that_leaves_is_noticed_while_the_upstream_works() {
    let gate = gateway_tests::Gate::closed();
    let held = gate.clone();
    let origin = Origin::start(move |_| Answer::text("late").behind(&held));
    let gateway = Gateway::to(&origin).start();
    let mut client = gateway.connect();
    client.write(Request::get("/").bytes());
    origin.await_requests(1);
    drop(client);
    let line = &gateway.await_access_lines(1)[0];
    assert_eq!(line["response_code_details"], "client_closed", "{line}");
    gate.open();
}
