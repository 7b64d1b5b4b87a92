//! The program's own log: lines on standard error, filtered by level. Access logs are not its business.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// How much is logged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// Starts logging. The level asked for on the command line wins over RUST_LOG, which wins over `default`.
pub(crate) fn start(asked: Option<Level>, default: Level) {
    let filter = match asked {
        Some(level) => EnvFilter::new(name(level)),
        None => EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(name(default))),
    };
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(!no_color && std::io::stderr().is_terminal())
        .with_target(false)
        // They would be printed to standard error as well, where they failed, and panic when that fails again.
        .log_internal_errors(false)
        .init();
}

fn name(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}
