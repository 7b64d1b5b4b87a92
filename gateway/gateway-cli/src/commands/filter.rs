//! `gateway filter`: commands for filter authors.

mod artifact;
mod build;

use super::Failure;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Compile a filter crate to a module and show what the gateway sees in it
    Build(build::Arguments),
}

pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Build(arguments) => build::run(arguments),
    }
}
