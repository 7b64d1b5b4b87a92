//! The gateway's side of the helper process: starts it, gives it jobs, and knows what its answers mean.

use std::ffi::OsString;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use proxy_wasm_host::LoadError;

use super::load::Artifact;
use super::wire::{Answer, CANCEL, COMPILED, DONE, Exit, Job, REFUSED};
use super::{CompileError, WALL_FACTOR};
use crate::shared::{CompileJob, CompileQueue};

/// How soon it is noticed that nobody wants an answer any more.
const GLANCE: Duration = Duration::from_millis(50);
/// How long a helper may take to call a job off. It has only to end a process.
const CALL_OFF: Duration = Duration::from_secs(10);

/// How a helper is started.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    pub(super) arguments: Vec<OsString>,
}

/// A helper process, replaced when it dies.
pub(super) struct Helper {
    program: Program,
    running: Option<Running>,
}

struct Running {
    process: Child,
    socket: UnixStream,
}

impl Helper {
    /// Starts the process.
    pub(super) fn start(program: Program) -> io::Result<Self> {
        let running = Some(Running::start(&program)?);
        Ok(Self { program, running })
    }

    /// Serves jobs until there are no more.
    pub(super) fn serve(mut self, queue: &CompileQueue) {
        while let Some(job) = queue.take() {
            let outcome = self.compile(&job, queue);
            job.answer(outcome);
        }
    }

    fn compile(&mut self, job: &CompileJob, queue: &CompileQueue) -> Result<Artifact, CompileError> {
        let lost = |error: io::Error| CompileError::NoHelper(error.to_string());
        let mut running = match self.running.take() {
            Some(running) => running,
            None => Running::start(&self.program).map_err(lost)?,
        };
        let outcome = running.ask(job, queue).map_err(lost)?;
        // One that failed is not asked again: it is dropped above, and the next job gets another.
        self.running = Some(running);
        outcome
    }
}

impl Running {
    fn start(program: &Program) -> io::Result<Self> {
        let (socket, theirs) = UnixStream::pair()?;
        let process = Command::new(&program.path)
            .args(&program.arguments)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            // A terminal's interrupt is for the gateway, which drains; the helper ends when the gateway has.
            .process_group(0)
            .spawn()?;
        Ok(Self { process, socket })
    }

    /// The outer error is one of the helper, the inner one of the module.
    fn ask(&mut self, job: &CompileJob, queue: &CompileQueue) -> io::Result<Result<Artifact, CompileError>> {
        let wall = job.limits.cpu * WALL_FACTOR;
        let deadline = Instant::now() + wall;
        self.socket.set_write_timeout(Some(wall))?;
        let head = Job {
            cpu_seconds: job.limits.cpu_seconds(),
            memory_bytes: job.limits.memory_bytes as u64,
            wasm_bytes: job.wasm.len() as u64,
        };
        head.write(&mut self.socket)?;
        self.socket.write_all(&job.wasm)?;
        let waited = self.await_answer(|| {
            if job.cancel.is_cancelled() || queue.is_closed() {
                Some(CompileError::Cancelled)
            } else {
                (Instant::now() >= deadline).then_some(CompileError::Wall(wall))
            }
        })?;
        self.socket.set_read_timeout(Some(CALL_OFF))?;
        Ok(match waited {
            Ok(first) => {
                let answer = Answer::read(&mut [first].chain(&self.socket))?;
                self.socket.write_all(&[DONE])?;
                meaning(answer, job)
            }
            Err(why) => {
                self.socket.write_all(&[CANCEL])?;
                // What it had or had not done by then: nobody wants it.
                Answer::read(&mut self.socket)?;
                Err(why)
            }
        })
    }

    /// The first byte of the answer, or a reason not to wait for it.
    fn await_answer(
        &mut self,
        reason: impl Fn() -> Option<CompileError>,
    ) -> io::Result<Result<u8, CompileError>> {
        self.socket.set_read_timeout(Some(GLANCE))?;
        let mut first = [0];
        loop {
            match self.socket.read(&mut first) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => return Ok(Ok(first[0])),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if let Some(reason) = reason() {
                return Ok(Err(reason));
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The end of the socket tells the helper to end, and with it what it started.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
        let give_up = Instant::now() + CALL_OFF;
        while matches!(self.process.try_wait(), Ok(None)) {
            if Instant::now() >= give_up {
                let _ = self.process.kill();
                let _ = self.process.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// What an answer says of the module.
fn meaning(answer: Answer, job: &CompileJob) -> Result<Artifact, CompileError> {
    let Answer { exit, mut output, errors } = answer;
    let words = || String::from_utf8_lossy(&errors).lines().next().unwrap_or("it said nothing").to_owned();
    match exit {
        Exit::Code(0) => match output.first() {
            Some(&COMPILED) => {
                output.remove(0);
                Ok(Artifact::from_helper(output))
            }
            Some(&REFUSED) => {
                let reason = String::from_utf8_lossy(&output[1..]).into_owned();
                Err(CompileError::Refused(LoadError::Compile { reason }))
            }
            _ => Err(CompileError::Crashed("it ended without an answer".to_owned())),
        },
        Exit::Signal(libc::SIGXCPU) => Err(CompileError::Cpu(job.limits.cpu)),
        Exit::Signal(libc::SIGABRT) if words().contains("memory allocation") => {
            Err(CompileError::Memory(job.limits.memory_bytes))
        }
        // Not by us: most likely by a system that has no memory left, which another time may have some.
        Exit::Signal(libc::SIGKILL) => Err(CompileError::NoHelper("it was killed".to_owned())),
        Exit::Signal(signal) => Err(CompileError::Crashed(format!("signal {signal}: {}", words()))),
        Exit::Code(code) => Err(CompileError::Crashed(format!("exit code {code}: {}", words()))),
        Exit::NotStarted(error) => {
            Err(CompileError::NoHelper(io::Error::from_raw_os_error(error).to_string()))
        }
    }
}
