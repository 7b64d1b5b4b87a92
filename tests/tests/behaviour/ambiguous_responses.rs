//! Responses that two readers could read in two ways, and those that break off: the client gets a 502 with the reason, or a
//! message that it can see is not whole; never half an answer as a whole one, and never the answer to another request.

use std::sync::Mutex;
use std::time::Duration;

use gateway_tests::{Answer, Client, Gateway, Http2, Origin, Request, Setup, Switcher, pause};

/// A gateway to an origin that answers `GET /N` with the N-th of these bytes and closes, and `/ok` as it should.
fn to_raw(answers: Vec<String>) -> (Origin, Gateway) {
    let origin = Origin::start(move |request| match request.target[1..].parse::<usize>() {
        Ok(nth) => Answer::raw(&answers[nth]).then_close(),
        Err(_) => Answer::text("ok"),
    });
    let gateway = Gateway::to(&origin).start();
    (origin, gateway)
}

/// Each of these gets 502 with its reason, is logged and counted once, and is not asked for again.
fn refused(cases: &[(String, &str)]) {
    let (origin, gateway) = to_raw(cases.iter().map(|(raw, _)| raw.clone()).collect());
    let mut client = gateway.connect();
    for (nth, (raw, reason)) in cases.iter().enumerate() {
        // The connection to the upstream is used, and the client's stays open.
        assert_eq!(client.get("/ok").text(), "ok");
        let response = client.get(&format!("/{nth}"));
        assert_eq!((response.status, response.header("x")), (502, None), "{raw:?}");
        let line = &gateway.await_access_lines(nth * 2 + 2)[nth * 2 + 1];
        assert_eq!(
            (&line["response_code_details"], &line["response_flags"]),
            (&(*reason).into(), &"UPE".into()),
            "{raw:?}"
        );
        assert_eq!(origin.count(&format!("/{nth}")), 1, "{raw:?} was asked for again");
    }
    for reason in cases.iter().map(|(_, reason)| reason) {
        let number = cases.iter().filter(|(_, other)| other == reason).count();
        gateway.await_replies(reason, u32::try_from(number).expect("few"));
    }
}

fn ok(reason: &'static str, fields: &[&str]) -> Vec<(String, &'static str)> {
    let response = |fields| format!("HTTP/1.1 200 OK\r\nx: y\r\n{fields}\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    fields.iter().map(|fields| (response(fields), reason)).collect()
}

#[test]
fn heads_with_two_readings_are_refused() {
    refused(
        &[
            ok(
                "upstream_length_and_coding",
                &[
                    "content-length: 5\r\ntransfer-encoding: chunked",
                    "transfer-encoding: chunked\r\ncontent-length: 5",
                ],
            ),
            ok(
                "upstream_content_length",
                &[
                    "content-length: 5\r\ncontent-length: 5",
                    "content-length: 5\r\ncontent-length: 6",
                    "content-length: -1",
                    "content-length: 5, 5",
                    "content-length: x",
                ],
            ),
            ok(
                "upstream_transfer_coding",
                &["transfer-encoding: gzip", "transfer-encoding: gzip, chunked", "transfer-encoding: x"],
            ),
            ok(
                "upstream_transfer_encoding",
                &[
                    "transfer-encoding: chunked, chunked",
                    "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
                ],
            ),
            ok("upstream_folded_line", &["z: y\r\n z", "z:\r\n\ty"]),
            ok("upstream_bare_lf", &["z: y\nw: 1", "z: 1\n\n"]),
            ok("upstream_bare_cr", &["z: y\rw"]),
            ok("upstream_control_byte", &["z: \0", "z: a\u{1}"]),
            ok("upstream_header_name", &["no colon", "z\0: y", ": y"]),
            ok("upstream_space_before_colon", &["content-length : 5"]),
            vec![
                ("HTTP/1.1 200 OK\n\nhello".into(), "upstream_bare_lf"),
                (
                    "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".into(),
                    "upstream_coding_in_http_1_0",
                ),
                ("HTTP/1.1 000 Zero\r\ncontent-length: 0\r\n\r\n".into(), "upstream_status"),
                ("HTTP/1.1 099 Few\r\ncontent-length: 0\r\n\r\n".into(), "upstream_status"),
                ("HTTP/1.1 600 Many\r\ncontent-length: 0\r\n\r\n".into(), "upstream_status"),
                ("HTTP/1.1 999 Many\r\ncontent-length: 0\r\n\r\n".into(), "upstream_status"),
                ("HTTP/1.1 2000 Many\r\n\r\n".into(), "upstream_status_line"),
                ("HTTP/1.1 banana\r\n\r\n".into(), "upstream_status_line"),
                ("SSH-2.0-OpenSSH_9.2\r\n".into(), "upstream_status_line"),
                ("HTTP/2.0 200 OK\r\n\r\n".into(), "upstream_version"),
                (
                    "HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello".into(),
                    "upstream_body_not_allowed",
                ),
                (
                    "HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".into(),
                    "upstream_body_not_allowed",
                ),
                (
                    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n".into(),
                    "upstream_unasked_switch",
                ),
            ],
        ]
        .concat(),
    );
}

#[test]
fn heads_without_end_are_refused() {
    let many = "x: y\r\n".repeat(5000);
    let hints = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(9);
    refused(&[
        (format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(200_000)), "upstream_head_too_large"),
        (format!("HTTP/1.1 200 OK\r\n{many}\r\n"), "upstream_too_many_headers"),
        (format!("{hints}HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), "upstream_too_many_interim"),
        ("HTTP/1.1 100 Continue\r\n\r\n".repeat(10_000), "upstream_too_many_interim"),
    ]);
}

#[test]
fn what_can_be_read_in_one_way_only_is_believed() {
    let cases = [
        ("HTTP/1.1 200\r\ncontent-length: 5\r\n\r\nhello", 200, "hello"),
        ("HTTP/1.0 200 OK\r\n\r\nhello", 200, "hello"),
        ("HTTP/1.1 599 What\r\ntransfer-encoding: CHUNKED\r\n\r\n5;x=y\r\nhello\r\n0\r\n\r\n", 599, "hello"),
        ("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", 200, "hello"),
        ("HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", 204, ""),
        ("HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", 304, ""),
    ];
    let (_origin, gateway) = to_raw(cases.iter().map(|(raw, ..)| (*raw).to_owned()).collect());
    for (nth, (raw, status, body)) in cases.iter().enumerate() {
        let response = gateway.get(&format!("/{nth}"));
        assert_eq!((response.status, response.text().as_str()), (*status, *body), "{raw:?}");
        assert_eq!(response.header("content-length").filter(|_| *status == 204), None, "{raw:?}");
    }
}

/// What a client of HTTP/1.1 sees of a response that breaks off: a head, and a body without its end.
fn sees_no_end(client: &mut Client) -> bool {
    client.response_to("GET").is_err()
}

const CUT: &[(&str, &str)] = &[
    ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello", "upstream_reset"),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", "upstream_reset"),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel", "upstream_reset"),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", "upstream_reset"),
    (
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0x5\r\nhello\r\n0\r\n\r\n",
        "upstream_chunk_size",
    ),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n\r\n", "upstream_chunk_size"),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n", "upstream_chunk_end"),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", "upstream_bare_lf"),
    (
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx: \0\r\n\r\n",
        "upstream_control_byte",
    ),
    (
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nno colon\r\n\r\n",
        "upstream_header_name",
    ),
];

/// An origin that sends one of [`CUT`], its head a moment before the rest, so that the client has it by then.
fn cutting() -> (Switcher, Gateway) {
    let next = Mutex::new(CUT.iter());
    let origin = Switcher::start(move |_, mut connection| {
        let raw = next.lock().expect("one connection at a time").next().expect("one request for each").0;
        let (head, body) = raw.split_once("\r\n\r\n").expect("a head");
        connection.write(format!("{head}\r\n\r\n").as_bytes())?;
        pause(Duration::from_millis(50));
        connection.write(body.as_bytes())
    });
    let gateway = Gateway::with("routes: [{to: origin}]\nupstreams: {origin: 'ORIGIN'}")
        .set("ORIGIN", origin.address());
    (origin, gateway.start())
}

#[test]
fn a_body_that_breaks_off_reaches_the_client_without_an_end() {
    let (_origin, gateway) = cutting();
    for (nth, (raw, reason)) in CUT.iter().enumerate() {
        let mut client = gateway.connect();
        client.write(Request::get("/").bytes());
        assert!(sees_no_end(&mut client), "{raw:?}");
        let line = &gateway.await_access_lines(nth + 1)[nth];
        assert_eq!(line["response_code_details"], *reason, "{raw:?}");
    }
}

#[test]
fn over_http_2_a_body_that_breaks_off_resets_its_stream() {
    let (_origin, gateway) = cutting();
    let client = Http2::connect(gateway.address());
    for (raw, _) in CUT {
        let outcome = client.try_send(&Request::get("/"));
        assert!(outcome.is_err(), "{raw:?}: {outcome:?}");
    }
    // The connection is the same all the time, and goes on.
    assert_eq!(gateway.await_access_lines(CUT.len()).len(), CUT.len());
}

#[test]
fn what_comes_after_a_response_is_not_the_next_one() {
    let poison = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison";
    for first in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\ncontent-length: 6\r\n\r\n",
    ] {
        for gap in [Duration::ZERO, Duration::from_millis(30)] {
            let origin = Switcher::start(move |_, mut connection| {
                if gap.is_zero() {
                    connection.write(format!("{first}{poison}").as_bytes())?;
                } else {
                    connection.write(first.as_bytes())?;
                    pause(gap);
                    connection.write(poison.as_bytes())?;
                }
                connection.read_to_end().map(drop)
            });
            let gateway = to(&origin).start();
            let mut client = gateway.connect();
            for _ in 0..3 {
                let response = client.get("/");
                assert_ne!(response.text(), "poison", "{first:?}");
                pause(gap * 3);
            }
            assert_eq!(origin.heads().len(), 3, "each on a connection of its own");
        }
    }
}

fn to(origin: &Switcher) -> Setup {
    Gateway::with("routes: [{to: origin}]\nupstreams: {origin: 'ORIGIN'}").set("ORIGIN", origin.address())
}

#[test]
fn to_a_client_that_knows_no_chunks_a_body_that_breaks_off_is_a_broken_connection() {
    let (_origin, gateway) = cutting();
    for (raw, _) in CUT {
        let mut client = gateway.connect();
        client.write("GET / HTTP/1.0\r\nhost: a\r\n\r\n");
        assert_eq!(client.read_head().0, 200);
        let mut socket = client.socket();
        let end = std::io::copy(&mut socket, &mut std::io::sink());
        // Where a length was promised, its absence tells as much.
        assert!(end.is_err() || raw.contains("content-length"), "{raw:?}: a clean end");
    }
}
