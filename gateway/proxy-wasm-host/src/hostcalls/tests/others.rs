//! Log, time, shared data, queues, metrics, and what is not supported.

use std::time::Duration;

use crate::abi::LogLevel;
use crate::effects::Effect;
use crate::plugin::PluginConfig;
use crate::testing::*;

#[test]
fn log_lines_keep_their_level_and_are_cut() {
    let code =
        [say("log", &[4, 100, 5]), say("log", &[6, 100, 5]), say("get_log_level", &[NUMBER]), say_number()];
    let mut config = PluginConfig::default();
    config.limits.log_line_bytes = 3;
    let parts = format!("{} {}", on_request_headers(&code.concat()), data(100, "hello"));
    let mut host = Host::start_with(&guest(&parts), config).unwrap();
    host.request().unwrap();
    assert_eq!(host.statuses(), [0, 2, 0, 0]);
    assert_eq!(host.services.lines_at(LogLevel::Error), ["hel"]);
}

#[test]
fn lines_below_the_wanted_level_are_not_taken() {
    let code = [say("log", &[2, 100, 5]), say("log", &[3, 100, 5])].concat();
    let mut host = Host::start(&guest(&format!("{} {}", on_request_headers(&code), data(100, "hello"))));
    host.services.log_level.set(Some(LogLevel::Warn));
    host.request().unwrap();
    assert_eq!(*host.services.logs.borrow(), [(LogLevel::Warn, "hello".to_owned())]);
}

#[test]
fn time_and_tick_period() {
    let code = [
        say("get_current_time_nanoseconds", &[NUMBER]),
        say_number(),
        say("set_tick_period_milliseconds", &[500]),
        say("set_tick_period_milliseconds", &[250]),
    ];
    let mut host = Host::start(&guest(&on_request_headers(&code.concat())));
    host.services.now_ns.set(7);
    host.request().unwrap();
    assert_eq!(host.statuses(), [0, 7, 0, 0]);
    assert_eq!(host.effects(), [Effect::TickPeriod(Some(Duration::from_millis(250)))], "the last one counts");

    let (_, _, mut host) = run(&say("set_tick_period_milliseconds", &[0]), "");
    assert_eq!(host.effects(), [Effect::TickPeriod(None)]);
}

#[test]
fn shared_data_with_versions() {
    let get = |key: u32| show("get_shared_data", &[key, 1, OUT, OUT + 4, NUMBER]);
    let code = [
        say("get_shared_data", &[100, 1, OUT, OUT + 4, NUMBER]),
        say("set_shared_data", &[100, 1, 110, 3, 0]),
        get(100),
        say_number(),
        say("set_shared_data", &[100, 1, 110, 2, 9]),
        say("set_shared_data", &[100, 1, 110, 0, 1]),
        get(100),
    ];
    let (statuses, values, _) = run(&code.concat(), &[data(100, "k"), data(110, "val")].concat());
    assert_eq!(statuses, [1, 0, 0, 1, 8, 0, 0]);
    assert_eq!(values, ["val", ""], "an empty value is not an absent one");
}

#[test]
fn an_entry_stays_in_its_queue_if_it_has_nowhere_to_go() {
    let code = [
        say("register_shared_queue", &[100, 1, NUMBER]),
        say("enqueue_shared_queue", &[1, 100, 1]),
        say("dequeue_shared_queue", &[1, OUT, OUTSIDE]),
        show("dequeue_shared_queue", &[1, OUT, OUT + 4]),
    ];
    let (statuses, values, _) = run(&code.concat(), &data(100, "q"));
    assert_eq!(statuses, [0, 0, 6, 0]);
    assert_eq!(values, ["q"]);
}

#[test]
fn queues_are_found_by_name() {
    let code = [
        say("register_shared_queue", &[100, 1, NUMBER]),
        say_number(),
        say("resolve_shared_queue", &[0, 0, 100, 1, NUMBER]),
        say("resolve_shared_queue", &[0, 0, 110, 1, NUMBER]),
        say("enqueue_shared_queue", &[1, 110, 3]),
        say("enqueue_shared_queue", &[9, 110, 3]),
        show("dequeue_shared_queue", &[1, OUT, OUT + 4]),
        say("dequeue_shared_queue", &[1, OUT, OUT + 4]),
        say("dequeue_shared_queue", &[9, OUT, OUT + 4]),
    ];
    let (statuses, values, _) = run(&code.concat(), &[data(100, "q"), data(110, "val")].concat());
    assert_eq!(statuses, [0, 1, 0, 1, 0, 1, 0, 7, 1]);
    assert_eq!(values, ["val"]);
}

#[test]
fn metrics_of_each_kind() {
    let increment = |id: u32, offset: i64| {
        format!("(call $say (call $increment_metric (i32.const {id}) (i64.const {offset})))")
    };
    let record = |id: u32, value: u64| {
        format!("(call $say (call $record_metric (i32.const {id}) (i64.const {value})))")
    };
    let define = |kind: u32| say("define_metric", &[kind, 100, 1, NUMBER]);
    let get = |id: u32| say("get_metric", &[id, NUMBER]);
    // Ids are numbers in order with the kind in their low bits.
    let code = [
        define(0),
        define(1),
        define(2),
        say_number(),
        define(3),
        increment(4, 2),
        increment(4, 0),
        record(4, 5),
        get(4),
        say_number(),
        increment(9, -1),
        record(9, 4),
        increment(9, -1),
        get(9),
        say_number(),
        increment(14, 1),
        record(14, 1),
        get(14),
        increment(99, 1),
        record(99, 1),
        get(99),
    ];
    let (statuses, _, _) = run(&code.concat(), &data(100, "m"));
    assert_eq!(statuses, [0, 0, 0, 14, 2, 0, 2, 0, 0, 7, 0, 0, 0, 0, 3, 2, 0, 2, 1, 1, 1]);
}

#[test]
fn unsupported_functions_fail_softly_and_say_so_once() {
    let code = [
        say("grpc_call", &[0; 12]),
        say("grpc_call", &[0; 12]),
        say("grpc_stream", &[0; 9]),
        say("grpc_send", &[0; 4]),
        say("grpc_cancel", &[0]),
        say("grpc_close", &[0]),
    ];
    let (statuses, _, host) = run(&code.concat(), "");
    assert_eq!(statuses, [10, 10, 10, 1, 1, 1]);
    let lines = host.services.lines_at(LogLevel::Error);
    assert_eq!(lines.len(), 5);
    assert!(lines[0].contains("proxy_grpc_call"), "{lines:?}");
}

#[test]
fn done_counts_only_when_it_is_awaited() {
    assert_eq!(run(&say("done", &[]), "").0, [1]);
}

#[test]
fn foreign_functions_take_arguments_up_to_their_limit() {
    let asked = |length: u32| say("call_foreign_function", &[100, 8, 200, length, OUT, OUT + 4]);
    let mut config = PluginConfig::default();
    config.limits.foreign_bytes = 3;
    let parts = format!("{} {}", on_request_headers(&[asked(3), asked(4)].concat()), data(100, "compress"));
    let mut host = Host::start_with(&guest(&parts), config).unwrap();
    host.request().unwrap();
    // Nobody compresses here: NOT_FOUND says that it was asked for.
    assert_eq!(host.statuses(), [1, 2]);
}
