//! Filters that read and replace bodies; the framing stays right whatever they do.

use gateway_tests::{Answer, Gateway, Http2Raw, Origin, Outcome, Request, eventually, noise, wasm};

#[test]
fn a_filter_sees_every_byte_of_both_bodies() {
    let origin = Origin::answering("12345");
    let gateway = Gateway::to(&origin).filter("observe", &wasm::guest("body-observe"), "").start();
    let body = noise(1 << 20);
    assert_eq!(gateway.send(&Request::post("/", &body)).status, 200);
    assert_eq!(gateway.send(&Request::new("POST", "/").chunked(body.chunks(10_000))).status, 200);
    assert!(origin.received().iter().all(|request| request.body == body));
    eventually("the totals", || gateway.get("/totals").text() == format!("request={} response=10", 2 << 20));
}

#[test]
fn a_replaced_body_is_framed_anew_both_ways() {
    let origin = Origin::start(|request| match request.target.as_str() {
        "/chunked" => Answer::chunked(request.body.clone().chunks(3)),
        _ => Answer::text(&request.body),
    });
    let manifest = "config: \"<appended>\"";
    let gateway = Gateway::to(&origin).filter("replace", &wasm::guest("body-replace"), manifest).start();
    // One connection on each side: a byte too many or too few spoils the next message.
    let mut client = gateway.connect();
    for round in 0..3 {
        for target in ["/sized", "/chunked"] {
            let text = format!("hello {round}");
            let upper = format!("HELLO {round}");
            for request in
                [Request::post(target, &text), Request::new("POST", target).chunked([text.as_bytes()])]
            {
                let response = client.send(&request);
                assert_eq!(
                    (response.status, response.text()),
                    (200, format!("{upper}<appended>")),
                    "{target}"
                );
                assert_eq!(origin.last_request().text(), upper);
            }
        }
    }
    assert_eq!((origin.received().len(), origin.connections()), (12, 1));
    assert!(origin.malformed().is_empty(), "{:?}", origin.malformed());
}

#[test]
fn a_large_replaced_body_passes_whole() {
    let origin = Origin::echoing();
    let gateway = Gateway::to(&origin).filter("replace", &wasm::guest("body-replace"), "").start();
    let body = noise(900_000);
    let response = gateway.send(&Request::post("/", &body));
    let expected = [body.to_ascii_uppercase().as_slice(), b"|suffix"].concat();
    assert!(origin.only_request().body == body.to_ascii_uppercase());
    assert!(response.body == expected, "{} bytes", response.body.len());
}

#[test]
fn a_body_too_large_to_hold_gets_413() {
    let origin = Origin::echoing();
    let manifest = "limits: {body: 64KiB}";
    let gateway = Gateway::to(&origin).filter("replace", &wasm::guest("body-replace"), manifest).start();
    let response = gateway.send(&Request::post("/", noise(300_000)));
    assert_eq!(response.status, 413);
    gateway.await_replies("body_too_large", 1);
    assert!(origin.received().is_empty());
    assert_eq!(gateway.send(&Request::post("/", "fits")).text(), "FITS|suffix");
}

#[test]
fn a_response_too_large_to_hold_gets_502() {
    let origin =
        Origin::start(|request| Answer::text(noise(if request.target == "/large" { 300_000 } else { 5 })));
    let holds_all = r#"(func (export "proxy_on_response_body") (param i32 i32 i32) (result i32)
        (i32.eqz (local.get 2)))"#;
    let gateway =
        Gateway::to(&origin).filter("hold", &wasm::small("", holds_all), "limits: {body: 64KiB}").start();
    assert_eq!(gateway.get("/large").status, 502);
    gateway.await_replies("response_body_too_large", 1);
    assert_eq!(gateway.get("/small").body, noise(5));
}

/// Lets the request body pass, changes its last piece, and leaves `content-length` as it is.
fn changes_the_end(start: i32, length: i32) -> Vec<u8> {
    let set =
        r#"(import "env" "proxy_set_buffer_bytes" (func $set (param i32 i32 i32 i32 i32) (result i32)))"#;
    let callback = r#"(data (i32.const 16) "!") (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)"#;
    wasm::small(
        set,
        &format!(
            "{callback} (if (i32.eqz (local.get 2)) (then (return (i32.const 0))))
             (call $set (i32.const 0) (i32.const {start}) (i32.const {length}) (i32.const 16) (i32.const 1)))"
        ),
    )
}

#[test]
fn a_body_that_breaks_the_promised_length_fails_and_never_looks_whole() {
    let origin = Origin::echoing();
    let (appends, shrinks) = (changes_the_end(i32::MAX, 0), changes_the_end(0, i32::MAX));
    for module in [&appends, &shrinks] {
        let gateway = Gateway::to(&origin).filter("change", module, "").start();
        assert_eq!(gateway.send(&Request::post("/long", noise(1 << 20))).status, 503);
        gateway.await_replies("filter_body_length", 1);
        assert!(origin.received().is_empty(), "the origin took a body for whole");
    }
    let gateway = Gateway::to(&origin).filter("change", &appends, "").start();
    assert_eq!(gateway.send(&Request::post("/short", "a")).text(), "a!", "known in time, it is framed anew");
}

#[test]
fn a_length_that_a_filter_writes_is_not_believed() {
    for length in ["3", "0"] {
        is_not_believed(length);
    }
}

/// A filter says so in both directions, and looks at no body.
fn is_not_believed(length: &str) {
    let writes = |callback: &str, map: i32| {
        format!(
            r#"(func (export "{callback}") (param i32 i32 i32) (result i32)
                 (call $set (i32.const {map}) (i32.const 16) (i32.const 14) (i32.const 32) (i32.const 1)))"#
        )
    };
    let module = wasm::small(
        r#"(import "env" "proxy_replace_header_map_value" (func $set (param i32 i32 i32 i32 i32) (result i32)))"#,
        &[
            format!(r#"(data (i32.const 16) "content-length") (data (i32.const 32) "{length}")"#),
            writes("proxy_on_request_headers", 0),
            writes("proxy_on_response_headers", 2),
        ]
        .concat(),
    );
    let origin = Origin::echoing();
    let gateway = Gateway::to(&origin).filter("writes", &module, "").start();
    let mut client = gateway.connect();
    for (request, body) in [
        (Request::post("/", "hello"), "hello"),
        (Request::new("POST", "/").chunked([&b"hello"[..]]), "hello"),
        (Request::get("/"), ""),
        (Request::post("/", "x"), "x"),
    ] {
        let response = client.send(&request);
        assert_eq!((response.status, response.text().as_str()), (200, body));
        assert_eq!(origin.last_request().text(), body);
    }
    assert!(origin.malformed().is_empty(), "{:?}", origin.malformed());
}

#[test]
fn a_filter_sees_the_end_of_a_body_that_is_declared_to_be_empty_and_ends_late() {
    let module = wasm::small(
        r#"(import "env" "proxy_set_buffer_bytes" (func $set (param i32 i32 i32 i32 i32) (result i32)))"#,
        r#"(data (i32.const 16) "x")
           (func (export "proxy_on_request_body") (param $id i32) (param $size i32) (param $end i32) (result i32)
             (if (local.get $end)
               (then (drop (call $set (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 16) (i32.const 1)))))
             (i32.const 0))"#,
    );
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).filter("writes", &module, "").start();
    let fields: [(&[u8], &[u8]); 5] = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", b"/"),
        (b":authority", b"a.example"),
        (b"content-length", b"0"),
    ];
    let outcome = Http2Raw::connect(gateway.address()).send_in_steps(&fields, Some(b""), 50);
    assert_eq!(outcome, Outcome::Answered(200));
    assert_eq!(origin.only_request().text(), "x");
}

#[test]
fn messages_without_a_body_stay_without() {
    let origin = Origin::start(|request| match request.target.as_str() {
        "/204" => Answer::head(204),
        "/304" => Answer::head(304),
        _ => Answer::text("x"),
    });
    let gateway = Gateway::to(&origin).filter("replace", &wasm::guest("body-replace"), "").start();
    let mut client = gateway.connect();
    assert_eq!(client.get("/204").status, 204);
    assert_eq!(client.get("/304").status, 304);
    assert_eq!(client.send(&Request::new("HEAD", "/")).status, 200);
    assert_eq!(client.get("/").text(), "x|suffix");
    assert!(origin.received().iter().all(|request| request.body.is_empty()));
}

#[test]
fn a_filter_that_never_resumes_costs_a_504_and_no_more() {
    let holders = [
        (
            "request headers",
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 1))"#,
        ),
        (
            "request body",
            r#"(func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) (i32.const 1))"#,
        ),
        (
            "response body",
            r#"(func (export "proxy_on_response_body") (param i32 i32 i32) (result i32) (i32.const 1))"#,
        ),
    ];
    for (held, callback) in holders {
        let origin = Origin::answering("whole");
        let module = wasm::small("", callback);
        let gateway = Gateway::to(&origin).filter("holder", &module, "limits: {pause: 200ms}").start();
        assert_eq!(gateway.send(&Request::post("/", "held")).status, 504, "{held}");
        gateway.await_replies("filter_pause_timeout", 1);
        assert_eq!(origin.received().len(), usize::from(held == "response body"), "{held}");
    }
}
