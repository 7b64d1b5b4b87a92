//! The real binary as a process of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use gateway_tests::mortal::free_address;
use gateway_tests::{Client, LIMIT, Metrics, Request, pause};
use tempfile::TempDir;

/// Filters that nobody has compiled yet take what other work leaves of the machine.
const READY_PATIENCE: Duration = Duration::from_secs(70);

/// A running gateway; ends with the test.
pub(crate) struct Gateway {
    directory: TempDir,
    admin: SocketAddr,
    process: Child,
}

impl Gateway {
    /// Where files for it can be put before it starts.
    pub(crate) fn folder() -> TempDir {
        let directory = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(directory.path().join("filters")).expect("a writable folder");
        directory
    }

    /// Starts the binary that `GATEWAY` names, or else the one that `cargo build` makes beside this test.
    pub(crate) fn start(directory: TempDir, config: &str) -> Self {
        let binary = std::env::var_os("GATEWAY").map_or_else(built, PathBuf::from);
        assert!(binary.is_file(), "{} is missing: `cargo build`, or set GATEWAY", binary.display());
        let admin = free_address();
        let path = directory.path().join("gateway.yaml");
        std::fs::write(&path, with_admin(config, admin)).expect("a writable folder");
        let log = std::fs::File::create(directory.path().join("gateway.log")).expect("a writable folder");
        let mut command = Command::new(&binary);
        command.args(["run", "-c"]).arg(&path).stdout(Stdio::null()).stderr(log);
        let process = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
        println!("{}", binary.display());
        let gateway = Self { directory, admin, process };
        let begun = Instant::now();
        while !gateway.is_ready() {
            assert!(begun.elapsed() < READY_PATIENCE, "not ready after {READY_PATIENCE:?}");
            pause(Duration::from_millis(2));
        }
        gateway
    }

    /// Its folder.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Replaces the configuration file, whole at once.
    pub(crate) fn configure(&self, config: &str) {
        replace(&self.directory().join("gateway.yaml"), with_admin(config, self.admin).as_bytes());
    }

    /// Tells it to read its files again now.
    pub(crate) fn hang_up(&self) {
        self.signal("HUP");
    }

    /// Memory of the process that is in use, in bytes.
    pub(crate) fn rss(&self) -> u64 {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a running process");
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number") * 1024
    }

    /// The most that was ever in use, in bytes.
    pub(crate) fn largest_rss(&self) -> u64 {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a running process");
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number") * 1024
    }

    /// The median over half a second: a moment may be one of many requests.
    pub(crate) fn settled_rss(&self) -> u64 {
        let mut samples: Vec<u64> = (0..11)
            .map(|_| {
                pause(Duration::from_millis(50));
                self.rss()
            })
            .collect();
        samples.sort_unstable();
        samples[samples.len() / 2]
    }

    /// Memory mappings of the process: the median over half a second.
    pub(crate) fn settled_mappings(&self) -> usize {
        let mut samples: Vec<usize> = (0..11)
            .map(|_| {
                pause(Duration::from_millis(50));
                self.proc("maps").lines().count()
            })
            .collect();
        samples.sort_unstable();
        samples[samples.len() / 2]
    }

    /// What its admin interface answers to a `GET`.
    pub(crate) fn admin_get(&self, target: &str) -> String {
        let ask = || Client::try_connect(self.admin)?.try_send(&Request::get(target));
        ask().map(|answer| answer.text()).unwrap_or_default()
    }

    /// Processor time of the process, in clock ticks (of 10 ms).
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let stat = self.proc("stat");
        // The name, in parentheses, may hold anything; then state is the third field, utime the 14th, stime the 15th.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        fields[11].parse::<u64>().expect("ticks") + fields[12].parse::<u64>().expect("ticks")
    }

    /// What it logged of errors. A certificate that is replaced file by file is for a moment one without its key; then the
    /// last good one serves on.
    pub(crate) fn errors(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.directory().join("gateway.log")).unwrap_or_default();
        let is_torn = |line: &str| line.ends_with("the last good one serves on");
        log.lines().filter(|line| line.contains("ERROR") && !is_torn(line)).map(str::to_owned).collect()
    }

    /// What it counts, as it is now.
    pub(crate) fn metrics(&self) -> Metrics {
        Metrics::parse(&Request::get("/metrics").to(self.admin).text())
    }

    /// Stops it; panics if it does not end well.
    pub(crate) fn stop(self) {
        self.begin_stop();
        self.ended();
    }

    /// Tells it to stop.
    pub(crate) fn begin_stop(&self) {
        self.signal("TERM");
    }

    /// Waits for its end after [`Gateway::begin_stop`].
    pub(crate) fn ended(mut self) {
        let deadline = Instant::now() + LIMIT * 2;
        loop {
            match self.process.try_wait().expect("a child") {
                Some(status) => return assert!(status.success(), "{status}"),
                None => assert!(Instant::now() < deadline, "it does not stop"),
            }
            pause(Duration::from_millis(20));
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        let ask = || Client::try_connect(self.admin)?.try_send(&Request::get("/ready"));
        ask().is_ok_and(|answer| answer.status == 200)
    }

    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.process.id())).expect("a running process")
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.process.id().to_string()]).status();
        assert!(sent.expect("kill").success());
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.directory().join("gateway.log")).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("{}", lines[lines.len().saturating_sub(20)..].join("\n"));
        }
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Writes beside and renames over, so that no reader sees half a file.
pub(crate) fn replace(path: &Path, bytes: &[u8]) {
    let beside = path.with_extension("tmp");
    std::fs::write(&beside, bytes).expect("a writable folder");
    std::fs::rename(&beside, path).expect("a writable folder");
}

pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn with_admin(config: &str, admin: SocketAddr) -> String {
    format!("admin: {{bind: '{admin}'}}\n{config}\n")
}

/// `target/PROFILE/gateway`, where this test is `target/PROFILE/deps/soak-HASH`.
fn built() -> PathBuf {
    let own = std::env::current_exe().expect("a path");
    own.ancestors().nth(2).expect("a target folder").join("gateway")
}
