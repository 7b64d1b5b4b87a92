//! The gates that a filter version passes before any worker sees it: manifest, hash, references, ABI and imports,
//! compile, start, configure, and a first request.

use std::fmt::Display;
use std::sync::Arc;

use gateway_config::{Config, Manifest};
use proxy_wasm_host::{CallError, Limits, LoadError, Module, PluginConfig, StartError};

use super::ready::{Making, ready};
use super::settings::{self, Secrets};
use super::{FileKey, FileState, inspect};
use crate::compile::{CompileError, CompileLimits, Made, Work};
use crate::filter::QueueHold;
use crate::process::Process;
use crate::refusal::{Gate, Refusal};
use crate::shared::{Cancel, Containment, StartedPool};
use crate::snapshot::{FilterSpec, LiveFilter};
use crate::telemetry::families;

/// A version that has passed the gates which cost nothing, and what the others need.
pub(super) struct Candidate {
    pub(super) name: Arc<str>,
    manifest: Manifest,
    /// As the filter reads it, with its secrets.
    configuration: Vec<u8>,
    /// What it must not say.
    secrets: Vec<Vec<u8>>,
    wasm: Arc<[u8]>,
    sha256: [u8; 32],
    version: Arc<str>,
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
    secrets: Option<&Secrets>,
) -> Result<Candidate, Refusal> {
    let manifest = manifest(name, file)?;
    check_manifest(name, &manifest, &file.wasm_sha256, config)?;
    let about = match &known {
        Some(module) => module.info().about.clone(),
        // What is wrong with the file is told where it is compiled.
        None => Module::inspect(&file.wasm).ok().and_then(|info| info.about),
    };
    check_settings(name, file, &manifest, about.as_deref(), config, secrets)?;
    Ok(Candidate {
        name: name.into(),
        configuration: secrets
            .map_or_else(|| manifest.config.clone(), |secrets| secrets.configuration(&manifest)),
        secrets: secrets.map(Secrets::forms).unwrap_or_default(),
        manifest,
        wasm: file.wasm.clone(),
        sha256: file.wasm_sha256,
        version: FileKey::of(file).version().into(),
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
    let Candidate {
        name,
        manifest,
        configuration,
        secrets,
        wasm,
        sha256,
        version,
        known,
        upstreams,
        limits,
        cancel,
    } = candidate;
    let at = |gate, error: &dyn Display| Refusal::at(gate, format!("{name}.wasm: {error}"));
    let module = match known {
        Some(module) => module,
        None => {
            let loaded = |error: LoadError| at(gate_of_load(&error), &error);
            let info = Module::check(&process.engine, &wasm).map_err(loaded)?;
            let work = Work { wasm: wasm.clone(), state: None };
            let Made { code, freezable } =
                compiled(process, &work, limits, &cancel).map_err(|error| at(Gate::Compile, &error))?;
            Arc::new(Module::from_code(&process.engine, info, code, freezable).map_err(loaded)?)
        }
    };
    // A version that cannot start must never reach a worker.
    let plugin = Arc::new(PluginConfig { configuration, secrets, ..plugin_config(&name, &manifest) });
    let told = (&*process.registry, &process.events);
    let containment = Containment::new(&name, &version, &manifest, Some(told));
    let (queues, upstreams) = (QueueHold::new(process), Arc::from(upstreams));
    let ready = ready(&Making {
        process,
        name: &name,
        manifest: &manifest,
        containment: &containment,
        module: &module,
        wasm: &wasm,
        plugin: &plugin,
        upstreams: &upstreams,
        queues: &queues,
        limits,
        cancel: &cancel,
    })?;
    for doubt in inspect::doubts(module.info(), &manifest) {
        tracing::warn!(filter = %name, "{name}.wasm: {doubt}");
    }
    let started = StartedPool::new(ready.started);
    let live = LiveFilter { module, plugin, wasm, image: ready.image, started, queues, upstreams, sha256 };
    Ok(FilterSpec { name, version, manifest, containment, live: Ok(live) })
}

/// Code of a module, by whoever compiles here; counted by what came of it.
pub(super) fn compiled(
    process: &Process,
    work: &Work,
    limits: CompileLimits,
    cancel: &Cancel,
) -> Result<Made, CompileError> {
    let made = process.compile.code(&process.engine, work, limits, cancel);
    let outcome = made.as_ref().map_or_else(CompileError::outcome, |(_, source)| source.outcome());
    process.registry.counter(&families::FILTER_COMPILATIONS, &[outcome]).inc();
    made.map(|(made, _)| made)
}

/// That the filter would take its configuration, as far as its module says, and that its secrets are there.
fn check_settings(
    name: &str,
    file: &FileState,
    manifest: &Manifest,
    about: Option<&[u8]>,
    config: &Config,
    secrets: Option<&Secrets>,
) -> Result<(), Refusal> {
    settings::check(&format!("{name}.yaml"), file.manifest.as_deref(), manifest, about, config)
        .map_err(|errors| Refusal::at(Gate::Manifest, listed(errors.summary(), errors.lines())))?;
    match secrets.map(Secrets::problems).unwrap_or_default() {
        [] => Ok(()),
        [problem] => Err(Refusal::at(Gate::Manifest, format!("{name}.yaml: {problem}"))),
        problems => {
            let lines = problems.iter().map(|problem| format!("{name}.yaml: {problem}"));
            let sum = format!("{} secrets of {name}.yaml cannot be had", problems.len());
            Err(Refusal::at(Gate::Manifest, listed(sum, lines)))
        }
    }
}

/// A filter that cannot serve: its policy answers for it.
pub(super) fn not_live(name: &str, manifest: Option<&str>, reason: Refusal) -> FilterSpec {
    let (name, manifest) = (Arc::<str>::from(name), super::manifest_or_default(name, manifest));
    let version = Arc::from("-");
    let containment = Containment::new(&name, &version, &manifest, None);
    FilterSpec { name, version, manifest, containment, live: Err(reason) }
}

/// The gate at which a module that cannot be loaded fails.
fn gate_of_load(error: &LoadError) -> Gate {
    match error {
        LoadError::TooLarge { .. } | LoadError::TooMany { .. } => Gate::Size,
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
pub(super) fn explained(error: &StartError, wasm: &[u8]) -> String {
    match error {
        StartError::Call(call) if let (Some(callback), Some(failure)) = (call.callback(), call.failure()) => {
            format!("the filter failed in {callback}: {}", proxy_wasm_host::explain(wasm, failure))
        }
        other => other.to_string(),
    }
}

/// The gate at which a module that does not start fails.
pub(super) fn gate_of_start(error: &StartError) -> Gate {
    let (StartError::Refused { callback }
    | StartError::Call(CallError::Trap { callback, .. } | CallError::Deadline { callback, .. })) = error
    else {
        return Gate::Start;
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
        secrets: Vec::new(),
        limits,
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
