//! `gateway filter`: commands for those who write filters and those who run them.

mod artifact;
mod build;
mod inspect;
mod list;
mod numbers;
mod versions;

use super::Failure;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Compile a filter crate to a module and show what the gateway sees in it
    Build(build::Arguments),
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
}

pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Build(arguments) => build::run(arguments),
        Command::List(arguments) => list::run(arguments),
        Command::Inspect(arguments) => inspect::run(arguments),
        Command::History(arguments) => versions::history(arguments),
        Command::Rollback(arguments) => versions::change("rollback", arguments),
        Command::Promote(arguments) => versions::change("promote", arguments),
        Command::Pin(arguments) => versions::change("pin", arguments),
        Command::Unpin(arguments) => versions::unpin(arguments),
    }
}
