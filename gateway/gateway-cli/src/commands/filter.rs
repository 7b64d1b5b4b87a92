//! `gateway filter`: commands for those who write filters and those who run them.

mod add;
pub(crate) mod artifact;
mod bench;
pub(crate) mod build;
mod inspect;
mod inspect_file;
mod list;
mod new;
mod numbers;
mod test;
mod versions;

use std::path::PathBuf;

use super::Failure;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Make a crate with a filter that works, its tests and the SDK
    New(new::Arguments),
    /// Compile a filter crate to a module and show what the gateway sees in it
    Build(build::Arguments),
    /// Put a filter that comes with the gateway into a filter directory
    Add(add::Arguments),
    /// The filters of a running gateway, with what they did and cost
    List(list::Arguments),
    /// Everything about a filter of a running gateway, or about a module's file
    Inspect(inspect::Arguments),
    /// Show the versions of a filter of a running gateway, and the one on trial
    History(versions::HistoryArguments),
    /// Go back to an earlier version, or end the trial of the newest
    Rollback(versions::ChangeArguments),
    /// Let the version on trial serve, or one that was rolled back
    Promote(versions::ChangeArguments),
    /// Let a version serve whatever the file says
    Pin(versions::ChangeArguments),
    /// Follow the file again
    Unpin(versions::UnpinArguments),
    /// Run the tests of a filter crate, natively and on its compiled module in the gateway's host
    Test(test::Arguments),
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
        Command::Add(arguments) => add::run(arguments),
        Command::List(arguments) => list::run(arguments),
        Command::Inspect(arguments) => inspect::run(arguments),
        Command::History(arguments) => versions::history(arguments),
        Command::Rollback(arguments) => versions::change("rollback", arguments),
        Command::Promote(arguments) => versions::change("promote", arguments),
        Command::Pin(arguments) => versions::change("pin", arguments),
        Command::Unpin(arguments) => versions::unpin(arguments),
        Command::Test(arguments) => test::run(arguments),
        Command::Bench(arguments) => bench::run(arguments),
        Command::Host { module } => test::host(&module),
    }
}
