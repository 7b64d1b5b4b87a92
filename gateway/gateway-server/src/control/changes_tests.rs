use std::path::Path;

use gateway_config::{Manifest, parse_text};

use super::*;
use crate::refusal::{Gate, Refusal};
use crate::shared::Containment;
use crate::snapshot::{ResolvedEndpoint, SnapshotTls};
use crate::tls::Transport;

const CONFIG: &str = "
listeners:
- {name: any, bind: '127.0.0.1:0'}
- {name: web, bind: '127.0.0.1:8080'}
routes:
- {name: first, hosts: [a.example], match: {path: {prefix: /first}}, to: app}
- {name: second, hosts: [a.example, '*.b.example'], to: app}
- {name: rest, to: other}
upstreams: {app: {endpoints: ['127.0.0.1:1', '127.0.0.1:2']}, other: '127.0.0.1:3'}
";

fn snapshot(text: &str, filters: Vec<Arc<FilterSpec>>) -> Snapshot {
    let config = parse_text(text, "gateway.yaml", Path::new("")).unwrap_or_else(|errors| panic!("{errors}"));
    let resolved = |upstream: &gateway_config::Upstream| {
        let addresses = upstream.endpoints.iter().map(|endpoint| match &endpoint.address {
            gateway_config::EndpointAddress::Socket(address) => {
                ResolvedEndpoint { address: *address, host: None, weight: endpoint.weight }
            }
            gateway_config::EndpointAddress::Name { .. } => panic!("no names here"),
        });
        addresses.collect()
    };
    let addresses = config.upstreams.iter().map(resolved).collect();
    let tls = SnapshotTls {
        listeners: config.listeners.iter().map(|_| Transport::Plain).collect(),
        upstreams: config.upstreams.iter().map(|_| Transport::Plain).collect(),
        ..SnapshotTls::default()
    };
    Snapshot::new(1, config, addresses, tls, filters)
}

fn between(old: &str, new: &str) -> Changes {
    Changes::between(&snapshot(old, Vec::new()), &snapshot(new, Vec::new()))
}

fn replaced(from: &str, to: &str) -> Changes {
    assert!(CONFIG.contains(from), "{from}");
    between(CONFIG, &CONFIG.replacen(from, to, 1))
}

/// Names of what was added, changed, removed, kept, separated by `|`; of what changed also what and what is kept.
fn told(objects: &Objects) -> String {
    let changed = objects.changed.iter().map(|Changed { name, what, keeps }| {
        let what: Vec<&str> = what.iter().map(|what| &**what).collect();
        format!("{name}: {} keeps {}", what.join("+"), keeps.join("+"))
    });
    let changed: Vec<String> = changed.collect();
    [objects.added.join(" "), changed.join(", "), objects.removed.join(" "), objects.kept.join(" ")].join("|")
}

#[test]
fn nothing_changed_is_everything_kept() {
    let changes = between(CONFIG, &format!("# Moved by a line.{CONFIG}"));
    let all = changes.kinds().map(|(_, objects)| told(objects));
    assert_eq!(all, ["|||any web", "|||* *.b.example a.example", "|||app other", "|||", "|||"]);
    assert_eq!(changes.settings, Vec::<&str>::new());
}

#[test]
fn the_first_configuration_adds_everything() {
    let changes = Changes::between(&Snapshot::empty(), &snapshot(CONFIG, Vec::new()));
    let all = changes.kinds().map(|(_, objects)| told(objects));
    assert_eq!(all, ["any web|||", "* *.b.example a.example|||", "app other|||", "|||", "|||"]);
}

#[test]
fn listeners_keep_their_sockets_by_address() {
    let listeners = |from, to| told(&replaced(from, to).listeners);
    let socket = "|web: limits keeps socket||any";
    assert_eq!(listeners("8080'", "8080', limits: {headRead: 3s}"), socket);
    assert_eq!(listeners("8080", "8081"), "|web: bind keeps ||any");
    assert_eq!(listeners("name: web", "name: main"), "|main: name keeps socket||any");
    assert_eq!(listeners("name: any", "name: some"), "some||any|web", "any free port is another one");
    let swapped = CONFIG.replace("bind: '127.0.0.1:0'", "bind: '127.0.0.1:8081'");
    let exchanged = swapped.replace("name: any", "name: tmp").replace("name: web", "name: any");
    let exchanged = exchanged.replace("name: tmp", "name: web");
    let all = told(&between(&swapped, &exchanged).listeners);
    assert_eq!(all, "|any: bind keeps , web: bind keeps ||", "each name has the other's socket");
}

#[test]
fn a_route_touches_its_hosts_only() {
    let hosts = |from, to| told(&replaced(from, to).hosts);
    assert_eq!(hosts("/first", "/1st"), "|a.example: first keeps ||* *.b.example");
    assert_eq!(
        hosts("b.example'], to: app", "b.example'], to: other"),
        "|*.b.example: second keeps , a.example: second keeps ||*"
    );
    assert_eq!(hosts("- {name: rest, to: other}\n", ""), "||*|*.b.example a.example");
    assert_eq!(hosts(", '*.b.example'", ""), "|a.example: second keeps |*.b.example|*");
    let more = "- {name: new, hosts: [c.example], to: app}\n- {name: rest";
    assert_eq!(hosts("- {name: rest", more), "c.example|||* *.b.example a.example");
}

#[test]
fn upstreams_say_what_of_them_stays() {
    let upstreams = |from: &str, to: &str| told(&replaced(from, to).upstreams);
    let endpoints = "'127.0.0.1:1', '127.0.0.1:2'";
    assert_eq!(
        upstreams(endpoints, "'127.0.0.1:2', '127.0.0.1:4'"),
        "|app: endpoints keeps connections+health||other"
    );
    assert_eq!(upstreams(endpoints, "'127.0.0.1:4'"), "|app: endpoints keeps ||other");
    let with = |what: &str| upstreams("'127.0.0.1:2']", &format!("'127.0.0.1:2'], {what}"));
    assert_eq!(with("connectTimeout: 3s"), "|app: connectTimeout keeps connections+health||other");
    assert_eq!(with("protocol: http2"), "|app: protocol keeps health||other");
    assert_eq!(with("limits: {connections: 9}"), "|app: limits keeps health||other");
    assert_eq!(with("limits: {requests: 9}"), "|app: limits keeps connections+health||other");
    assert_eq!(upstreams("{app:", "{added: '127.0.0.1:9', app:"), "added|||app other");
}

#[test]
fn an_upstream_whose_names_lead_elsewhere_is_changed() {
    let (old, mut new) = (snapshot(CONFIG, Vec::new()), snapshot(CONFIG, Vec::new()));
    new.addresses[1][0].address.set_port(9);
    assert_eq!(told(&Changes::between(&old, &new).upstreams), "|other: addresses keeps ||app");
}

#[test]
fn knowledge_of_health_goes_with_the_checks() {
    let checked = CONFIG.replace("'127.0.0.1:2']", "'127.0.0.1:2'], healthCheck: {http: /}");
    let told = |old: &str, new: &str| told(&between(old, new).upstreams);
    assert_eq!(told(&checked, CONFIG), "|app: healthCheck keeps connections||other");
    assert_eq!(told(CONFIG, &checked), "|app: healthCheck keeps connections+health||other");
}

fn filter(name: &str, version: &str, priority: i32) -> Arc<FilterSpec> {
    let mut manifest = Manifest::default_for(name);
    manifest.priority = priority;
    let live = Err(Refusal::at(Gate::Present, "not compiled here"));
    let name = Arc::from(name);
    let containment = Containment::new(&name, &manifest, None);
    Arc::new(FilterSpec { name, version: version.into(), manifest, containment, live })
}

#[test]
fn filters_are_the_same_or_not() {
    let same = filter("same", "1", 0);
    let old = [same.clone(), filter("edited", "1", 0), filter("gone", "1", 0), filter("replaced", "1", 0)];
    let new = [same, filter("edited", "1", 9), filter("new", "1", 0), filter("replaced", "2", 0)];
    let changes = Changes::between(&snapshot(CONFIG, old.into()), &snapshot(CONFIG, new.into()));
    let expected = "new|edited: manifest keeps , replaced: module keeps |gone|same";
    assert_eq!(told(&changes.filters), expected);
}

#[test]
fn settings_of_the_whole_gateway_are_named() {
    assert_eq!(
        replaced("\nlisteners", "\ndrain: 7s\naccessLog: off\nlisteners").settings,
        ["drain", "accessLog"]
    );
}
