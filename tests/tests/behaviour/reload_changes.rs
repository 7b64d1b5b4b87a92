//! A reload touches what changed and nothing else, and says so: sockets, connections, what is known of endpoints, filters.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};

use gateway_tests::mortal::free_address;
use gateway_tests::{
    Answer, Authority, Caller, Client, Gate, Gateway, Http2Origin, Origin, Request, Switcher, TlsClient,
    eventually, eventually_some, noise, wasm,
};
use serde_json::{Value, json};

/// The newest reload of a cause, as the admin API shows it.
fn reload(gateway: &Gateway, cause: &str) -> Option<Value> {
    let all: Value = serde_json::from_slice(&gateway.admin_get("/reloads").body).expect("JSON");
    all["reloads"].as_array().expect("a list").iter().find(|reload| reload["cause"] == cause).cloned()
}

/// Changes the configuration; what the gateway says of it.
fn configure(gateway: &Gateway, config: &str) -> Value {
    let before = reload(gateway, "configuration");
    gateway.configure(config);
    eventually_some("the reload", || {
        reload(gateway, "configuration").filter(|now| Some(now) != before.as_ref())
    })
}

/// The same, for a configuration that is good; what changed.
fn changed(gateway: &Gateway, config: &str) -> Value {
    let reload = configure(gateway, config);
    assert_eq!((&reload["result"], &reload["error"]), (&json!("success"), &Value::Null), "{reload:#}");
    reload["changes"].clone()
}

fn kept(names: &[&str]) -> Value {
    json!({ "added": [], "changed": [], "removed": [], "kept": names })
}

fn one_changed(name: &str, what: &[&str], keeps: &[&str], kept: &[&str]) -> Value {
    let changed = json!([{ "name": name, "what": what, "keeps": keeps }]);
    json!({ "added": [], "changed": changed, "removed": [], "kept": kept })
}

/// The sockets that listen on a port, as the kernel numbers them.
fn listening(address: SocketAddr) -> BTreeSet<String> {
    let table = std::fs::read_to_string("/proc/self/net/tcp").expect("Linux");
    let end = format!(":{:04X}", address.port());
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let listening = rows.filter(|row| row.len() > 9 && row[1].ends_with(&end) && row[3] == "0A");
    listening.map(|row| row[9].to_owned()).collect()
}

#[test]
fn the_admin_api_says_what_changed_and_what_was_kept() {
    let origin = Origin::answering("ok");
    let config = |first: &str, second: &str| {
        format!(
            "routes:\n- {{name: one, hosts: [one.example], to: {first}}}\n- {{name: two, hosts: [two.example], to: a}}\n\
             upstreams: {{a: {{endpoints: ['{0}'], connectTimeout: {second}}}, b: '{0}'}}",
            origin.address()
        )
    };
    let gateway =
        Gateway::with(&config("a", "1s")).filter("stamp", &wasm::guest("stamp"), "config: v1").start();
    let start = reload(&gateway, "start").expect("the start");
    assert_eq!(start["changes"]["hosts"]["added"], json!(["one.example", "two.example"]));
    assert_eq!(reload(&gateway, "configuration"), None);

    let first = configure(&gateway, &config("b", "1s"));
    let expected = json!({
        "listeners": kept(&["web"]),
        "hosts": one_changed("one.example", &["one"], &[], &["two.example"]),
        "upstreams": kept(&["a", "b"]),
        "filters": kept(&["stamp"]),
        "certificates": kept(&[]),
        "settings": [],
    });
    assert_eq!(first["changes"], expected);
    assert!(first["durationMs"].as_f64().is_some_and(|took| took > 0.0 && took < 10_000.0), "{first:#}");
    assert!(first["time"].as_str().is_some_and(|time| time.len() == 24 && time.ends_with('Z')), "{first:#}");

    let changes = changed(&gateway, &config("b", "2s"));
    let expected = one_changed("a", &["connectTimeout"], &["connections", "health"], &["b"]);
    assert_eq!(
        (&changes["upstreams"], &changes["hosts"]),
        (&expected, &kept(&["one.example", "two.example"]))
    );

    let changes = changed(&gateway, &format!("drain: 9s\n# Moved by two lines.\n{}", config("b", "2s")));
    assert_eq!(changes["settings"], json!(["drain"]));
    assert_eq!(changes["hosts"], kept(&["one.example", "two.example"]), "though their lines moved");

    gateway.replace_manifest("stamp", "config: v2");
    let filters = eventually_some("the new manifest", || reload(&gateway, "filters"));
    assert_eq!(filters["changes"]["filters"], one_changed("stamp", &["manifest"], &[], &[]));
    let newest: Value = serde_json::from_slice(&gateway.admin_get("/reloads").body).expect("JSON");
    assert_eq!(newest["reloads"][0], filters, "the newest first");
    assert_eq!(newest["revision"], filters["revision"]);
}

#[test]
fn a_refused_configuration_is_shown_with_its_errors() {
    let gateway = Gateway::with("routes: [{respond: {status: 200, body: good}}]").start();
    let before = reload(&gateway, "start").expect("the start");
    let refused =
        configure(&gateway, "routes:\n- {hosts: [a.example], to: nowhere}\n- {respond: {status: 999}}");
    assert_eq!(
        (&refused["result"], &refused["changes"], &refused["revision"]),
        (&json!("failure"), &Value::Null, &before["revision"])
    );
    assert!(
        refused["error"]["message"].as_str().is_some_and(|text| text.contains("2 errors")),
        "{refused:#}"
    );
    let diagnostics = refused["error"]["diagnostics"].as_array().expect("a list");
    let places: Vec<_> =
        diagnostics.iter().map(|error| (error["line"].clone(), error["severity"].clone())).collect();
    assert_eq!(places, [(json!(2), json!("error")), (json!(3), json!("error"))], "{refused:#}");
    assert!(diagnostics[0]["message"].as_str().is_some_and(|text| text.contains("nowhere")), "{refused:#}");
    assert!(
        diagnostics[0]["file"].as_str().is_some_and(|file| file.ends_with("gateway.yaml")),
        "{refused:#}"
    );

    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound");
    let refused = configure(
        &gateway,
        &format!("listeners: [{{name: taken, bind: '{address}'}}]\nroutes: [{{respond: {{status: 200}}}}]"),
    );
    assert!(
        refused["error"]["message"]
            .as_str()
            .is_some_and(|text| text.starts_with("listener taken: cannot listen")),
        "{refused:#}"
    );
    let good = configure(&gateway, "routes: [{respond: {status: 200, body: better}}]");
    assert_eq!(good["error"], Value::Null);
    assert_eq!(gateway.get("/").text(), "better");
}

#[test]
fn a_listener_keeps_its_socket_as_long_as_its_address_stays() {
    let address = free_address();
    let config = |name: &str, address: SocketAddr, more: &str| {
        format!(
            "workers: 2\nlisteners: [{{name: {name}, bind: '{address}'{more}}}]\n\
             routes: [{{respond: {{status: 200}}, responseHeaders: {{set: {{x-listener: '%{{listener}}'}}}}}}]"
        )
    };
    let gateway = Gateway::with(&config("web", address, "")).start();
    let sockets = listening(address);
    assert_eq!(sockets.len(), 2, "one per worker");
    let mut client = Client::connect(address);
    let long = format!("/{}", "a".repeat(100));
    assert_eq!(client.get(&long).status, 200);

    let changes = changed(&gateway, &config("web", address, ", limits: {uri: 64B}"));
    assert_eq!(changes["listeners"], one_changed("web", &["limits"], &["socket"], &[]));
    assert_eq!(listening(address), sockets);
    assert_eq!(client.get(&long).status, 200, "a connection keeps the limits that it began with");
    assert_eq!(Request::get(&long).to(address).status, 414, "what changed is changed");

    // Another name is no other address; and connections that come meanwhile are all served.
    let changes = changed(&gateway, &config("main", address, ", limits: {uri: 64B}"));
    assert_eq!(changes["listeners"], one_changed("main", &["name"], &["socket"], &[]));
    assert_eq!(listening(address), sockets);
    assert_eq!(Request::get("/").to(address).header("x-listener"), Some("main"));
    assert_eq!((gateway.listener("web"), gateway.listener("main")), (None, Some(address)));
    assert_eq!(client.get("/").status, 200);

    let elsewhere = free_address();
    let changes = changed(&gateway, &config("main", elsewhere, ", limits: {uri: 64B}"));
    assert_eq!(changes["listeners"], one_changed("main", &["bind"], &[], &[]));
    assert_eq!(Request::get("/").to(elsewhere).status, 200);
    eventually("the old address closed", || listening(address).is_empty());
}

#[test]
fn connections_to_an_upstream_are_used_on_unless_its_own_terms_change() {
    let (origin, other) = (Origin::answering("ok"), Origin::answering("other"));
    let config = |settings: &str, other: &Origin, body: &str| {
        format!(
            "routes: [{{match: {{path: {{exact: /own}}}}, respond: {{status: 200, body: {body}}}}}, {{to: up}}]\n\
             upstreams: {{up: {{endpoints: ['{}']{settings}}}, other: '{}'}}",
            origin.address(),
            other.address()
        )
    };
    let gateway = Gateway::with(&config("", &other, "a")).start();
    assert_eq!(gateway.get("/").text(), "ok");
    let elsewhere = Origin::answering("elsewhere");
    for (text, keeps) in [
        (config("", &other, "b"), json!([])),
        (config("", &elsewhere, "b"), json!([])),
        (config(", connectTimeout: 2s", &elsewhere, "b"), json!(["connections", "health"])),
        (config(", limits: {requests: 100}", &elsewhere, "b"), json!(["connections", "health"])),
    ] {
        let changes = changed(&gateway, &text);
        let up =
            changes["upstreams"]["changed"].as_array().expect("a list").iter().find(|up| up["name"] == "up");
        assert_eq!(up.map_or(json!([]), |up| up["keeps"].clone()), keeps, "{changes:#}");
        assert_eq!(gateway.get("/").text(), "ok");
        assert_eq!(origin.connections(), 1, "{changes:#}");
    }
    // Connections must be counted now, and the old one was not.
    let changes = changed(&gateway, &config(", limits: {connections: 100}", &elsewhere, "b"));
    assert_eq!(changes["upstreams"], one_changed("up", &["limits"], &["health"], &["other"]));
    assert_eq!(gateway.get("/").text(), "ok");
    assert_eq!(origin.connections(), 2);
}

/// Says in `x-count` which response of its virtual machine this is, from 1 to 9.
fn counting() -> Vec<u8> {
    wasm::small(
        r#"(import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))"#,
        r#"(data (i32.const 16) "x-count") (data (i32.const 32) "0")
           (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
             (i32.store8 (i32.const 32) (i32.add (i32.load8_u (i32.const 32)) (i32.const 1)))
             (drop (call $add (i32.const 2) (i32.const 16) (i32.const 7) (i32.const 32) (i32.const 1)))
             (i32.const 0))"#,
    )
}

#[test]
fn a_filter_goes_on_in_its_memory_unless_it_changed_itself() {
    let origin = Origin::answering("ok");
    let config = |header: &str| {
        format!(
            "routes: [{{to: up, responseHeaders: {{set: {{x-route: {header}}}}}}}]\nupstreams: {{up: '{}'}}",
            origin.address()
        )
    };
    let stamp = wasm::guest("stamp");
    let gateway = Gateway::with(&config("a"))
        .filter("count", &counting(), "")
        .filter("stamp", &stamp, "config: v1")
        .start();
    let count = || gateway.get("/").header("x-count").map(str::to_owned);
    assert_eq!([count(), count()].map(Option::unwrap), ["1", "2"]);
    changed(&gateway, &config("b"));
    assert_eq!(count().unwrap(), "3", "after a change of routes");
    gateway.replace_manifest("stamp", "config: v2");
    eventually("the other filter's change", || reload(&gateway, "filters").is_some());
    assert_eq!(count().unwrap(), "4", "after a change of another filter");
    let before = reload(&gateway, "filters");
    gateway.replace_module("count", &wasm::annotated(&counting(), "the next version"));
    let now = eventually_some("its own change", || {
        reload(&gateway, "filters").filter(|now| Some(now) != before.as_ref())
    });
    assert_eq!(now["changes"]["filters"], one_changed("count", &["module"], &[], &["stamp"]));
    assert_eq!(count().unwrap(), "1");
}

#[test]
fn a_certificate_that_changed_is_named_and_the_others_stay() {
    let authority = Authority::new("test");
    let (a, b) = (authority.issue(&["a.example"]), authority.issue(&["b.example"]));
    let gateway = Gateway::with(
        "listeners:
  - name: web
    bind: '127.0.0.1:0'
    tls: {certificates: [{cert: a.pem, key: a.key}, {cert: b.pem, key: b.key}]}
routes: [{respond: {status: 200, body: hello}}]",
    )
    .certificate("a", &a)
    .certificate("b", &b)
    .start();
    let client = TlsClient::trusting(&authority);
    let tunnel = client.connect(gateway.address(), "a.example").expect("a handshake");
    let mut open = tunnel.client();
    let sockets = listening(gateway.address());
    gateway.replace_certificate("b", &authority.issue(&["b.example"]));
    let reload = eventually_some("the new certificate", || reload(&gateway, "certificates"));
    let path = |name: &str| gateway.directory().join(name).display().to_string();
    let (a_path, b_path) = (path("a.pem"), path("b.pem"));
    assert_eq!(reload["changes"]["certificates"], one_changed(&b_path, &["content"], &[], &[&a_path]));
    assert_eq!(reload["changes"]["listeners"], kept(&["web"]));
    assert!(client.connect(gateway.address(), "a.example").is_ok_and(|tunnel| tunnel.was_shown(&a)));
    assert!(client.connect(gateway.address(), "b.example").is_ok_and(|tunnel| !tunnel.was_shown(&b)));
    assert_eq!(open.send(&Request::get("/").host("a.example")).status, 200);
    assert_eq!(listening(gateway.address()), sockets);
}

#[test]
fn what_is_under_way_survives_changes_of_everything_else() {
    let gate = Gate::closed();
    let held = gate.clone();
    let slow = Origin::start(move |_| Answer::text("at last").behind(&held));
    let (chat, calls, quick) = (Switcher::echoing(), Http2Origin::start(), Origin::answering("ok"));
    let address = free_address();
    let own = "- {match: {path: {exact: /chat}}, to: chat, upgrades: [websocket]}
- {match: {path: {exact: /poll}}, to: slow, timeout: 60s}
- {match: {path: {exact: /echo}}, to: calls, timeout: 60s}
";
    let upstreams = format!(
        "chat: '{}', slow: '{}', calls: {{endpoints: ['{}'], protocol: http2}}",
        chat.address(),
        slow.address(),
        calls.address()
    );
    let config = |listeners: &str, route: &str, upstream: &str, rest: &str| {
        format!(
            "workers: 2\nlisteners: [{{name: web, bind: '{address}'}}{listeners}]\nroutes:\n{own}{route}\n\
             upstreams: {{{upstreams}, quick: {upstream}}}\n{rest}"
        )
    };
    let (plain, moved) =
        (format!("'{}'", quick.address()), format!("{{endpoints: ['{}'], idle: 9s}}", quick.address()));
    let stamp = wasm::guest("stamp");
    let gateway = Gateway::with(&config("", "- {to: quick}", &plain, ""))
        .filter("stamp", &stamp, "config: v1\nmatch: {hosts: [other.example]}")
        .start();

    let mut chats: Vec<_> = (0..4).map(|_| Client::connect(address)).collect();
    for client in &mut chats {
        client.write(Switcher::HANDSHAKE);
        assert_eq!(client.read_head().0, 101);
    }
    let mut poll = Client::connect(address);
    poll.write(Request::get("/poll").bytes());
    slow.await_requests(1);
    let caller = Caller::connect(address);
    let mut call = caller.begin("/echo", &[]);
    assert_eq!(call.head().expect("a head").0, 200);
    let sockets = listening(address);

    let more = ", {name: more, bind: '127.0.0.1:0'}";
    for (round, text) in [
        config("", "- {to: quick, timeout: 7s}", &plain, ""),
        config("", "- {to: quick, timeout: 7s}", &moved, ""),
        config(more, "- {to: quick, timeout: 7s}", &moved, ""),
        config("", "- {respond: {status: 204}}", &moved, "drain: 3s\naccessLog: off"),
    ]
    .iter()
    .enumerate()
    {
        changed(&gateway, text);
        gateway
            .replace_manifest("stamp", &format!("config: round-{round}\nmatch: {{hosts: [other.example]}}"));
        let revision = |cause| reload(&gateway, cause).and_then(|reload| reload["revision"].as_u64());
        eventually("the filter's change", || revision("filters") > revision("configuration"));
        let sent = noise(10_000);
        for client in &mut chats {
            client.write(&sent);
            assert_eq!(client.read_bytes(sent.len()), sent);
        }
        call.send("again");
        assert_eq!(call.receive().expect("no reset").as_deref(), Some("again"));
    }
    gate.open();
    assert_eq!(poll.read("GET").text(), "at last");
    assert_eq!(Request::get("/").to(address).status, 204, "what changed is changed");
    assert_eq!((chat.heads().len(), calls.connections(), calls.resets()), (4, 1, vec![]));
    assert_eq!((slow.connections(), slow.received().len()), (1, 1));
    assert_eq!(listening(address), sockets);
}
