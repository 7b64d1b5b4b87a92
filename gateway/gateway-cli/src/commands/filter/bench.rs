//! `gateway filter bench FILE.wasm`: what a module costs per request, in the gateway's own host, without a network.
//!
//! The stream is kept in memory, so that what is measured is the filter and the calls it makes, and nothing around it. A
//! whole gateway adds the same for every filter.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway_config::Manifest;
use proxy_wasm_host::fake::{FakeServices, FakeStream, Ticker};
use proxy_wasm_host::{CallError, Callback, Effect, Engine, Limits, Module, Plugin, PluginConfig, StreamMap};

use crate::commands::Failure;
use crate::output;

/// Rounds; the median of them is told, and their spread.
const ROUNDS: usize = 7;
/// What a browser's request has.
const REQUEST: [(&str, &str); 9] = [
    (":method", "GET"),
    (":path", "/products/42?lang=en"),
    (":authority", "shop.example.com"),
    (":scheme", "https"),
    ("accept", "text/html,application/xhtml+xml"),
    ("accept-encoding", "gzip, br"),
    ("cookie", "session=0123456789abcdef"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)"),
    ("x-request-id", "8f14e45f-ceea-467f-a83d-8cfb0f8e4b2c"),
];
const RESPONSE: [(&str, &str); 4] =
    [(":status", "200"), ("content-type", "text/html"), ("content-length", "1024"), ("server", "origin")];

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The module
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Its manifest; without it the one beside the module, if there is one
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,

    /// Requests of one round
    #[arg(long, value_name = "NUMBER", default_value_t = 20_000)]
    requests: usize,

    /// One more request header, as `name: value`; several times for several
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    headers: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
enum BenchError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("`{0}` is not a header\n  = help: write it as `name: value`")]
    Header(String),
    #[error("the filter does not start: {reason}{}", .logs.iter().map(|line| format!("\n  {line}")).collect::<String>())]
    Start { reason: String, logs: Vec<String> },
    #[error("a callback failed: {0}")]
    Call(#[from] CallError),
}

/// What one round came to.
struct Round {
    per_request: Duration,
    answered_itself: usize,
    called_out: usize,
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let wasm = fs::read(&arguments.file)
        .map_err(|source| BenchError::Read { path: arguments.file.clone(), source })?;
    let manifest = manifest(&arguments)?;
    let mut request: Vec<(String, String)> =
        REQUEST.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    for header in &arguments.headers {
        let (name, value) = header.split_once(':').ok_or_else(|| BenchError::Header(header.clone()))?;
        request.push((name.trim().to_lowercase(), value.trim().to_owned()));
    }
    let engine = Engine::new()?;
    let _ticker = Ticker::start(&engine);
    let begun = Instant::now();
    let module = Module::compile(&engine, &wasm)?;
    let compiled = begun.elapsed();
    let services = Rc::new(FakeServices::default());
    services.upstreams.borrow_mut().extend(manifest.callouts.iter().map(ToString::to_string));
    let begun = Instant::now();
    let mut plugin = start(&module, &manifest, &services)?;
    let started = begun.elapsed();
    let mut rounds = Vec::new();
    // The first warms up what is made on first use.
    for index in 0..=ROUNDS {
        let round = round(&mut plugin, &services, &request, arguments.requests)?;
        if index > 0 {
            rounds.push(round);
        }
    }
    output::print(&report(&arguments, compiled, started, &mut rounds, plugin.memory_bytes()))?;
    Ok(())
}

fn manifest(arguments: &Arguments) -> Result<Manifest, Failure> {
    let beside = arguments.file.with_extension("yaml");
    let path = match &arguments.manifest {
        Some(path) => path.clone(),
        None if beside.is_file() => beside,
        None => return Ok(Manifest::default_for("")),
    };
    let text = gateway_config::read_manifest(&path)?;
    Ok(gateway_config::parse_manifest(&text, &path.display().to_string())?)
}

fn start(module: &Module, manifest: &Manifest, services: &Rc<FakeServices>) -> Result<Plugin, BenchError> {
    let config = PluginConfig {
        name: "bench".to_owned(),
        root_id: manifest.root_id.to_string(),
        vm_configuration: manifest.vm_config.clone(),
        configuration: manifest.config.clone(),
        env: manifest.env.clone(),
        callouts: manifest.callouts.iter().map(ToString::to_string).collect(),
        limits: Limits {
            callback_cpu: manifest.limits.callback_cpu,
            start_cpu: manifest.limits.start_cpu,
            memory_bytes: manifest.limits.memory_bytes,
            ..Limits::default()
        },
        ..PluginConfig::default()
    };
    Plugin::start(module, Arc::new(config), services.clone()).map_err(|error| {
        let logs = services.logs.take().into_iter().map(|(_, line)| line).collect();
        BenchError::Start { reason: error.to_string(), logs }
    })
}

/// Everything is prepared before the clock starts: streams as the gateway has them at each callback.
fn round(
    plugin: &mut Plugin,
    services: &FakeServices,
    request: &[(String, String)],
    requests: usize,
) -> Result<Round, BenchError> {
    let lines: Vec<(&str, &str)> = request.iter().map(|(name, value)| (&**name, &**value)).collect();
    let mut spent = Duration::ZERO;
    let (mut answered_itself, mut called_out) = (0, 0);
    for number in 0..requests {
        let mut stream = FakeStream::with_request_headers(&lines);
        stream.properties.insert("source.address".to_owned(), b"192.0.2.7:40000".to_vec());
        let stream = Rc::new(RefCell::new(stream));
        // A millisecond apart, so that what depends on time is not all at once.
        services.now_ns.set(1_767_225_600_000_000_000 + number as u64 * 1_000_000);
        let begun = Instant::now();
        let id = plugin.create_stream(stream.clone())?;
        if plugin.handles(Callback::RequestHeaders) {
            plugin.on_request_headers(id, lines.len(), true)?;
        }
        let mut replied = false;
        while let Some(effect) = plugin.next_effect() {
            match effect {
                Effect::LocalReply { .. } => replied = true,
                Effect::HttpCall { .. } => called_out += 1,
                _ => {}
            }
        }
        answered_itself += usize::from(replied);
        spent += begun.elapsed();
        stream.borrow_mut().set_map(StreamMap::ResponseHeaders, &RESPONSE);
        let begun = Instant::now();
        if plugin.handles(Callback::ResponseHeaders) {
            plugin.on_response_headers(id, RESPONSE.len(), true)?;
        }
        plugin.finish_stream(id)?;
        while plugin.next_effect().is_some() {}
        spent += begun.elapsed();
        services.logs.borrow_mut().clear();
    }
    let per_request = spent / u32::try_from(requests.max(1)).unwrap_or(u32::MAX);
    Ok(Round { per_request, answered_itself, called_out })
}

fn report(
    arguments: &Arguments,
    compiled: Duration,
    started: Duration,
    rounds: &mut [Round],
    memory_bytes: usize,
) -> String {
    rounds.sort_by_key(|round| round.per_request);
    let micros = |time: Duration| format!("{:.2} µs", time.as_nanos() as f64 / 1_000.0);
    let (Some(least), Some(most)) = (rounds.first(), rounds.last()) else { return String::new() };
    let median = &rounds[rounds.len() / 2];
    let mut text = format!(
        "module         {}\ncompile        {} ms\nstart          {:.1} ms, with its configuration\nmemory         {} of one instance\n\
         per request    {} (median of {ROUNDS} rounds of {} requests; {} to {})\n",
        arguments.file.display(),
        compiled.as_millis(),
        started.as_secs_f64() * 1_000.0,
        output::size(memory_bytes),
        micros(median.per_request),
        arguments.requests,
        micros(least.per_request),
        micros(most.per_request),
    );
    if median.answered_itself > 0 {
        text += &format!("answered       {} of them by the filter itself\n", median.answered_itself);
    }
    if median.called_out > 0 {
        text +=
            "note           it called out, and nobody answers here: only the way to the call is measured\n";
    }
    text
}
