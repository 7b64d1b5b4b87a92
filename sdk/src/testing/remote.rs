//! Has a compiled module run by a program that speaks [`super::protocol`] over its standard input and output.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::Runner;
use super::protocol::{Answered, Op};

/// The path of a compiled module.
const WASM: &str = "GATEWAY_SDK_WASM";
/// The path of the program that runs it, with its arguments, separated by spaces.
const HOST: &str = "GATEWAY_SDK_HOST";

/// A program that runs the module.
struct Remote {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

pub(super) fn is_asked_for() -> bool {
    std::env::var_os(WASM).is_some()
}

/// The module that the environment names.
pub(super) fn from_environment() -> Option<Box<dyn Runner>> {
    let module = std::env::var_os(WASM)?;
    let host = std::env::var(HOST).unwrap_or_else(|_| panic!("{WASM} is set, {HOST} is not"));
    let mut words = host.split(' ');
    let program = words.next().unwrap_or_default();
    let mut child = Command::new(program)
        .args(words)
        .arg(module)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let requests = child.stdin.take().unwrap_or_else(|| panic!("{program} has no standard input"));
    let answers = child.stdout.take().unwrap_or_else(|| panic!("{program} has no standard output"));
    Some(Box::new(Remote { child, requests, answers: BufReader::new(answers) }))
}

impl Runner for Remote {
    /// A test has no better way out than to end when the other side is gone.
    fn perform(&mut self, worker: usize, op: Op) -> Answered {
        let broken =
            |error: &dyn std::fmt::Display| -> ! { panic!("the program that runs the module: {error}") };
        let line = serde_json::to_string(&(worker, op)).unwrap_or_else(|error| broken(&error));
        writeln!(self.requests, "{line}").unwrap_or_else(|error| broken(&error));
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap_or_else(|error| broken(&error));
        serde_json::from_str(&answer).unwrap_or_else(|error| broken(&error))
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
