//! What can be said of a filter's files without running it: for `gateway validate`, and for the log when it is loaded.

use std::fs;
use std::io::Read;
use std::path::Path;

use gateway_config::{Config, Diagnostic, FilterAbout, Manifest, Severity};
use proxy_wasm_host::{Engine, Module, ModuleInfo, limits};
use sha2::{Digest, Sha256};

use super::gate::check_manifest;
use super::settings::{self, Secrets};

/// Something about one file of a filter directory.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct FilterFinding {
    /// An error is a reason to refuse the filter.
    pub severity: Severity,
    /// What it is, with the file's name.
    pub message: String,
    /// The same with its place in the manifest, if it has one.
    pub diagnostic: Option<Diagnostic>,
}

/// Looks at every module of the configured filter directory. Manifests with errors of their own are passed over:
/// [`gateway_config::parse_manifest`] tells those.
pub fn check_filters(config: &Config) -> Vec<FilterFinding> {
    let Some(entries) = config.filters.directory.as_ref().and_then(|directory| fs::read_dir(directory).ok())
    else {
        return Vec::new();
    };
    let mut modules: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    modules.retain(|path| {
        let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        !is_hidden && path.is_file() && path.extension().is_some_and(|extension| extension == "wasm")
    });
    modules.sort();
    // A machine that cannot run modules is told so when the gateway starts.
    let engine = Engine::new().ok();
    modules.iter().flat_map(|path| check_filter(config, engine.as_ref(), path)).collect()
}

fn check_filter(config: &Config, engine: Option<&Engine>, path: &Path) -> Vec<FilterFinding> {
    let finding = |severity| move |message| FilterFinding { severity, message, diagnostic: None };
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let name = file.trim_end_matches(".wasm");
    let error = |text: String| vec![finding(Severity::Error)(format!("{file}: {text}"))];
    let wasm = match read(path) {
        Ok(wasm) => wasm,
        Err(reason) => return error(reason.to_string()),
    };
    let info = Module::inspect(&wasm).and_then(|info| match engine {
        Some(engine) => engine.check_imports(&info).map(|()| info),
        None => Ok(info),
    });
    let info = match info {
        Ok(info) => info,
        Err(reason) => return error(reason.to_string()),
    };
    let text = fs::read_to_string(path.with_extension("yaml")).ok();
    let manifest = match &text {
        Some(text) => match gateway_config::parse_manifest(text, &format!("{name}.yaml")) {
            Ok(manifest) => manifest,
            Err(_) => return Vec::new(),
        },
        None => Manifest::default_for(name),
    };
    let settings = settings_of(config, path, &manifest, text.as_deref(), &info);
    let refused = check_manifest(name, &manifest, &Sha256::digest(&wasm).into(), config).err();
    // The first line of several is their sum.
    let lines = refused.iter().flat_map(|refusal| {
        let lines = refusal.message.lines();
        lines.skip(usize::from(refusal.message.contains('\n')))
    });
    let errors = lines.map(str::to_owned).map(finding(Severity::Error));
    let doubts = doubts(&info, &manifest).into_iter().map(|doubt| format!("{file}: {doubt}"));
    errors.chain(doubts.map(finding(Severity::Warning))).chain(settings).collect()
}

/// What is wrong with the configuration in a manifest. Secrets need not be on the machine that looks.
fn settings_of(
    config: &Config,
    path: &Path,
    manifest: &Manifest,
    text: Option<&str>,
    info: &ModuleInfo,
) -> Vec<FilterFinding> {
    let shown = path.with_extension("yaml").display().to_string();
    let mut found = Vec::new();
    let checked = settings::check(&shown, text, manifest, info.about.as_deref(), config);
    found.extend(checked.as_ref().err().into_iter().flat_map(|errors| errors.iter()).map(|error| {
        FilterFinding { severity: Severity::Error, message: error.line(), diagnostic: Some(error.clone()) }
    }));
    let warning = |message| FilterFinding { severity: Severity::Warning, message, diagnostic: None };
    let secrets = Secrets::read(text, path.parent());
    found.extend(secrets.problems().iter().map(|problem| warning(format!("{shown}: {problem}"))));
    let about = info.about.as_deref().and_then(|about| FilterAbout::parse(about).err());
    found.extend(about.map(|error| warning(format!("{}: {error}", path.display()))));
    found
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut wasm = Vec::new();
    // One byte more than is allowed is enough to be refused for it.
    fs::File::open(path)?.take(limits::MODULE_BYTES as u64 + 1).read_to_end(&mut wasm)?;
    Ok(wasm)
}

/// Where a module and its manifest do not go together: the filter loads, and something of it cannot work.
pub(super) fn doubts(info: &ModuleInfo, manifest: &Manifest) -> Vec<String> {
    let imports = |name: &str| info.imports.iter().any(|(_, import)| import == name);
    let exports = |name: &str| info.exports.iter().any(|export| export == name);
    let mut doubts = Vec::new();
    if info.imports_everything() {
        // As some SDKs do: then an import says nothing about what the filter does.
    } else if imports("proxy_http_call") && manifest.callouts.is_empty() {
        doubts.push(
            "it imports proxy_http_call and may call nobody, so that each call fails; to allow some, write in its manifest: \
             capabilities: {callouts: [UPSTREAM]}"
                .to_owned(),
        );
    }
    if !info.imports_everything() && !info.unsupported.is_empty() {
        let names = info.unsupported.join(", ");
        doubts.push(format!("it imports {names}, which this gateway does not support: each call fails"));
    }
    let useless = [
        (!manifest.callouts.is_empty() && !imports("proxy_http_call"), "`callouts`", "proxy_http_call"),
        (
            !manifest.shared_with.is_empty() && !imports("proxy_register_shared_queue"),
            "`sharedWith`",
            "proxy_register_shared_queue",
        ),
    ];
    for (_, field, import) in useless.into_iter().filter(|(is_useless, ..)| *is_useless) {
        doubts.push(format!(
            "its manifest has {field}, and it does not import {import}: leave the capability out"
        ));
    }
    if manifest.body_while_paused && !exports("proxy_on_request_body") {
        doubts.push(
            "its manifest has `bodyWhilePaused`, and it does not export proxy_on_request_body".to_owned(),
        );
    }
    doubts
}

#[cfg(test)]
#[path = "inspect_tests.rs"]
mod tests;
