//! The processes of the gateway's own binary that compile: a helper, which does nothing but start the others, and one process
//! per module, which is confined and gone when it has answered.
//!
//! The helper is there because it starts early: a gateway that may start no processes any more still has it. It reads nothing
//! of a module but its bytes, and passes them on.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use proxy_wasm_host::{Compiler, LoadError};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use super::load::Artifact;
use super::step_back::{rest_often, step_back_if_due};
use super::wire::{Answer, COMPILED, DONE, Exit, Job, MAX_ERROR_BYTES, MAX_OUTPUT_BYTES, REFUSED};
use super::{CompileError, Work, confine};

/// How often it is looked at how long a process compiles.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// The life of a process that compiles for a gateway. A program that gives [`Compiling::Helper`](crate::Compiling) to
/// [`start`](crate::start) calls this when it is run with the arguments named there.
///
/// `limits` are what the helper adds to those arguments when it starts a process for one module: seconds of CPU time and
/// bytes of memory.
pub fn compile_for_gateway(limits: Option<(u64, u64)>) -> ExitCode {
    let ended = match limits {
        None => help(),
        Some((cpu_seconds, memory_bytes)) => compile(cpu_seconds, memory_bytes),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The gateway reads it; where there is none, nobody does.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves one job after the other, until the gateway is gone.
fn help() -> io::Result<()> {
    confine::lower_priority()?;
    let gateway = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    while let Some(job) = Job::read(&mut &gateway)? {
        serve(&gateway, job)?;
    }
    Ok(())
}

fn serve(gateway: &UnixStream, job: Job) -> io::Result<()> {
    match start(job) {
        Ok(child) => watch(gateway, job, child),
        Err(error) => {
            io::copy(&mut gateway.take(job.work_bytes), &mut io::sink())?;
            let exit = Exit::NotStarted(error.raw_os_error().unwrap_or_default());
            Answer { exit, output: Vec::new(), errors: Vec::new() }.write(&mut &*gateway)?;
            last_word(gateway).map(drop)
        }
    }
}

/// The same binary with the same arguments, and the limits.
fn start(job: Job) -> io::Result<Child> {
    let own: Vec<OsString> = std::env::args_os().skip(1).collect();
    Command::new("/proc/self/exe")
        .args(own)
        .args([job.cpu_seconds.to_string(), job.memory_bytes.to_string()])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

fn watch(gateway: &UnixStream, job: Job, mut child: Child) -> io::Result<()> {
    let pid = Pid::from_child(&child);
    let (input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let served = thread::scope(|scope| {
        let feeder = scope.spawn(move || {
            let word = feed(gateway, job.work_bytes, input);
            if !matches!(word, Ok(DONE)) {
                // It has not been waited for yet, so that the number is still its own; it may have ended all the same.
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
            word
        });
        let errors = scope.spawn(move || read_at_most(errors, MAX_ERROR_BYTES));
        // Dropped when there is nobody to look after.
        let (over, is_over) = sync_channel::<()>(0);
        scope.spawn(move || {
            while is_over.recv_timeout(LOOK_INTERVAL) == Err(RecvTimeoutError::Timeout)
                && !step_back_if_due(pid)
            {}
        });
        let output = read_at_most(output, MAX_OUTPUT_BYTES);
        if output.len() as u64 >= MAX_OUTPUT_BYTES {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        let errors = errors.join().unwrap_or_default();
        let exit = exit_of(pid);
        drop(over);
        let answered = exit.and_then(|exit| Answer { exit, output, errors }.write(&mut &*gateway));
        let word = feeder.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()));
        answered.and(word)
    });
    child.wait()?;
    served.map(drop)
}

/// Hands the work over, then waits for what the gateway says last.
fn feed(gateway: &UnixStream, work_bytes: u64, input: Option<ChildStdin>) -> io::Result<u8> {
    let mut work = gateway.take(work_bytes);
    if let Some(mut input) = input {
        // One that ended early does not take all of it.
        let _ = io::copy(&mut work, &mut input);
    }
    io::copy(&mut work, &mut io::sink())?;
    last_word(gateway)
}

fn last_word(mut gateway: &UnixStream) -> io::Result<u8> {
    let mut word = [0];
    gateway.read_exact(&mut word)?;
    Ok(word[0])
}

/// Reads to the end, or so much. Who writes on then is told that nobody reads.
fn read_at_most(from: Option<impl Read>, max_bytes: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut from) = from {
        // What was read before an error is what there is.
        let _ = from.by_ref().take(max_bytes).read_to_end(&mut bytes);
    }
    bytes
}

/// Waits for the end of a process without forgetting it, so that its number stays its own.
fn exit_of(pid: Pid) -> io::Result<Exit> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    let ended = rustix::io::retry_on_intr(|| rustix::process::waitid(WaitId::Pid(pid), options))?;
    let ended = ended.ok_or(io::ErrorKind::NotFound)?;
    Ok(match (ended.exit_status(), ended.terminating_signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, signal) => Exit::Signal(signal.unwrap_or_default()),
    })
}

/// One module: confined, then read, compiled, answered.
fn compile(cpu_seconds: u64, memory_bytes: u64) -> io::Result<()> {
    confine::limit(cpu_seconds, memory_bytes)?;
    // A system that lets it have no timer says nothing about the module.
    let _ = rest_often();
    let compiler = Compiler::new().map_err(io::Error::other)?;
    let (input, mut output) = (io::stdin().lock(), io::stdout().lock());
    confine::lock_down().map_err(io::Error::other)?;
    let work = Work::read(input)?;
    match Artifact::made_here(&work, &compiler) {
        Ok(artifact) => {
            output.write_all(&[COMPILED])?;
            output.write_all(artifact.bytes())?;
        }
        Err(error) => {
            let reason = match error {
                CompileError::Refused(LoadError::Compile { reason }) => reason,
                other => other.to_string(),
            };
            output.write_all(&[REFUSED])?;
            output.write_all(reason.as_bytes())?;
        }
    }
    output.flush()
}
