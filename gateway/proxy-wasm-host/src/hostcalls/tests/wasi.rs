use crate::abi::{Action, LogLevel};
use crate::plugin::PluginConfig;
use crate::testing::*;

#[test]
fn output_becomes_one_log_line_per_call() {
    // Two buffers: "hel" and "lo\n".
    let table = [100_u32, 3, 103, 3].map(u32::to_le_bytes).concat();
    let code = [
        say("fd_write", &[2, 200, 2, NUMBER]),
        say_number(),
        say("fd_write", &[1, 200, 1, NUMBER]),
        say("fd_write", &[3, 200, 1, NUMBER]),
        say("fd_write", &[1, OUTSIDE, 1, NUMBER]),
        say("fd_write", &[1, 200, 1025, NUMBER]),
    ];
    let (statuses, values, host) = run(&code.concat(), &[data(100, "hello\\n"), bytes(200, &table)].concat());
    assert_eq!(statuses, [0, 6, 0, 8, 21, 28]);
    assert_eq!(values, ["hel"]);
    assert_eq!(host.services.lines_at(LogLevel::Error), ["hello"]);
}

#[test]
fn clocks_randomness_and_descriptors() {
    let clock = |id: u32| {
        format!("(call $say (call $clock_time_get (i32.const {id}) (i64.const 0) (i32.const {NUMBER})))")
    };
    let code = [
        clock(0),
        say_number(),
        clock(1),
        clock(2),
        say("random_get", &[NUMBER, 1]),
        say_number(),
        say("random_get", &[0, 65_537]),
        say("random_get", &[OUTSIDE, 4]),
        say("fd_prestat_get", &[3, NUMBER]),
        say("fd_fdstat_get", &[1, NUMBER]),
        say("fd_fdstat_get", &[0, NUMBER]),
    ];
    let mut host = Host::start(&guest(&on_request_headers(&code.concat())));
    host.services.now_ns.set(9);
    host.request().unwrap();
    assert_eq!(host.statuses(), [0, 9, 0, 58, 0, 1, 28, 21, 8, 0, 8]);
}

#[test]
fn only_the_configured_environment_is_visible() {
    let code = [
        say("environ_sizes_get", &[NUMBER, NUMBER + 4]),
        say_number(),
        say("environ_get", &[200, 300]),
        // Shows the text at the second pointer.
        format!(
            "(i32.store (i32.const {OUT}) (i32.load (i32.const 204))) (i32.store (i32.const {}) (i32.const 3))",
            OUT + 4
        ),
        show("args_sizes_get", &[NUMBER, NUMBER + 4]),
        say_number(),
    ];
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let config =
        PluginConfig { env: vec![variable("A", "first"), variable("B", "2")], ..PluginConfig::default() };
    let mut host = Host::start_with(&guest(&on_request_headers(&code.concat())), config).unwrap();
    assert_eq!(host.request(), Ok(Action::Continue));
    assert_eq!((host.statuses(), host.values()), (vec![0, 2, 0, 0, 0], vec!["B=2".to_owned()]));
}

#[test]
fn exit_ends_the_vm() {
    let mut host = Host::start(&guest(&on_request_headers("(call $proc_exit (i32.const 3))")));
    let error = host.request().unwrap_err();
    let failure = error.failure().unwrap();
    assert_eq!(failure.reason, crate::FailureReason::Exit);
    assert!(failure.cause.starts_with("the guest ended itself with exit code 3"), "{error}");
    assert!(host.plugin.failed());
}
