//! The subcommands. Each module owns its arguments and its errors; this one only lists them.

mod compile_filters;
mod demo;
mod explain;
mod filter;
mod init;
mod run;
mod schema;
mod validate;

use clap::Subcommand;

use crate::logging::Level;

/// How a command ends when it does not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// To be shown on standard error.
    Message(String),
    /// The command has shown everything already.
    Reported,
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Message(error.to_string())
    }
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Serve traffic
    Run(run::Arguments),
    /// Write a starting configuration, its JSON Schema and an empty filter directory
    Init(init::Arguments),
    /// Check a configuration and the manifests of its filters
    Validate(validate::Arguments),
    /// Say which route a request takes, and why
    Explain(explain::Arguments),
    /// Print the JSON Schema of the configuration
    Schema(schema::Arguments),
    /// Work on filters
    #[command(subcommand)]
    Filter(filter::Command),
    /// Start a gateway with an origin behind it, to try filters on
    Demo(demo::Arguments),
    /// Compile filters for a gateway, which starts this itself
    #[command(hide = true, name = "compile-filters")]
    CompileFilters(compile_filters::Arguments),
}

impl Command {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Run(arguments) => run::run(arguments),
            Self::Init(arguments) => init::run(arguments),
            Self::Validate(arguments) => validate::run(arguments),
            Self::Explain(arguments) => explain::run(arguments),
            Self::Schema(arguments) => schema::run(arguments),
            Self::Filter(command) => filter::run(command),
            Self::Demo(arguments) => demo::run(arguments),
            Self::CompileFilters(arguments) => compile_filters::run(arguments),
        }
    }

    /// `demo --check` provokes failures on purpose; their log lines would read as if the check had failed.
    pub(crate) fn default_log_level(&self) -> Level {
        match self {
            Self::Demo(arguments) if arguments.check => Level::Error,
            _ => Level::Info,
        }
    }
}
