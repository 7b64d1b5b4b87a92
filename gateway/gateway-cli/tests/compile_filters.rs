//! `gateway run` with the processes that it compiles filters in.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The least that a host accepts, in the binary format (WebAssembly 2.0, chapter 5): the ABI's marker, an allocator, one
/// callback, a memory.
const MODULE: &[u8] = b"\0asm\x01\0\0\0\
    \x01\x0d\x02\x60\x01\x7f\x01\x7f\x60\x03\x7f\x7f\x7f\x01\x7f\
    \x03\x03\x02\x00\x01\
    \x05\x03\x01\x00\x01\
    \x07\x5a\x04\
    \x06memory\x02\x00\
    \x18proxy_on_memory_allocate\x00\x00\
    \x18proxy_on_request_headers\x00\x01\
    \x17proxy_abi_version_0_2_1\x00\x00\
    \x0a\x0b\x02\x04\x00\x41\x00\x0b\x04\x00\x41\x00\x0b";

/// Processes that wait for modules: two for all, one for small ones.
const HELPERS: usize = 3;

struct Gateway {
    process: Child,
    admin: String,
    folder: TempDir,
}

impl Gateway {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a scratch directory");
        fs::create_dir(folder.path().join("filters")).expect("a directory");
        let config = "admin: {bind: '127.0.0.1:0'}\naccessLog: off\nlisteners: [{bind: '127.0.0.1:0'}]\n\
            routes: [{respond: {status: 204}}]\nfilters: {directory: filters, cache: cache, state: off}\n";
        fs::write(folder.path().join("gateway.yaml"), config).expect("a file");
        let mut process = Command::new(env!("CARGO_BIN_EXE_gateway"))
            .args(["run", "-c"])
            .arg(folder.path().join("gateway.yaml"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the gateway command");
        let mut lines = BufReader::new(process.stderr.take().expect("a pipe")).lines();
        let admin = lines.find_map(|line| {
            let line = line.expect("text");
            line.strip_prefix("admin     http://")?.split(' ').next().map(str::to_owned)
        });
        // Or it would block on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, admin: admin.expect("an announcement"), folder }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.admin).expect("the admin listener");
        let head = format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.admin);
        stream.write_all(head.as_bytes()).expect("a request");
        let mut response = String::new();
        stream.read_to_string(&mut response).expect("a response");
        response
    }

    fn install(&self, name: &str) {
        let filters = self.folder.path().join("filters");
        let note = [&[0, (name.len() + 1) as u8, name.len() as u8], name.as_bytes()].concat();
        fs::write(filters.join(".new"), [MODULE, &note].concat()).expect("a file");
        fs::rename(filters.join(".new"), filters.join(format!("{name}.wasm"))).expect("a file");
        let live = || self.get("/metrics").contains(&format!("gateway_filter_live{{filter=\"{name}\""));
        let begun = Instant::now();
        while !live() {
            assert!(begun.elapsed() < Duration::from_secs(30), "{name}: {}", self.get("/filters"));
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Its child processes.
    fn helpers(&self) -> Vec<String> {
        children(&format!("/proc/{}", self.process.id()))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn children(process: &str) -> Vec<String> {
    let threads = fs::read_dir(Path::new(process).join("task")).expect("a process").flatten();
    let children = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    children.flat_map(|pids| pids.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

fn signal(pid: &str, name: &str) {
    assert!(Command::new("kill").args(["-s", name, pid]).status().expect("kill").success());
}

#[test]
fn helpers_start_with_the_gateway_are_replaced_when_they_die_and_end_with_it() {
    let mut gateway = Gateway::start();
    let helpers = gateway.helpers();
    assert_eq!(helpers.len(), HELPERS);
    gateway.install("first");
    assert_eq!(gateway.helpers().len(), HELPERS, "what compiled is gone");
    helpers.iter().for_each(|pid| signal(pid, "KILL"));
    ["second", "third"].iter().for_each(|name| gateway.install(name));
    let helpers = gateway.helpers();
    assert!(!helpers.is_empty());

    signal(&gateway.process.id().to_string(), "TERM");
    assert!(gateway.process.wait().expect("a child").success());
    for pid in helpers {
        assert!(!Path::new("/proc").join(&pid).exists(), "{pid} goes on");
    }
}

#[test]
fn helpers_of_a_gateway_that_is_killed_end_too() {
    let mut gateway = Gateway::start();
    let helpers = gateway.helpers();
    assert_eq!(helpers.len(), HELPERS);
    gateway.process.kill().expect("a child");
    gateway.process.wait().expect("a child");
    let begun = Instant::now();
    while helpers.iter().any(|pid| Path::new("/proc").join(pid).exists()) {
        assert!(begun.elapsed() < Duration::from_secs(10), "{helpers:?} go on");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

#[test]
fn without_a_gateway_there_is_nothing_to_do_and_nothing_can_be_asked() {
    let run = |arguments: &[&str], input: &[u8]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
        command.arg("compile-filters").args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("the gateway command");
        // One that wants none may be gone already.
        let _ = process.stdin.take().expect("piped").write_all(input);
        process.wait_with_output().expect("a child")
    };
    assert_eq!(run(&["1"], &[]).status.code(), Some(2), "one limit without the other");
    assert_ne!(run(&[], &[]).status.code(), Some(0), "no socket to a gateway");
    assert_ne!(run(&["5", "1073741824"], &[]).status.code(), Some(0), "half a job");
    // With limits it compiles what it is given: here nothing, which is no module. Its length stands first, then that no state
    // is to be frozen.
    let output = run(&["5", "1073741824"], &[0; 9]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout.first(), Some(&1), "refused");
    let help =
        Command::new(env!("CARGO_BIN_EXE_gateway")).arg("--help").output().expect("the gateway command");
    assert!(!String::from_utf8_lossy(&help.stdout).contains("compile-filters"), "it is not for people");
}
