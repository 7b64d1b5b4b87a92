//! Compressed responses: decoded by the decoders of the three formats, whole or as far as they have come.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use gateway_tests::{Answer, Client, Gateway, Http2, Origin, Request, Response, noise, wasm};

const CODINGS: [&str; 3] = ["gzip", "br", "zstd"];
const CONFIG: &str = "
listeners: [{name: web, bind: '127.0.0.1:0', compression: {}}]
routes: [{name: all, to: origin}]
upstreams: {origin: 'ORIGIN'}
";

fn compressing(origin: &Origin) -> Gateway {
    Gateway::with(CONFIG).set("ORIGIN", origin.address()).start()
}

fn accepting(coding: &str) -> Request {
    Request::get("/").header("accept-encoding", coding)
}

/// Fails where the coding is not ended as it should be.
fn decoded(response: &Response) -> Vec<u8> {
    let body = response.body.as_slice();
    let mut text = Vec::new();
    match response.header("content-encoding") {
        Some("gzip") => flate2::read::GzDecoder::new(body).read_to_end(&mut text).map(|_| ()),
        Some("br") => brotli::Decompressor::new(body, 4096).read_to_end(&mut text).map(|_| ()),
        Some("zstd") => zstd::stream::copy_decode(body, &mut text),
        other => panic!("content-encoding {other:?}"),
    }
    .unwrap_or_else(|error| panic!("{:?}: {error}", response.headers));
    text
}

/// What a client can read of a body that has not ended.
fn decoded_so_far(coding: &str, body: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" => {
            let mut decoder = flate2::write::GzDecoder::new(Vec::new());
            decoder.write_all(body).expect("a good beginning");
            decoder.flush().expect("memory");
            decoder.get_ref().clone()
        }
        "br" => {
            let mut decoder = brotli::DecompressorWriter::new(Vec::new(), 4096);
            decoder.write_all(body).expect("a good beginning");
            decoder.flush().expect("memory");
            decoder.get_ref().clone()
        }
        _ => {
            let mut decoder = zstd::stream::write::Decoder::new(Vec::new()).expect("memory");
            decoder.write_all(body).expect("a good beginning");
            decoder.flush().expect("memory");
            decoder.get_ref().clone()
        }
    }
}

/// A text of `length` bytes with something to compress.
fn prose(length: usize) -> Vec<u8> {
    let words = noise(length / 16 + 1);
    let text = words.iter().flat_map(|word| format!("word {word:03} is next ").into_bytes());
    text.take(length).collect()
}

#[test]
fn each_coding_decodes_to_what_the_upstream_sent() {
    let body = prose(100_000);
    let sent = body.clone();
    let origin = Origin::start(move |request| {
        let answer = match request.target.as_str() {
            "/" => Answer::text(&sent),
            _ => Answer::chunked(sent.chunks(7_777)),
        };
        answer.header("content-type", "text/plain; charset=utf-8").header("etag", "\"v1\"")
    });
    let gateway = compressing(&origin);
    let mut client = gateway.connect();
    for coding in CODINGS {
        for target in ["/", "/chunked"] {
            let response = client.send(&Request::get(target).header("accept-encoding", coding));
            assert!(decoded(&response) == body, "{coding} {target}");
            assert!(response.body.len() < body.len() / 2, "{coding}: {} bytes", response.body.len());
            assert_eq!(response.header("content-encoding"), Some(coding));
            assert_eq!(response.header("content-length"), None);
            assert_eq!(response.header("etag"), Some("W/\"v1\""));
            assert_eq!(response.header("vary"), Some("accept-encoding"));
            assert_eq!(origin.last_request().header("accept-encoding"), Some(coding));
            let line = gateway.await_access_lines(origin.received().len()).pop().expect("a line");
            assert_eq!(line["bytes_sent"], response.body.len(), "what was sent is counted");
        }
    }
    let plain = client.get("/");
    assert!(plain.body == body);
    assert_eq!((plain.header("etag"), plain.header("vary")), (Some("\"v1\""), Some("accept-encoding")));
    assert_eq!((plain.header("content-encoding"), plain.header("content-length")), (None, Some("100000")));
    assert_eq!(origin.connections(), 1, "a compressed response gives its connection back");
}

#[test]
fn the_best_coding_of_both_sides_is_used() {
    let origin = Origin::start(|_| Answer::text(prose(5_000)).header("content-type", "application/json"));
    let gateway = compressing(&origin);
    for (accepted, coding) in [
        ("gzip, deflate, br, zstd", Some("zstd")),
        ("gzip, br", Some("br")),
        ("br;q=0.5, gzip", Some("gzip")),
        ("*", Some("zstd")),
        ("zstd;q=0, *", Some("br")),
        ("identity, gzip;q=0.1", None),
        ("deflate", None),
    ] {
        assert_eq!(gateway.send(&accepting(accepted)).header("content-encoding"), coding, "{accepted}");
    }
}

#[test]
fn events_are_not_held_back() {
    const INTERVAL: Duration = Duration::from_secs(3);
    for coding in CODINGS {
        let events: [&[u8]; 2] = [b"data: one\n\n", b"data: two\n\n"];
        let origin = Origin::start(move |_| {
            Answer::slowly(events, INTERVAL).header("content-type", "text/event-stream")
        });
        let gateway = compressing(&origin);
        let mut client = gateway.connect();
        let started = Instant::now();
        client.write(accepting(coding).bytes());
        let (status, headers) = client.read_head();
        assert_eq!((status, headers.get("content-encoding")), (200, Some(coding)));
        let mut body = Vec::new();
        while decoded_so_far(coding, &body) != events[0] {
            body.extend(chunk(&mut client));
        }
        assert!(started.elapsed() < INTERVAL, "{coding}: the first event came with the second");
    }
}

/// The next chunk of a chunked body.
fn chunk(client: &mut Client) -> Vec<u8> {
    let mut size = String::new();
    while !size.ends_with("\r\n") {
        size.push(char::from(client.read_bytes(1)[0]));
    }
    let size = usize::from_str_radix(size.trim_end(), 16).expect("a chunk size");
    let chunk = client.read_bytes(size);
    assert_eq!(client.read_bytes(2), b"\r\n");
    chunk
}

#[test]
fn what_must_stay_as_it_is_stays() {
    let body = prose(5_000);
    let sent = body.clone();
    let origin = Origin::start(move |request| {
        let whole = || Answer::text(&sent).header("content-type", "text/css");
        match request.target.as_str() {
            "/encoded" => whole().header("content-encoding", "gzip"),
            "/no-transform" => whole().header("cache-control", "max-age=1, no-transform"),
            "/partial" => whole().status(206).header("content-range", "bytes 0-4999/9999"),
            "/image" => Answer::text(&sent).header("content-type", "image/png"),
            "/small" => Answer::text(&sent[..1_000]).header("content-type", "text/css"),
            "/none" => Answer::head(204).header("content-type", "text/css"),
            _ => whole(),
        }
    });
    let gateway = compressing(&origin);
    let mut client = gateway.connect();
    for (target, length) in [
        ("/encoded", 5_000),
        ("/no-transform", 5_000),
        ("/partial", 5_000),
        ("/image", 5_000),
        ("/small", 1_000),
        ("/none", 0),
    ] {
        let response = client.send(&Request::get(target).header("accept-encoding", "gzip, br, zstd"));
        assert!(response.body == body[..length], "{target}");
        assert_eq!(response.header("vary"), None, "{target} is the same for everybody");
    }
    let head = client.send(&Request::new("HEAD", "/").header("accept-encoding", "gzip"));
    assert_eq!((head.header("content-length"), head.header("content-encoding")), (Some("5000"), None));
    assert_eq!(head.header("vary"), Some("accept-encoding"));
    assert_eq!(client.send(&accepting("gzip")).header("content-encoding"), Some("gzip"));
}

#[test]
fn routes_say_it_for_themselves_and_nothing_is_compressed_unasked() {
    let origin = Origin::start(|_| Answer::text(prose(5_000)).header("content-type", "text/css"));
    let config = "
listeners:
  - {name: web, bind: '127.0.0.1:0', compression: {algorithms: [gzip]}}
  - {name: plain, bind: '127.0.0.1:0'}
routes:
  - {match: {path: {prefix: /off}}, to: origin, compression: off}
  - {match: {path: {prefix: /own}}, to: origin, compression: {algorithms: [br], types: [text/css]}}
  - {match: {path: {prefix: /page}}, respond: {status: 200, file: page.html}}
  - {to: origin}
upstreams: {origin: 'ORIGIN'}
";
    let gateway = Gateway::with(config)
        .set("ORIGIN", origin.address())
        .file("page.html", &String::from_utf8_lossy(&prose(3_000)))
        .start();
    for (listener, target, coding) in [
        ("web", "/", Some("gzip")),
        ("web", "/off", None),
        ("web", "/own", Some("br")),
        ("web", "/page", Some("gzip")),
        ("plain", "/", None),
        ("plain", "/own", Some("br")),
    ] {
        let address = gateway.listener(listener).expect("a listener");
        let request = Request::get(target).header("accept-encoding", "gzip, br, zstd");
        let response = request.to(address);
        assert_eq!(response.header("content-encoding"), coding, "{listener}{target}");
    }
}

#[test]
fn filters_change_the_text_before_it_is_compressed() {
    let origin = Origin::start(|_| Answer::text("hello ".repeat(1_000)).header("content-type", "text/plain"));
    let manifest = "config: \"<appended>\"";
    let gateway = Gateway::with(CONFIG)
        .set("ORIGIN", origin.address())
        .filter("replace", &wasm::guest("body-replace"), manifest)
        .start();
    for coding in CODINGS {
        let response = gateway.send(&accepting(coding));
        let expected = format!("{}<appended>", "hello ".repeat(1_000));
        assert!(decoded(&response) == expected.as_bytes(), "{coding}");
    }
}

#[test]
fn large_bodies_pass_over_both_protocols_with_their_trailers() {
    let body = [prose(3 << 20), noise(1 << 20)].concat();
    let sent = body.clone();
    let origin = Origin::start(move |_| {
        Answer::chunked(sent.chunks(100_000)).header("content-type", "text/plain").trailer("x-sum", "42")
    });
    let gateway = compressing(&origin);
    let http2 = Http2::connect(gateway.address());
    for coding in CODINGS {
        let request = accepting(coding).header("te", "trailers");
        for response in [gateway.send(&request), http2.send(&request)] {
            assert!(decoded(&response) == body, "{coding}");
            assert_eq!(response.trailers.get("x-sum"), Some("42"), "{coding}");
        }
    }
}

#[test]
fn an_upstream_that_stops_midway_does_not_look_like_an_end() {
    let body = prose(200_000);
    let origin = Origin::start(move |_| Answer::cut(&body, 100_000).header("content-type", "text/plain"));
    let gateway = compressing(&origin);
    for coding in CODINGS {
        let outcome = gateway.connect().try_send(&accepting(coding));
        assert!(outcome.is_err(), "{coding}: {:?}", outcome.map(|response| response.body.len()));
    }
}
