use super::*;
use crate::FailureReason;
use crate::abi::Direction;
use crate::testing::{BUMP_ALLOCATOR, Host, call, data, guest, module_text, on_request_headers, say};

/// A callback that logs its name.
fn logs(export: &str, at: u32, params: usize, answer: Option<u32>) -> String {
    let (result, value) = match answer {
        Some(value) => ("(result i32)".to_owned(), format!("(i32.const {value})")),
        None => (String::new(), String::new()),
    };
    let line = format!("(drop {})", call("log", &[2, at, u32::try_from(export.len()).unwrap()]));
    let params = " i32".repeat(params);
    format!(r#"{} (func (export "{export}") (param{params}) {result} {line} {value})"#, data(at, export))
}

#[test]
fn the_life_of_a_plugin_and_its_stream() {
    let parts = [
        logs("_initialize", 100, 0, None),
        logs("proxy_on_context_create", 200, 2, None),
        logs("proxy_on_vm_start", 300, 2, Some(1)),
        logs("proxy_on_configure", 400, 2, Some(1)),
        logs("proxy_on_request_headers", 500, 3, Some(1)),
        logs("proxy_on_request_body", 600, 3, Some(0)),
        logs("proxy_on_log", 700, 1, None),
        logs("proxy_on_done", 800, 1, Some(1)),
        logs("proxy_on_delete", 900, 1, None),
    ];
    let mut host = Host::start(&guest(&parts.concat()));
    assert_eq!(
        host.values(),
        ["_initialize", "proxy_on_context_create", "proxy_on_vm_start", "proxy_on_configure"]
    );
    let id = host.create_stream();
    assert_eq!(host.plugin.on_request_headers(id, 3, false), Ok(Action::Pause));
    assert_eq!(host.plugin.on_request_body(id, 0, true), Ok(Action::Continue));
    assert_eq!(host.plugin.on_response_headers(id, 0, true), Ok(Action::Continue), "not exported");
    host.plugin.finish_stream(id).unwrap();
    let stream = ["proxy_on_context_create", "proxy_on_request_headers", "proxy_on_request_body"];
    let end = ["proxy_on_log", "proxy_on_done", "proxy_on_delete"];
    assert_eq!(host.values(), [&stream[..], &end[..]].concat());
    assert_eq!(host.plugin.on_request_body(id, 0, true), Err(CallError::UnknownContext(id)));
    assert_eq!(host.plugin.on_response_headers(id, 0, true), Err(CallError::UnknownContext(id)));

    host.plugin.shutdown();
    assert_eq!(host.values(), ["proxy_on_done", "proxy_on_delete"]);
    assert_eq!(host.effects(), [Effect::Done]);
    host.plugin.shutdown();
    assert_eq!((host.values(), host.effects()), (vec![], vec![]));
}

#[test]
fn a_plugin_may_ask_for_time_to_finish() {
    let tick = format!(r#"(func (export "proxy_on_tick") (param i32) {0} {0})"#, say("done", &[]));
    let parts = [
        logs("proxy_on_done", 100, 1, Some(0)),
        logs("proxy_on_delete", 200, 1, None),
        tick,
        on_request_headers(""),
    ];
    let mut host = Host::start(&guest(&parts.concat()));
    host.plugin.shutdown();
    assert_eq!((host.values(), host.effects()), (vec!["proxy_on_done".to_owned()], vec![]));
    host.plugin.on_tick().unwrap();
    assert_eq!(host.statuses(), [0, 1], "the second call has nothing to end");
    assert_eq!((host.values(), host.effects()), (vec!["proxy_on_delete".to_owned()], vec![Effect::Done]));
}

#[test]
fn a_start_section_may_log_through_memory_it_just_made() {
    let parts = format!(
        r#"{} (func $start (drop {})) (start $start) {}"#,
        data(100, "hi"),
        call("log", &[2, 100, 2]),
        on_request_headers("")
    );
    assert_eq!(Host::start(&guest(&parts)).values(), ["hi"]);
}

#[test]
fn refusing_to_start_or_configure_is_a_start_error() {
    for callback in ["proxy_on_vm_start", "proxy_on_configure"] {
        let parts = format!("{} {}", logs(callback, 100, 2, Some(0)), on_request_headers(""));
        let error = Host::start_with(&guest(&parts), PluginConfig::default()).err().unwrap();
        assert_eq!(error, StartError::Refused { callback });
    }
}

#[test]
fn headers_callbacks_of_either_arity_are_called() {
    for (marker, params) in [("proxy_abi_version_0_1_0", 3), ("proxy_abi_version_0_2_1", 2)] {
        let parts = format!("{BUMP_ALLOCATOR} {}", logs("proxy_on_request_headers", 100, params, Some(1)));
        let mut host = Host::start(&module_text(marker, &parts));
        assert_eq!(host.request(), Ok(Action::Pause));
        assert_eq!(host.values(), ["proxy_on_request_headers"]);
        assert!(host.plugin.handles(Callback::RequestHeaders) && !host.plugin.handles(Callback::RequestBody));
    }
}

/// Reference: action values of Proxy-Wasm as Envoy reads them; what it does not know is a failure here.
#[test]
fn answers_are_actions_or_a_failure() {
    const GO_ON: Option<Action> = Some(Action::Continue);
    const PAUSE: Option<Action> = Some(Action::Pause);
    for (answer, headers, body, trailers) in [
        (0, GO_ON, GO_ON, GO_ON),
        (1, PAUSE, PAUSE, PAUSE),
        (2, GO_ON, PAUSE, None),
        (3, PAUSE, PAUSE, None),
        (4, PAUSE, None, None),
        (5, None, None, None),
        (77, None, None, None),
    ] {
        for (callback, params, expected) in [
            ("proxy_on_request_headers", 3, headers),
            ("proxy_on_request_body", 3, body),
            ("proxy_on_request_trailers", 2, trailers),
        ] {
            let mut host = Host::start(&guest(&logs(callback, 100, params, Some(answer))));
            let id = host.create_stream();
            let action = match callback {
                "proxy_on_request_headers" => host.plugin.on_request_headers(id, 0, false),
                "proxy_on_request_body" => host.plugin.on_request_body(id, 0, true),
                _ => host.plugin.on_request_trailers(id, 0),
            };
            assert_eq!(action.as_ref().ok().copied(), expected, "{callback} {answer}: {action:?}");
            assert_eq!(host.plugin.failed(), expected.is_none(), "{callback} {answer}");
        }
    }
}

#[test]
fn a_trap_ends_the_vm_and_drops_what_it_asked_for() {
    let trap = format!("{} (call $deep)", say("continue_stream", &[0]));
    let parts = format!("(func $deep unreachable) {}", on_request_headers(&trap));
    let mut host = Host::start(&guest(&parts));
    let error = host.request().unwrap_err();
    let CallError::Trap { callback: "proxy_on_request_headers", failure } = &error else { panic!("{error}") };
    let message = failure.to_string();
    assert!(message.contains("unreachable") && message.contains("at deep"), "{message}");
    assert!(host.plugin.failed());
    assert_eq!(host.effects(), []);
    assert_eq!(host.request(), Err(CallError::Failed));
    assert_eq!(host.plugin.on_tick(), Err(CallError::Failed));
    assert_eq!(host.plugin.finish_stream(ContextId(2)), Err(CallError::Failed));
    host.plugin.shutdown();
    assert_eq!(host.effects(), []);
}

#[test]
fn a_trap_at_the_end_of_a_stream_is_told_and_the_stream_forgotten() {
    let parts =
        format!(r#"(func (export "proxy_on_log") (param i32) unreachable) {}"#, on_request_headers(""));
    let mut host = Host::start(&guest(&parts));
    let id = host.create_stream();
    let ended = host.plugin.finish_stream(id);
    assert!(matches!(ended, Err(CallError::Trap { callback: "proxy_on_log", .. })), "{ended:?}");
    assert!(host.plugin.failed());
    assert_eq!(Rc::strong_count(&host.stream), 1, "the VM lets go of the stream");
}

#[test]
fn a_loop_is_ended_by_its_cpu_budget_and_others_go_on() {
    let mut config = PluginConfig::default();
    config.limits.callback_cpu = Duration::from_millis(5);
    let text = guest(&on_request_headers("(loop $for_ever (br $for_ever))"));
    let mut host = Host::start_with(&text, config).unwrap();
    let error = host.request().unwrap_err();
    let CallError::Deadline { callback: "proxy_on_request_headers", budget, failure } = &error else {
        panic!("{error}");
    };
    assert_eq!((*budget, failure.reason), (Duration::from_millis(5), FailureReason::Deadline));
    assert_eq!(failure.frames.len(), 1, "where it was: {failure}");
    assert!(host.plugin.failed());
    assert_eq!(Host::start(&guest(&on_request_headers(""))).request(), Ok(Action::Continue));
}

#[test]
fn a_loop_while_starting_or_allocating_is_ended_too() {
    let mut config = PluginConfig::default();
    config.limits.start_cpu = Duration::from_millis(5);
    config.limits.callback_cpu = Duration::from_millis(5);
    let endless = "(loop $for_ever (br $for_ever))";
    let start = format!("(func $start {endless}) (start $start) {}", on_request_headers(""));
    let error = Host::start_with(&guest(&start), config.clone()).err().unwrap();
    assert!(
        matches!(error, StartError::Call(CallError::Deadline { callback: "start section", .. })),
        "{error}"
    );

    let allocator = format!(r#"(func (export "malloc") (param i32) (result i32) {endless} (i32.const 0))"#);
    let read = call("get_header_map_pairs", &[0, 4000, 4004]);
    let parts = format!("{allocator} {}", on_request_headers(&format!("(drop {read})")));
    let mut host = Host::start_with(&module_text("proxy_abi_version_0_2_1", &parts), config).unwrap();
    assert!(matches!(host.request(), Err(CallError::Deadline { .. })));
}

#[test]
fn memory_and_tables_stop_growing_at_their_limits() {
    let code = "(call $say (i32.add (i32.const 1) (memory.grow (i32.const 1))))
                (call $say (i32.add (i32.const 1) (memory.grow (i32.const 1))))
                (call $say (i32.add (i32.const 1) (table.grow (ref.null func) (i32.const 11))))";
    let mut config = PluginConfig::default();
    config.limits.memory_bytes = 2 * 65_536;
    config.limits.table_elements = 10;
    let text = guest(&format!("(table 0 funcref) {}", on_request_headers(code)));
    let mut host = Host::start_with(&text, config.clone()).unwrap();
    assert_eq!(host.request(), Ok(Action::Continue));
    assert_eq!(host.statuses(), [2, 0, 0], "one page more, then -1 and -1");
    assert_eq!(host.plugin.memory_bytes(), 2 * 65_536);

    config.limits.memory_bytes = 100;
    let error = Host::start_with(&text, config).err().unwrap();
    assert!(matches!(error, StartError::Instantiate { .. }), "{error}");
}

#[test]
fn endless_recursion_is_a_trap() {
    let parts = format!("(func $deep (call $deep)) {}", on_request_headers("(call $deep)"));
    let error = Host::start(&guest(&parts)).request().unwrap_err();
    assert_eq!(error.failure().unwrap().reason, FailureReason::StackOverflow, "{error}");
}

#[test]
fn queue_callbacks_and_effects_of_the_start() {
    let parts = [
        format!(
            r#"(func (export "proxy_on_vm_start") (param i32 i32) (result i32) (drop {}) (i32.const 1))"#,
            call("set_tick_period_milliseconds", &[5])
        ),
        logs("proxy_on_queue_ready", 100, 2, None),
        on_request_headers(&format!("(drop {})", call("continue_stream", &[1]))),
    ];
    let mut host = Host::start(&guest(&parts.concat()));
    assert_eq!(host.effects(), [Effect::TickPeriod(Some(Duration::from_millis(5)))]);
    host.plugin.on_queue_ready(1).unwrap();
    assert_eq!(host.values(), ["proxy_on_queue_ready"]);
    host.request().unwrap();
    assert_eq!(host.effects(), [Effect::Resume { stream: ContextId(2), direction: Direction::Response }]);
}

/// Logs its name and the context it is called for, as one digit.
fn logs_context(export: &str, params: usize, answer: Option<u32>) -> String {
    let (result, value) = match answer {
        Some(value) => ("(result i32)".to_owned(), format!("(i32.const {value})")),
        None => (String::new(), String::new()),
    };
    let params = " i32".repeat(params);
    format!(r#"(func (export "{export}") (param{params}) {result} (call $say (local.get 0)) {value})"#)
}

fn beside(host: &Host, name: &str) -> Result<(Plugin, Rc<crate::fake::FakeServices>), StartError> {
    let services = Rc::new(crate::fake::FakeServices::default());
    let config = PluginConfig { name: name.to_owned(), ..PluginConfig::default() };
    Ok((host.plugin.start_beside(Arc::new(config), services.clone())?, services))
}

/// Reference: Envoy 1.40, which starts the VM anew for each plugin of it.
#[test]
fn plugins_of_one_vm_have_contexts_services_and_effects_of_their_own() {
    let own_name = r#"(drop (call $get_property (i32.const 7000) (i32.const 11) (i32.const 4000) (i32.const 4004)))
        (call $show (i32.const 0))"#;
    let parts = [
        data(7000, "plugin_name"),
        logs_context("proxy_on_context_create", 2, None),
        logs_context("proxy_on_vm_start", 2, Some(1)),
        format!(
            r#"(func (export "proxy_on_configure") (param i32 i32) (result i32) {own_name}
              (drop (call $set_tick_period_milliseconds (i32.mul (local.get 0) (i32.const 10)))) (i32.const 1))"#
        ),
        logs_context("proxy_on_tick", 1, None),
        logs_context("proxy_on_done", 1, Some(1)),
        logs_context("proxy_on_delete", 1, None),
        on_request_headers(""),
    ];
    let mut host = Host::start(&guest(&parts.concat()));
    let (mut second, services) = beside(&host, "second").unwrap();
    let statuses = |services: &crate::fake::FakeServices| services.lines_at(LogLevel::Debug);
    assert_eq!(host.statuses(), [1, 1, 0]);
    assert_eq!(statuses(&services), ["2", "2", "0"]);
    assert_eq!(services.lines_at(LogLevel::Info), ["second"]);
    assert_eq!(host.effects(), [Effect::TickPeriod(Some(Duration::from_millis(10)))]);
    assert_eq!(second.next_effect(), Some(Effect::TickPeriod(Some(Duration::from_millis(20)))));
    assert_eq!(second.next_effect(), None);

    let id = second.create_stream(host.stream.clone()).unwrap();
    assert_eq!(id, ContextId(3));
    assert_eq!(host.create_stream(), ContextId(4), "ids are the VM's");
    second.on_tick().unwrap();
    assert_eq!(statuses(&services).last().map(String::as_str), Some("2"));
    second.shutdown();
    assert_eq!(second.next_effect(), Some(Effect::Done));
    assert_eq!(statuses(&services)[5..], ["2", "2"], "done and delete of the second alone");
    drop(second);
    host.statuses();
    assert_eq!(host.plugin.on_request_headers(id, 0, true), Err(CallError::UnknownContext(id)));
    host.plugin.on_tick().unwrap();
    assert_eq!(host.statuses(), [1], "the first goes on");
}

#[test]
fn what_one_plugin_does_to_a_stream_of_another_is_told_to_the_other() {
    let act = format!(
        r#"(func (export "proxy_on_tick") (param i32) (drop {}) (drop {}))"#,
        call("set_effective_context", &[3]),
        call("continue_stream", &[0])
    );
    let mut host = Host::start(&guest(&format!("{act} {}", on_request_headers(""))));
    let (mut second, _) = beside(&host, "second").unwrap();
    assert_eq!(second.create_stream(host.stream.clone()), Ok(ContextId(3)));
    host.plugin.on_tick().unwrap();
    assert_eq!(host.effects(), []);
    let resumed = Effect::Resume { stream: ContextId(3), direction: Direction::Request };
    assert_eq!(second.next_effect(), Some(resumed));
}

#[test]
fn a_trap_of_one_plugin_ends_all_of_the_vm() {
    let trap = r#"(func (export "proxy_on_tick") (param i32) (drop (call $set_tick_period_milliseconds (i32.const 1))) unreachable)"#;
    let mut host = Host::start(&guest(&format!("{trap} {}", on_request_headers(""))));
    let (mut second, _) = beside(&host, "second").unwrap();
    let id = host.create_stream();
    assert!(matches!(second.on_tick(), Err(CallError::Trap { .. })));
    assert!(host.plugin.failed() && second.failed());
    assert_eq!((host.effects(), second.next_effect()), (vec![], None));
    assert_eq!(host.plugin.on_request_headers(id, 0, true), Err(CallError::Failed));
    assert!(matches!(beside(&host, "third"), Err(StartError::Call(CallError::Failed))));
}

#[test]
fn a_plugin_that_refuses_leaves_the_others_and_one_with_another_vm_is_refused() {
    let refuses_second = r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
        (i32.eq (local.get 0) (i32.const 1)))"#;
    let mut host = Host::start(&guest(&format!("{refuses_second} {}", on_request_headers(""))));
    let refused = beside(&host, "second").err();
    assert_eq!(refused, Some(StartError::Refused { callback: "proxy_on_configure" }));
    assert_eq!(host.request(), Ok(Action::Continue));

    let services = Rc::new(crate::fake::FakeServices::default());
    for config in [
        PluginConfig { vm_id: "other".into(), ..PluginConfig::default() },
        PluginConfig { vm_configuration: vec![1], ..PluginConfig::default() },
        PluginConfig { env: vec![("A".into(), "b".into())], ..PluginConfig::default() },
        PluginConfig { callouts: vec!["a".into()], ..PluginConfig::default() },
        PluginConfig { hidden_headers: vec!["a".into()], ..PluginConfig::default() },
        PluginConfig {
            limits: Limits { memory_bytes: 1 << 20, ..Limits::default() },
            ..PluginConfig::default()
        },
    ] {
        let refused = host.plugin.start_beside(Arc::new(config), services.clone()).err();
        assert_eq!(refused, Some(StartError::OtherVm));
    }
}
