//! `filter-host MODULE`: runs a compiled module for the tests of its filter; see `gateway_sdk::testing`.
#![forbid(unsafe_code)]

use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!(
            "usage: filter-host MODULE.wasm\n  = help: set GATEWAY_SDK_HOST to this program, GATEWAY_SDK_WASM to the module, and run `cargo test`"
        );
        return ExitCode::from(2);
    };
    let served = std::fs::read(&path)
        .map_err(gateway_sdk_testing::ServeError::Io)
        .and_then(|module| gateway_sdk_testing::serve(&module, io::stdin().lock(), io::stdout().lock()));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}: {error}", path.to_string_lossy());
            ExitCode::FAILURE
        }
    }
}
