use std::time::SystemTime;

use proxy_wasm_host::{Failure, FailureReason};

use super::*;
use crate::refusal::{Gate, Refusal};
use crate::shared::Containment;
use crate::snapshot::FilterSpec;

fn report(filter: &str, second: u64) -> TrapReport {
    let (name, manifest) = (Arc::from(filter), gateway_config::Manifest::default_for(filter));
    let spec = FilterSpec {
        containment: Containment::new(&name, &"v1".into(), &manifest, None),
        name,
        version: Arc::from("v1"),
        manifest,
        live: Err(Refusal::at(Gate::Start, "not needed here")),
    };
    let failure = Failure {
        reason: FailureReason::Unreachable,
        cause: format!("number {second}"),
        frames: Vec::new(),
        host_calls: vec!["proxy_log"],
        last_words: "boom".to_owned(),
        request_id: None,
        memory_bytes: 1,
    };
    let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(second);
    let record = TrapRecord { spec: Arc::new(spec), at, worker: 0, callback: "proxy_on_tick", failure };
    TrapReport { record, stack: Arc::default() }
}

fn causes(reports: &TrapReports, filter: Option<&str>) -> Vec<String> {
    reports.json(filter).iter().map(|report| report["cause"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_last_ones_of_each_filter_are_kept() {
    let mut reports = TrapReports::default();
    reports.note(report("quiet", 5));
    for second in 0..100 {
        reports.note(report("loud", 10 + second));
    }
    assert_eq!(causes(&reports, Some("quiet")), ["number 5"]);
    let loud = causes(&reports, Some("loud"));
    assert_eq!((loud.len(), loud[0].as_str()), (MAX_KEPT_PER_FILTER, "number 109"));
    assert_eq!(causes(&reports, None).len(), MAX_KEPT_PER_FILTER + 1);
    assert!(causes(&reports, Some("other")).is_empty());
}

#[test]
fn filters_without_end_do_not_fill_the_memory() {
    let mut reports = TrapReports::default();
    for number in 0..MAX_FILTERS as u64 + 10 {
        reports.note(report(&format!("filter-{number}"), number));
    }
    assert_eq!(reports.0.len(), MAX_FILTERS);
    assert!(causes(&reports, Some("filter-9")).is_empty(), "the oldest went");
    assert_eq!(causes(&reports, Some("filter-10")).len(), 1);
}
