//! `gateway filter list` and `inspect` against a gateway that runs, and what the log says of a filter that fails.

#![allow(clippy::unwrap_used, reason = "a test's helpers may panic like the test itself")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use serde_json::Value;

/// Says why and traps when a request has more than three lines of headers, pseudo-headers counted.
const FAILS: &str = r#"(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "panicked at src/lib.rs:7:5: boom")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 1024))
  (func $_ZN9my_filter5check17h0123456789abcdefE
    (drop (call $log (i32.const 5) (i32.const 16) (i32.const 32)))
    unreachable)
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (call $_ZN9my_filter5check17h0123456789abcdefE)
    (i32.const 0)))"#;

fn filter(arguments: &[&str], directory: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    command.env_remove("RUST_LOG").stdin(Stdio::null()).current_dir(directory);
    command.arg("filter").args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn succeeds(arguments: &[&str], directory: &Path) -> String {
    let output = filter(arguments, directory);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn fails(arguments: &[&str], directory: &Path) -> String {
    let output = filter(arguments, directory);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", text(&output.stdout));
    assert_eq!(text(&output.stdout), "", "{arguments:?}");
    text(&output.stderr)
}

/// A gateway with one filter, which fails.
struct Serving {
    child: Child,
    stderr: BufReader<ChildStderr>,
    listener: SocketAddr,
    admin: SocketAddr,
}

impl Serving {
    fn start(directory: &Path) -> Self {
        fs::create_dir(directory.join("filters")).unwrap();
        fs::write(directory.join("filters/fails.yaml"), "rehearsal: false").unwrap();
        fs::write(directory.join("filters/fails.wasm"), wat::parse_str(FAILS).unwrap()).unwrap();
        let arguments = [
            "run",
            "--to",
            "127.0.0.1:9",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--filters",
            "filters",
        ];
        let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
        command.env_remove("RUST_LOG").env("NO_COLOR", "1").args(arguments).current_dir(directory);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut serving = Self { child, stderr, listener: nowhere, admin: nowhere };
        let address = |line: &str| {
            line.split("http://").nth(1).unwrap().split(' ').next().unwrap().trim().parse().unwrap()
        };
        serving.listener = address(&serving.line("listening http://"));
        serving.admin = address(&serving.line("admin "));
        serving
    }

    /// The next line of standard error with this in it.
    fn line(&mut self, part: &str) -> String {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            assert!(self.stderr.read_line(&mut line).unwrap() > 0, "no {part:?}; the gateway ended: {seen}");
            if line.contains(part) {
                return line;
            }
            seen += &line;
        }
    }

    fn get(&self) -> String {
        let mut client = TcpStream::connect(self.listener).unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").unwrap();
        let mut response = String::new();
        client.read_to_string(&mut response).unwrap();
        response
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_failure_is_one_line_of_the_log_and_a_page() {
    let directory = tempfile::tempdir().unwrap();
    let mut serving = Serving::start(directory.path());
    let response = serving.get();
    assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
    let line = serving.line("filter failed");
    for part in [
        "filter failed in proxy_on_request_headers: wasm trap: wasm `unreachable` instruction executed",
        "; it said: panicked at src/lib.rs:7:5: boom",
        "; at my_filter::check (at 0x",
        "; host calls before: proxy_log",
        "filter=fails",
        "reason=\"unreachable\"",
        "request_id=\"",
    ] {
        assert!(line.contains(part), "{part:?} is not in {line}");
    }

    let admin = serving.admin.to_string();
    let list = succeeds(&["list", "--admin", &admin], directory.path());
    let row: Vec<_> = list.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!((row[0], row[2], row[3], row[4]), ("fails", "live", "none", "closed"), "{list}");
    let list: Value =
        serde_json::from_str(&succeeds(&["list", "--admin", &admin, "-o", "json"], directory.path()))
            .unwrap();
    assert_eq!((&list["filters"][0]["name"], &list["filters"][0]["traps"]), (&"fails".into(), &1.into()));

    let page = succeeds(&["inspect", "fails", "--admin", &admin], directory.path());
    for part in [
        "\n  failures  unreachable 1\n",
        "\n  it said: panicked at",
        "\n  at my_filter::check (at 0x",
        "REQUEST",
    ] {
        let found = page.to_lowercase().contains(&part.to_lowercase());
        assert!(found, "{part:?} is not in\n{page}");
    }
    let page: Value = serde_json::from_str(&succeeds(
        &["inspect", "fails", "--admin", &admin, "-o", "json"],
        directory.path(),
    ))
    .unwrap();
    assert_eq!(page["lastTraps"][0]["stack"][0]["function"], "my_filter::check");

    let unknown = fails(&["inspect", "fial", "--admin", &admin], directory.path());
    assert!(unknown.contains("there is no filter `fial`; there are: `fails`"), "{unknown}");
}

/// What a configuration has to have.
const REST: &str = "listeners: [{name: web, bind: '127.0.0.1:0'}]\nroutes: [{respond: {status: 404}}]\n";

#[test]
fn the_configuration_says_where_the_gateway_is() {
    let directory = tempfile::tempdir().unwrap();
    let serving = Serving::start(directory.path());
    fs::write(directory.path().join("gateway.yaml"), format!("admin: {{bind: '{}'}}\n{REST}", serving.admin))
        .unwrap();
    assert!(succeeds(&["list"], directory.path()).contains("fails"));
    fs::write(directory.path().join("off.yaml"), format!("admin: off\n{REST}")).unwrap();
    let off = fails(&["list", "-c", "off.yaml"], directory.path());
    assert!(off.contains("the admin interface is off in off.yaml"), "{off}");
}

#[test]
fn a_gateway_that_is_not_there_or_is_none_is_said_so() {
    let directory = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let stranger = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"SSH-2.0-none\r\n\r\n").unwrap();
        // Closed while unread bytes wait, it would be reset.
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let none = fails(&["list", "--admin", &address], directory.path());
    assert!(none.contains("none of a gateway's admin interface"), "{none}");
    stranger.join().unwrap();
    let gone = fails(&["list", "--admin", &address], directory.path());
    assert!(gone.contains(&format!("no gateway answers at {address}")) && gone.contains("= help:"), "{gone}");
    assert_eq!(filter(&["list", "--admin", "nowhere"], directory.path()).status.code(), Some(2));
    assert_eq!(filter(&["inspect"], directory.path()).status.code(), Some(2));
    let illegal = fails(&["inspect", "a b?c"], directory.path());
    assert!(illegal.contains("is not the name of a filter"), "{illegal}");
}

#[test]
fn inspect_of_a_file_asks_no_gateway() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("fails.wasm"), wat::parse_str(FAILS).unwrap()).unwrap();
    let facts = succeeds(&["inspect", "fails.wasm"], directory.path());
    assert!(
        facts.contains("ABI          0.2.1\n") && facts.contains("imports      env.proxy_log\n"),
        "{facts}"
    );
    let facts: Value =
        serde_json::from_str(&succeeds(&["inspect", "fails.wasm", "-o", "json"], directory.path())).unwrap();
    assert_eq!(facts["imports"][0], "env.proxy_log");
    assert!(fails(&["inspect", "missing.wasm"], directory.path()).contains("cannot read missing.wasm"));
    fs::write(directory.path().join("text.wasm"), "(module)").unwrap();
    let unusable = fails(&["inspect", "text.wasm"], directory.path());
    assert!(unusable.contains("text.wasm is no module that the gateway would load"), "{unusable}");
}
