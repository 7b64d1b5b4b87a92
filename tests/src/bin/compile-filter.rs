//! What a gateway in a test runs to compile filters in: the same as the real binary's, without all that is around it.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    gateway_server::compile_for_gateway(numbers.next().zip(numbers.next()))
}
