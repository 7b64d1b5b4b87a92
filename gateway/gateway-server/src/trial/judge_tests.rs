//! The judgement as a table: numbers of both versions, when, and what follows.

use gateway_config::{Rollout, parse_manifest};

use super::*;

fn plan(text: &str) -> Canary {
    let manifest = parse_manifest(&format!("rollout: {text}"), "a.yaml").unwrap();
    match manifest.rollout {
        Rollout::Canary(canary) => canary,
        other => panic!("{other:?}"),
    }
}

/// A version without fault: 100 µs per request, 5 % replies.
fn good(requests: u64) -> Numbers {
    Numbers {
        requests,
        replies: requests / 20,
        added_ns: requests * 100_000,
        calls: requests * 4,
        busy_ns: requests * 40_000,
        grown_requests: requests,
        ..Numbers::default()
    }
}

const WINDOW: Duration = Duration::from_secs(60);
const EARLY: Duration = Duration::from_secs(1);

fn outcome(after: Duration, live: Numbers, candidate: Numbers) -> &'static str {
    match judge(&plan("canary"), after, &live, &candidate) {
        Judgement::Wait => "wait",
        Judgement::Hold => "hold",
        Judgement::Promote => "promote",
        Judgement::RollBack(Cause { code, .. }) => code,
    }
}

#[test]
fn a_version_as_good_as_the_other_is_promoted_after_window_and_requests() {
    let cases = [
        (EARLY, 10_000, 500, "wait"),
        (WINDOW - EARLY, 10_000, 5_000, "wait"),
        (WINDOW, 10_000, 499, "hold"),
        (WINDOW * 100, 10_000, 499, "hold"),
        (WINDOW, 10_000, 0, "hold"),
        (WINDOW, 10_000, 500, "promote"),
        (WINDOW * 2, 100, 500, "promote"),
        (WINDOW * 2, 99, 500, "hold"),
        (WINDOW * 100, 0, 1_000_000, "hold"),
    ];
    for (after, live, candidate, expected) in cases {
        assert_eq!(outcome(after, good(live), good(candidate)), expected, "{after:?} {live} {candidate}");
    }
}

#[test]
fn failures_roll_back_at_once_from_the_third_on_and_at_the_end_from_the_first() {
    type Change = fn(&mut Numbers);
    let cases: [(Duration, u64, Change, &str); 9] = [
        (EARLY, 4, |n| n.traps = 2, "wait"),
        (EARLY, 4, |n| n.traps = 3, "traps"),
        (EARLY, 300, |n| n.traps = 3, "traps"),
        (EARLY, 300, |n| n.timeouts = 3, "timeouts"),
        (EARLY, 3_001, |n| n.traps = 3, "wait"),
        (EARLY, 3_001, |n| n.traps = 4, "traps"),
        (WINDOW, 500, |n| n.traps = 1, "traps"),
        (WINDOW, 500, |n| n.timeouts = 1, "timeouts"),
        (WINDOW, 2_000, |n| n.traps = 1, "promote"),
    ];
    for (after, requests, change, expected) in cases {
        let mut candidate = good(requests);
        change(&mut candidate);
        assert_eq!(outcome(after, good(10_000), candidate), expected, "{after:?} {candidate:?}");
    }
}

#[test]
fn what_the_version_that_serves_does_as_well_is_no_reason() {
    let mut live = good(10_000);
    live.traps = 100;
    let mut candidate = good(1_000);
    candidate.traps = 10;
    assert_eq!(outcome(WINDOW, live, candidate), "promote");
    candidate.traps = 12;
    assert_eq!(outcome(WINDOW, live, candidate), "traps");
}

#[test]
fn averages_are_compared_once_there_are_enough_requests_of_both() {
    type Change = fn(&mut Numbers);
    let cases: [(u64, u64, Change, &str); 14] = [
        (10_000, 99, |n| n.added_ns = 99 * 21_000_000, "wait"),
        (99, 10_000, |n| n.added_ns = 10_000 * 21_000_000, "wait"),
        (10_000, 100, |n| n.added_ns = 100 * 20_100_000, "latency"),
        (10_000, 100, |n| n.added_ns = 100 * 5_100_000, "wait"),
        (10_000, 100, |n| n.added_ns = 100 * 5_100_001, "latency"),
        (10_000, 200, |n| n.replies = 0, "wait"),
        (10_000, 2_000, |n| n.replies = 0, "wait"),
        (10_000, 200, |n| n.replies = 200, "replies"),
        (10_000, 200, |n| n.replies = 21, "wait"),
        (10_000, 200, |n| n.busy_ns = 800 * 50_000, "wait"),
        (10_000, 200, |n| n.busy_ns = 800 * 50_001, "cpu"),
        (10_000, 200, |n| n.grown_bytes = 512 * 1024, "memory"),
        (10_000, 200, |n| n.grown_bytes = 512 * 1024 - 1, "wait"),
        (10_000, 2_000, |n| n.grown_bytes = 2_000 * 512, "wait"),
    ];
    for (live, requests, change, expected) in cases {
        let mut candidate = good(requests);
        change(&mut candidate);
        assert_eq!(outcome(EARLY, good(live), candidate), expected, "{live} {candidate:?}");
    }
}

#[test]
fn what_has_few_requests_by_its_plan_is_compared_by_as_few_at_the_end() {
    let few = plan("{canary: {minRequests: 20}}");
    let mut slow = good(20);
    slow.added_ns = 20 * 21_000_000;
    assert_eq!(judge(&few, EARLY, &good(20), &slow), Judgement::Wait);
    assert_eq!(judge(&few, WINDOW, &good(19), &slow), Judgement::Hold);
    assert!(matches!(
        judge(&few, WINDOW, &good(20), &slow),
        Judgement::RollBack(Cause { code: "latency", .. })
    ));
    assert_eq!(judge(&few, WINDOW, &good(20), &good(20)), Judgement::Promote);
}

#[test]
fn failures_roll_back_also_where_there_is_nothing_to_compare_with() {
    let mut candidate = good(500);
    candidate.traps = 1;
    assert_eq!(outcome(WINDOW, good(0), candidate), "traps");
}

#[test]
fn a_filter_that_stops_refusing_is_worse() {
    let mut live = good(10_000);
    live.replies = 3_000;
    let mut candidate = good(500);
    candidate.replies = 0;
    assert_eq!(outcome(EARLY, live, candidate), "replies");
}

#[test]
fn thresholds_are_those_of_the_manifest() {
    let strict = plan("{canary: {window: 1s, minRequests: 10, thresholds: {latency: 1ms, traps: 50%}}}");
    let mut candidate = good(200);
    candidate.traps = 99;
    assert_eq!(judge(&strict, EARLY, &good(200), &candidate), Judgement::Promote);
    candidate.added_ns = 200 * 1_200_000;
    let Judgement::RollBack(cause) = judge(&strict, EARLY, &good(200), &candidate) else {
        panic!("not rolled back")
    };
    assert_eq!(
        (cause.code, &*cause.message),
        ("latency", "it adds 1.200 ms to a request, the version that serves 0.100 ms")
    );
}
