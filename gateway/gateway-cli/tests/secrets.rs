//! Values of secrets are nowhere but in the filters that they are for: not in logs, reports of failures, admin pages,
//! metrics, events, kept files or what commands print, whatever the filters do with them.

#![allow(clippy::unwrap_used, reason = "a test's helpers may panic like the test itself")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// With what JSON, and Rust's `{:?}`, write in another way.
const IN_A_FILE: &str = r#"f1le-"s3cr3t"-\of-ann"#;
const IN_THE_ENVIRONMENT: &str = "env-s3cr3t-of-bob";
const LIMIT: Duration = Duration::from_secs(60);

/// Says its configuration as an error when it gets it, then ends as `END` says; says it again before it traps in a request.
const TALKS: &str = r#"(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_buffer_bytes" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 65536))
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (drop (call $get (i32.const 7) (i32.const 0) (i32.const 60000) (i32.const 16) (i32.const 20)))
    (drop (call $log (i32.const 4) (i32.load (i32.const 16)) (i32.load (i32.const 20))))
    END)
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (drop (call $log (i32.const 5) (i32.load (i32.const 16)) (i32.load (i32.const 20))))
    unreachable))"#;

struct Serving {
    directory: PathBuf,
    child: Child,
    web: SocketAddr,
    admin: SocketAddr,
}

impl Serving {
    fn start(directory: &Path) -> Self {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (web, admin) = (free(), free());
        let config = format!(
            "workers: 1\nadmin: {{bind: '{admin}'}}\naccessLog: {{to: stdout}}\nlisteners: [{{name: web, bind: '{web}'}}]\n\
             routes:\n  - {{name: talks, hosts: [talks], respond: {{status: 200, body: x}}}}\n  \
             - {{name: keys, hosts: [keys], respond: {{status: 200, body: x}}}}\n\
             filters: {{directory: filters, state: state}}\n"
        );
        fs::write(directory.join("gateway.yaml"), config).unwrap();
        let file = |name: &str| File::create(directory.join(name)).unwrap();
        let mut command = command(directory, &["run", "--log-level", "trace"]);
        let child = command.stdout(file("stdout.txt")).stderr(file("stderr.txt")).spawn().unwrap();
        Self { directory: directory.to_owned(), child, web, admin }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.join("stderr.txt")).unwrap()
    }

    fn page(&self, target: &str) -> String {
        exchange(self.admin, &format!("GET {target} HTTP/1.1\r\nhost: {}\r\n", self.admin))
            .unwrap_or_default()
    }

    fn get(&self, host: &str, line: &str) -> String {
        exchange(self.web, &format!("GET / HTTP/1.1\r\nhost: {host}\r\n{line}")).unwrap()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    command.env_remove("RUST_LOG").env("NO_COLOR", "1").env("SECRET_OF_BOB", IN_THE_ENVIRONMENT);
    command.args(arguments).current_dir(directory).stdin(Stdio::null());
    command
}

fn exchange(address: SocketAddr, head: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(format!("{head}connection: close\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[allow(clippy::disallowed_methods, reason = "between two looks at a condition")]
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn put_filters(directory: &Path) {
    fs::create_dir(directory.join("filters")).unwrap();
    fs::write(directory.join("ann.key"), format!("{IN_A_FILE}\n")).unwrap();
    let put = |name: &str, file: &str, text: &[u8]| {
        fs::write(directory.join("filters").join(format!("{name}.{file}")), text).unwrap();
    };
    let secrets = "secrets: {ann: {file: ../ann.key}, bob: {env: SECRET_OF_BOB}}\nrehearsal: false\n";
    for (name, end) in [("talks", "(i32.const 1)"), ("refuses", "(i32.const 0)"), ("dies", "unreachable")] {
        let manifest = format!(
            "{secrets}match: {{routes: [talks]}}\nonFailure: open\nconfig: {{ann: {{secret: ann}}, bob: [{{secret: bob}}]}}\n"
        );
        put(name, "yaml", manifest.as_bytes());
        put(name, "wasm", &wat::parse_str(TALKS.replace("END", end)).unwrap());
    }
    // A shipped filter: one that takes its keys, and one that gets a key in the place of a number.
    let consumers = "consumers: [{name: bob, keys: [{secret: bob}]}, {name: ann, keys: [{secret: ann}]}]";
    let keys = format!("{secrets}match: {{routes: [keys]}}\nconfig: {{{consumers}}}\n");
    put("api-key", "yaml", keys.as_bytes());
    let number = format!(
        "{secrets}match: {{routes: [talks]}}\nonFailure: open\nconfig: {{limit: {{secret: bob}}, window: 1h}}\n"
    );
    put("quota", "yaml", number.as_bytes());
    for name in ["api-key", "quota"] {
        assert!(command(directory, &["filter", "add", name]).output().unwrap().status.success());
    }
}

/// All files below a directory, but those that the secrets and the manifests are in.
fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            files(&entry.path(), found);
        } else if entry.file_name() != "ann.key" {
            found.push(entry.path());
        }
    }
}

fn assert_clean(what: &str, text: &str) {
    let escaped = format!("{IN_A_FILE:?}");
    for secret in [IN_A_FILE, IN_THE_ENVIRONMENT, escaped.trim_matches('"'), "s3cr3t"] {
        assert!(!text.contains(secret), "{what} has {secret}: {text}");
    }
}

#[test]
fn no_output_of_the_gateway_has_the_value_of_a_secret() {
    let scratch = tempfile::tempdir().unwrap();
    put_filters(scratch.path());
    let serving = Serving::start(scratch.path());
    eventually("ready", || serving.page("/ready").starts_with("HTTP/1.1 200"));
    for refused in ["refuses", "dies", "quota"] {
        eventually(&format!("{refused} is refused"), || {
            serving.page(&format!("/filters/{refused}")).contains("\"gate\": \"")
                || serving.page(&format!("/filters/{refused}")).contains("\"gate\":\"")
        });
    }
    // They do get the values.
    eventually("bob's key passes", || {
        serving.get("keys", &format!("x-api-key: {IN_THE_ENVIRONMENT}\r\n")).starts_with("HTTP/1.1 200")
    });
    assert!(serving.get("keys", &format!("x-api-key: {IN_A_FILE}\r\n")).starts_with("HTTP/1.1 200"));
    assert!(serving.get("talks", "").starts_with("HTTP/1.1 200"), "what fails is passed over");
    eventually("the trap is told", || serving.page("/filters/traps").contains("[secret]"));
    eventually("all three spoke", || serving.log().matches("[secret]").count() >= 4);

    for page in [
        "/",
        "/ready",
        "/metrics",
        "/filters",
        "/filters/traps",
        "/reloads",
        "/upstreams",
        "/api/events",
        "/config",
        "/filters/talks",
        "/filters/refuses",
        "/filters/dies",
        "/filters/api-key",
        "/filters/quota",
        "/filters/talks/history",
        "/filters/refuses/history",
        "/filters/api-key/history",
    ] {
        assert_clean(page, &serving.page(page));
    }
    let admin = serving.admin.to_string();
    for arguments in [
        ["validate"].as_slice(),
        &["validate", "-o", "json"],
        &["explain", "GET", "http://talks/"],
        &["filter", "list", "--admin", &admin, "-o", "json"],
        &["filter", "inspect", "talks", "--admin", &admin],
        &["filter", "inspect", "dies", "--admin", &admin],
        &["filter", "history", "refuses", "--admin", &admin],
    ] {
        let output = command(scratch.path(), arguments).output().unwrap();
        assert_clean(
            &format!("{arguments:?}"),
            &String::from_utf8_lossy(&[output.stdout, output.stderr].concat()),
        );
    }
    drop(serving);
    let mut kept = Vec::new();
    files(scratch.path(), &mut kept);
    assert!(kept.len() > 12, "{kept:?}");
    for path in kept {
        assert_clean(&path.display().to_string(), &String::from_utf8_lossy(&fs::read(&path).unwrap()));
    }
}
