use std::time::Duration;

use super::*;
use crate::filter::CallOutcome;

fn call(callback: GuestCall, nanoseconds: u64) -> CallOutcome {
    CallOutcome {
        callback,
        self_time: Duration::from_nanos(nanoseconds),
        memory_bytes: 65_536,
        host_calls: 3,
    }
}

fn text(table: &FilterTable) -> String {
    crate::telemetry::prometheus::write(&table.samples())
}

#[test]
fn workers_add_up_by_version_and_call() {
    let (table, version) = (FilterTable::default(), Arc::from("v1"));
    let (one, two) = (table.open("auth", &version, 1 << 20), table.open("auth", &version, 1 << 20));
    let (_first, _second) = (one.machine(), two.machine());
    one.called(&call(GuestCall::RequestHeaders, 1_500));
    two.called(&call(GuestCall::RequestHeaders, 500));
    two.called(&call(GuestCall::Tick, 2_000_000_007));
    one.failed(FailureReason::Unreachable);
    two.failed(FailureReason::Deadline);
    one.held(GuestCall::RequestHeaders, Duration::from_millis(2));
    one.replaced(Duration::from_micros(700));
    two.replaced(Duration::from_micros(300));
    let text = text(&table);
    for line in [
        r#"gateway_filter_calls_total{filter="auth",version="v1",callback="request_headers"} 2"#,
        r#"gateway_filter_self_seconds_total{filter="auth",version="v1",callback="request_headers"} 0.000002000"#,
        r#"gateway_filter_self_max_seconds{filter="auth",version="v1",callback="request_headers"} 0.000001500"#,
        r#"gateway_filter_self_seconds_total{filter="auth",version="v1",callback="tick"} 2.000000007"#,
        r#"gateway_filter_host_calls_total{filter="auth",version="v1",callback="request_headers"} 6"#,
        r#"gateway_filter_wait_seconds_total{filter="auth",version="v1",callback="request_headers"} 0.002000000"#,
        r#"gateway_filter_traps_total{filter="auth",version="v1",reason="unreachable"} 1"#,
        r#"gateway_filter_traps_total{filter="auth",version="v1",reason="out_of_memory"} 0"#,
        r#"gateway_filter_timeouts_total{filter="auth",version="v1"} 1"#,
        r#"gateway_filter_memory_bytes{filter="auth",version="v1"} 131072"#,
        r#"gateway_filter_memory_peak_bytes{filter="auth",version="v1"} 65536"#,
        r#"gateway_filter_memory_limit_bytes{filter="auth",version="v1"} 1048576"#,
        r#"gateway_filter_instances{filter="auth",version="v1"} 2"#,
        r#"gateway_filter_replacements_total{filter="auth",version="v1"} 2"#,
        r#"gateway_filter_replacement_seconds_total{filter="auth",version="v1"} 0.001000000"#,
        r#"gateway_filter_replacement_max_seconds{filter="auth",version="v1"} 0.000700000"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains(r#"callback="queue_ready""#), "never called:\n{text}");
    assert!(!text.contains(r#"reason="deadline""#), "timeouts are no traps:\n{text}");
}

#[test]
fn what_a_worker_counted_stays_and_what_it_held_goes() {
    let (table, version) = (FilterTable::default(), Arc::from("v1"));
    let (gone, stays) = (table.open("auth", &version, 1), table.open("auth", &version, 1));
    let machine = gone.machine();
    gone.called(&call(GuestCall::RequestHeaders, 10));
    assert_eq!(table.read("auth")[0].totals.instances, 1);
    drop(machine);
    assert_eq!(table.read("auth")[0].totals.memory_bytes, 0);
    drop(gone);
    let numbers = &table.read("auth")[0];
    assert_eq!((numbers.totals.all_calls().count, numbers.totals.instances), (1, 0));
    assert!(numbers.is_running);
    stays.called(&call(GuestCall::RequestHeaders, 10));
    assert_eq!(table.read("auth")[0].totals.all_calls().count, 2);
}

#[test]
fn the_numbers_of_a_version_go_a_while_after_it() {
    let table = FilterTable::default();
    let old = table.open("auth", &Arc::from("v1"), 1);
    let _new = table.open("auth", &Arc::from("v2"), 1);
    let versions = |table: &FilterTable| {
        table.read("auth").iter().map(|it| (it.version.to_string(), it.is_running)).collect::<Vec<_>>()
    };
    drop(old);
    assert_eq!(versions(&table), [("v1".to_owned(), false), ("v2".to_owned(), true)]);

    let mut filters = lock(&table.filters);
    let later = Instant::now() + KEPT_AFTER_END;
    fold(filters.get_mut("auth").unwrap(), later);
    drop(filters);
    assert_eq!(versions(&table), [("v2".to_owned(), true)]);
    assert!(!text(&table).contains("v1"));
}

#[test]
fn many_ended_versions_are_not_kept() {
    let table = FilterTable::default();
    for number in 0..100 {
        drop(table.open("auth", &Arc::from(format!("v{number}")), 1));
    }
    let kept = table.read("auth");
    assert_eq!(kept.len(), MAX_ENDED_VERSIONS);
    assert_eq!(&*kept.last().unwrap().version, "v99");
    assert!(table.read("other").is_empty());
}

#[test]
fn a_version_that_comes_back_goes_on_counting() {
    let (table, version) = (FilterTable::default(), Arc::from("v1"));
    let first = table.open("auth", &version, 1);
    first.failed(FailureReason::BadCall);
    drop(first);
    let again = table.open("auth", &version, 2);
    again.failed(FailureReason::BadCall);
    let numbers = &table.read("auth")[0];
    assert_eq!(numbers.totals.failed(FailureReason::BadCall), 2);
    assert_eq!(numbers.memory_limit_bytes, 2);
}
