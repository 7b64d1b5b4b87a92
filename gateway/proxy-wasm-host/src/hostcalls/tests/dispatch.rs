use std::rc::Rc;
use std::time::Duration;

use crate::abi::{CallToken, ContextId, LogLevel};
use crate::effects::{CallAnswer, Effect, HttpCall};
use crate::fake::FakeServices;
use crate::plugin::PluginConfig;
use crate::testing::*;

const UPSTREAM: u32 = 1000;
const HEADERS: u32 = 1100;

fn headers() -> Vec<u8> {
    let mut map = Vec::new();
    let lines: [(&[u8], &[u8]); 4] =
        [(b":method", b"GET"), (b":path", b"/"), (b":authority", b"a"), (b"X-K", b"v")];
    crate::pairs::encode(&mut map, lines.into_iter());
    map
}

fn arguments(upstream_len: u32, headers_len: u32, timeout_ms: u32) -> [u32; 10] {
    [UPSTREAM, upstream_len, HEADERS, headers_len, UPSTREAM, 4, 0, 0, timeout_ms, NUMBER]
}

fn call_auth(timeout_ms: u32) -> [u32; 10] {
    arguments(4, u32::try_from(headers().len()).unwrap(), timeout_ms)
}

fn texts() -> String {
    [data(UPSTREAM, "authgone"), bytes(HEADERS, &headers())].concat()
}

fn host(parts: &str, change: impl FnOnce(&mut PluginConfig)) -> Host {
    let mut config = PluginConfig { callouts: vec!["auth".to_owned()], ..PluginConfig::default() };
    change(&mut config);
    let services = Rc::new(FakeServices::default());
    services.upstreams.borrow_mut().push("auth".to_owned());
    Host::start_in(&guest(&format!("{parts} {}", texts())), config, services).unwrap()
}

/// A request headers callback that starts one callout.
pub(super) fn call_on_request() -> String {
    on_request_headers(&format!("(drop {})", call("http_call", &call_auth(0))))
}

/// For guests that use [`call_on_request`]: the callout is under way.
pub(super) fn host_with_pending_call(parts: &str) -> (Host, CallToken) {
    let mut host = host(parts, |_| {});
    host.request().unwrap();
    let Some(Effect::HttpCall { token, .. }) = host.plugin.next_effect() else {
        panic!("no call was queued")
    };
    (host, token)
}

#[test]
fn a_call_is_queued_with_the_stream_that_started_it() {
    let code =
        [say("http_call", &call_auth(250)), say_number(), say("http_call", &call_auth(0)), say_number()];
    let mut host = host(&on_request_headers(&code.concat()), |_| {});
    host.request().unwrap();
    assert_eq!(host.statuses(), [0, 4, 0, 8]);
    let line = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    let call = HttpCall {
        upstream: "auth".to_owned(),
        headers: vec![line(":method", "GET"), line(":path", "/"), line(":authority", "a"), line("x-k", "v")],
        body: b"auth".to_vec(),
        trailers: vec![],
        timeout: Some(Duration::from_millis(250)),
    };
    let stream = Some(ContextId(2));
    let effects = host.effects();
    assert_eq!(effects[0], Effect::HttpCall { token: CallToken(4), stream, call: call.clone() });
    let call = HttpCall { timeout: None, ..call };
    assert_eq!(effects[1], Effect::HttpCall { token: CallToken(8), stream, call });
}

#[test]
fn impossible_calls_are_bad_arguments_and_give_token_zero() {
    let all = u32::try_from(headers().len()).unwrap();
    let code = [
        say("http_call", &arguments(8, all, 0)),
        say("http_call", &arguments(4, 0, 0)),
        say("http_call", &arguments(4, all - 1, 0)),
        say("http_call", &call_auth(u32::MAX)),
        say_number(),
    ];
    let mut host = host(&on_request_headers(&code.concat()), |_| {});
    host.request().unwrap();
    assert_eq!(
        host.statuses(),
        [2, 2, 2, 2, 0],
        "unknown upstream, no headers, malformed headers, negative timeout"
    );
    assert_eq!(host.effects(), []);
}

#[test]
fn an_upstream_that_is_not_allowed_is_refused_with_advice() {
    let mut host =
        host(&on_request_headers(&say("http_call", &call_auth(0))), |config| config.callouts.clear());
    host.request().unwrap();
    assert_eq!((host.statuses(), host.effects()), (vec![10], vec![]));
    let lines = host.services.lines_at(LogLevel::Error);
    assert!(
        lines[0].contains("\"auth\"") && lines[0].contains("capabilities: {callouts: [auth]}"),
        "{lines:?}"
    );
}

#[test]
fn pending_calls_are_bounded_until_they_are_answered() {
    let code = say("http_call", &call_auth(0)).repeat(3);
    let answered = r#"(func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32))"#;
    let parts = format!("{} {answered}", on_request_headers(&code));
    for (what, change) in [
        ("per stream", (|limits| limits.pending_calls_per_stream = 2) as fn(&mut crate::Limits)),
        ("per VM", |limits| limits.pending_calls = 2),
        ("bytes", |limits| limits.pending_call_bytes = 2 * 40),
        ("one body", |limits| limits.call_body_bytes = 3),
    ] {
        let mut host = host(&parts, |config| change(&mut config.limits));
        host.request().unwrap();
        let expected = if what == "one body" { [10, 10, 10] } else { [0, 0, 10] };
        assert_eq!(host.statuses(), expected, "{what}");
        for effect in host.effects() {
            let Effect::HttpCall { token, .. } = effect else { panic!("{effect:?}") };
            host.plugin.on_http_call_response(token, CallAnswer::aborted()).unwrap();
        }
        host.plugin.on_request_headers(ContextId(2), 3, true).unwrap();
        assert_eq!(host.statuses(), expected, "{what}, after the answers");
    }
}

#[test]
fn an_aborted_call_shows_in_the_status() {
    let code = [show("get_status", &[NUMBER, OUT, OUT + 4]), say_number()].concat();
    let callback =
        format!(r#"(func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32) {code})"#);
    let (mut host, token) = host_with_pending_call(&format!("{callback} {}", call_on_request()));
    host.plugin.on_http_call_response(token, CallAnswer::aborted()).unwrap();
    assert_eq!((host.statuses(), host.values()), (vec![0, 11], vec!["reset".to_owned()]));

    let (mut host, token) = host_with_pending_call(&format!("{callback} {}", call_on_request()));
    let headers = vec![(b":status".to_vec(), b"200".to_vec())];
    host.plugin.on_http_call_response(token, CallAnswer { headers, ..CallAnswer::default() }).unwrap();
    assert_eq!((host.statuses(), host.values()), (vec![0, 0], vec![String::new()]));
}

#[test]
fn the_answer_comes_to_the_plugin_even_if_the_stream_is_gone() {
    let code = [
        say("set_effective_context", &[2]),
        "(call $say (local.get 0)) (call $say (local.get 2))".to_owned(),
    ];
    let callback = format!(
        r#"(func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32) {})"#,
        code.concat()
    );
    let (mut host, token) = host_with_pending_call(&format!("{callback} {}", call_on_request()));
    host.plugin.finish_stream(ContextId(2)).unwrap();
    let headers = vec![(b":status".to_vec(), b"200".to_vec())];
    host.plugin.on_http_call_response(token, CallAnswer { headers, ..CallAnswer::default() }).unwrap();
    assert_eq!(host.statuses(), [2, 1, 1], "unknown context; root id; one header line");
}

#[test]
fn a_call_that_the_embedder_refuses_is_none() {
    let mut map = Vec::new();
    let lines: [(&[u8], &[u8]); 4] =
        [(b":method", b"GET"), (b":path", b"/\r\nx: y"), (b":authority", b"a"), (b"x-k", b"v")];
    crate::pairs::encode(&mut map, lines.into_iter());
    let code = say("http_call", &arguments(4, u32::try_from(map.len()).unwrap(), 0));
    let texts = [data(UPSTREAM, "authgone"), bytes(HEADERS, &map)].concat();
    let mut config = PluginConfig { callouts: vec!["auth".to_owned()], ..PluginConfig::default() };
    config.limits.pending_calls = 1;
    let services = Rc::new(FakeServices::default());
    services.upstreams.borrow_mut().push("auth".to_owned());
    let parts = format!("{} {texts}", on_request_headers(&code));
    let mut host = Host::start_in(&guest(&parts), config, services).unwrap();
    host.request().unwrap();
    assert_eq!((host.statuses(), host.effects()), (vec![2], vec![]));
}
