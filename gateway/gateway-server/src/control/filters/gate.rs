//! The gates that a filter version passes before any worker sees it: manifest, hash, references, ABI and imports,
//! compile, start and configure.

use std::rc::Rc;
use std::sync::Arc;

use gateway_config::{Config, Manifest};
use proxy_wasm_host::{CallError, Limits, LoadError, Module, Plugin, PluginConfig, StartError};

use super::settings::{self, Secrets};
use super::{FileState, inspect};
use crate::filter::{Home, PluginServices};
use crate::process::Process;
use crate::refusal::{Gate, Refusal};
use crate::snapshot::{FilterSpec, LiveFilter};

/// Bytes of a content hash that name a version.
const VERSION_BYTES: usize = 6;

/// Runs a version through the gates. Heavy work is done off this thread.
///
/// `known` is the compiled module when only the manifest changed. A reason of several lines has its sum on the first.
pub(super) async fn pass(
    process: &Arc<Process>,
    config: &Config,
    name: &str,
    file: &FileState,
    known: Option<Arc<Module>>,
    secrets: &Secrets,
) -> Result<FilterSpec, Refusal> {
    let manifest = manifest(name, file)?;
    check_manifest(name, &manifest, &file.wasm_sha256, config)?;
    let about = match &known {
        Some(module) => module.info().about.clone(),
        // What is wrong with the file is told where it is compiled.
        None => Module::inspect(&file.wasm).ok().and_then(|info| info.about),
    };
    check_settings(name, file, &manifest, about.as_deref(), config, secrets)?;
    let configuration = secrets.configuration(&manifest);
    let plugin = Arc::new(PluginConfig { configuration, ..plugin_config(name, &manifest) });
    let upstreams: Vec<_> = config.upstreams.iter().map(|upstream| upstream.name.clone()).collect();
    let (process, wasm, name, tried) =
        (process.clone(), file.wasm.clone(), Arc::<str>::from(name), plugin.clone());
    let (filter, of) = (name.clone(), manifest.clone());
    let compiled = tokio::task::spawn_blocking(move || {
        let module = match known {
            Some(module) => module,
            None => Arc::new(
                Module::compile(&process.engine, &wasm)
                    .map_err(|error| Refusal::at(gate_of_load(&error), format!("{filter}.wasm: {error}")))?,
            ),
        };
        // A version that cannot start must never reach a worker; this instance is thrown away.
        let services = PluginServices::new(&process, &filter, &of, Home::Gate { upstreams });
        Plugin::start(&module, tried, Rc::new(services))
            .map_err(|error| Refusal::at(gate_of_start(&error), format!("{filter}.wasm: {error}")))?;
        Ok::<_, Refusal>(module)
    });
    let inside =
        |_| Refusal::at(Gate::Compile, format!("{name}.wasm: compiling it failed inside the gateway"));
    let module = compiled.await.map_err(inside)??;
    for doubt in inspect::doubts(module.info(), &manifest) {
        tracing::warn!(filter = %name, "{name}.wasm: {doubt}");
    }
    let version = Arc::from(version(&file.wasm_sha256));
    Ok(FilterSpec {
        name,
        version,
        manifest,
        live: Ok(LiveFilter { module, plugin, sha256: file.wasm_sha256 }),
    })
}

/// That the filter would take its configuration, as far as its module says, and that its secrets are there.
fn check_settings(
    name: &str,
    file: &FileState,
    manifest: &Manifest,
    about: Option<&[u8]>,
    config: &Config,
    secrets: &Secrets,
) -> Result<(), Refusal> {
    settings::check(&format!("{name}.yaml"), file.manifest.as_deref(), manifest, about, config)
        .map_err(|errors| Refusal::at(Gate::Manifest, listed(errors.summary(), errors.lines())))?;
    match secrets.problems() {
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
    FilterSpec {
        name: Arc::from(name),
        version: Arc::from("-"),
        manifest: super::manifest_or_default(name, manifest),
        live: Err(reason),
    }
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
