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
use super::{CompileError, GLANCE, WALL_FACTOR};
use crate::shared::{CompileJob, CompileQueue, Lane};

/// How long the helper for small modules stays with one while others wait for it.
const EXPRESS_TIME: Duration = Duration::from_secs(3);
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

/// Why there is no answer.
enum Stopped {
    Failed(CompileError),
    /// Others wait that most likely take less time: it is to be compiled by another helper.
    Aside,
}

impl From<CompileError> for Stopped {
    fn from(error: CompileError) -> Self {
        Self::Failed(error)
    }
}

impl Helper {
    /// Starts the process.
    pub(super) fn start(program: Program) -> io::Result<Self> {
        let running = Some(Running::start(&program)?);
        Ok(Self { program, running })
    }

    /// Serves the jobs of a lane until there are no more.
    pub(super) fn serve(mut self, queue: &CompileQueue, lane: Lane) {
        while let Some(job) = queue.take(lane) {
            match self.compile(&job, queue, lane) {
                Ok(artifact) => job.answer(Ok(artifact)),
                Err(Stopped::Failed(error)) => job.answer(Err(error)),
                Err(Stopped::Aside) => queue.put_aside(job),
            }
        }
    }

    fn compile(&mut self, job: &CompileJob, queue: &CompileQueue, lane: Lane) -> Result<Artifact, Stopped> {
        let lost = |error: io::Error| CompileError::NoHelper(error.to_string());
        if let Some(mut running) = self.running.take()
            && let Ok(outcome) = running.ask(job, queue, lane)
        {
            self.running = Some(running);
            return outcome;
        }
        // It died, of whatever, since it was last asked or now: a fresh one is asked, once.
        let mut fresh = Running::start(&self.program).map_err(lost)?;
        let outcome = fresh.ask(job, queue, lane).map_err(lost)?;
        self.running = Some(fresh);
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
    fn ask(
        &mut self,
        job: &CompileJob,
        queue: &CompileQueue,
        lane: Lane,
    ) -> io::Result<Result<Artifact, Stopped>> {
        let (begun, wall) = (Instant::now(), job.limits.cpu * WALL_FACTOR);
        let head = Job {
            cpu_seconds: job.limits.cpu_seconds(),
            memory_bytes: job.limits.memory_bytes as u64,
            work_bytes: job.work.sent_bytes(),
        };
        head.write(&mut self.socket)?;
        for part in [&job.work.head()[..], &job.work.wasm, job.work.state.as_deref().unwrap_or_default()] {
            if !self.send(part, queue, begun + wall)? {
                return Ok(Err(CompileError::Cancelled.into()));
            }
        }
        let waited = self.await_answer(|| {
            if job.cancel.is_cancelled() || queue.is_closed() {
                Some(CompileError::Cancelled.into())
            } else if begun.elapsed() >= wall {
                Some(CompileError::Wall(wall).into())
            } else {
                let is_aside = lane == Lane::Express && begun.elapsed() >= EXPRESS_TIME;
                (is_aside && queue.has_work_for(lane)).then_some(Stopped::Aside)
            }
        })?;
        self.socket.set_read_timeout(Some(CALL_OFF))?;
        Ok(match waited {
            Ok(first) => {
                let answer = Answer::read(&mut [first].chain(&self.socket))?;
                self.socket.write_all(&[DONE])?;
                meaning(answer, job).map_err(Stopped::Failed)
            }
            // It is ended at once, and with it what it started.
            Err(why) if queue.is_closed() => Err(why),
            Err(why) => {
                self.socket.write_all(&[CANCEL])?;
                // What it had or had not done by then: nobody wants it.
                Answer::read(&mut self.socket)?;
                Err(why)
            }
        })
    }

    /// As fast as it is read, which at the lowest priority may be slow. False if the gateway ends meanwhile.
    fn send(&mut self, mut bytes: &[u8], queue: &CompileQueue, deadline: Instant) -> io::Result<bool> {
        self.socket.set_write_timeout(Some(GLANCE))?;
        while !bytes.is_empty() {
            match self.socket.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => bytes = &bytes[count..],
                Err(error) if is_pause(&error) && queue.is_closed() => return Ok(false),
                Err(error) if is_pause(&error) && Instant::now() < deadline => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// The first byte of the answer, or a reason not to wait for it.
    fn await_answer(&mut self, reason: impl Fn() -> Option<Stopped>) -> io::Result<Result<u8, Stopped>> {
        self.socket.set_read_timeout(Some(GLANCE))?;
        let mut first = [0];
        loop {
            match self.socket.read(&mut first) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => return Ok(Ok(first[0])),
                Err(error) if is_pause(&error) => {}
                Err(error) => return Err(error),
            }
            if let Some(reason) = reason() {
                return Ok(Err(reason));
            }
        }
    }
}

fn is_pause(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

impl Drop for Running {
    fn drop(&mut self) {
        // It keeps nothing, and what it started dies with it. It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
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
                Err(match &job.work.state {
                    None => LoadError::Compile { reason }.into(),
                    Some(_) => CompileError::NotFrozen(reason),
                })
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
