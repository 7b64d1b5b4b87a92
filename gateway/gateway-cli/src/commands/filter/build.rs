//! `gateway filter build`: a build for wasm32-wasip1, then the checks that the gateway makes when it loads the
//! module, so that an unusable one is found before it is dropped anywhere.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use gateway_config::{AboutError, FilterAbout};
use proxy_wasm_host::{LoadError, Module, ModuleInfo};

use super::artifact::{Artifact, find_artifact};
use crate::commands::Failure;
use crate::{output, publish, wasm_target};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The directory of the filter's Cargo.toml
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    /// The cargo profile to build with
    #[arg(long, value_name = "NAME", default_value = "release")]
    profile: String,

    /// Keep the names of functions, by which `gateway filter inspect` tells sizes by crate
    #[arg(long)]
    names: bool,

    /// Copy the module to this directory as NAME.wasm, whole or not at all; safe for a watched one
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    #[error("no Cargo.toml in {} ({source})\n  = help: name the directory of the filter's crate", directory.display())]
    NoManifest { directory: PathBuf, source: io::Error },
    #[error("cannot build for WebAssembly: {0}")]
    Target(#[from] wasm_target::TargetError),
    #[error("cannot run cargo: {0}\n  = help: install Rust with rustup, then try again")]
    NoCargo(io::Error),
    #[error("cargo build failed ({status}); its messages are above")]
    Cargo { status: ExitStatus },
    #[error(
        "{} builds no WebAssembly module\n  = help: add to it:\n\n        [lib]\n        crate-type = [\"cdylib\"]\n",
        manifest.display()
    )]
    NoModule { manifest: PathBuf },
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} was built, and what it says about its filter is of no use: {source}", path.display())]
    About { path: PathBuf, source: AboutError },
    #[error("{} was built, but no gateway would load it: {source}", path.display())]
    Unusable { path: PathBuf, source: LoadError },
    #[error("cannot write {file_name} to {}: {source}", directory.display())]
    Write { directory: PathBuf, file_name: String, source: io::Error },
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let profile = Profile { name: arguments.profile, names: arguments.names, settings: Vec::new() };
    let artifact = compile(&arguments.directory, &profile)?;
    let wasm = fs::read(&artifact.path)
        .map_err(|source| BuildError::Read { path: artifact.path.clone(), source })?;
    let info = Module::inspect(&wasm)
        .map_err(|source| BuildError::Unusable { path: artifact.path.clone(), source })?;
    let about = info.about.as_deref().map(FilterAbout::parse).transpose();
    let about = about.map_err(|source| BuildError::About { path: artifact.path.clone(), source })?;
    output::print(&describe(&artifact.path, &info))?;
    output::print(&says(about.as_ref()))?;
    if let Some(directory) = arguments.out {
        let path = copy_to(directory, format!("{}.wasm", artifact.package), &wasm)?;
        output::print(&format!("copied       {}\n", path.display()))?;
    }
    Ok(())
}

/// How a module is compiled.
pub(crate) struct Profile {
    pub(crate) name: String,
    /// Whether functions keep their names.
    pub(crate) names: bool,
    /// What cargo is told beside what stands in the crate's manifest.
    pub(crate) settings: Vec<String>,
}

impl Profile {
    pub(crate) fn release() -> Self {
        Self { name: "release".to_owned(), names: false, settings: Vec::new() }
    }
}

/// A module, and where it is.
///
/// # Errors
/// For the author to read, after cargo's own messages.
pub(crate) fn compile(directory: &Path, profile: &Profile) -> Result<Artifact, BuildError> {
    manifest_in(directory)?;
    wasm_target::ensure(directory)?;
    compile_again(directory, profile)
}

fn manifest_in(directory: &Path) -> Result<PathBuf, BuildError> {
    fs::canonicalize(directory.join("Cargo.toml"))
        .map_err(|source| BuildError::NoManifest { directory: directory.to_owned(), source })
}

/// The same where it has been done before: the compiler is not asked again what it can compile for.
///
/// # Errors
/// As above.
pub(crate) fn compile_again(directory: &Path, profile: &Profile) -> Result<Artifact, BuildError> {
    let manifest = manifest_in(directory)?;
    // Run in the crate's directory, so that its toolchain file and cargo settings apply. Cargo's own messages are for
    // the author and go to the terminal as they are.
    let names = profile.names.then(|| format!("profile.{}.strip=\"debuginfo\"", profile.name));
    let settings = profile.settings.iter().chain(&names).flat_map(|setting| ["--config", setting]);
    let result = Command::new("cargo")
        .args(["build", "--profile", &profile.name, "--target", wasm_target::TARGET])
        .arg("--message-format=json-render-diagnostics")
        .args(settings)
        .current_dir(directory)
        .stderr(Stdio::inherit())
        .output()
        .map_err(BuildError::NoCargo)?;
    if !result.status.success() {
        return Err(BuildError::Cargo { status: result.status });
    }
    find_artifact(&String::from_utf8_lossy(&result.stdout), &manifest)
        .ok_or(BuildError::NoModule { manifest })
}

fn copy_to(directory: PathBuf, file_name: String, wasm: &[u8]) -> Result<PathBuf, BuildError> {
    fs::create_dir_all(&directory)
        .and_then(|()| publish::put(&directory, &file_name, wasm))
        .map_err(|source| BuildError::Write { directory, file_name, source })
}

fn describe(path: &Path, info: &ModuleInfo) -> String {
    let mut text = format!(
        "module       {}\nsize         {}\nABI          {}\nimports      {}\n",
        path.display(),
        output::size(info.size_bytes),
        info.abi,
        output::count(info.imports.len(), "function"),
    );
    for (module, name) in &info.imports {
        text += &format!("               {module}.{name}\n");
    }
    text += &match info.unsupported.as_slice() {
        [] => "unsupported  none\n".to_owned(),
        names => format!(
            "unsupported  {}\n               (SDKs link these unasked; a call of one is answered by an error status)\n",
            names.join(", ")
        ),
    };
    text
}

/// What hosts can know without running it.
fn says(about: Option<&FilterAbout>) -> String {
    let Some(about) = about else {
        return "filter       says nothing about itself; modules made with the SDK do\n".to_owned();
    };
    let schema = match &about.config {
        Some(_) => "checked before it runs (`gateway filter inspect` shows what it may be)",
        None => "not described; derive `FilterConfig` on it, and it is checked before the filter runs",
    };
    format!(
        "filter       {} {}\nphases       {}\nconfig       {schema}\n",
        about.name,
        about.version,
        about.phases.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_without_a_crate_is_refused_before_anything_runs() {
        let directory = tempfile::tempdir().unwrap();
        let error = compile(directory.path(), &Profile::release()).unwrap_err().to_string();
        assert!(error.starts_with("no Cargo.toml in "), "{error}");
    }

    #[test]
    fn the_module_lands_under_the_name_of_the_filter() {
        let directory = tempfile::tempdir().unwrap();
        let filters = directory.path().join("deep/filters");
        let path = copy_to(filters.clone(), "my-filter.wasm".to_owned(), b"\0asm").unwrap();
        assert_eq!(path, filters.join("my-filter.wasm"));
        assert_eq!(fs::read(path).unwrap(), b"\0asm");
    }
}
