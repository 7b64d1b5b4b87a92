//! Makes sure that the Rust toolchain can compile for WebAssembly.
//!
//! Used by `gateway filter build` and, as the same source file, by this crate's build script; so it knows nothing of
//! either, and only of `rustc` and `rustup` as commands.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The target that filters are built for: WASI preview 1, which every Proxy-Wasm host offers.
pub(crate) const TARGET: &str = "wasm32-wasip1";

/// Why there is no way to compile for [`TARGET`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum TargetError {
    #[error("cannot run {rustc:?}: {source}\n  = help: install Rust with rustup, then try again")]
    NoCompiler { rustc: OsString, source: std::io::Error },
    #[error("{rustc:?} --print sysroot failed in {directory:?}: {output}")]
    NoSysroot { rustc: OsString, directory: PathBuf, output: String },
    #[error(
        "the Rust target {TARGET} is not installed in {sysroot:?}, and rustup is not there to add it ({source})\n  \
         = help: install Rust with rustup and run `rustup target add {TARGET}`"
    )]
    NoRustup { sysroot: PathBuf, source: std::io::Error },
    #[error(
        "the Rust target {TARGET} is not installed in {sysroot:?}, and adding it failed: {output}\n  \
         = help: with network access, run `rustup target add {TARGET}` in {directory:?}"
    )]
    NotAdded { sysroot: PathBuf, directory: PathBuf, output: String },
}

/// Checks for the target with the toolchain that is in force in `directory`, and adds it when it is missing.
pub(crate) fn ensure(directory: &Path) -> Result<(), TargetError> {
    let sysroot = sysroot(directory)?;
    let libraries = sysroot.join("lib/rustlib").join(TARGET).join("lib");
    if libraries.is_dir() {
        return Ok(());
    }
    let added = Command::new("rustup").args(["target", "add", TARGET]).current_dir(directory).output();
    match added {
        Err(source) => Err(TargetError::NoRustup { sysroot, source }),
        Ok(output) if output.status.success() && libraries.is_dir() => Ok(()),
        Ok(output) => Err(TargetError::NotAdded {
            sysroot,
            directory: directory.to_owned(),
            output: text(&output.stderr),
        }),
    }
}

fn sysroot(directory: &Path) -> Result<PathBuf, TargetError> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    match Command::new(&rustc).args(["--print", "sysroot"]).current_dir(directory).output() {
        Err(source) => Err(TargetError::NoCompiler { rustc, source }),
        Ok(output) if output.status.success() => Ok(PathBuf::from(text(&output.stdout))),
        Ok(output) => Err(TargetError::NoSysroot {
            rustc,
            directory: directory.to_owned(),
            output: text(&output.stderr),
        }),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}
