//! `gateway demo`: a gateway with an origin behind it, on loopback, with a scratch filter directory to play with.
//! `--check` plays the same steps by itself and compares what client and origin saw.

mod checks;
mod client;
mod live;
mod origin;
mod wire;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use gateway_server::{ConfigSource, Options, Running};
use serde_json::json;
use tempfile::TempDir;

use super::Failure;
use super::compile_filters::in_processes_of_this_binary;
use crate::embedded::{API_KEY, Shipped};
use crate::supervise::Supervisor;
use crate::{output, publish};
use live::LiveSite;
use origin::Origin;

/// A key that `api-key.yaml` knows.
const KEY: &str = "demo-key";
/// To whom it belongs.
const CONSUMER: &str = "alice";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Go through the steps without a person and stop; exit 1 when one does not hold
    #[arg(long)]
    pub(crate) check: bool,
}

#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error("cannot make a scratch directory in {}: {source}", std::env::temp_dir().display())]
    Scratch { source: io::Error },
    #[error("cannot start the demo's origin on loopback: {0}")]
    Origin(io::Error),
    #[error(
        "the gateway started without its listener or its admin interface; this is a defect, please report it"
    )]
    NoAddress,
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let supervisor = Supervisor::new()?;
    let scratch = scratch().map_err(|source| DemoError::Scratch { source })?;
    let (origin, received) = Origin::start().map_err(DemoError::Origin)?;
    let access_log = if arguments.check { "off" } else { "stdout" };
    let running = gateway_server::start(Options {
        source: ConfigSource::Text {
            text: config_text(origin.address, access_log),
            name: "the demo's configuration".to_owned(),
            base_dir: scratch.path().to_owned(),
        },
        workers: None,
        compiling: in_processes_of_this_binary(),
        // Nothing of a demo is left behind.
        cache: None,
    })?;
    let addresses = Addresses::of(&running, origin.address)?;
    if arguments.check {
        let mut site = LiveSite::new(&addresses, scratch.path(), received);
        checks::run_all(&mut site, output::print)?;
        running.stop();
        return Ok(running.wait()?);
    }
    // Nobody reads what the origin received; without a reader it is not kept.
    drop(received);
    output::print(&instructions(&addresses, scratch.path()))?;
    Ok(supervisor.run(running)?)
}

/// Where the parts of the demo listen.
struct Addresses {
    gateway: SocketAddr,
    admin: SocketAddr,
    origin: SocketAddr,
}

impl Addresses {
    fn of(running: &Running, origin: SocketAddr) -> Result<Self, DemoError> {
        let listeners = running.listeners();
        match (listeners.first(), running.admin()) {
            (Some(listener), Some(admin)) => Ok(Self { gateway: listener.address, admin, origin }),
            _ => Err(DemoError::NoAddress),
        }
    }
}

/// An empty `filters/`, and the shipped filter ready to be copied there.
///
/// The note in `filters/` also keeps the directory from ever being empty: a directory that suddenly is empty looks like
/// a lost mount to the gateway, which then keeps the filters it has.
fn scratch() -> io::Result<TempDir> {
    let scratch = tempfile::Builder::new().prefix("gateway-demo-").tempdir()?;
    let filters = scratch.path().join("filters");
    let available = scratch.path().join("available");
    fs::create_dir(&filters)?;
    fs::create_dir(&available)?;
    fs::write(filters.join("README.txt"), "Drop NAME.wasm here, with NAME.yaml for its settings.\n")?;
    put_filter(&available, &API_KEY)?;
    Ok(scratch)
}

/// The manifest goes first: it is there when the module is seen.
fn put_filter(directory: &Path, filter: &Shipped) -> io::Result<()> {
    publish::put(directory, &format!("{}.yaml", filter.name), filter.manifest.as_bytes())?;
    publish::put(directory, &format!("{}.wasm", filter.name), filter.wasm)?;
    Ok(())
}

/// Written as JSON, which is YAML. Port 0 takes free ports.
fn config_text(origin: SocketAddr, access_log: &str) -> String {
    let config = json!({
        "admin": { "bind": "127.0.0.1:0" },
        "accessLog": { "to": access_log },
        "listeners": [{ "name": "demo", "bind": "127.0.0.1:0" }],
        "routes": [{ "name": "all", "to": "origin" }],
        "upstreams": { "origin": origin.to_string() },
        "filters": { "directory": "filters" },
    });
    config.to_string()
}

fn instructions(addresses: &Addresses, scratch: &Path) -> String {
    let Addresses { gateway, admin, origin } = addresses;
    let directory = scratch.display();
    format!(
        "
  gateway   http://{gateway}    sends every request on to the origin
  origin    http://{origin}    answers with the request as it received it
  admin     http://{admin}    /ready, /metrics and /filters
  filters   {directory}/filters    watched; empty so far

In another terminal:

    cd {directory}

1. No filter yet: the request passes, and the origin shows what it received.
    curl -i http://{gateway}/hello

2. Drop a filter in, and wait for the line \"filter is live\" below: it is compiled first. From then on 401 without a
   key, and the origin hears nothing of it.
    cp available/api-key.yaml available/api-key.wasm filters/
    curl -i http://{gateway}/hello

3. With a key it passes. The origin sees whose key it was (x-consumer), and not the key.
    curl -i -H 'x-api-key: {KEY}' http://{gateway}/hello

4. Break the file. The version that works stays in force; the line \"filter refused\" below says what is wrong with the
   new one.
    echo 'not a module' > filters/api-key.wasm
    curl -i http://{gateway}/hello

5. Take the filter away. After the line \"filter removed\" requests pass again.
    rm filters/api-key.wasm
    curl -i http://{gateway}/hello

Ctrl-C stops the gateway and removes the directory. Requests and events follow.

"
    )
}

#[cfg(test)]
#[path = "demo/demo_tests.rs"]
mod tests;
