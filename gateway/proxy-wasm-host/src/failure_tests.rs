use super::*;
use crate::testing::{Host, call, data, guest, module_text, on_request_headers};
use crate::{CallError, PluginConfig};

/// How a guest ends that does this in its request headers callback.
fn failure_of(code: &str, parts: &str) -> Failure {
    let error = Host::start(&guest(&format!("{} {parts}", on_request_headers(code)))).request().unwrap_err();
    error.failure().unwrap_or_else(|| panic!("{error}")).clone()
}

#[test]
fn every_way_to_end_has_its_reason() {
    let table = "(table 2 funcref) (type $takes_two (func (param i64 i64)))";
    for (code, parts, reason) in [
        ("unreachable", "", FailureReason::Unreachable),
        (
            "(if (i32.eq (memory.grow (i32.const 60000)) (i32.const -1)) (then unreachable))",
            "",
            FailureReason::OutOfMemory,
        ),
        ("(drop (i32.load (i32.const 2000000)))", "", FailureReason::OutOfBounds),
        ("(drop (table.get (i32.const 7)))", table, FailureReason::OutOfBounds),
        (
            "(call_indirect (type $takes_two) (i64.const 0) (i64.const 0) (i32.const 0))",
            table,
            FailureReason::BadCall,
        ),
        ("(drop (i32.div_s (i32.const 1) (i32.const 0)))", "", FailureReason::Arithmetic),
        ("(drop (i32.trunc_f64_s (f64.const 1e99)))", "", FailureReason::Arithmetic),
        ("(call $deep)", "(func $deep (call $deep))", FailureReason::StackOverflow),
        ("(call $proc_exit (i32.const 1))", "", FailureReason::Exit),
        ("(return (i32.const 99))", "", FailureReason::BadAnswer),
        ("(loop $on (br $on))", "", FailureReason::Deadline),
    ] {
        let found = failure_of(code, parts);
        assert_eq!(found.reason, reason, "{code}: {found}");
        assert_eq!(found.frames.is_empty(), reason == FailureReason::BadAnswer, "{code}: {found}");
        assert!(found.memory_bytes >= 65_536, "{code}");
    }
    let text = guest(&format!(
        r#"(func (export "_initialize") (drop {})) {}"#,
        call("set_tick_period_milliseconds", &[5]),
        on_request_headers("")
    ));
    let Err(crate::StartError::Call(error)) = Host::start_with(&text, PluginConfig::default()) else {
        panic!("it started");
    };
    assert_eq!(error.failure().unwrap().reason, FailureReason::HostCall);
}

#[test]
fn names_of_reasons_are_those_of_their_numbers() {
    for (number, reason) in FailureReason::ALL.into_iter().enumerate() {
        assert_eq!(reason as usize, number, "{}", reason.name());
    }
}

#[test]
fn the_last_host_calls_are_those_of_the_callback_that_failed() {
    let before = format!("(drop {})", call("get_log_level", &[4016]));
    let size = format!("(drop {})", call("get_header_map_size", &[0, 4016]));
    let clock = "(drop (call $clock_time_get (i32.const 0) (i64.const 0) (i32.const 4016)))";
    let code = format!("{size} {clock} unreachable");
    let parts = format!(r#"(func (export "proxy_on_context_create") (param i32 i32) {before})"#);
    assert_eq!(failure_of(&code, &parts).host_calls, ["proxy_get_header_map_size", "clock_time_get"]);

    let many = before.repeat(LAST_HOST_CALLS + 3) + &size + "unreachable";
    let calls = failure_of(&many, "").host_calls;
    assert_eq!(calls.len(), LAST_HOST_CALLS);
    assert_eq!(calls.last(), Some(&"proxy_get_header_map_size"));
    assert_eq!(calls[0], "proxy_get_log_level");
}

#[test]
fn host_calls_are_counted() {
    let code = format!("(drop {0}) (drop {0})", call("get_header_map_size", &[0, 4016]));
    let mut host = Host::start(&guest(&on_request_headers(&code)));
    host.plugin.take_usage();
    for _ in 0..3 {
        assert!(host.request().is_ok());
        assert_eq!(host.plugin.take_usage().host_calls, 2);
    }
    assert_eq!(host.plugin.take_usage().host_calls, 0);
}

#[test]
fn what_it_said_last_is_what_it_logged_as_an_error_in_that_callback() {
    let say = |level: u32, at: u32, text: &str| {
        let size = u32::try_from(text.len()).unwrap();
        (format!("(drop {})", call("log", &[level, at, size])), data(at, text))
    };
    let (earlier, earlier_data) = say(5, 300, "of another callback");
    let (info, info_data) = say(2, 400, "all is well");
    let (critical, critical_data) = say(5, 500, "panicked at src/lib.rs:7:5: boom");
    // One buffer: pointer and size at 600.
    let stderr = "(drop (call $fd_write (i32.const 2) (i32.const 600) (i32.const 1) (i32.const 4016)))";
    let stderr_data = data(600, r"\bc\02\00\00\06\00\00\00") + &data(700, r"aborts");
    let parts = [
        earlier_data,
        info_data,
        critical_data,
        stderr_data,
        format!(r#"(func (export "proxy_on_context_create") (param i32 i32) {earlier})"#),
    ];
    let failure = failure_of(&format!("{info} {critical} {stderr} unreachable"), &parts.concat());
    assert_eq!(failure.last_words, "panicked at src/lib.rs:7:5: boom\naborts");
    assert_eq!(failure_of("unreachable", &parts.concat()).last_words, "");
}

#[test]
fn words_without_end_are_cut() {
    let mut trace = Trace::default();
    for _ in 0..1_000 {
        trace.say(b"and so on ");
    }
    assert_eq!(trace.last_words().len(), LAST_WORDS_BYTES);
    trace.begin();
    trace.say(b"\n");
    assert_eq!(trace.last_words(), "");
}

#[test]
fn the_request_is_named() {
    for (code, answer) in [("unreachable", 0), ("", 9)] {
        let code = format!("{code} (return (i32.const {answer}))");
        let mut host = Host::start(&guest(&on_request_headers(&code)));
        host.stream.borrow_mut().properties.insert("request.id".to_owned(), b"7d\n1f".to_vec());
        let error = host.request().unwrap_err();
        assert_eq!(error.failure().unwrap().request_id.as_deref(), Some(r"7d\n1f"), "no line of its own");
    }
}

#[test]
fn a_start_that_fails_is_taken_down_too() {
    let parts = format!(
        r#"(func $in_configure unreachable)
           (func (export "proxy_on_configure") (param i32 i32) (result i32) (call $in_configure) (i32.const 1)) {}"#,
        on_request_headers("")
    );
    let text = module_text("proxy_abi_version_0_2_1", &format!("{} {parts}", crate::testing::BUMP_ALLOCATOR));
    let Err(crate::StartError::Call(error)) = Host::start_with(&text, PluginConfig::default()) else {
        panic!("it started");
    };
    assert!(matches!(&error, CallError::Trap { callback: "proxy_on_configure", .. }), "{error}");
    assert_eq!(error.failure().unwrap().frames[0].name.as_deref(), Some("in_configure"));
}
