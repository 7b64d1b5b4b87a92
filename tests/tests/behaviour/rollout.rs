//! New versions beside those that serve: promoted and rolled back; and what the history and the events say of it.

use gateway_tests::{Answer, Gate, Gateway, Origin, Request, eventually, eventually_some};

use gateway_tests::versions::{LEAKS, Load, REFUSES, SLOW, TRAPS, bad_at_load, version, versions_seen};

/// A trial that is over soon, with the default thresholds.
const CANARY: &str = "rollout: {canary: {share: 50%, window: 1s, minRequests: 200, sticky: request}}
limits: {startCpu: 200ms, callbackCpu: 500ms}";
/// One that nobody ends but by what they do.
const LONG: &str = "rollout: {canary: {share: 50%, window: 1h, sticky: {header: x-user}}}";

/// Each bad version with the gate that it reaches and the reason.
fn bad_versions() -> Vec<(&'static str, Vec<u8>, &'static str, &'static str)> {
    let at_run_time = [
        ("traps", version('b', TRAPS), "canary", "traps"),
        ("slow", version('c', SLOW), "canary", "latency"),
        ("leaks", version('d', LEAKS), "canary", "memory"),
    ];
    let at_load = bad_at_load().into_iter().map(|(name, module, gate)| (name, module, gate, gate));
    at_load.chain(at_run_time).collect()
}

#[test]
fn ten_bad_versions_in_a_row_under_load_cost_nothing_but_the_canary() {
    let origin = Origin::answering("ok");
    // One machine, so that its hundredth request comes soon.
    let config = "workers: 1\nroutes: [{to: origin}]\nupstreams: {origin: 'ORIGIN'}";
    let setup = Gateway::with(config).set("ORIGIN", origin.address());
    let gateway = setup.filter("app", &version('a', ""), CANARY).start();
    let good = gateway.serving("app");
    Load::run(&gateway, 4, 60, |load| {
        for (number, (name, module, gate, reason)) in (2..).zip(bad_versions()) {
            gateway.replace_module("app", &module);
            let entry = eventually_some(name, || {
                let history = gateway.history("app")?;
                let entries = history["history"].as_array()?;
                (entries.len() == number && entries[0]["state"] != "trial").then(|| entries[0].clone())
            });
            assert_eq!((&entry["gate"], &entry["reason"]), (&gate.into(), &reason.into()), "{name}: {entry}");
            assert_eq!(entry["liveFrom"], serde_json::Value::Null, "{name} served everybody: {entry}");
            let failures = load.failures();
            match name {
                // One of a hundred of half of the requests, until it was noticed.
                "traps" => assert!((1..=10).contains(&failures.len()), "{name}: {failures:?}"),
                _ => assert_eq!(failures, Vec::<String>::new(), "{name}"),
            }
            assert_eq!(gateway.serving("app"), good, "{name}");
        }
    });
    let history = gateway.history("app").expect("a history");
    assert_eq!(history["history"].as_array().map(Vec::len), Some(11), "{history:#}");
    let marked: Vec<_> = history["marked"].as_array().expect("a list").iter().collect();
    assert_eq!(marked.len(), 3, "{history:#}");
    let events = gateway.events("app");
    assert_eq!(events.iter().filter(|event| event.starts_with("rejected")).count(), 7, "{events:?}");
    assert_eq!(events.iter().filter(|event| event.starts_with("rolled_back")).count(), 3, "{events:?}");
    let counted =
        |kind| gateway.metrics().sum("gateway_filter_events_total", &[("filter", "app"), ("event", kind)]);
    assert!((counted("rolled_back") - 3.0).abs() < 0.5);
    gateway.replace_module("app", &version('e', ""));
    Load::run(&gateway, 4, 60, |_| {
        gateway.await_entry("app", "the good one", |entry| {
            entry["state"] == "live" && entry["version"] != good.as_str()
        });
    });
    assert_eq!(origin.last_request().header("x-version"), Some("e"));
}

#[test]
fn a_good_version_is_held_until_it_had_enough_requests_and_then_promoted() {
    let origin = Origin::answering("ok");
    let manifest = "rollout: {canary: {share: 50%, window: 1s, minRequests: 20, sticky: request}}";
    let gateway = Gateway::to(&origin).filter("app", &version('a', ""), manifest).start();
    let first = gateway.serving("app");
    gateway.replace_module("app", &version('b', ""));
    eventually("the window over, and nobody came", || {
        gateway.history("app").is_some_and(|history| history["trial"]["judgement"] == "hold")
    });
    assert_eq!(gateway.serving("app"), first);
    let mut client = gateway.connect();
    while gateway.serving("app") == first {
        assert_eq!(client.get("/").status, 200);
    }
    let seen = versions_seen(&origin);
    let tried = seen.iter().filter(|version| *version == "b").count();
    assert!(tried >= 20, "{tried} of {} requests", seen.len());
    assert!(seen.iter().any(|version| version == "a"), "the other half");
    client.get("/");
    assert_eq!(origin.last_request().header("x-version"), Some("b"));
    assert_eq!(gateway.events("app"), ["loaded file", "canary canary", "promoted file"]);
    let history = gateway.history("app").expect("a history");
    assert_eq!(history["trial"], serde_json::Value::Null);
    assert_eq!(
        (&history["history"][0]["state"], &history["history"][1]["state"]),
        (&"live".into(), &"ended".into())
    );
}

#[test]
fn a_user_stays_with_one_version_for_the_whole_trial() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).filter("app", &version('a', ""), LONG).start();
    gateway.replace_module("app", &version('b', ""));
    gateway.await_entry("app", "the trial", |entry| entry["state"] == "trial");
    let mut client = gateway.connect();
    for _ in 0..5 {
        for user in 0..40 {
            client.send(&Request::get("/").header("x-user", &user.to_string()));
        }
    }
    let seen = versions_seen(&origin);
    let (first, again) = seen[seen.len() - 200..].split_at(40);
    assert!(again.chunks(40).all(|round| round == first), "somebody changed sides");
    let tried = first.iter().filter(|version| *version == "b").count();
    assert!((5..=35).contains(&tried), "{tried} of 40");
}

#[test]
fn a_filter_that_begins_to_refuse_is_rolled_back_and_not_tried_again_until_told() {
    let origin = Origin::answering("ok");
    let config = "admin: {bind: '127.0.0.1:0', tokenFile: token}\nroutes: [{to: origin}]\nupstreams: {origin: 'ORIGIN'}";
    let setup = Gateway::with(config).set("ORIGIN", origin.address());
    let manifest = "rollout: {canary: {share: 50%, window: 1h, sticky: request}}";
    let gateway = setup.filter("app", &version('a', ""), manifest).start();
    let good = gateway.serving("app");
    let refusing = version('b', REFUSES);
    gateway.replace_module("app", &refusing);
    gateway.await_entry("app", "the trial", |entry| entry["state"] == "trial");
    let mut client = gateway.connect();
    let entry = eventually_some("the rollback", || {
        client.get("/");
        let history = gateway.history("app")?;
        history["history"].as_array()?.iter().find(|entry| entry["reason"] == "replies").cloned()
    });
    let bad = entry["version"].as_str().expect("a version").to_owned();
    eventually("everybody served again", || (0..20).all(|_| client.get("/").status == 200));
    // The same bytes once more, and a look at the files in between.
    gateway.replace_module("app", &version('a', ""));
    eventually("the good file", || {
        gateway.history("app").is_some_and(|history| history["file"] == good.as_str())
    });
    gateway.replace_module("app", &refusing);
    eventually("the bad file", || {
        gateway.history("app").is_some_and(|history| history["file"] == bad.as_str())
    });
    assert!((0..40).all(|_| client.get("/").status == 200));
    assert_eq!(gateway.serving("app"), good);
    let token = std::fs::read_to_string(gateway.directory().join("token")).expect("a token");
    let answer = gateway.change("/filters/app/promote", token.trim());
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!((gateway.serving("app"), client.get("/").status), (bad, 403));
}

#[test]
fn a_change_of_the_rollout_alone_is_no_trial() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).filter("app", &version('a', ""), "rollout: off").start();
    let first = gateway.serving("app");
    gateway.replace_manifest("app", LONG);
    eventually("the new manifest", || gateway.serving("app") != first);
    assert_eq!(gateway.events("app"), ["loaded file", "loaded file"]);
}

#[test]
fn streams_of_a_trial_that_is_over_finish_on_their_version() {
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = Origin::start(move |received| {
        if received.target == "/held" {
            held.pass();
        }
        Answer::text("ok")
    });
    let manifest = "rollout: {canary: {share: 50%, window: 1h, sticky: {header: x-user}}}";
    let gateway = Gateway::to(&origin).filter("app", &version('a', ""), manifest).start();
    gateway.replace_module("app", &version('b', TRAPS));
    gateway.await_entry("app", "the trial", |entry| entry["state"] == "trial");
    let tried = (0..100).map(|user| user.to_string()).find(|user| {
        assert_eq!(gateway.send(&Request::get("/").header("x-user", user)).status, 200);
        origin.last_request().header("x-version") == Some("b")
    });
    let tried = tried.expect("one of a hundred users on trial");
    std::thread::scope(|scope| {
        let held = scope.spawn(|| gateway.send(&Request::get("/held").header("x-user", &tried)));
        eventually("the request at the origin", || origin.count("/held") == 1);
        gateway.replace_module("app", &version('a', ""));
        eventually("the trial over", || {
            gateway.history("app").is_some_and(|history| history["trial"] == serde_json::Value::Null)
        });
        gate.open();
        assert_eq!(held.join().expect("a response").status, 200);
    });
    assert_eq!(gateway.get("/").status, 200);
    assert_eq!(origin.last_request().header("x-version"), Some("a"));
}
