use crate::abi::Action;
use crate::plugin::PluginConfig;
use crate::testing::*;

/// Runs a request body callback of ten bytes.
fn run_body(code: &str, parts: &str) -> (Vec<u32>, Vec<String>, String) {
    let callback = format!(
        r#"(func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) {code} (i32.const 0)) {parts}"#
    );
    let mut host = Host::start(&guest(&callback));
    host.stream.borrow_mut().bodies[0] = Some(b"0123456789".to_vec());
    let id = host.create_stream();
    assert_eq!(host.plugin.on_request_body(id, 10, true), Ok(Action::Continue));
    let body = host.stream.borrow().bodies[0].clone().unwrap();
    (host.statuses(), host.values(), String::from_utf8(body).unwrap())
}

#[test]
fn reads_are_clamped_to_what_is_there() {
    let code = [
        show("get_buffer_bytes", &[0, 0, 4, OUT, OUT + 4]),
        show("get_buffer_bytes", &[0, 8, u32::MAX, OUT, OUT + 4]),
        show("get_buffer_bytes", &[0, 11, 1, OUT, OUT + 4]),
        show("get_buffer_bytes", &[0, u32::MAX, u32::MAX, OUT, OUT + 4]),
        say("get_buffer_status", &[0, NUMBER, NUMBER + 4]),
        say_number(),
    ];
    let (statuses, values, _) = run_body(&code.concat(), "");
    assert_eq!(statuses, [0, 0, 0, 0, 0, 10]);
    assert_eq!(values, ["0123", "89", "", ""]);
}

#[test]
fn a_buffer_without_content_is_empty_or_not_found() {
    let code: String = (0..10).map(|buffer| say("get_buffer_bytes", &[buffer, 0, 9, OUT, OUT + 4])).collect();
    assert_eq!(run(&code, "").0, [0, 0, 0, 0, 1, 0, 0, 1, 1, 2]);
}

#[test]
fn writes_prepend_replace_and_append() {
    for (start, len, expected) in [
        (0, 0, "ab0123456789"),
        (0, 10, "ab"),
        (0, u32::MAX, "ab"),
        (0, 3, "ab3456789"),
        (10, 0, "0123456789ab"),
        (u32::MAX, u32::MAX, "0123456789ab"),
        (2, 3, "01ab56789"),
        (2, 0, "01ab23456789"),
        (8, u32::MAX, "01234567ab"),
    ] {
        let (statuses, _, body) =
            run_body(&say("set_buffer_bytes", &[0, start, len, 100, 2]), &data(100, "ab"));
        assert_eq!((statuses, body.as_str()), (vec![0], expected), "start {start}, length {len}");
    }
}

#[test]
fn only_bodies_under_way_can_be_written() {
    let code: String = (1..10).map(|buffer| say("set_buffer_bytes", &[buffer, 0, 0, 100, 1])).collect();
    let (statuses, _, _) = run_body(&code, "");
    assert_eq!(statuses, [2, 2, 2, 1, 2, 2, 1, 1, 2], "what is not there is not found");
}

#[test]
fn the_plugin_configuration_is_there_while_configuring() {
    let read = [
        show("get_buffer_bytes", &[6, 0, 99, OUT, OUT + 4]),
        say("get_buffer_bytes", &[7, 0, 99, OUT, OUT + 4]),
        show("get_configuration", &[OUT, OUT + 4]),
    ]
    .concat();
    let parts = format!(
        r#"(func (export "proxy_on_vm_start") (param i32 i32) (result i32) {read} (i32.const 1))
           (func (export "proxy_on_configure") (param i32 i32) (result i32) {read} (i32.const 1)) {}"#,
        on_request_headers(&read)
    );
    let config = PluginConfig {
        vm_configuration: b"vm".to_vec(),
        configuration: b"plugin".to_vec(),
        ..PluginConfig::default()
    };
    let mut host = Host::start_with(&guest(&parts), config).unwrap();
    assert_eq!(
        (host.statuses(), host.values().join(" ")),
        (vec![0, 1, 0, 0, 0, 0], "vm vm vm plugin".to_owned())
    );
    assert!(host.request().is_ok());
    assert_eq!((host.statuses(), host.values().join(" ")), (vec![0, 1, 0], "vm vm".to_owned()));
}
