//! `gateway filter test`: `cargo test` of a filter crate twice, natively and on its compiled module in this program's host.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use super::build;
use crate::commands::Failure;
use crate::output;

/// What the SDK's test kit looks for.
const WASM: &str = "GATEWAY_SDK_WASM";
const HOST: &str = "GATEWAY_SDK_HOST";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The directory of the filter's Cargo.toml
    #[arg(value_name = "DIR", default_value = ".")]
    directory: PathBuf,

    /// Only natively: fast, and good enough between two changes
    #[arg(long)]
    native: bool,
}

#[derive(Debug, thiserror::Error)]
enum TestError {
    #[error("cannot run cargo: {0}\n  = help: install Rust with rustup, then try again")]
    NoCargo(io::Error),
    #[error("the tests failed {place} ({status}); cargo's messages are above")]
    Failed { place: &'static str, status: ExitStatus },
    #[error("cannot tell where this program is: {0}")]
    NoProgram(io::Error),
    #[error("the path of this program has a space in it: {}\n  = help: install it somewhere else", .0.display())]
    Space(PathBuf),
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    output::print("natively\n")?;
    test(&arguments.directory, "natively", &[])?;
    if arguments.native {
        return Ok(());
    }
    let module = fs::canonicalize(build::compile(&arguments.directory, &build::Profile::release())?.path)?;
    let program = std::env::current_exe().map_err(TestError::NoProgram)?;
    if program.to_string_lossy().contains(' ') {
        return Err(TestError::Space(program).into());
    }
    let host = format!("{} filter host", program.display());
    output::print("as a module, in the gateway's host\n")?;
    test(&arguments.directory, "as a module", &[(WASM, &module.to_string_lossy()), (HOST, &host)])?;
    Ok(())
}

fn test(directory: &Path, place: &'static str, variables: &[(&str, &str)]) -> Result<(), TestError> {
    let mut command = Command::new("cargo");
    command.arg("test").current_dir(directory).env_remove(WASM).env_remove(HOST);
    command.envs(variables.iter().copied());
    let status = command.status().map_err(TestError::NoCargo)?;
    if status.success() { Ok(()) } else { Err(TestError::Failed { place, status }) }
}

/// One test, over standard input and output.
pub(crate) fn host(module: &Path) -> Result<(), Failure> {
    let module = fs::read(module)?;
    Ok(gateway_sdk_testing::serve(&module, io::stdin().lock(), io::stdout().lock())?)
}
