//! The built binary as a person uses it: what it writes, where, and with which exit code.

#![allow(clippy::unwrap_used, reason = "a test's helpers may panic like the test itself")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long a condition may take to come true.
const LIMIT: Duration = Duration::from_secs(10);

fn gateway() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

fn run(arguments: &[&str], directory: &Path) -> Output {
    gateway().args(arguments).current_dir(directory).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_wrong_command_line_exits_with_2_and_help_lists_the_codes() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [
        &["frobnicate"][..],
        &[],
        &["run", "--to", "http://localhost:1"],
        &["run", "--listen", "127.0.0.1:0"],
        &["run", "-c", "a.yaml", "--to", "localhost:1"],
        &["run", "--workers", "0"],
        &["filter", "build"],
    ] {
        let output = run(arguments, directory.path());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{arguments:?}");
    }
    for (slip, meant) in [(&["vaildate"][..], "'validate'"), (&["run", "--confg", "x"], "'--config'")] {
        let output = run(slip, directory.path());
        assert!(stderr(&output).contains(meant), "{slip:?}: {}", stderr(&output));
    }
    let help = run(&["--help"], directory.path());
    assert_eq!(help.status.code(), Some(0));
    assert!(stdout(&help).contains("Exit codes:"), "{}", stdout(&help));
}

#[test]
fn init_writes_a_configuration_that_validates_and_refuses_to_overwrite() {
    let directory = tempfile::tempdir().unwrap();
    let written = run(&["init", "site"], directory.path());
    assert_eq!(written.status.code(), Some(0), "{}", stderr(&written));
    assert!(stdout(&written).contains("wrote site/gateway.yaml\n"), "{}", stdout(&written));

    let valid = run(&["validate", "-c", "site/gateway.yaml"], directory.path());
    assert_eq!(valid.status.code(), Some(0), "{}", stderr(&valid));
    assert!(stdout(&valid).starts_with("site/gateway.yaml is valid: "), "{}", stdout(&valid));

    let refused = run(&["init", "site"], directory.path());
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("there already; nothing was written"), "{}", stderr(&refused));
}

#[test]
fn validate_reports_every_error_as_text_or_as_json() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(
        directory.path().join("gateway.yaml"),
        "listeners: [{name: web, bind: nowhere}]\nroutes: [{respond: {status: 99}}]\nroutez: []\n",
    )
    .unwrap();
    let text = run(&["validate"], directory.path());
    assert_eq!(text.status.code(), Some(1));
    assert_eq!(stdout(&text), "");
    for place in ["gateway.yaml:1:", "gateway.yaml:2:", "gateway.yaml:3:1"] {
        assert!(stderr(&text).contains(place), "{place} is missing in {}", stderr(&text));
    }

    let json = run(&["validate", "-o", "json"], directory.path());
    assert_eq!(json.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_str(&stdout(&json)).unwrap();
    assert_eq!(report["valid"], false);
    assert!(report["errors"].as_array().unwrap().len() >= 3, "{report:#}");
}

#[test]
fn explain_names_the_winner_what_it_beat_and_where_every_timeout_comes_from() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("filters")).unwrap();
    for (name, manifest) in
        [("late", "priority: -1"), ("early", "phase: authn"), ("other", "match: {routes: [root]}")]
    {
        fs::write(directory.path().join(format!("filters/{name}.wasm")), "").unwrap();
        fs::write(directory.path().join(format!("filters/{name}.yaml")), manifest).unwrap();
    }
    fs::write(
        directory.path().join("gateway.yaml"),
        "listeners: [{name: web, bind: 127.0.0.1:8080}]
filters: {directory: filters}
upstreams: {cart: {endpoints: 127.0.0.1:9000, connectTimeout: 2s}}
routes:
  - {name: root, respond: {status: 404}}
  - {name: post, match: {path: {prefix: /cart}, method: POST}, to: cart}
  - {name: cart, hosts: [shop.test], match: {path: {prefix: /cart}}, to: cart, timeout: 3s, upgrades: [websocket], upgradeIdleTimeout: 1h, rewrite: {path: {prefix: /v2}}}
  - {name: beta, hosts: [shop.test], match: {path: {prefix: /cart}, headers: {x-beta: '1'}}, to: cart}
  - {name: elsewhere, hosts: [other.test], to: cart}
",
    )
    .unwrap();
    let text = run(&["explain", "GET", "http://Shop.test:8080/cart/7?x=1"], directory.path());
    assert_eq!(text.status.code(), Some(0), "{}", stderr(&text));
    let shown = stdout(&text);
    for line in [
        "route     cart (gateway.yaml:7:5)",
        "upstream  cart (weight 1)",
        "rewritten Shop.test:8080/v2/7?x=1",
        "filters   early, late",
        "forwards, and changes to websocket if asked",
        "timeout   route cart timeout: 3s (gateway.yaml:7:",
        "timeout   route cart upgradeIdleTimeout: 3600s (gateway.yaml:7:",
        "timeout   upstream cart connectTimeout: 2s (gateway.yaml:3:",
        "timeout   listener web idle: 60s (default)",
        "does not match: header x-beta is not `1`",
        "does not match: the method is not POST",
        "matches too: host shop.test goes before every host",
        "1 more with another host or path",
    ] {
        assert!(shown.contains(line), "{line} is missing in\n{shown}");
    }

    let beta = ["explain", "GET", "http://shop.test/cart", "-H", "X-Beta: 1", "-o", "json"];
    let json: serde_json::Value = serde_json::from_str(&stdout(&run(&beta, directory.path()))).unwrap();
    assert_eq!(json["outcome"]["route"], "beta");
    assert_eq!(json["candidates"][1]["reason"], "it asks for more headers");
    let none = run(&["explain", "GET", "/cart"], directory.path());
    assert_eq!(none.status.code(), Some(1));
    assert!(stderr(&none).contains("is not an absolute URL"), "{}", stderr(&none));
}

#[test]
fn explain_says_what_is_spoken_and_sees_the_scheme_of_the_listener() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(
        directory.path().join("gateway.yaml"),
        "listeners:
  - {name: web, bind: 127.0.0.1:8080}
  - name: secure
    bind: 127.0.0.1:8443
    tls: {certificates: [{cert: a.pem, key: a.key}]}
  - name: members
    bind: 127.0.0.1:9443
    tls: {certificates: [{cert: a.pem, key: a.key}], clientCa: ca.pem}
upstreams: {cart: {endpoints: 127.0.0.1:9000, tls: {sni: cart.test}}}
routes:
  - {name: old, match: {path: {prefix: /old}}, redirect: {path: {prefix: /new}}}
  - {name: cart, to: cart}
",
    )
    .unwrap();
    let explain = |arguments: &[&str]| run(&[&["explain", "GET"], arguments].concat(), directory.path());
    for (arguments, expected) in [
        (
            &["https://shop.test/old"][..],
            &[
                "GET https://shop.test/old on listener secure (TLS)\n",
                "redirects with 302 to https://shop.test/new\n",
                "timeout   listener secure TLS handshake: 5s (default)\n",
            ][..],
        ),
        (
            &["https://shop.test:9443/old"],
            &["on listener members (TLS, client certificate required)\n", " to https://shop.test:9443/new\n"],
        ),
        (&["http://shop.test/old"], &["on listener web (plain text)\n", " to http://shop.test/new\n"]),
        (
            &["https://shop.test/old", "--listener", "web"],
            &["on listener web (plain text)\n", " to http://shop.test/new\n"],
        ),
        (&["http://shop.test/"], &["upstream  cart (weight 1, TLS)\n"]),
    ] {
        let output = explain(arguments);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        for line in expected {
            let shown = stdout(&output);
            assert!(shown.contains(line), "{line} is missing in\n{shown}");
        }
    }
    assert!(!stdout(&explain(&["http://shop.test/"])).contains("handshake"));
    let json = stdout(&explain(&["https://shop.test:9443/", "-o", "json"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["tls"], &json["clientCertificate"]), (&true.into(), &"required".into()));
    assert_eq!(json["outcome"]["upstreams"][0]["tls"], true);
    let plain = explain(&["http://shop.test:8443/"]);
    assert_eq!(plain.status.code(), Some(1));
    assert!(stderr(&plain).contains("listener secure speaks TLS"), "{}", stderr(&plain));
}

#[test]
fn both_schemas_are_json_schemas() {
    let directory = tempfile::tempdir().unwrap();
    for (arguments, field) in [(&["schema"][..], "listeners"), (&["schema", "--manifest"], "onFailure")] {
        let output = run(arguments, directory.path());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let schema: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert!(schema["properties"][field].is_object(), "{field} is missing in {schema:#}");
    }
}

#[test]
fn run_without_a_configuration_says_what_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let output = run(&["run"], directory.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("gateway.yaml"), "{}", stderr(&output));
}

#[test]
fn run_on_a_port_that_is_taken_names_it() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output =
        run(&["run", "--to", "127.0.0.1:9", "--listen", &address, "--admin", "off"], directory.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&address), "{}", stderr(&output));
}

#[test]
fn run_to_an_address_forwards_and_drains_on_sigterm() {
    let directory = tempfile::tempdir().unwrap();
    let origin = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut serving = Serving::start(&origin, directory.path());

    let mut client = TcpStream::connect(serving.address).unwrap();
    client.write_all(b"GET /x HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").unwrap();
    let (mut upstream, _) = origin.accept().unwrap();
    let mut request = String::new();
    let mut reader = BufReader::new(upstream.try_clone().unwrap());
    while !request.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut request).unwrap() > 0, "{request}");
    }
    assert!(request.starts_with("GET /x HTTP/1.1\r\n"), "{request}");

    // The request is in flight when the order to stop arrives, and is finished nevertheless.
    serving.signal("TERM");
    upstream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").unwrap();
    let mut response = String::new();
    client.read_to_string(&mut response).unwrap();
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n") && response.ends_with("hi"), "{response}");
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_second_signal_ends_the_drain_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let origin = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut serving = Serving::start(&origin, directory.path());
    let mut client = TcpStream::connect(serving.address).unwrap();
    client.write_all(b"GET /never-answered HTTP/1.1\r\nhost: h\r\n\r\n").unwrap();
    let _in_flight = origin.accept().unwrap();

    serving.signal("TERM");
    serving.wait_until_refusing();
    serving.signal("INT");
    assert_eq!(serving.child.wait().unwrap().code(), Some(1));
}

#[test]
fn the_demo_checks_itself_away_from_the_source_tree() {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("gateway");
    // A link where that works: a process that another test starts meanwhile may hold a file that is being written open,
    // and such a file cannot be run.
    let binary = env!("CARGO_BIN_EXE_gateway");
    fs::hard_link(binary, &copy).or_else(|_| fs::copy(binary, &copy).map(|_| ())).unwrap();
    let output = Command::new(&copy)
        .args(["demo", "--check"])
        .current_dir(directory.path())
        .env_clear()
        .env("TMPDIR", directory.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    let lines: Vec<String> = stdout(&output).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 6, "{lines:?}");
    for (index, line) in lines.iter().enumerate() {
        assert!(line.starts_with(&format!("ok {}/6 ", index + 1)), "{line}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "the scratch directory is removed");
}

#[test]
fn filter_build_refuses_a_directory_without_a_crate() {
    let directory = tempfile::tempdir().unwrap();
    let output = run(&["filter", "build", "."], directory.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("error: no Cargo.toml in "), "{}", stderr(&output));
}

/// Nothing can be written to `/dev/full`: neither log nor messages may change how a command ends.
#[test]
fn a_standard_error_that_is_full_changes_no_exit_code() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("gateway.yaml"), "listeners: nowhere\n").unwrap();
    for (arguments, code) in [
        (&["validate"][..], 1),
        (&["run"], 1),
        (&["frobnicate"], 2),
        (&["demo", "--check", "--log-level", "trace"], 0),
    ] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = gateway().args(arguments).current_dir(directory.path()).stderr(full).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stdout(&output));
    }
}

/// A gateway that serves until the test ends.
struct Serving {
    child: Child,
    address: SocketAddr,
    stderr: BufReader<ChildStderr>,
}

impl Serving {
    /// Serves on a free port and forwards everything to `origin`.
    fn start(origin: &TcpListener, directory: &Path) -> Self {
        let to = origin.local_addr().unwrap().to_string();
        let mut child = gateway()
            .args(["run", "--to", &to, "--listen", "127.0.0.1:0", "--admin", "off", "--log-level", "error"])
            .current_dir(directory)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut serving = Self { child, address: SocketAddr::from(([0, 0, 0, 0], 0)), stderr };
        serving.address = serving.announced();
        serving
    }

    fn announced(&mut self) -> SocketAddr {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            assert!(self.stderr.read_line(&mut line).unwrap() > 0, "the gateway ended: {seen}");
            if let Some(rest) = line.strip_prefix("listening http://") {
                return rest.split(' ').next().unwrap().parse().unwrap();
            }
            seen += &line;
        }
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// The drain has begun when new connections are refused.
    fn wait_until_refusing(&self) {
        let started = Instant::now();
        while TcpStream::connect(self.address).is_ok() {
            assert!(started.elapsed() < LIMIT, "still accepting {LIMIT:?} after SIGTERM");
            std::thread::yield_now();
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
