//! Tries to write what no message may have, in every way that a filter can write, and answers with what the host said: a
//! line per attempt, which ends with the status of each call. A request to `/pass` goes on, with what was left of the attempts,
//! and so does its response. The calls are made by hand, since the crate panics when one is refused.
#![cfg(target_arch = "wasm32")]
#![allow(missing_docs, reason = "the entry macro writes a function without any")]

use std::fmt::Write as _;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

proxy_wasm::main! {{
    proxy_wasm::set_http_context(|_, _| Box::new(Illegal));
}}

/// Names and values, one of which is illegal each.
const LINES: &[(&str, &[u8])] = &[
    ("x-a", b"v\r\nx-injected: 1"),
    ("x-a", b"v\nx-injected: 1"),
    ("x-a", b"v\rw"),
    ("x-a", b"v\0"),
    ("x-a", b"v\x7f"),
    ("x-injected: 1\r\nx-a", b"v"),
    ("x a", b"v"),
    ("x-a:", b"v"),
    ("", b"v"),
    ("transfer-encoding", b"chunked"),
    ("connection", b"close, authorization"),
    ("upgrade", b"h2c"),
    ("keep-alive", b"timeout=5"),
    ("proxy-connection", b"close"),
    ("te", b"gzip"),
    ("expect", b"100-continue"),
    ("content-length", b"5, 6"),
];

/// For requests alone.
const PSEUDO: &[(&str, &[u8])] = &[
    (":path", b"/x HTTP/1.1\r\nx-injected: 1"),
    (":path", b"/a b"),
    (":path", b"/../up"),
    (":path", b"/%00"),
    (":path", b"/a%2fb"),
    (":path", b"*"),
    (":path", b"relative"),
    (":method", b"GET /x"),
    (":method", b"CONNECT"),
    (":method", b"GET\r\n"),
    (":authority", b"a\r\nx-injected: 1"),
    (":authority", b"user@a"),
    (":authority", b"a b"),
    ("host", b"a, b"),
    (":scheme", b"http\r\n"),
    (":unknown", b"x"),
];

/// What a callout may ask for: its upstream has no other routes to hide.
const IN_CALLS: &[&[u8]] = &[b"/../up", b"/%00", b"/a%2fb"];

/// For trailers alone.
const TRAILERS: &[(&str, &[u8])] = &[
    ("content-length", b"5"),
    ("host", b"a"),
    ("authorization", b"x"),
    ("content-type", b"x"),
    ("trailer", b"x"),
];

struct Illegal;

const REQUEST_HEADERS: u32 = 0;
const RESPONSE_HEADERS: u32 = 2;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_add_header_map_value(
        map: u32,
        name: *const u8,
        length: usize,
        value: *const u8,
        size: usize,
    ) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        name: *const u8,
        length: usize,
        value: *const u8,
        size: usize,
    ) -> u32;
    fn proxy_set_header_map_pairs(map: u32, pairs: *const u8, size: usize) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_http_call(
        upstream: *const u8,
        upstream_size: usize,
        headers: *const u8,
        headers_size: usize,
        body: *const u8,
        body_size: usize,
        trailers: *const u8,
        trailers_size: usize,
        timeout_ms: u32,
        token: *mut u32,
    ) -> u32;
}

/// The wire form of header maps.
fn pairs(list: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = (list.len() as u32).to_le_bytes().to_vec();
    for (name, value) in list {
        bytes.extend_from_slice(&(name.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
    }
    for (name, value) in list {
        bytes.extend_from_slice(&[name.as_bytes(), &[0], value, &[0]].concat());
    }
    bytes
}

/// By every call that writes into a map.
fn write(map: u32, name: &str, value: &[u8], all: &[(String, Vec<u8>)]) -> [u32; 3] {
    let mut list: Vec<(&str, &[u8])> = all.iter().map(|(name, value)| (&**name, &**value)).collect();
    list.push((name, value));
    let list = pairs(&list);
    // SAFETY: each pointer comes with the length of what it points to, and the host copies during the call.
    unsafe {
        [
            proxy_add_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len()),
            proxy_replace_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len()),
            proxy_set_header_map_pairs(map, list.as_ptr(), list.len()),
        ]
    }
}

fn reply(name: &str, value: &[u8]) -> u32 {
    let (headers, none) = (pairs(&[(name, value)]), std::ptr::null());
    // SAFETY: as above; nothing is read where the length is zero.
    unsafe { proxy_send_local_response(200, none, 0, none, 0, headers.as_ptr(), headers.len(), -1) }
}

fn call(headers: &[(&str, &[u8])], trailers: &[(&str, &[u8])]) -> u32 {
    let (upstream, headers, trailers) = ("origin", pairs(headers), pairs(trailers));
    let mut token = 0;
    // SAFETY: as above, and the token is written to a living variable.
    unsafe {
        proxy_http_call(
            upstream.as_ptr(),
            upstream.len(),
            headers.as_ptr(),
            headers.len(),
            std::ptr::null(),
            0,
            trailers.as_ptr(),
            trailers.len(),
            1000,
            &mut token,
        )
    }
}

const CALL: [(&str, &[u8]); 3] = [(":method", b"GET"), (":path", b"/called"), (":authority", b"a")];

impl Context for Illegal {}

impl HttpContext for Illegal {
    fn on_http_request_headers(&mut self, _count: usize, _end: bool) -> Action {
        let mut out = String::new();
        let before = self.get_http_request_headers_bytes();
        for (name, value) in LINES.iter().chain(PSEUDO) {
            let said = write(REQUEST_HEADERS, name, value, &before);
            let is_same = self.get_http_request_headers_bytes() == before;
            let _ = writeln!(out, "request {name:?} {value:?} same={is_same}: {said:?}");
        }
        for (name, value) in LINES {
            let _ = writeln!(out, "reply {name:?} {value:?}: {:?}", [reply(name, value)]);
        }
        for (name, value) in LINES.iter().chain(PSEUDO).filter(|(_, value)| !IN_CALLS.contains(value)) {
            let mut headers: Vec<_> = CALL.iter().copied().filter(|(known, _)| known != name).collect();
            headers.push((name, value));
            let _ = writeln!(out, "call {name:?} {value:?}: {:?}", [call(&headers, &[])]);
        }
        for (name, value) in LINES.iter().chain(TRAILERS) {
            let _ = writeln!(out, "trailers {name:?} {value:?}: {:?}", [call(&CALL, &[(name, value)])]);
        }
        let path = self.get_http_request_header(":path");
        if path.as_deref() != Some("/pass") {
            self.send_http_response(200, vec![], Some(out.as_bytes()));
            return Action::Pause;
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _count: usize, _end: bool) -> Action {
        let before = self.get_http_response_headers_bytes();
        let statuses: [(&str, &[u8]); 5] = [
            (":status", b"99"),
            (":status", b"101"),
            (":status", b"600"),
            (":status", b"2 0"),
            (":path", b"/"),
        ];
        let mut refused = 0;
        for (name, value) in LINES.iter().chain(&statuses) {
            refused +=
                write(RESPONSE_HEADERS, name, value, &before).iter().filter(|said| **said == 2).count();
        }
        let is_same = self.get_http_response_headers_bytes() == before;
        let expected = 3 * (LINES.len() + statuses.len());
        self.add_http_response_header("x-refused", &format!("{refused} of {expected}, same={is_same}"));
        Action::Continue
    }
}
