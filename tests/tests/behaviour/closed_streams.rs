//! A filter that closes a stream: the client gets nothing, over either protocol, and loses no more than it has to.

use gateway_tests::{Gateway, Http2, Origin, Request, wasm};

/// Closes the stream in request headers with `x-close: q`, in response headers with `x-close: s`.
fn closer() -> Vec<u8> {
    let imports = r#"
        (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_close_stream" (func $close (param i32) (result i32)))"#;
    let parts = r#"
        (data (i32.const 16) "x-close")
        (func $closes (param $letter i32) (param $stream i32)
          (if (call $get (i32.const 0) (i32.const 16) (i32.const 7) (i32.const 64) (i32.const 68)) (then (return)))
          (if (i32.eq (i32.load8_u (i32.load (i32.const 64))) (local.get $letter))
            (then (drop (call $close (local.get $stream))))))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
          (call $closes (i32.const 113) (i32.const 0)) (i32.const 0))
        (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
          (call $closes (i32.const 115) (i32.const 1)) (i32.const 0))"#;
    wasm::small(imports, parts)
}

#[test]
fn a_client_of_http_1_loses_its_connection_and_gets_no_response() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).filter("closer", &closer(), "").start();
    for phase in ["q", "s"] {
        let mut client = gateway.connect();
        assert_eq!(client.get("/").status, 200);
        client.write(Request::get("/").header("x-close", phase).bytes());
        assert_eq!(client.read_to_end(), b"", "{phase}");
    }
    assert_eq!(origin.received().len(), 3, "what was closed at once went nowhere");
    let lines = gateway.await_access_lines(4);
    let closed: Vec<_> =
        lines.iter().filter(|line| line["response_code_details"] == "filter_closed").collect();
    assert_eq!(closed.len(), 2, "{lines:?}");
    assert!(closed.iter().all(|line| line["response_code"] == 0), "{closed:?}");
}

#[test]
fn a_client_of_http_2_loses_that_stream_alone() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).filter("closer", &closer(), "").start();
    let client = Http2::connect(gateway.address());
    for phase in ["q", "s"] {
        assert!(client.try_send(&Request::get("/").header("x-close", phase)).is_err(), "{phase}");
        assert_eq!(client.send(&Request::get("/")).status, 200, "the connection goes on");
    }
}
