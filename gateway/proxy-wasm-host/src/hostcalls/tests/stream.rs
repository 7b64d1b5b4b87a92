use crate::abi::{Action, ContextId, Direction};
use crate::effects::{Effect, LocalReply};
use crate::testing::*;

const STREAM: ContextId = ContextId(2);

#[test]
fn continue_and_close_check_the_kind_of_stream() {
    let code: String = ["continue_stream", "close_stream"]
        .iter()
        .flat_map(|name| [0, 1, 2, 3, 9].map(|kind| say(name, &[kind])))
        .collect();
    let (statuses, _, mut host) = run(&code, "");
    assert_eq!(statuses, [0, 0, 0, 12, 2, 0, 0, 0, 0, 2]);
    let (request, response) = (Direction::Request, Direction::Response);
    assert_eq!(
        host.effects(),
        [
            Effect::Resume { stream: STREAM, direction: request },
            Effect::Resume { stream: STREAM, direction: response },
            Effect::Close { stream: STREAM, direction: request },
            Effect::Close { stream: STREAM, direction: response },
        ]
    );
}

#[test]
fn the_functions_of_abi_0_1_0_resume_each_once() {
    let code = [
        say("continue_request", &[]),
        say("continue_request", &[]),
        say("continue_response", &[]),
        say("clear_route_cache", &[]),
    ];
    let (statuses, _, mut host) = run(&code.concat(), "");
    assert_eq!(statuses, [0, 0, 0, 0]);
    assert_eq!(host.effects().len(), 2);
}

#[test]
fn without_a_stream_in_effect_nothing_happens() {
    let code =
        [say("continue_stream", &[0]), say("send_local_response", &[403, 0, 0, 0, 0, 0, 0, 0])].concat();
    let parts = format!(r#"(func (export "proxy_on_tick") (param i32) {code}) {}"#, on_request_headers(""));
    let mut host = Host::start(&guest(&parts));
    host.plugin.on_tick().unwrap();
    assert_eq!((host.statuses(), host.effects()), (vec![0, 0], vec![]));
}

#[test]
fn the_first_local_reply_of_a_callback_wins() {
    let mut headers = Vec::new();
    crate::pairs::encode(&mut headers, [(&b":status"[..], &b"500"[..]), (b"X-Why", b"no")].into_iter());
    let headers_len = u32::try_from(headers.len()).unwrap();
    let code = [
        say("send_local_response", &[403, 100, 6, 110, 4, 200, headers_len, u32::MAX]),
        say("send_local_response", &[500, 0, 0, 0, 0, 0, 0, 7]),
    ];
    let (statuses, _, mut host) =
        run(&code.concat(), &[data(100, "denied"), data(110, "body"), bytes(200, &headers)].concat());
    assert_eq!(statuses, [0, 0]);
    let reply = LocalReply {
        status: 403,
        details: b"denied".to_vec(),
        body: b"body".to_vec(),
        headers: vec![(b"x-why".to_vec(), b"no".to_vec())],
        grpc_status: None,
    };
    assert_eq!(host.effects(), [Effect::LocalReply { stream: STREAM, reply }]);
}

#[test]
fn illegal_replies_are_refused() {
    let reply = |status: u32, headers_len: u32| {
        say("send_local_response", &[status, 0, 0, 0, 0, 100, headers_len, u32::MAX])
    };
    let code = [reply(99, 0), reply(199, 0), reply(600, 0), reply(65_736, 0), reply(200, 3)];
    let (statuses, _, mut host) = run(&code.concat(), &data(100, "bad"));
    assert_eq!((statuses, host.effects()), (vec![2; 5], vec![]));
}

#[test]
fn a_reply_that_the_embedder_refuses_is_none() {
    let mut headers = Vec::new();
    crate::pairs::encode(&mut headers, [(&b"x-a"[..], &b"1\r\nx-b: 2"[..])].into_iter());
    let headers_len = u32::try_from(headers.len()).unwrap();
    let code = say("send_local_response", &[200, 0, 0, 0, 0, 200, headers_len, u32::MAX]);
    let (statuses, _, mut host) = run(&code, &bytes(200, &headers));
    assert_eq!((statuses, host.effects()), (vec![2], vec![]));
}

#[test]
fn queued_replies_are_bounded() {
    let reply = |stream: u32| {
        [say("set_effective_context", &[stream]), say("send_local_response", &[200, 0, 0, 0, 600, 0, 0, 0])]
            .concat()
    };
    let parts = format!(
        r#"(func (export "proxy_on_tick") (param i32) {}) {}"#,
        [reply(2), reply(3)].concat(),
        on_request_headers("")
    );
    let mut config = crate::PluginConfig::default();
    config.limits.queued_reply_bytes = 1000;
    let mut host = Host::start_with(&guest(&parts), config).unwrap();
    host.create_stream();
    host.create_stream();
    host.plugin.on_tick().unwrap();
    assert_eq!(host.statuses(), [0, 0, 0, 10]);
    assert_eq!(host.effects().len(), 1);
    host.plugin.on_tick().unwrap();
    assert_eq!(host.statuses(), [0, 0, 0, 10], "taking the effects made room again");
}

#[test]
fn a_living_context_can_be_put_in_effect() {
    let code = [
        say("get_header_map_value", &[0, 100, 3, OUT, OUT + 4]),
        say("set_effective_context", &[2]),
        show("get_header_map_value", &[0, 100, 3, OUT, OUT + 4]),
        say("continue_stream", &[0]),
        say("set_effective_context", &[1]),
        say("set_effective_context", &[3]),
        say("set_effective_context", &[0]),
    ];
    let parts = format!(
        r#"(func (export "proxy_on_tick") (param i32) {}) {} {}"#,
        code.concat(),
        on_request_headers(""),
        data(100, "x-a")
    );
    let mut host = Host::start(&guest(&parts));
    let id = host.create_stream();
    host.plugin.on_tick().unwrap();
    assert_eq!(host.statuses(), [2, 0, 0, 0, 0, 2, 0]);
    assert_eq!(host.values(), ["one"]);
    assert_eq!(host.effects(), [Effect::Resume { stream: id, direction: Direction::Request }]);
    host.plugin.finish_stream(id).unwrap();
    host.plugin.on_tick().unwrap();
    assert_eq!(host.statuses(), [2, 2, 2, 0, 0, 2, 0], "a finished stream is unknown");
}

#[test]
fn functions_without_a_result_link_too() {
    let text = format!(
        r#"(module (import "env" "proxy_continue_request" (func $go)) (import "env" "proxy_clear_route_cache" (func $clear))
             (memory (export "memory") 1) (func (export "proxy_abi_version_0_1_0")) {BUMP_ALLOCATOR}
             (func (export "proxy_on_request_headers") (param i32 i32) (result i32) (call $clear) (call $go) (i32.const 1)))"#
    );
    let mut host = Host::start(&text);
    assert_eq!(host.request(), Ok(Action::Pause));
    assert_eq!(host.effects(), [Effect::Resume { stream: STREAM, direction: Direction::Request }]);
}

#[test]
fn a_stream_is_failed_once_per_callback_and_only_where_there_is_one() {
    let fail = say("call_foreign_function", &[100, 11, 120, 9, 0, 0]);
    let parts = format!(
        r#"(func (export "proxy_on_tick") (param i32) {fail}) {} {} {}"#,
        on_request_headers(&[fail.clone(), fail.clone()].concat()),
        data(100, "fail_stream"),
        data(120, "no reason"),
    );
    let mut host = Host::start(&guest(&parts));
    host.request().unwrap();
    let failed = Effect::Fail { stream: STREAM, reason: b"no reason".to_vec() };
    assert_eq!((host.statuses(), host.effects()), (vec![0, 0], vec![failed]));
    host.plugin.on_tick().unwrap();
    assert_eq!((host.statuses(), host.effects()), (vec![1], vec![]), "NOT_FOUND, as in Envoy");
}

#[test]
fn a_reason_of_any_length_is_cut() {
    let code = say("call_foreign_function", &[100, 11, 0, 60_000, 0, 0]);
    let (statuses, _, mut host) = run(&code, &data(100, "fail_stream"));
    assert_eq!(statuses, [0]);
    let [Effect::Fail { reason, .. }] = &host.effects()[..] else { panic!("it failed") };
    assert_eq!(reason.len(), crate::limits::FAILURE_BYTES);
}
