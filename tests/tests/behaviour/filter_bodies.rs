//! Filters that read and replace bodies; the framing stays right whatever they do.

use gateway_tests::{Answer, Gateway, Origin, Request, eventually, noise, wasm};

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
