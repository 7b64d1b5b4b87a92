//! `gateway filter`: commands for filter authors.

pub(crate) mod artifact;
mod bench;
pub(crate) mod build;
mod inspect_file;
mod new;
mod test;

use std::path::PathBuf;

use super::Failure;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Make a crate with a filter that works, its tests and the SDK
    New(new::Arguments),
    /// Compile a filter crate to a module and show what the gateway sees in it
    Build(build::Arguments),
    /// Run the tests of a filter crate, natively and on its compiled module in the gateway's host
    Test(test::Arguments),
    /// Show what a module is made of: what it says of its filter, imports, sizes, schema
    Inspect(inspect_file::Arguments),
    /// Measure what a module costs per request, in the gateway's host without a network
    Bench(bench::Arguments),
    /// Serve the tests of a filter: reads what to do with a module, and answers (what `filter test` starts)
    #[command(hide = true)]
    Host {
        /// The module
        module: PathBuf,
    },
}

pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::New(arguments) => new::run(arguments),
        Command::Build(arguments) => build::run(arguments),
        Command::Test(arguments) => test::run(arguments),
        Command::Inspect(arguments) => inspect_file::run(arguments),
        Command::Bench(arguments) => bench::run(arguments),
        Command::Host { module } => test::host(&module),
    }
}
