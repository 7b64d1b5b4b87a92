//! `gateway dev DIR`: a gateway with an echoing origin, and a filter in it that is built anew whenever its source changes.
//! The last request is then sent again, and what changed is told.

mod desk;
mod difference;
mod door;
mod sources;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use gateway_config::Manifest;
use gateway_server::{Compiling, ConfigSource, Options, Running};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::Failure;
use super::demo::client;
use super::demo::origin::Origin;
use super::filter::artifact::Artifact;
use super::filter::build::{self, Profile};
use crate::supervise::Supervisor;
use crate::{output, publish};
use desk::Desk;
use sources::Sources;

/// Between two looks at the sources; a change is taken up when two looks see the same.
const LOOK: Duration = Duration::from_millis(20);
/// A file that says it was written longer ago than this was not saved just now, but moved or copied with its time.
const JUST_NOW: Duration = Duration::from_secs(5);
/// Between two looks at whether a version serves.
const WAIT: Duration = Duration::from_millis(10);
/// A version that has not been decided on after this long is not waited for any further.
const DECIDED: Duration = Duration::from_secs(60);
/// Bytes of a content's hash that name a version.
const VERSION_BYTES: usize = 6;
/// Built for speed of building: nothing is optimised across crates, and dependencies once.
const PROFILE: &str = "gateway-dev";
const SETTINGS: [&str; 7] = [
    "inherits=\"dev\"",
    "panic=\"abort\"",
    "opt-level=1",
    "debug=false",
    "strip=\"debuginfo\"",
    "incremental=true",
    "package.\"*\".opt-level=\"s\"",
];

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The directory of the filter's Cargo.toml; NAME.yaml in it is its manifest
    #[arg(value_name = "DIR", default_value = ".")]
    directory: PathBuf,

    /// Where requests come in
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    /// The service behind, in place of an origin that answers with what it received; also for callouts
    #[arg(long, value_name = "HOST:PORT")]
    to: Option<String>,
}

#[derive(Debug, thiserror::Error)]
enum DevError {
    #[error("cannot make a scratch directory in {}: {source}", std::env::temp_dir().display())]
    Scratch { source: io::Error },
    #[error("cannot start the origin on loopback: {0}")]
    Origin(io::Error),
    #[error("cannot listen on {address}: {source}\n  = help: choose another address with --listen")]
    Listen { address: SocketAddr, source: io::Error },
    #[error(
        "the gateway started without its listener or its admin interface; this is a defect, please report it"
    )]
    NoAddress,
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let supervisor = Supervisor::new()?;
    let scratch = scratch().map_err(|source| DevError::Scratch { source })?;
    let (upstream, received) = match &arguments.to {
        Some(to) => (to.clone(), None),
        None => {
            let (origin, received) = Origin::start().map_err(DevError::Origin)?;
            (origin.address.to_string(), Some(received))
        }
    };
    let config = scratch.path().join("gateway.yaml");
    fs::write(&config, config_text(&upstream, &[])).map_err(|source| DevError::Scratch { source })?;
    let running = gateway_server::start(Options {
        source: ConfigSource::File(config),
        workers: Some(1),
        // There is no traffic that would have to go first: a process of the lowest priority would only keep the author waiting.
        compiling: Compiling::InProcess,
        // Nothing is met twice here.
        cache: None,
    })?;
    let (gateway, admin) = addresses(&running)?;
    let desk = Arc::new(Mutex::new(Desk::new(gateway, received)));
    let address = arguments.listen;
    let door =
        door::open(address, Arc::clone(&desk)).map_err(|source| DevError::Listen { address, source })?;
    output::print(&format!(
        "  requests  http://{door}    through the filter to {upstream}\n  admin     http://{admin}\n  source    {}\n\nCtrl-C stops it.\n\n",
        arguments.directory.display()
    ))?;
    let bench = Bench {
        directory: arguments.directory,
        scratch,
        admin,
        upstream,
        desk,
        builds: 0,
        is_prepared: false,
    };
    thread::Builder::new().name("dev".into()).spawn(move || bench.work()).map_err(DevError::Thread)?;
    Ok(supervisor.run(running)?)
}

/// The note keeps the directory from ever being empty, which the gateway would take for a lost mount.
fn scratch() -> io::Result<TempDir> {
    let scratch = tempfile::Builder::new().prefix("gateway-dev-").tempdir()?;
    let filters = scratch.path().join("filters");
    fs::create_dir(&filters)?;
    fs::write(filters.join("README.txt"), "Written by `gateway dev`.\n")?;
    Ok(scratch)
}

/// Written as JSON, which is YAML. Whatever the filter may call is there, and echoes.
fn config_text(upstream: &str, callouts: &[Arc<str>]) -> String {
    let mut upstreams = serde_json::Map::new();
    for name in callouts.iter().map(|name| name.to_string()).chain(["service".to_owned()]) {
        upstreams.insert(name, json!({ "endpoints": [upstream] }));
    }
    let config = json!({
        "admin": { "bind": "127.0.0.1:0" },
        "accessLog": { "to": "off" },
        "listeners": [{ "name": "dev", "bind": "127.0.0.1:0" }],
        "routes": [{ "name": "all", "to": "service" }],
        "upstreams": upstreams,
        "filters": { "directory": "filters" },
    });
    config.to_string()
}

fn addresses(running: &Running) -> Result<(SocketAddr, SocketAddr), DevError> {
    let listeners = running.listeners();
    match (listeners.first(), running.admin()) {
        (Some(listener), Some(admin)) => Ok((listener.address, admin)),
        _ => Err(DevError::NoAddress),
    }
}

/// What became of a version.
enum Outcome {
    Live,
    Refused(String),
    /// Nobody knows.
    Undecided,
}

/// What a change took, from its being saved to its effect.
struct Phases {
    /// Until it was seen, as far as its file tells.
    seen: Option<Duration>,
    built: Duration,
    /// From there until the gateway had decided.
    decided: Duration,
}

impl Phases {
    fn told(&self, outcome: &str) -> String {
        let seconds = |time: Duration| format!("{:.2} s", time.as_secs_f64());
        let (built, decided) = (seconds(self.built), seconds(self.decided));
        match self.seen {
            None => format!("  built in {built}, {outcome} after {decided} more\n"),
            Some(seen) => format!(
                "  seen after {}, built in {built}, {outcome} after {decided} more: {} since it was saved\n",
                seconds(seen),
                seconds(seen + self.built + self.decided)
            ),
        }
    }
}

/// Builds, swaps and tries, again and again.
struct Bench {
    directory: PathBuf,
    /// Removed when the program ends by itself; until then the gateway reads it.
    scratch: TempDir,
    admin: SocketAddr,
    upstream: String,
    desk: Arc<Mutex<Desk>>,
    builds: u32,
    /// Whether the toolchain is known to compile for WebAssembly.
    is_prepared: bool,
}

impl Bench {
    fn work(mut self) {
        let (mut known, mut before) = (Sources::default(), Sources::default());
        loop {
            let now = Sources::of(&self.directory);
            // Editors save in several steps: what is still changing is looked at once more.
            let stands_still = now == before;
            before.clone_from(&now);
            if let Some(changed) = known.change_to(&now).filter(|_| stands_still) {
                let seen = now.age(changed).filter(|age| *age < JUST_NOW);
                let changed = changed.strip_prefix(&self.directory).unwrap_or(changed);
                let what = if self.builds == 0 {
                    "first build".to_owned()
                } else {
                    format!("{} changed", changed.display())
                };
                // Where the terminal is gone there is nobody to tell.
                let _ = output::print(&format!("{what}\n"));
                let told = self.take_up(seen).unwrap_or_else(|problem| format!("  {problem}\n\n"));
                let _ = output::print(&told);
                known = now;
            }
            // May wake early, which only means one more look.
            thread::park_timeout(LOOK);
        }
    }

    /// From the sources to what they change; the text for the author.
    fn take_up(&mut self, seen: Option<Duration>) -> Result<String, String> {
        let begun = Instant::now();
        self.builds += 1;
        let settings = SETTINGS.map(|setting| format!("profile.{PROFILE}.{setting}")).to_vec();
        let profile = Profile { name: PROFILE.to_owned(), names: false, settings };
        let compile = if self.is_prepared { build::compile_again } else { build::compile };
        let artifact = compile(&self.directory, &profile).map_err(|error| error.to_string())?;
        // A build that went well says that the toolchain can do it.
        self.is_prepared = true;
        let built = begun.elapsed();
        let outcome = self.swap(&artifact)?;
        let phases = Phases { seen, built, decided: begun.elapsed().saturating_sub(built) };
        match outcome {
            Outcome::Refused(reason) => {
                let reason = reason.replace('\n', "\n    ");
                Ok(format!("{}    {reason}\n  the version before serves on\n\n", phases.told("refused")))
            }
            Outcome::Undecided => Err("the gateway did not say what became of it".to_owned()),
            Outcome::Live => {
                let told = phases.told("live");
                let mut desk = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
                let (request, before, now) =
                    desk.replay().map_err(|error| format!("the last request failed: {error}"))?;
                Ok(format!("{told}{}\n", difference::shown(request, before.as_ref(), &now)))
            }
        }
    }

    fn swap(&self, artifact: &Artifact) -> Result<Outcome, String> {
        let failed = |error: io::Error| format!("cannot hand the module over: {error}");
        let name = &artifact.package;
        let filters = self.scratch.path().join("filters");
        let manifest = self.directory.join(format!("{name}.yaml"));
        let text = fs::read_to_string(&manifest).unwrap_or_default();
        let callouts = gateway_config::parse_manifest(&text, &manifest.display().to_string())
            .unwrap_or_else(|_| Manifest::default_for(name))
            .callouts;
        let config = config_text(&self.upstream, &callouts);
        if fs::read_to_string(self.scratch.path().join("gateway.yaml")).map_err(failed)? != config {
            publish::put(self.scratch.path(), "gateway.yaml", config.as_bytes()).map_err(failed)?;
        }
        let wasm = fs::read(&artifact.path).map_err(failed)?;
        let wasm = numbered(&wasm, self.builds);
        let failures = self.failures(name).map_err(failed)?;
        publish::put(&filters, &format!("{name}.yaml"), text.as_bytes()).map_err(failed)?;
        publish::put(&filters, &format!("{name}.wasm"), &wasm).map_err(failed)?;
        let digest = Sha256::digest(&wasm);
        let version: String = digest.iter().take(VERSION_BYTES).map(|byte| format!("{byte:02x}")).collect();
        self.await_outcome(name, &version, failures).map_err(failed)
    }

    fn await_outcome(&self, name: &str, version: &str, failures: u64) -> io::Result<Outcome> {
        let begun = Instant::now();
        while begun.elapsed() < DECIDED {
            let status = client::get(self.admin, "/filters", &[])?;
            let status: Value = serde_json::from_str(&status.body)?;
            let filter =
                status["filters"].as_array().into_iter().flatten().find(|filter| filter["name"] == *name);
            if let Some(filter) = filter {
                // The manifest's part of the name follows.
                let is_this = filter["version"].as_str().is_some_and(|name| name.starts_with(version));
                if is_this && filter["state"] == "live" && filter["error"].is_null() {
                    return Ok(Outcome::Live);
                }
                let reason = filter["error"].as_str().unwrap_or_default();
                if self.failures(name)? > failures && !reason.is_empty() {
                    return Ok(Outcome::Refused(reason.to_owned()));
                }
            }
            thread::park_timeout(WAIT);
        }
        Ok(Outcome::Undecided)
    }

    /// How often the gateway refused a file of the filter.
    fn failures(&self, name: &str) -> io::Result<u64> {
        let metrics = client::get(self.admin, "/metrics", &[])?;
        let label = format!("filter=\"{name}\"");
        let series = metrics
            .body
            .lines()
            .filter(|line| line.starts_with("gateway_filter_load_failures_total{") && line.contains(&label));
        Ok(series.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
    }
}

/// With the number of the build in a custom section, so that each is a version of its own, also when only the manifest
/// changed.
fn numbered(wasm: &[u8], build: u32) -> Vec<u8> {
    let name = b"gateway.dev";
    let number = build.to_le_bytes();
    // Both sizes are below 128, which is one byte of LEB128.
    let size = 1 + name.len() + number.len();
    let mut numbered = wasm.to_vec();
    numbered.extend([0, size as u8, name.len() as u8]);
    numbered.extend(name);
    numbered.extend(number);
    numbered
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proxy_wasm_host::Composition;

    use super::*;

    #[test]
    fn every_build_is_a_version_of_its_own() {
        let wasm = b"\0asm\x01\0\0\0";
        let one = numbered(wasm, 1);
        assert_ne!(one, numbered(wasm, 2));
        assert_eq!(Composition::of(&one).unwrap().sections, [("gateway.dev".to_owned(), 16)]);
    }

    #[test]
    fn what_the_filter_may_call_is_there() {
        let text = config_text("127.0.0.1:9", &["accounts".into()]);
        let config = gateway_config::parse_text(&text, "dev", Path::new("")).unwrap();
        let mut names: Vec<&str> = config.upstreams.iter().map(|upstream| &*upstream.name).collect();
        names.sort_unstable();
        assert_eq!(names, ["accounts", "service"]);
    }
}
