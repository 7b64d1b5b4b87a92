//! The configuration file changes while the gateway serves.

use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use gateway_server::{ConfigSource, Options};
use gateway_tests::{Answer, Client, Gate, Gateway, Origin, Request, eventually};

/// From the change of a file to its effect.
const MAX_DELAY: Duration = Duration::from_secs(2);

const LISTENERS: &str = "admin: {bind: '127.0.0.1:0'}\nlisteners: [{name: web, bind: '127.0.0.1:0'}]\n";

fn answering(body: &str) -> String {
    format!("routes: [{{respond: {{status: 200, body: {body}}}}}]")
}

fn await_answer(gateway: &Gateway, body: &str) -> Instant {
    eventually(&format!("the answer {body}"), || gateway.get("/").text() == body);
    Instant::now()
}

fn reloads(gateway: &Gateway, result: &str) -> f64 {
    gateway.metrics().sum("gateway_config_reloads_total", &[("result", result)])
}

#[test]
fn an_edit_takes_effect_while_connections_stay_open() {
    let gateway = Gateway::with(&answering("old")).start();
    let mut client = gateway.connect();
    assert_eq!(client.get("/").text(), "old");
    let changed = gateway.configure(&answering("new"));
    let seen = await_answer(&gateway, "new");
    assert!(seen - changed < MAX_DELAY, "{:?}", seen - changed);
    assert_eq!(client.get("/").text(), "new", "over the old connection");
    eventually("a success counted", || reloads(&gateway, "success") >= 1.0);
}

#[test]
fn a_broken_file_changes_nothing_and_is_counted() {
    let gateway = Gateway::with(&answering("good")).start();
    for broken in ["routes: [", "no: such\nfields: here", "routes: [{to: nowhere}]", "\u{0}", ""] {
        let before = reloads(&gateway, "failure");
        gateway.configure(broken);
        eventually(&format!("the refusal of {broken:?}"), || reloads(&gateway, "failure") > before);
        assert_eq!(gateway.get("/").text(), "good", "{broken:?}");
    }
    gateway.configure(&answering("better"));
    await_answer(&gateway, "better");
}

/// Opening a FIFO waits for a writer; a gateway that did would hear of no change any more, and of no signal.
#[test]
fn a_pipe_in_the_place_of_the_file_changes_nothing_and_blocks_nothing() {
    let directory = tempfile::tempdir().expect("a folder");
    let path = directory.path().join("gateway.yaml");
    let text = |body: &str| format!("{LISTENERS}accessLog: off\n{}", answering(body));
    std::fs::write(&path, text("old")).expect("written");
    let options = Options { workers: Some(1), ..Options::new(ConfigSource::File(path.clone())) };
    let running = gateway_server::start(options.clone()).expect("a start");
    let ask = |target: &str, address| Request::get(target).to(address).text();
    let (web, admin) = (running.listeners()[0].address, running.admin().expect("an admin listener"));

    std::fs::remove_file(&path).expect("removed");
    assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo").success());
    running.reload();
    eventually("the refusal", || ask("/metrics", admin).contains("result=\"failure\""));
    assert_eq!(ask("/", web), "old");
    let error = gateway_server::start(options).expect_err("a pipe is no configuration").to_string();
    assert!(error.contains("not a regular file"), "{error}");

    std::fs::remove_file(&path).expect("removed");
    std::fs::write(&path, text("new")).expect("written");
    eventually("the new answer", || ask("/", web) == "new");
}

#[test]
fn an_access_log_that_cannot_be_opened_is_named() {
    let directory = tempfile::tempdir().expect("a folder");
    let path = directory.path().join("gateway.yaml");
    let text = format!("{LISTENERS}accessLog: {{to: no/such/folder/access.log}}\n{}", answering("x"));
    std::fs::write(&path, text).expect("written");
    let options = Options { workers: Some(1), ..Options::new(ConfigSource::File(path)) };
    let error = gateway_server::start(options).expect_err("no log").to_string();
    let log = directory.path().join("no/such/folder/access.log");
    assert!(error.starts_with(&format!("the access log {} cannot be opened: ", log.display())), "{error}");
}

#[test]
fn a_request_under_way_keeps_the_configuration_it_began_with() {
    let gate = Gate::closed();
    let origin = {
        let gate = gate.clone();
        Origin::start(move |request| match request.target.as_str() {
            "/slow" => Answer::text("slow").behind(&gate),
            _ => Answer::text("quick"),
        })
    };
    let gateway = Gateway::with(
        "routes: [{to: origin, responseHeaders: {set: {x-config: old}}}]\nupstreams: {origin: 'ORIGIN'}",
    )
    .set("ORIGIN", origin.address())
    .start();
    let mut waiting = gateway.connect();
    waiting.write(Request::get("/slow").bytes());
    origin.await_requests(1);
    gateway.configure(&answering("new"));
    await_answer(&gateway, "new");
    gate.open();
    let response = waiting.read("GET");
    assert_eq!((response.text().as_str(), response.header("x-config")), ("slow", Some("old")));
}

#[test]
fn listeners_come_and_go() {
    let two = "listeners: [{name: web, bind: '127.0.0.1:0'}, {name: more, bind: '127.0.0.1:0'}]\n";
    let gateway = Gateway::with(&answering("one")).start();
    let first = gateway.address();
    gateway.configure(&format!("{two}{}", answering("two")));
    eventually("a second listener", || gateway.listener("more").is_some());
    let second = gateway.listener("more").expect("a second listener");
    assert_eq!(Request::get("/").to(second).text(), "two");
    assert_eq!(gateway.listener("web"), Some(first), "the first one stays as it is");

    let mut kept = Client::connect(second);
    assert_eq!(kept.get("/").text(), "two");
    gateway.configure(&answering("one again"));
    eventually("the second listener gone", || Client::try_connect(second).is_err());
    assert_eq!(gateway.listener("more"), None);
    assert_eq!(Request::get("/").to(first).text(), "one again");
}

#[test]
fn a_port_in_use_keeps_what_runs() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("bound").port();
    let gateway = Gateway::with(&answering("old")).start();
    let with_taken = format!(
        "listeners: [{{name: web, bind: '127.0.0.1:0'}}, {{name: taken, bind: '127.0.0.1:{port}'}}]\n{}",
        answering("new")
    );
    gateway.configure(&with_taken);
    eventually("the refusal", || reloads(&gateway, "failure") >= 1.0);
    assert_eq!(gateway.get("/").text(), "old");
    assert_eq!(gateway.listener("taken"), None);
    drop(taken);
    gateway.configure(&format!("{with_taken}\n# again"));
    await_answer(&gateway, "new");
    assert!(gateway.listener("taken").is_some());
}

#[test]
fn a_gateway_with_a_wrong_configuration_does_not_start() {
    let directory = tempfile::tempdir().expect("a folder");
    for (text, expected) in [("listeners: [", "bad.yaml"), ("rouets: []", "routes")] {
        let path = directory.path().join("bad.yaml");
        std::fs::write(&path, text).expect("written");
        let source = ConfigSource::File(path);
        let error = gateway_server::start(Options { workers: Some(1), ..Options::new(source) })
            .err()
            .unwrap_or_else(|| panic!("{text:?} started"));
        assert!(error.to_string().contains(expected), "{error}");
    }
}
