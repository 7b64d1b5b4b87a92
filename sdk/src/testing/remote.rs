//! Has a compiled module run by a program that speaks [`super::protocol`] over its standard input and output.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use super::Runner;
use super::protocol::{Answered, Op};

/// The path of a compiled module.
const WASM: &str = "GATEWAY_SDK_WASM";
/// The path of the program that runs it, with its arguments, separated by spaces.
const HOST: &str = "GATEWAY_SDK_HOST";

/// Whoever runs the module, at the other end.
pub(super) struct Remote {
    requests: Box<dyn Write>,
    answers: Box<dyn BufRead>,
    /// To be ended with the test, if the test started it.
    child: Option<Child>,
}

impl Remote {
    pub(super) const fn new(requests: Box<dyn Write>, answers: Box<dyn BufRead>) -> Self {
        Self { requests, answers, child: None }
    }
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
    let answers = Box::new(BufReader::new(answers));
    Some(Box::new(Remote { requests: Box::new(requests), answers, child: Some(child) }))
}

impl Runner for Remote {
    /// A test has no better way out than to end when the other side is gone.
    fn perform(&mut self, worker: usize, op: Op) -> Answered {
        let broken =
            |error: &dyn std::fmt::Display| -> ! { panic!("the program that runs the module: {error}") };
        let line = serde_json::to_string(&(worker, op)).unwrap_or_else(|error| broken(&error));
        let sent = writeln!(self.requests, "{line}").and_then(|()| self.requests.flush());
        sent.unwrap_or_else(|error| broken(&error));
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap_or_else(|error| broken(&error));
        serde_json::from_str(&answer).unwrap_or_else(|error| broken(&error))
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
