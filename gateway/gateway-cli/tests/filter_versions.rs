//! The commands for the versions of a filter, asked of a gateway that runs as a process of its own.

#![allow(clippy::unwrap_used, reason = "a test's helpers may panic like the test itself")]

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long a condition may take to come true.
const LIMIT: Duration = Duration::from_secs(10);

/// A filter that does nothing.
const MODULE: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 0))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0)))"#;

/// A running gateway with one filter, `app`; ends with the test.
struct Site {
    directory: TempDir,
    process: Child,
}

impl Site {
    fn start(admin: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("filters")).unwrap();
        fs::write(directory.path().join("filters/app.wasm"), wat::parse_str(MODULE).unwrap()).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "listeners: [{{bind: '127.0.0.1:0'}}]\nroutes: [{{respond: {{status: 200}}}}]\naccessLog: off\n\
             admin: {{bind: '127.0.0.1:{port}', {admin}}}\nfilters: {{directory: filters, state: state}}\n"
        );
        fs::write(directory.path().join("gateway.yaml"), config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
        command.arg("run").current_dir(directory.path()).stdout(Stdio::null()).stderr(Stdio::null());
        let site = Self { process: command.spawn().unwrap(), directory };
        site.eventually("a history", || site.run(&["history", "app"]).status.success());
        site
    }

    fn eventually(&self, what: &str, probe: impl Fn() -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !probe() {
            assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
            std::thread::yield_now();
        }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        run(self.directory.path(), arguments)
    }

    fn history(&self) -> Value {
        serde_json::from_slice(&self.run(&["history", "app", "-o", "json"]).stdout).unwrap()
    }

    fn signal(&self, name: &str) {
        let status =
            Command::new("kill").args(["-s", name, &self.process.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    fn manifest(&self, text: &str) {
        let before = self.history()["live"].clone();
        fs::write(self.directory.path().join("filters/app.yaml"), text).unwrap();
        self.eventually("the new version", || self.history()["live"] != before);
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    command.arg("filter").args(arguments).current_dir(directory).stdin(Stdio::null()).env_remove("RUST_LOG");
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn versions_are_listed_and_changed_with_the_token_of_the_configuration() {
    let site = Site::start("tokenFile: token");
    let first = site.history()["live"].as_str().unwrap().to_owned();
    site.manifest("config: 2");
    let second = site.history()["live"].as_str().unwrap().to_owned();
    let shown = text(&site.run(&["history", "app"]).stdout);
    let lines: Vec<_> = shown.lines().collect();
    assert!(lines[0].starts_with("VERSION"), "{shown}");
    assert!(lines[1].starts_with(&second) && lines[1].contains("live"), "{shown}");
    assert!(lines[2].starts_with(&first) && lines[2].contains(&format!("replaced by {second}")), "{shown}");
    let done = site.run(&["rollback", "app"]);
    assert_eq!(text(&done.stdout), format!("filter app is rolled back from {second} to {first}\n"));
    assert_eq!(site.history()["live"], first.as_str());
    let done = site.run(&["promote", "app", "-o", "json"]);
    let answer: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((&answer["filter"], &answer["versions"]["live"]), (&"app".into(), &second.as_str().into()));
    assert!(site.run(&["pin", "app.wasm", &first]).status.success());
    assert_eq!(site.history()["pinned"], first.as_str());
    assert!(site.run(&["unpin", "app"]).status.success());
    let wrong: [(&[&str], i32, &str); 8] = [
        (&["history", "ap"], 1, "there is no filter `ap`"),
        (&["rollback", "ap"], 1, "did you mean `app`"),
        (&["rollback", "app", "ffff"], 1, "no version `ffff` that is kept; there are "),
        (&["rollback", "app", "newest"], 1, "`newest` is not a version"),
        (&["promote", "app"], 1, "on trial"),
        (&["unpin", "app"], 1, "is not pinned"),
        (&["history", "../app"], 1, "is not the name of a filter"),
        (&["rollback"], 2, "<NAME>"),
    ];
    for (arguments, code, word) in wrong {
        let output = site.run(arguments);
        let error = text(&output.stderr);
        assert_eq!(
            (output.status.code(), error.contains(word)),
            (Some(code), true),
            "{arguments:?}: {error}"
        );
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
    }
    fs::write(site.directory.path().join("other"), "another-token-of-24-signs").unwrap();
    let output = site.run(&["rollback", "app", "--token-file", "other"]);
    assert!(text(&output.stderr).contains("that is not the token"), "{}", text(&output.stderr));
    let output = site.run(&["rollback", "app", "--token-file", "missing"]);
    assert!(text(&output.stderr).contains("missing"), "{}", text(&output.stderr));
}

#[test]
fn the_socket_is_asked_where_there_is_one() {
    let site = Site::start("socket: admin.sock");
    let elsewhere = tempfile::tempdir().unwrap();
    let socket = site.directory.path().join("admin.sock").display().to_string();
    let output = run(elsewhere.path(), &["pin", "app", "--admin", &socket]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(site.history()["pinned"].is_string());
    assert!(site.run(&["unpin", "app"]).status.success(), "the configuration names the socket");
}

#[test]
fn where_no_gateway_answers_it_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let output = run(directory.path(), &["history", "app", "--admin", &format!("127.0.0.1:{port}")]);
    let error = text(&output.stderr);
    assert_eq!(
        (output.status.code(), error.contains("no gateway answers at 127.0.0.1:")),
        (Some(1), true),
        "{error}"
    );
    let output = run(directory.path(), &["history", "app", "--admin", "somewhere"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    fs::write(directory.path().join("gateway.yaml"), "listeners: []").unwrap();
    let output = run(directory.path(), &["history", "app"]);
    assert!(text(&output.stderr).contains("`listeners` is empty"), "{}", text(&output.stderr));
}

#[test]
fn a_change_is_found_though_the_kernel_dropped_the_event() {
    let site = Site::start("tokenFile: token");
    let before = site.history()["live"].clone();
    let kept = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let filters = site.directory.path().join("filters");
    let module = filters.join("app.wasm");
    // Nobody reads events: those of what is only opened fill the queue, and the one that matters is dropped.
    site.signal("STOP");
    for _ in 0..=kept.trim().parse::<usize>().unwrap() / 2 {
        // By turns, since equal events that follow each other are one.
        fs::File::open(&filters).unwrap();
        fs::File::open(&module).unwrap();
    }
    fs::write(filters.join("app.yaml"), "config: 2").unwrap();
    site.signal("CONT");
    site.eventually("the new version", || site.history()["live"] != before);
}
