//! The gates that a filter version passes before any worker sees it: manifest, hash, references, ABI and imports,
//! compile, start and configure.

use std::rc::Rc;
use std::sync::Arc;

use gateway_config::{Config, Manifest};
use proxy_wasm_host::{Limits, Module, Plugin, PluginConfig};

use super::FileState;
use crate::filter::{Home, PluginServices};
use crate::process::Process;
use crate::snapshot::{FilterSpec, LiveFilter};

/// Bytes of a content hash that name a version.
const VERSION_BYTES: usize = 6;

/// Runs a version through the gates. Heavy work is done off this thread.
///
/// `known` is the compiled module when only the manifest changed.
pub(super) async fn pass(
    process: &Arc<Process>,
    config: &Config,
    name: &str,
    file: &FileState,
    known: Option<Arc<Module>>,
) -> Result<FilterSpec, String> {
    let manifest = manifest(name, file)?;
    check_hash(&manifest, &file.wasm_sha256)?;
    check_references(&manifest, config)?;
    let plugin = Arc::new(plugin_config(name, &manifest));
    let upstreams: Vec<_> = config.upstreams.iter().map(|upstream| upstream.name.clone()).collect();
    let (process, wasm, name, tried) =
        (process.clone(), file.wasm.clone(), Arc::<str>::from(name), plugin.clone());
    let filter = name.clone();
    let compiled = tokio::task::spawn_blocking(move || {
        let module = match known {
            Some(module) => module,
            None => Arc::new(
                Module::compile(&process.engine, &wasm).map_err(|error| format!("{filter}.wasm: {error}"))?,
            ),
        };
        // A version that cannot start must never reach a worker; this instance is thrown away.
        let services = PluginServices::new(&process, &filter, Home::Gate { upstreams });
        Plugin::start(&module, tried, Rc::new(services))
            .map_err(|error| format!("{filter}.wasm: {error}"))?;
        Ok::<_, String>(module)
    });
    let module =
        compiled.await.map_err(|_| format!("{name}.wasm: compiling it failed inside the gateway"))??;
    for import in &module.info().unsupported {
        tracing::debug!(filter = %name, "the module imports {import}, which answers as unsupported");
    }
    let version = Arc::from(version(&file.wasm_sha256));
    Ok(FilterSpec { name, version, manifest, live: Ok(LiveFilter { module, plugin }) })
}

/// A filter that cannot serve: its policy answers for it.
pub(super) fn not_live(name: &str, manifest: Option<&str>, reason: String) -> FilterSpec {
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

fn manifest(name: &str, file: &FileState) -> Result<Manifest, String> {
    match &file.manifest {
        None => Ok(Manifest::default_for(name)),
        Some(text) => {
            let file_name = format!("{name}.yaml");
            gateway_config::parse_manifest(text, &file_name)
                .map_err(|errors| format!("{file_name}:\n{errors}"))
        }
    }
}

fn check_hash(manifest: &Manifest, sha256: &[u8; 32]) -> Result<(), String> {
    let found: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    match &manifest.sha256 {
        Some(pinned) if **pinned != *found => Err(format!(
            "the module's SHA-256 is {found}, but the manifest pins {pinned}; deploy the pinned file or change `sha256`"
        )),
        _ => Ok(()),
    }
}

/// A filter that names what does not exist would silently not apply.
fn check_references(manifest: &Manifest, config: &Config) -> Result<(), String> {
    let unknown = |what: &str, name: &str| {
        Err(format!("the manifest names {what} `{name}`, which is not in the configuration"))
    };
    for name in &manifest.applies_to.listeners {
        if !config.listeners.iter().any(|listener| listener.name == *name) {
            return unknown("listener", name);
        }
    }
    for name in &manifest.applies_to.routes {
        if !config.routes.iter().any(|route| route.name == *name) {
            return unknown("route", name);
        }
    }
    for name in &manifest.callouts {
        if !config.upstreams.iter().any(|upstream| upstream.name == *name) {
            return unknown("upstream", name);
        }
    }
    Ok(())
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
        // Shared data and queues live in a namespace of the filter's own.
        vm_id: name.to_owned(),
        vm_configuration: Vec::new(),
        configuration: manifest.config.clone(),
        env: manifest.env.clone(),
        callouts: manifest.callouts.iter().map(ToString::to_string).collect(),
        limits,
    }
}
