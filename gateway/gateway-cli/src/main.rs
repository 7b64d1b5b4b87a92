//! The `gateway` command: reads the arguments, hands over to one module per subcommand and turns the outcome into an
//! exit code.
//!
//! Nothing here knows how a request is served, a configuration is resolved or a module is run: those are the crates
//! below.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;

mod admin;
mod commands;
mod embedded;
mod logging;
mod output;
mod publish;
mod supervise;
mod wasm_target;

use commands::{Command, Failure};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EXIT_CODES: &str = "Exit codes:
  0  done (a gateway that served: stopped and drained)
  1  failed; standard error says why
  2  the command line is wrong";

#[derive(Parser)]
#[command(
    name = "gateway",
    version,
    about = "A programmable edge proxy, extended by Proxy-Wasm filters",
    after_help = EXIT_CODES,
    arg_required_else_help = true
)]
struct Arguments {
    /// How much is logged to standard error; wins over RUST_LOG [default: info]
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<logging::Level>,

    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    logging::start(arguments.log_level, arguments.command.default_log_level());
    match arguments.command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Reported) => ExitCode::FAILURE,
        Err(Failure::Message(message)) => {
            output::report(&format!("{}\n", output::as_error(&message)));
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Arguments::command().debug_assert();
    }
}
