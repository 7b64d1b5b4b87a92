//! `filter-host [--without-cryptography] MODULE`: runs a compiled module for the tests of its filter; see
//! `gateway_sdk::testing`.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use gateway_sdk_testing::{ModuleHost, ServeError};

const USAGE: &str = "usage: filter-host [--without-cryptography] MODULE.wasm
  = help: set GATEWAY_SDK_HOST to this program, with its options, GATEWAY_SDK_WASM to the module, and run `cargo test`";

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let (path, with_cryptography) = match arguments.as_slice() {
        [path] => (path, true),
        [option, path] if option == "--without-cryptography" => (path, false),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    let serve = |module: Vec<u8>| {
        let host = ModuleHost::new(&module)?;
        let host = if with_cryptography { host } else { host.without_cryptography() };
        host.serve(io::stdin().lock(), io::stdout().lock())
    };
    match std::fs::read(path).map_err(ServeError::Io).and_then(serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}: {error}", path.to_string_lossy());
            ExitCode::FAILURE
        }
    }
}
