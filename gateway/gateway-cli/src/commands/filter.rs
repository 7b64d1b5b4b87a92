//! `gateway filter`: commands for those who write filters and those who run them.

mod artifact;
mod build;
mod inspect;
mod list;
mod numbers;

use super::Failure;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Compile a filter crate to a module and show what the gateway sees in it
    Build(build::Arguments),
    /// The filters of a running gateway, with what they did and cost
    List(list::Arguments),
    /// Everything about a filter of a running gateway, or about a module's file
    Inspect(inspect::Arguments),
}

pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Build(arguments) => build::run(arguments),
        Command::List(arguments) => list::run(arguments),
        Command::Inspect(arguments) => inspect::run(arguments),
    }
}
