//! A gateway in this process, with a folder of its own for configuration, filters and access log.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gateway_server::{Compiling, ConfigSource, Options, Running};
use serde_json::Value;
use tempfile::TempDir;

use crate::eventually::{eventually, eventually_some};
use crate::{Client, Metrics, Origin, Pair, Request, Response};

const CONFIG: &str = "gateway.yaml";
const FILTERS: &str = "filters";
const ACCESS_LOG: &str = "access.log";
/// Longest wait for the admin listener.
const ADMIN_PATIENCE: Duration = Duration::from_secs(5);

/// What every test wants unless it says otherwise: top-level keys of the configuration.
const DEFAULTS: &[(&str, &str)] = &[
    ("workers", "1"),
    ("admin", "{bind: '127.0.0.1:0'}"),
    ("drain", "10s"),
    ("accessLog", "{to: access.log, format: json}"),
    ("listeners", "[{name: web, bind: '127.0.0.1:0'}]"),
    ("filters", "{directory: filters, cache: off, state: state}"),
];

/// A gateway that does not run yet.
pub struct Setup {
    directory: TempDir,
    config: String,
    filters: Vec<String>,
    compiling: Compiling,
}

/// A running gateway; stops when dropped.
pub struct Gateway {
    directory: TempDir,
    running: Option<Running>,
    admin: SocketAddr,
    compiling: Compiling,
}

/// What the admin listener says about a filter.
#[derive(Clone, Debug)]
pub struct FilterStatus {
    /// Which version serves; empty if none does.
    pub version: String,
    /// In one word.
    pub state: String,
    /// Why the newest file is not live.
    pub error: Option<String>,
    /// The gate at which it failed.
    pub gate: Option<String>,
}

impl Setup {
    /// Replaces a placeholder of the configuration.
    #[must_use]
    pub fn set(mut self, placeholder: &str, value: impl ToString) -> Self {
        assert!(self.config.contains(placeholder), "{placeholder} is not in the configuration");
        self.config = self.config.replace(placeholder, &value.to_string());
        self
    }

    /// Puts a filter into the directory before the start.
    #[must_use]
    pub fn filter(mut self, name: &str, module: &[u8], manifest: &str) -> Self {
        drop_files(&self.directory.path().join(FILTERS), name, module, Some(manifest));
        self.filters.push(name.into());
        self
    }

    /// Puts a filter into the directory before the start that will not become live.
    #[must_use]
    pub fn broken_filter(self, name: &str, module: &[u8], manifest: &str) -> Self {
        drop_files(&self.directory.path().join(FILTERS), name, module, Some(manifest));
        self
    }

    /// Compiles filters in processes of this program, which calls `compile_for_gateway`.
    #[must_use]
    pub fn compiling_in(mut self, program: &str) -> Self {
        self.compiling = Compiling::Helper { program: program.into(), arguments: Vec::new() };
        self
    }

    /// Puts a certificate beside the configuration, as `NAME.pem` and `NAME.key`.
    #[must_use]
    pub fn certificate(self, name: &str, pair: &Pair) -> Self {
        write_pair(self.directory.path(), name, pair);
        self
    }

    /// Puts a file beside the configuration.
    #[must_use]
    pub fn file(self, name: &str, text: &str) -> Self {
        replace(&self.directory.path().join(name), text.as_bytes());
        self
    }

    /// Starts it, and waits until it is ready and its filters are live.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(self) -> Gateway {
        let path = self.directory.path().join(CONFIG);
        std::fs::write(&path, complete(&self.config)).expect("a writable folder");
        let running = start(path, &self.compiling);
        let admin = running.admin().expect("the admin listener is on");
        let Self { directory, compiling, .. } = self;
        let gateway = Gateway { directory, running: Some(running), admin, compiling };
        eventually("ready", || gateway.admin_get("/ready").status == 200);
        for name in &self.filters {
            gateway.await_live(name);
        }
        gateway
    }
}

impl Gateway {
    /// A configuration of which only the interesting parts need be written; see `DEFAULTS`.
    ///
    /// # Panics
    /// If there is no place for temporary files.
    #[must_use]
    pub fn with(config: &str) -> Setup {
        let directory = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(directory.path().join(FILTERS)).expect("a writable folder");
        Setup { directory, config: config.into(), filters: Vec::new(), compiling: Compiling::InProcess }
    }

    /// One route, to this origin.
    #[must_use]
    pub fn to(origin: &Origin) -> Setup {
        Self::with("routes: [{name: all, to: origin}]\nupstreams: {origin: 'ORIGIN'}")
            .set("ORIGIN", origin.address())
    }

    /// Where its listener `web` accepts.
    ///
    /// # Panics
    /// If it has none.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listener("web").expect("a listener `web`")
    }

    /// Where the listener of that name accepts, if there is one.
    #[must_use]
    pub fn listener(&self, name: &str) -> Option<SocketAddr> {
        let listeners = self.running().listeners();
        listeners.into_iter().find(|listener| listener.name == name).map(|listener| listener.address)
    }

    /// Sends one request over a connection of its own.
    ///
    /// # Panics
    /// If there is no whole response.
    #[must_use]
    pub fn send(&self, request: &Request) -> Response {
        request.to(self.address())
    }

    /// `GET target` over a connection of its own.
    ///
    /// # Panics
    /// If there is no whole response.
    #[must_use]
    pub fn get(&self, target: &str) -> Response {
        self.send(&Request::get(target))
    }

    /// A connection to its listener `web`.
    ///
    /// # Panics
    /// If it does not accept.
    #[must_use]
    pub fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    /// `GET` on the admin listener.
    ///
    /// # Panics
    /// If there is no whole response.
    #[must_use]
    pub fn admin_get(&self, target: &str) -> Response {
        self.try_admin_get(target).unwrap_or_else(|error| panic!("admin {target}: {error}"))
    }

    /// # Errors
    /// If there is no whole response within a few seconds.
    pub fn try_admin_get(&self, target: &str) -> std::io::Result<Response> {
        let mut client = Client::try_connect(self.admin)?;
        client.set_patience(ADMIN_PATIENCE);
        client.try_send(&Request::get(target).host(&self.admin.to_string()).header("connection", "close"))
    }

    /// All metrics now.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        Metrics::parse(&self.admin_get("/metrics").text())
    }

    /// Waits until the replies of `reason` are counted to be `number`.
    pub fn await_replies(&self, reason: &str, number: u32) {
        eventually(&format!("{number} replies with {reason}"), || {
            self.metrics().replies(reason) >= f64::from(number)
        });
        assert!((self.metrics().replies(reason) - f64::from(number)).abs() < 0.5, "replies with {reason}");
    }

    /// What `/filters` says about a filter; `None` if it is not listed.
    ///
    /// # Panics
    /// If the answer is not what the documentation says.
    #[must_use]
    pub fn filter(&self, name: &str) -> Option<FilterStatus> {
        let answer = self.admin_get("/filters");
        let list: Value = serde_json::from_slice(&answer.body).expect("JSON");
        let found =
            list["filters"].as_array().expect("a list").iter().find(|filter| filter["name"] == name)?;
        let text = |key: &str| found[key].as_str().map(str::to_owned);
        Some(FilterStatus {
            version: text("version").unwrap_or_default(),
            state: text("state").expect("a state"),
            error: text("error"),
            gate: text("gate"),
        })
    }

    /// Waits until the newest file of a filter is live; its status.
    pub fn await_live(&self, name: &str) -> FilterStatus {
        eventually_some(&format!("filter {name} live: {:?}", self.filter(name)), || {
            self.filter(name).filter(|filter| filter.state == "live" && filter.error.is_none())
        })
    }

    /// Waits until the newest file of a filter is refused; the reason.
    pub fn await_refusal(&self, name: &str) -> String {
        eventually_some(&format!("filter {name} refused"), || self.filter(name)?.error)
    }

    /// Puts a filter into the directory, as an operator would: each file whole at once. When this happened.
    pub fn drop_filter(&self, name: &str, module: &[u8], manifest: &str) -> Instant {
        drop_files(&self.filters_directory(), name, module, Some(manifest));
        Instant::now()
    }

    /// Replaces only the module of a filter.
    pub fn replace_module(&self, name: &str, module: &[u8]) -> Instant {
        drop_files(&self.filters_directory(), name, module, None);
        Instant::now()
    }

    /// Replaces only the manifest of a filter.
    pub fn replace_manifest(&self, name: &str, manifest: &str) -> Instant {
        replace(&self.filters_directory().join(format!("{name}.yaml")), manifest.as_bytes());
        Instant::now()
    }

    /// Deletes the files of a filter.
    ///
    /// # Panics
    /// If it has none.
    pub fn remove_filter(&self, name: &str) {
        std::fs::remove_file(self.filters_directory().join(format!("{name}.wasm"))).expect("a module");
        // There may be no manifest.
        let _ = std::fs::remove_file(self.filters_directory().join(format!("{name}.yaml")));
    }

    /// Moves the filter directory away, as a failed mount would; where it is now.
    ///
    /// # Panics
    /// If it is not there.
    #[must_use]
    pub fn lose_filters(&self) -> PathBuf {
        let elsewhere = self.directory.path().join("elsewhere");
        std::fs::rename(self.filters_directory(), &elsewhere).expect("a filter directory");
        elsewhere
    }

    /// Moves the filter directory back.
    ///
    /// # Panics
    /// If it is not there.
    pub fn find_filters(&self, elsewhere: &Path) {
        std::fs::rename(elsewhere, self.filters_directory()).expect("a filter directory");
    }

    /// Replaces a certificate beside the configuration: first the certificate, then the key, each whole at once.
    pub fn replace_certificate(&self, name: &str, pair: &Pair) -> Instant {
        write_pair(self.directory.path(), name, pair);
        Instant::now()
    }

    /// The folder of the configuration.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Replaces the configuration file.
    pub fn configure(&self, config: &str) -> Instant {
        replace(&self.directory.path().join(CONFIG), complete(config).as_bytes());
        Instant::now()
    }

    /// Waits for at least `number` access lines; all of them.
    pub fn await_access_lines(&self, number: usize) -> Vec<Value> {
        eventually_some(&format!("{number} access lines"), || {
            Some(self.access_lines()).filter(|lines| lines.len() >= number)
        })
    }

    /// The access lines written so far.
    ///
    /// # Panics
    /// If one is not JSON.
    #[must_use]
    pub fn access_lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.directory.path().join(ACCESS_LOG)).unwrap_or_default();
        // The last line may still be under way.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
    }

    /// Stops it, lets `meanwhile` happen to the filter directory, and starts it again with the same files. How long the start
    /// took.
    ///
    /// # Panics
    /// If it does not end well, or does not start.
    pub fn restart(&mut self, meanwhile: impl FnOnce(&Path)) -> Duration {
        let running = self.running.take().expect("a running gateway");
        running.stop();
        running.wait().unwrap_or_else(|error| panic!("{error}"));
        meanwhile(&self.filters_directory());
        let begun = Instant::now();
        let running = start(self.directory.path().join(CONFIG), &self.compiling);
        let took = begun.elapsed();
        self.admin = running.admin().expect("the admin listener is on");
        self.running = Some(running);
        took
    }

    /// Tells it to stop: readiness turns red, accepting ends, requests under way go on.
    pub fn begin_stop(&self) {
        self.running().stop();
    }

    /// Waits for its end after [`Gateway::begin_stop`]; its access lines.
    ///
    /// # Panics
    /// If it does not end well.
    #[must_use]
    pub fn ended(mut self) -> Vec<Value> {
        let running = self.running.take().expect("a running gateway");
        running.wait().unwrap_or_else(|error| panic!("{error}"));
        self.access_lines()
    }

    /// Stops it; its access lines.
    ///
    /// # Panics
    /// If it does not end well.
    #[must_use]
    pub fn stop(self) -> Vec<Value> {
        self.begin_stop();
        self.ended()
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("a running gateway")
    }

    /// Where its filters are.
    #[must_use]
    pub fn filters_directory(&self) -> PathBuf {
        self.directory.path().join(FILTERS)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
            // A test that cares calls `stop` itself.
            let _ = running.wait();
        }
    }
}

fn start(config: PathBuf, compiling: &Compiling) -> Running {
    let options =
        Options { compiling: compiling.clone(), ..Options::new(ConfigSource::File(config.clone())) };
    gateway_server::start(options)
        .unwrap_or_else(|error| panic!("{error}\n{}", std::fs::read_to_string(config).unwrap_or_default()))
}

/// Adds the defaults of the top-level keys that are not there.
fn complete(config: &str) -> String {
    let mut whole = config.to_owned();
    for (key, value) in DEFAULTS {
        let key = format!("{key}:");
        if !config.lines().any(|line| line.starts_with(&key)) {
            whole.push_str(&format!("\n{key} {value}"));
        }
    }
    whole.push('\n');
    whole
}

fn drop_files(directory: &Path, name: &str, module: &[u8], manifest: Option<&str>) {
    // The manifest first: a module must not run without its own.
    if let Some(manifest) = manifest.filter(|manifest| !manifest.is_empty()) {
        replace(&directory.join(format!("{name}.yaml")), manifest.as_bytes());
    }
    replace(&directory.join(format!("{name}.wasm")), module);
}

fn write_pair(directory: &Path, name: &str, pair: &Pair) {
    replace(&directory.join(format!("{name}.pem")), pair.cert.as_bytes());
    replace(&directory.join(format!("{name}.key")), pair.key.as_bytes());
}

/// Writes beside and renames over, so that no reader sees half a file.
fn replace(path: &Path, bytes: &[u8]) {
    let beside = path.with_extension("tmp");
    std::fs::write(&beside, bytes).expect("a writable folder");
    std::fs::rename(&beside, path).expect("a writable folder");
}
