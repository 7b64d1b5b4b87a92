use std::path::Path;

use crate::{Config, parse_text};

const WHOLE: &str = "
listeners:
- {name: web, bind: '127.0.0.1:80', limits: {headRead: 7s}, tls: {certificates: [{cert: a.pem, key: a.key}], clientCa: ca.pem}}
routes:
- name: one
  hosts: [a.example]
  match: {path: {prefix: /one}, not: {method: POST}}
  to: [{upstream: first, weight: 3}, {upstream: second, weight: 1}]
  timeout: 3s
  retry: {attempts: 2, perTryTimeout: 1s}
  upgrades: [websocket]
  upgradeIdleTimeout: 1m
- {name: two, redirect: {host: a.example}}
upstreams:
  first: {endpoints: ['127.0.0.1:1'], connectTimeout: 2s, idle: 9s}
  second: {endpoints: ['127.0.0.1:2'], tls: {ca: ca.pem, cert: own.pem, key: own.key}}
";

fn config(text: &str) -> Config {
    parse_text(text, "gateway.yaml", Path::new("/etc")).unwrap_or_else(|errors| panic!("{errors}"))
}

fn changed(from: &str, to: &str) -> (Config, Config) {
    assert!(WHOLE.contains(from), "{from}");
    (config(WHOLE), config(&WHOLE.replacen(from, to, 1)))
}

/// The names of the routes that differ, by position.
fn routes(old: &Config, new: &Config) -> Vec<String> {
    let pairs = old.routes.iter().zip(&new.routes);
    let differing = pairs.filter(|(route, other)| !old.is_same_route(route, new, other));
    differing.map(|(route, _)| route.name.to_string()).collect()
}

fn all(old: &Config, new: &Config) -> (Vec<&'static str>, Vec<&'static str>, Vec<String>, Vec<&'static str>) {
    let listeners = old.listeners.iter().zip(&new.listeners);
    let upstreams = old.upstreams.iter().zip(&new.upstreams);
    (
        listeners.flat_map(|(old, new)| old.differences(new)).collect(),
        upstreams.flat_map(|(old, new)| old.differences(new)).collect(),
        routes(old, new),
        old.differing_settings(new),
    )
}

#[test]
fn where_it_is_written_makes_no_difference() {
    let moved = config(&format!("# A line more.\n{}", WHOLE.replace("name: one\n", "name:   one\n\n")));
    let whole = config(WHOLE);
    assert_ne!(whole, moved, "every place differs");
    assert_eq!(all(&whole, &moved), (vec![], vec![], vec![], vec![]));
}

#[test]
fn an_upstream_more_changes_no_route() {
    let (old, new) = changed("upstreams:\n", "upstreams:\n  before: '127.0.0.1:3'\n");
    assert_eq!(routes(&old, &new), Vec::<String>::new(), "though the indices of upstreams moved");
    let (old, new) = changed("upstream: first, weight: 3", "upstream: second, weight: 3");
    assert_eq!(routes(&old, &new), ["one"]);
}

#[test]
fn each_change_is_named_where_it_is() {
    for (from, to, expected) in [
        ("headRead: 7s", "headRead: 8s", (vec!["limits"], vec![], vec![], vec![])),
        ("key: a.key", "key: b.key", (vec!["tls"], vec![], vec![], vec![])),
        ("clientCa: ca.pem", "clientCa: other.pem", (vec!["tls"], vec![], vec![], vec![])),
        ("127.0.0.1:80", "127.0.0.1:81", (vec!["bind"], vec![], vec![], vec![])),
        (
            "connectTimeout: 2s, idle: 9s",
            "idle: 8s",
            (vec![], vec!["connectTimeout", "idle"], vec![], vec![]),
        ),
        ("127.0.0.1:1'", "127.0.0.1:9'", (vec![], vec!["endpoints"], vec![], vec![])),
        ("cert: own.pem", "cert: new.pem", (vec![], vec!["tls"], vec![], vec![])),
        ("{ca: ca.pem,", "{verify: false,", (vec![], vec!["tls"], vec![], vec![])),
        ("weight: 3", "weight: 4", (vec![], vec![], vec!["one"], vec![])),
        ("method: POST", "method: PUT", (vec![], vec![], vec!["one"], vec![])),
        ("prefix: /one", "prefix: /uno", (vec![], vec![], vec!["one"], vec![])),
        ("timeout: 3s", "timeout: 4s", (vec![], vec![], vec!["one"], vec![])),
        ("perTryTimeout: 1s", "perTryTimeout: 2s", (vec![], vec![], vec!["one"], vec![])),
        ("upgradeIdleTimeout: 1m", "upgradeIdleTimeout: 2m", (vec![], vec![], vec!["one"], vec![])),
        ("redirect: {host: a", "redirect: {host: b", (vec![], vec![], vec!["two"], vec![])),
        (
            "\nlisteners",
            "\ndrain: 7s\nworkers: 3\nlisteners",
            (vec![], vec![], vec![], vec!["workers", "drain"]),
        ),
    ] {
        let (old, new) = changed(from, to);
        let expected =
            (expected.0, expected.1, expected.2.into_iter().map(str::to_owned).collect(), expected.3);
        assert_eq!(all(&old, &new), expected, "{from} -> {to}");
        assert_eq!(all(&new, &old), expected, "{to} -> {from}");
    }
}
