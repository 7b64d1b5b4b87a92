//! `gateway run`: serve a configuration file, or forward everything to one address without any file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use gateway_server::{ConfigSource, OpenListener, Options};
use serde_json::json;

use super::Failure;
use super::compile_filters::in_processes_of_this_binary;
use crate::output;
use crate::supervise::Supervisor;

const DEFAULT_FILE: &str = "gateway.yaml";
const DEFAULT_LISTEN: &str = "127.0.0.1:8080";
const DEFAULT_ADMIN: &str = "127.0.0.1:9901";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The configuration file; watched for changes [default: gateway.yaml]
    #[arg(short, long, value_name = "FILE", conflicts_with = "to")]
    config: Option<PathBuf>,

    /// Forward every request to this address; no file needed
    #[arg(long, value_name = "HOST:PORT")]
    to: Option<Target>,

    /// With --to: where to listen [default: 127.0.0.1:8080]
    #[arg(long, value_name = "IP:PORT", requires = "to")]
    listen: Option<SocketAddr>,

    /// With --to: where the admin interface listens, or `off` [default: 127.0.0.1:9901]
    #[arg(long, value_name = "IP:PORT", requires = "to")]
    admin: Option<Admin>,

    /// With --to: the filter directory to watch
    #[arg(long, value_name = "DIR", requires = "to")]
    filters: Option<PathBuf>,

    /// Number of worker threads; wins over the file [default: one per core]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..))]
    workers: Option<u16>,
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let supervisor = Supervisor::new()?;
    let workers = arguments.workers.map(usize::from);
    let running = gateway_server::start(Options {
        source: source(arguments)?,
        workers,
        compiling: in_processes_of_this_binary(),
        cache: Some(gateway_server::default_cache()),
    })?;
    output::report(&announcement(&running.listeners(), running.admin()));
    Ok(supervisor.run(running)?)
}

fn source(arguments: Arguments) -> Result<ConfigSource, std::io::Error> {
    let Some(target) = arguments.to else {
        return Ok(ConfigSource::File(arguments.config.unwrap_or_else(|| DEFAULT_FILE.into())));
    };
    let listen = arguments.listen.map_or_else(|| DEFAULT_LISTEN.to_owned(), |address| address.to_string());
    let admin = arguments.admin.unwrap_or_else(|| Admin(Some(DEFAULT_ADMIN.to_owned())));
    Ok(ConfigSource::Text {
        text: config_text(&target, &listen, &admin, arguments.filters.as_deref()),
        name: "the command line".to_owned(),
        base_dir: std::env::current_dir()?,
    })
}

/// The configuration that `--to` stands for. Written as JSON, which is YAML in which every string is quoted.
fn config_text(target: &Target, listen: &str, admin: &Admin, filters: Option<&Path>) -> String {
    let mut config = json!({
        "admin": admin.0.as_ref().map_or(json!("off"), |bind| json!({ "bind": bind })),
        "listeners": [{ "name": "web", "bind": listen }],
        "routes": [{ "name": "all", "to": "target" }],
        "upstreams": { "target": target.0 },
    });
    if let Some(directory) = filters {
        config["filters"] = json!({ "directory": directory });
    }
    config.to_string()
}

/// What the operator sees once traffic is served.
pub(crate) fn announcement(listeners: &[OpenListener], admin: Option<SocketAddr>) -> String {
    let mut text = String::new();
    for OpenListener { name, address, is_tls } in listeners {
        let scheme = if *is_tls { "https" } else { "http" };
        text += &format!("listening {scheme}://{address} ({name})\n");
    }
    if let Some(address) = admin {
        text += &format!("admin     http://{address} (/ready, /metrics, /filters)\n");
    }
    text
}

/// HOST:PORT, checked here so that a slip is a usage error.
#[derive(Clone, PartialEq, Debug)]
struct Target(String);

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let slip = |what: &str| Err(format!("{what}; write HOST:PORT, such as localhost:3000"));
        if text.contains('/') {
            return slip("a scheme or a path has no place here");
        }
        match text.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>())) {
            None => slip("the port is missing"),
            Some(("", _)) => slip("the host is missing"),
            Some((_, Err(_) | Ok(0))) => slip("the port must be a number from 1 to 65535"),
            Some((_, Ok(_))) => Ok(Self(text.to_owned())),
        }
    }
}

/// Address of the admin interface, or none.
#[derive(Clone, PartialEq, Debug)]
struct Admin(Option<String>);

impl FromStr for Admin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        match text.parse::<SocketAddr>() {
            Ok(address) => Ok(Self(Some(address.to_string()))),
            Err(_) => Err("write IP:PORT, such as 127.0.0.1:9901, or off".to_owned()),
        }
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
