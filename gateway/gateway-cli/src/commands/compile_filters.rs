//! `gateway compile-filters`: what the gateway runs of itself to compile filters in. Not for people, so it is not listed.

use std::process::ExitCode;

use gateway_server::{Compiling, compile_for_gateway};

use super::Failure;

const COMMAND: &str = "compile-filters";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Seconds of CPU time
    #[arg(requires = "memory")]
    cpu: Option<u64>,

    /// Bytes of memory
    memory: Option<u64>,
}

/// For whoever starts a gateway: this very binary, even when its file has been replaced since.
pub(crate) fn in_processes_of_this_binary() -> Compiling {
    Compiling::Helper { program: "/proc/self/exe".into(), arguments: vec![COMMAND.into()] }
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let ended = compile_for_gateway(arguments.cpu.zip(arguments.memory));
    // It has said what there is to say.
    if ended == ExitCode::SUCCESS { Ok(()) } else { Err(Failure::Reported) }
}
