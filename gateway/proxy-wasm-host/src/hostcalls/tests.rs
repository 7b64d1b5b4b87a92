//! One file per area of the ABI. Expected statuses are those of the ABI text and of Envoy 1.40 as observed.

mod body;
mod crypto;
mod dispatch;
mod headers;
mod others;
mod properties;
mod stream;
mod wasi;

use crate::testing::{NUMBER, OUT, OUTSIDE, call, guest, on_request_headers, run, say};

const INVALID_MEMORY: u32 = 6;

#[test]
fn pointers_outside_of_memory_are_told_for_every_function_that_takes_one() {
    let (o, n) = (OUTSIDE, NUMBER);
    let calls: [(&str, &[u32]); 29] = [
        ("log", &[2, o, 1]),
        ("get_log_level", &[o]),
        ("get_status", &[o, OUT, OUT + 4]),
        ("get_current_time_nanoseconds", &[o]),
        ("get_property", &[o, 3, OUT, OUT + 4]),
        ("set_property", &[o, 3, 0, 0]),
        ("send_local_response", &[200, o, 1, 0, 0, 0, 0, 0]),
        ("send_local_response", &[200, 0, 0, 0, 0, o, 1, 0]),
        ("get_shared_data", &[o, 1, OUT, OUT + 4, n]),
        ("set_shared_data", &[0, 1, o, 1, 0]),
        ("register_shared_queue", &[0, 1, o]),
        ("resolve_shared_queue", &[o, 1, 0, 1, n]),
        ("enqueue_shared_queue", &[1, o, 1]),
        ("get_header_map_value", &[0, o, 1, OUT, OUT + 4]),
        ("get_header_map_value", &[0, 100, 3, o, OUT]),
        ("get_header_map_value", &[0, 100, 3, OUT, o]),
        ("get_header_map_value", &[0, 100, u32::MAX, OUT, OUT + 4]),
        ("add_header_map_value", &[0, 100, 3, o, 1]),
        ("replace_header_map_value", &[0, o, 3, 0, 1]),
        ("remove_header_map_value", &[0, o, 3]),
        ("get_header_map_pairs", &[0, OUT, o]),
        ("set_header_map_pairs", &[0, o, 8]),
        ("get_header_map_size", &[0, o]),
        ("get_buffer_status", &[6, o, n]),
        ("get_buffer_bytes", &[6, 0, 9, OUT, o]),
        ("set_buffer_bytes", &[0, 0, 0, o, 1]),
        ("http_call", &[o, 1, 0, 0, 0, 0, 0, 0, 0, n]),
        ("http_call", &[0, 1, 0, 0, 0, 0, 0, 0, 0, o]),
        ("define_metric", &[0, o, 1, n]),
    ];
    let code: String = calls.iter().map(|(name, arguments)| say(name, arguments)).collect();
    let (statuses, _, _) = run(&code, &crate::testing::data(100, "x-a"));
    let expected = vec![INVALID_MEMORY; calls.len()];
    let told: Vec<_> = calls.iter().map(|(name, _)| *name).zip(statuses).collect();
    assert_eq!(told, calls.iter().map(|(name, _)| *name).zip(expected).collect::<Vec<_>>());
}

#[test]
fn every_wasi_name_links_under_both_modules() {
    for module in super::WASI {
        let names = crate::testing::engine().offers().names.iter().filter(|(of, _)| *of == module);
        assert_eq!(names.count(), 46, "all of preview 1, sock_accept included");
    }
}

#[test]
fn an_allocator_that_has_nothing_answers_invalid_memory_access() {
    let allocator = r#"(func (export "malloc") (param i32) (result i32) (i32.const 0))"#;
    let code = on_request_headers(&say("get_header_map_value", &[0, 100, 3, OUT, OUT + 4]));
    let parts = format!("{allocator} {code} {}", crate::testing::data(100, "x-a"));
    let mut host =
        crate::testing::Host::start(&crate::testing::module_text("proxy_abi_version_0_2_1", &parts));
    assert!(host.request().is_ok());
    assert_eq!(host.statuses(), [INVALID_MEMORY]);
}

#[test]
fn inside_the_allocator_only_logging_is_allowed() {
    let allocator = format!(
        r#"(func (export "malloc") (param i32) (result i32) {} {} (i32.const 8192))"#,
        say("set_tick_period_milliseconds", &[5]),
        say("get_header_map_value", &[0, 100, 3, OUT, OUT + 4]),
    );
    let code = on_request_headers(&say("get_header_map_value", &[0, 100, 3, OUT, OUT + 4]));
    let parts = format!("{allocator} {code} {}", crate::testing::data(100, "x-a"));
    let mut host =
        crate::testing::Host::start(&crate::testing::module_text("proxy_abi_version_0_2_1", &parts));
    assert!(host.request().is_ok());
    assert_eq!(host.statuses(), [10, 10, 0], "refused twice inside, fine outside");
    assert_eq!(host.effects(), []);
}

#[test]
fn before_the_plugin_exists_a_call_fails_the_start() {
    let text = guest(&format!(
        r#"(func (export "_initialize") (drop {})) {}"#,
        call("set_tick_period_milliseconds", &[5]),
        on_request_headers("")
    ));
    let error = crate::testing::Host::start_with(&text, crate::PluginConfig::default()).err().unwrap();
    let crate::StartError::Call(crate::CallError::Trap { callback: "_initialize", failure }) = &error else {
        panic!("{error}");
    };
    let message = failure.to_string();
    assert!(
        message.contains("proxy_set_tick_period_milliseconds was called before the plugin exists"),
        "{message}"
    );
}
