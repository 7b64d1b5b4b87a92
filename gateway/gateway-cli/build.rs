//! Builds the shipped filters for WebAssembly and takes in the SDK's source, so that the installed binary carries both and
//! needs no source tree.
//!
//! Each filter is built by a cargo of its own, in a target directory below `OUT_DIR`, with the workspace's `filter`
//! profile. The outer cargo's lint wrappers and compiler flags belong to the native build and are kept away from it.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

#[path = "src/sdk_source.rs"]
mod sdk_source;
#[path = "src/wasm_target.rs"]
mod wasm_target;

/// The shipped filters, by the names of their packages.
const FILTERS: [&str; 6] = ["api-key", "deny-list", "jwt-auth", "quota", "rate-limit", "request-stats"];

/// What the outer cargo sets for the native build and must not reach the nested one.
const NATIVE_ONLY: [&str; 9] = [
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_TARGET_DIR",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "CLIPPY_ARGS",
];

#[derive(Debug, thiserror::Error)]
enum BuildError {
    #[error("cargo did not set {0}; run this build script through cargo")]
    NotCargo(&'static str),
    #[error("{0}")]
    Target(#[from] wasm_target::TargetError),
    #[error("cannot run {cargo:?}: {source}")]
    Cargo { cargo: OsString, source: std::io::Error },
    #[error(
        "the shipped filters did not compile for {}; what cargo says of it is above",
        wasm_target::TARGET
    )]
    Compile,
    #[error("cannot copy {from:?} to {to:?}: {source}")]
    Copy { from: PathBuf, to: PathBuf, source: std::io::Error },
    #[error("cannot take in the source of the SDK: {0}")]
    Sdk(std::io::Error),
    #[error("cannot take in the filter {filter}: {source}")]
    Filter { filter: &'static str, source: std::io::Error },
    #[error("{0} has no block of YAML, which is the example of its manifest")]
    NoExample(PathBuf),
}

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), BuildError> {
    let workspace = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("../..");
    let out = PathBuf::from(variable("OUT_DIR")?);
    rerun_when_changed(&workspace);
    embed_sdk(&workspace, &out).map_err(BuildError::Sdk)?;
    wasm_target::ensure(&workspace)?;
    build_filters(&workspace, &out)?;
    let mut shipped = "&[".to_owned();
    for filter in FILTERS {
        let library = filter.replace('-', "_");
        let from = out.join("wasm").join(wasm_target::TARGET).join("filter").join(format!("{library}.wasm"));
        let to = out.join(format!("{filter}.wasm"));
        std::fs::copy(&from, &to).map_err(|source| BuildError::Copy { from, to: to.clone(), source })?;
        let example = example(&workspace, filter)?;
        shipped +=
            &format!("Shipped {{ name: {filter:?}, wasm: include_bytes!({to:?}), manifest: {example:?} }},");
    }
    shipped.push(']');
    std::fs::write(out.join("shipped.rs"), shipped)
        .map_err(|source| BuildError::Filter { filter: "list", source })
}

/// The first block of YAML in the filter's README.
fn example(workspace: &Path, filter: &'static str) -> Result<String, BuildError> {
    let path = workspace.join("filters").join(filter).join("README.md");
    let readme = std::fs::read_to_string(&path).map_err(|source| BuildError::Filter { filter, source })?;
    let block = readme.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
    block.map(str::to_owned).ok_or(BuildError::NoExample(path))
}

/// The lock file goes along, so that an author's first build has the versions that this one was tested with.
fn embed_sdk(workspace: &Path, out: &Path) -> std::io::Result<()> {
    let files = sdk_source::files(workspace)?;
    std::fs::write(out.join("sdk.rs"), sdk_source::as_rust(&files))?;
    std::fs::copy(workspace.join("Cargo.lock"), out.join("Cargo.lock")).map(drop)
}

fn rerun_when_changed(workspace: &Path) {
    let filters = FILTERS.map(|filter| format!("filters/{filter}"));
    let shared = ["sdk", "Cargo.lock", "Cargo.toml", "rust-toolchain.toml"].map(String::from);
    for path in filters.iter().chain(&shared) {
        println!("cargo::rerun-if-changed={}", workspace.join(path).display());
    }
}

/// `--locked`: the outer cargo has written the lock file already, and a build must not change the source tree.
fn build_filters(workspace: &Path, out: &Path) -> Result<(), BuildError> {
    let cargo = variable("CARGO")?;
    let mut command = Command::new(&cargo);
    command
        .current_dir(workspace)
        .args(["build", "--locked", "--profile", "filter", "--target", wasm_target::TARGET])
        .args(FILTERS.iter().flat_map(|filter| ["--package", filter]))
        .arg("--target-dir")
        .arg(out.join("wasm"));
    for name in NATIVE_ONLY {
        command.env_remove(name);
    }
    let status = command.status().map_err(|source| BuildError::Cargo { cargo, source })?;
    if status.success() { Ok(()) } else { Err(BuildError::Compile) }
}

fn variable(name: &'static str) -> Result<OsString, BuildError> {
    env::var_os(name).ok_or(BuildError::NotCargo(name))
}
