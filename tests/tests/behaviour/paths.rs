//! One path for routing, filters, the access log and the upstream, whatever a client writes it like.

use gateway_tests::{Gateway, Http2, Origin, Request, wasm};

const ROUTES: &str = "
listeners: [{name: web, bind: '127.0.0.1:0'}]
routes:
  - {name: fixed, match: {path: {prefix: /fixed}}, respond: {status: 403, body: fixed}}
  - {name: echo, match: {path: {prefix: /echo}}, requestHeaders: {set: {x-path: '%{path}'}}, to: origin}
upstreams: {origin: 'ORIGIN'}
";

/// A filter that copies the path that it sees into `x-seen`.
fn copies_path() -> Vec<u8> {
    let imports = r#"
        (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))"#;
    let parts = r#"
        (data (i32.const 16) ":path")
        (data (i32.const 32) "x-seen")
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
          (drop (call $get (i32.const 0) (i32.const 16) (i32.const 5) (i32.const 0) (i32.const 4)))
          (drop (call $add (i32.const 0) (i32.const 32) (i32.const 6) (i32.load (i32.const 0)) (i32.load (i32.const 4))))
          (i32.const 0))"#;
    wasm::small(imports, parts)
}

#[test]
fn routes_filters_logs_and_upstreams_see_the_same_path() {
    let origin = Origin::answering("ok");
    let gateway =
        Gateway::with(ROUTES).set("ORIGIN", origin.address()).filter("look", &copies_path(), "").start();
    let cases = [
        ("/echo/a", "/echo/a"),
        ("/fixed/../echo/a", "/echo/a"),
        ("/fixed/%2e%2E/echo", "/echo"),
        ("/fixed/.%2e//echo/", "/echo/"),
        ("/%65cho/%7euser", "/echo/~user"),
        ("//echo//b", "/echo/b"),
        ("/./echo/./c/", "/echo/c/"),
        ("/echo/%c3%a9", "/echo/%C3%A9"),
        ("/echo/a|b", "/echo/a%7Cb"),
        ("/x/y/../../echo/z?q=/../%2f//", "/echo/z?q=/../%2f//"),
        ("http://test.example/fixed/../echo/d", "/echo/d"),
    ];
    for (sent, expected) in cases {
        let response = gateway.get(sent);
        assert_eq!(response.status, 200, "{sent}");
        let seen = origin.last_request();
        assert_eq!(seen.header("x-seen"), Some(expected), "{sent}");
        assert_eq!(seen.target, expected, "{sent}");
        let path = expected.split('?').next();
        assert_eq!(seen.header("x-path"), path, "{sent}");
    }
    let lines = gateway.await_access_lines(cases.len());
    for (line, (sent, expected)) in lines.iter().zip(cases) {
        assert_eq!(line["path"], expected, "{sent}");
    }
    for (sent, expected) in cases {
        let path = sent.strip_prefix("http://test.example").unwrap_or(sent);
        assert_eq!(Http2::connect(gateway.address()).send(&Request::get(path)).status, 200, "{sent}");
        assert_eq!(origin.last_request().target, expected, "{sent}");
    }
    for sent in ["/echo/../fixed", "/%66ixed", "/echo/%2e%2e/fixed/x", "//fixed", "/fixed/%2e"] {
        assert_eq!((gateway.get(sent).status, gateway.get(sent).text().as_str()), (403, "fixed"), "{sent}");
    }
}

#[test]
fn a_path_without_canonical_form_gets_400_and_goes_nowhere() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).start();
    let refused = [
        "/..",
        "/../etc/passwd",
        "/a/../../b",
        "/%2e%2e/x",
        "/%",
        "/%zz",
        "/a%2",
        "/%00",
        "/a%0d%0aX:%20y",
        "/%7f",
        "/a/..;/b",
        "/%c0%ae%c0%ae/x",
        "/a%2fb",
        "/a/..%2Fb",
        "/a%5cb",
        "/a\\..\\b",
    ];
    for path in refused {
        assert_eq!(gateway.get(path).status, 400, "{path}");
    }
    let lines = gateway.await_access_lines(refused.len());
    for (line, path) in lines.iter().zip(refused) {
        assert_eq!(line["response_code_details"], "bad_path", "{path}: {line}");
        assert_eq!(line["path"], path);
    }
    gateway.await_replies("bad_path", refused.len() as u32);
    let http2 = Http2::connect(gateway.address());
    for path in refused {
        assert_eq!(http2.send(&Request::get(path)).status, 400, "{path}");
    }
    assert!(origin.received().is_empty(), "{:?}", origin.received());
    let mut client = gateway.connect();
    client.write("OPTIONS * HTTP/1.1\r\nhost: test.example\r\n\r\n");
    assert_eq!(client.read("OPTIONS").status, 404, "a legal question that no route answers");
}

#[test]
fn a_listener_says_what_is_done_about_paths_that_servers_read_differently() {
    let origin = Origin::answering("ok");
    let config = "
listeners:
  - {name: web, bind: '127.0.0.1:0', paths: {duplicateSlashes: keep, encodedSlashes: keep, backslashes: keep}}
  - {name: other, bind: '127.0.0.1:0', paths: {duplicateSlashes: refuse, encodedSlashes: decode, backslashes: slash}}
routes:
  - {name: hidden, match: {path: {prefix: /hidden}}, respond: {status: 403}}
  - {name: rest, to: origin}
upstreams: {origin: 'ORIGIN'}
";
    let gateway = Gateway::with(config).set("ORIGIN", origin.address()).start();
    let other = gateway.listener("other").expect("a listener");
    for (path, kept, decoded) in [
        ("/a//b", "/a//b", "400"),
        ("/a%2fb", "/a%2Fb", "/a/b"),
        ("/a\\b", "/a%5Cb", "/a/b"),
        ("/a/..%2fhidden/x", "400", "403"),
        ("/%5chidden", "/%5Chidden", "400"),
        ("/a%5c..%5chidden", "400", "403"),
    ] {
        for (address, expected) in [(gateway.address(), kept), (other, decoded)] {
            let status = Request::get(path).to(address).status;
            if expected.starts_with('/') {
                assert_eq!((status, origin.last_request().target.as_str()), (200, expected), "{path}");
            } else {
                assert_eq!(status.to_string(), expected, "{path}");
            }
        }
    }
}

#[test]
fn a_rewrite_leads_nowhere_but_where_it_was_meant_to() {
    let origin = Origin::answering("ok");
    let config = "
routes:
  - match: {path: {prefix: /p}}
    rewrite: {path: {prefix: /inner}}
    to: origin
  - match: {path: {prefix: /r}}
    rewrite: {path: {regex: {match: '/r/(.*)-x', with: '/inner/$1'}}}
    to: origin
  - match: {path: {prefix: /cut}}
    rewrite: {path: {regex: {match: '/cut/(.*).', with: '/inner/$1'}}}
    to: origin
  - match: {path: {prefix: /go}}
    redirect: {path: {regex: {match: '/go/(.*)-x', with: '/inner/$1'}}}
upstreams: {origin: 'ORIGIN'}
";
    let gateway = Gateway::with(config).set("ORIGIN", origin.address()).start();
    for (path, expected) in [
        ("/p/a/../b", "/inner/b"),
        ("/r/a-x", "/inner/a"),
        ("/cut/ab", "/inner/a"),
        ("/cut/%61b", "/inner/a"),
    ] {
        assert_eq!(gateway.get(path).status, 200, "{path}");
        assert_eq!(origin.last_request().target, expected, "{path}");
    }
    let before = origin.received().len();
    for path in ["/r/..-x", "/r/../r/..-x", "/cut/%C3", "/go/..-x", "/go/.-x"] {
        assert_eq!(gateway.get(path).status, 400, "{path}");
    }
    gateway.await_replies("bad_path", 5);
    assert_eq!(origin.received().len(), before);
}
