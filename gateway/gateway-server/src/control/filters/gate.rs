//! The gates that a filter version passes before any worker sees it: manifest, hash, references, ABI and imports,
//! compile, start, configure, and a first request.

use std::fmt::Display;
use std::rc::Rc;
use std::sync::Arc;

use gateway_config::{Config, Manifest};
use proxy_wasm_host::{
    CallError, Code, Limits, LoadError, Module, Plugin, PluginConfig, Prepared, StartError,
};

use super::rehearsal::rehearse;
use super::{FileState, inspect};
use crate::compile::{CompileError, CompileLimits};
use crate::filter::{Home, PluginServices};
use crate::process::Process;
use crate::refusal::{Gate, Refusal};
use crate::shared::{Cancel, Containment};
use crate::snapshot::{FilterSpec, LiveFilter};
use crate::telemetry::families;

/// Bytes of a content hash that name a version.
const VERSION_BYTES: usize = 6;

/// A version that has passed the gates which cost nothing, and what the others need.
pub(super) struct Candidate {
    pub(super) name: Arc<str>,
    manifest: Manifest,
    wasm: Arc<[u8]>,
    sha256: [u8; 32],
    /// The compiled module, when only the manifest changed.
    known: Option<Arc<Module>>,
    /// Upstreams of the configuration.
    upstreams: Vec<Arc<str>>,
    limits: CompileLimits,
    pub(super) cancel: Cancel,
}

/// The gates that need no more than a look: manifest, references, hash.
pub(super) fn admit(
    config: &Config,
    name: &str,
    file: &FileState,
    known: Option<Arc<Module>>,
) -> Result<Candidate, Refusal> {
    let manifest = manifest(name, file)?;
    check_manifest(name, &manifest, &file.wasm_sha256, config)?;
    Ok(Candidate {
        name: name.into(),
        manifest,
        wasm: file.wasm.clone(),
        sha256: file.wasm_sha256,
        known,
        upstreams: config.upstreams.iter().map(|upstream| upstream.name.clone()).collect(),
        limits: CompileLimits::of(&config.filters.compile),
        cancel: Cancel::default(),
    })
}

/// The other gates, off this thread. A reason of several lines has its sum on the first.
pub(super) async fn pass(process: &Arc<Process>, candidate: Candidate) -> Result<FilterSpec, Refusal> {
    let process = process.clone();
    let name = candidate.name.clone();
    let tried = tokio::task::spawn_blocking(move || try_out(&process, candidate));
    let inside = |_| Refusal::at(Gate::Compile, format!("{name}.wasm: trying it failed inside the gateway"));
    tried.await.map_err(inside)?
}

fn try_out(process: &Arc<Process>, candidate: Candidate) -> Result<FilterSpec, Refusal> {
    let Candidate { name, manifest, wasm, sha256, known, upstreams, limits, cancel } = candidate;
    let at = |gate, error: &dyn Display| Refusal::at(gate, format!("{name}.wasm: {error}"));
    let module = match known {
        Some(module) => module,
        None => {
            let loaded = |error: LoadError| at(gate_of_load(&error), &error);
            let info = Module::check(&process.engine, &wasm).map_err(loaded)?;
            let (prepared, code) = compiled_module(process, &wasm, limits, &cancel)
                .map_err(|error| at(Gate::Compile, &error))?;
            Arc::new(Module::from_code(&process.engine, info, &prepared, code).map_err(loaded)?)
        }
    };
    // A version that cannot start must never reach a worker; this instance is thrown away.
    let plugin = Arc::new(plugin_config(&name, &manifest));
    let containment = Containment::new(&name, &manifest, Some(&process.registry));
    let home = Home::Gate { upstreams };
    let services = Rc::new(PluginServices::new(process, &name, &manifest, &containment, home));
    let mut tried = Plugin::start(&module, plugin.clone(), services.clone())
        .map_err(|error| at(gate_of_start(&error), &explained(&error, &wasm)))?;
    services.rehearse();
    rehearse(&mut tried).map_err(|error| {
        at(Gate::Request, &format_args!("a made-up request, before any real one, ended badly: {error}"))
    })?;
    for doubt in inspect::doubts(module.info(), &manifest) {
        tracing::warn!(filter = %name, "{name}.wasm: {doubt}");
    }
    let version = Arc::from(version(&sha256));
    let live = LiveFilter { module, plugin, wasm, sha256 };
    Ok(FilterSpec { name, version, manifest, containment, live: Ok(live) })
}

/// Code of a filter's file, rewritten so that it can be frozen if that is possible.
fn compiled_module(
    process: &Process,
    wasm: &Arc<[u8]>,
    limits: CompileLimits,
    cancel: &Cancel,
) -> Result<(Prepared, Code), CompileError> {
    let prepared = Prepared::of(wasm);
    match compiled(process, &prepared.wasm().into(), limits, cancel) {
        // What is wrong with it is to be told of the file itself.
        Err(CompileError::Refused(error)) => {
            let code = compiled(process, wasm, limits, cancel)?;
            Ok((Prepared::plain(wasm, &error), code))
        }
        outcome => outcome.map(|code| (prepared, code)),
    }
}

/// Code of a module, by whoever compiles here; counted by what came of it.
fn compiled(
    process: &Process,
    wasm: &Arc<[u8]>,
    limits: CompileLimits,
    cancel: &Cancel,
) -> Result<Code, CompileError> {
    let made = process.compile.code(&process.engine, wasm, limits, cancel);
    let outcome = made.as_ref().map_or_else(CompileError::outcome, |(_, source)| source.outcome());
    process.registry.counter(&families::FILTER_COMPILATIONS, &[outcome]).inc();
    made.map(|(code, _)| code)
}

/// A filter that cannot serve: its policy answers for it.
pub(super) fn not_live(name: &str, manifest: Option<&str>, reason: Refusal) -> FilterSpec {
    let (name, manifest) = (Arc::<str>::from(name), super::manifest_or_default(name, manifest));
    let containment = Containment::new(&name, &manifest, None);
    FilterSpec { name, version: Arc::from("-"), manifest, containment, live: Err(reason) }
}

/// The short name of a content.
pub(super) fn version(sha256: &[u8; 32]) -> String {
    sha256[..VERSION_BYTES].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The gate at which a module that cannot be loaded fails.
fn gate_of_load(error: &LoadError) -> Gate {
    match error {
        LoadError::TooLarge { .. } => Gate::Size,
        LoadError::Empty | LoadError::NotWasm { .. } | LoadError::Component | LoadError::Malformed { .. } => {
            Gate::Parse
        }
        LoadError::NoMarker
        | LoadError::UnknownMarker { .. }
        | LoadError::NoAllocator
        | LoadError::NoMemory
        | LoadError::CallbackSignature { .. }
        | LoadError::NotHttpFilter => Gate::Abi,
        LoadError::UnknownImport { .. }
        | LoadError::ImportKind { .. }
        | LoadError::ImportSignature { .. } => Gate::Imports,
        LoadError::Compile { .. } => Gate::Compile,
    }
}

/// Why it does not start, with names and lines of its code.
fn explained(error: &StartError, wasm: &[u8]) -> String {
    match error {
        StartError::Call(call) if let (Some(callback), Some(failure)) = (call.callback(), call.failure()) => {
            format!("the filter failed in {callback}: {}", proxy_wasm_host::explain(wasm, failure))
        }
        other => other.to_string(),
    }
}

/// The gate at which a module that does not start fails.
pub(super) fn gate_of_start(error: &StartError) -> Gate {
    let callback = match error {
        StartError::Refused { callback }
        | StartError::Call(CallError::Trap { callback, .. } | CallError::Deadline { callback, .. }) => {
            callback
        }
        _ => return Gate::Start,
    };
    if *callback == "proxy_on_configure" { Gate::Configure } else { Gate::Start }
}

fn manifest(name: &str, file: &FileState) -> Result<Manifest, Refusal> {
    match &file.manifest {
        None => Ok(Manifest::default_for(name)),
        Some(text) => gateway_config::parse_manifest(text, &format!("{name}.yaml"))
            .map_err(|errors| Refusal::at(Gate::Manifest, listed(errors.summary(), errors.lines()))),
    }
}

/// What the manifest says of the module and of the configuration. A filter that names what does not exist would silently
/// not apply.
pub(super) fn check_manifest(
    name: &str,
    manifest: &Manifest,
    sha256: &[u8; 32],
    config: &Config,
) -> Result<(), Refusal> {
    let listeners = || config.listeners.iter().map(|listener| &*listener.name);
    let routes = || config.routes.iter().map(|route| &*route.name);
    let upstreams = || config.upstreams.iter().map(|upstream| &*upstream.name);
    let applies = &manifest.applies_to;
    let mut errors = Vec::new();
    errors.extend(applies.listeners.iter().filter_map(|name| unknown("listener", name, listeners())));
    errors.extend(applies.routes.iter().filter_map(|name| unknown("route", name, routes())));
    errors.extend(manifest.callouts.iter().filter_map(|name| unknown("upstream", name, upstreams())));
    let in_vain = errors.len();
    let found: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    if let Some(pinned) = manifest.sha256.as_ref().filter(|pinned| ***pinned != *found) {
        errors.push(format!(
            "the SHA-256 of {name}.wasm is {found}, not {pinned}; deploy the pinned file or change `sha256`"
        ));
    }
    let gate = if in_vain == 0 { Gate::Hash } else { Gate::Manifest };
    match errors.as_slice() {
        [] => Ok(()),
        [error] => Err(Refusal::at(gate, format!("{name}.yaml: {error}"))),
        errors => {
            let lines = errors.iter().map(|error| format!("{name}.yaml: {error}"));
            Err(Refusal::at(gate, listed(format!("{} errors in {name}.yaml", errors.len()), lines)))
        }
    }
}

fn unknown<'k>(kind: &str, name: &str, known: impl Iterator<Item = &'k str> + Clone) -> Option<String> {
    if known.clone().any(|known| known == name) {
        return None;
    }
    let help = gateway_config::suggestion(name, known, "there are").map(|help| format!("; {help}"));
    Some(format!("{kind} `{name}` is not in the configuration{}", help.unwrap_or_default()))
}

fn listed(sum: String, lines: impl Iterator<Item = String>) -> String {
    std::iter::once(sum).chain(lines).collect::<Vec<_>>().join("\n")
}

fn plugin_config(name: &str, manifest: &Manifest) -> PluginConfig {
    let limits = Limits {
        callback_cpu: manifest.limits.callback_cpu,
        start_cpu: manifest.limits.start_cpu,
        memory_bytes: manifest.limits.memory_bytes,
        pending_calls: manifest.limits.pending_calls,
        ..Limits::default()
    };
    PluginConfig {
        name: name.to_owned(),
        root_id: manifest.root_id.to_string(),
        // Shared data and queues live in a namespace of the filter's own unless it says otherwise.
        vm_id: manifest.vm_id.as_deref().unwrap_or(name).to_owned(),
        vm_configuration: manifest.vm_config.clone(),
        configuration: manifest.config.clone(),
        env: manifest.env.clone(),
        callouts: manifest.callouts.iter().map(ToString::to_string).collect(),
        hidden_headers: manifest.hidden_headers.iter().map(ToString::to_string).collect(),
        limits,
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
