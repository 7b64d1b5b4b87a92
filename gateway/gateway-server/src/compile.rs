//! From a module's bytes to code that workers can run: by the cache, by a confined process, or in this process. What rewrites a
//! module, so that its state can be read or with its state in it, belongs here, too: it reads all that a stranger wrote.
//!
//! Owns where code comes from and what it may cost to make. Knows nothing of filters: bytes go in, code or a reason comes out.
//! Everything here blocks, and is called from threads that may.

mod cache;
mod confine;
mod helper;
mod load;
mod place;
mod process;
mod step_back;
mod wire;
mod work;

pub(crate) use load::{Artifact, Made};
pub use place::default_cache;
pub use process::compile_for_gateway;
pub(crate) use work::Work;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use gateway_config::CompileSettings;
use proxy_wasm_host::{Code, Compiler, Engine, LoadError, NotFrozen};

use crate::shared::{Cancel, CompileFailures, CompileJob, CompileQueue, Lane};
use cache::Cache;
use helper::{Helper, Program};

/// Helper processes, and so modules that are compiled at the same time. The last takes none but small modules that were not
/// found to take long: however many others do, those are soon compiled.
const HELPERS: [Lane; 3] = [Lane::Any, Lane::Any, Lane::Express];
/// Wall time of one compilation, as a multiple of its CPU time: at the lowest priority it gets what traffic leaves.
const WALL_FACTOR: u32 = 60;
/// How soon it is noticed that nobody waits for an answer any more.
pub(crate) const GLANCE: Duration = Duration::from_millis(50);

/// Who compiles filters.
#[derive(Clone, Debug, Default)]
pub enum Compiling {
    /// The process that serves. For tests, and for gateways inside of other programs: a module that takes long, or much memory,
    /// to compile takes them from this process.
    #[default]
    InProcess,
    /// Processes that do nothing else, with limits on time, memory and system calls.
    Helper {
        /// What to run; most often `/proc/self/exe`.
        program: PathBuf,
        /// With which arguments it calls [`compile_for_gateway`]. Two numbers may follow them, which are its `limits`.
        arguments: Vec<OsString>,
    },
}

/// What compiling one module may cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct CompileLimits {
    /// CPU time; counted in whole seconds.
    pub(crate) cpu: Duration,
    /// Address space of the process that compiles.
    pub(crate) memory_bytes: usize,
}

impl CompileLimits {
    pub(crate) fn of(settings: &CompileSettings) -> Self {
        Self { cpu: settings.cpu, memory_bytes: settings.memory_bytes }
    }

    pub(crate) fn cpu_seconds(&self) -> u64 {
        // The kernel counts whole seconds, and has no zero.
        self.cpu.as_secs_f64().ceil().max(1.0) as u64
    }
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self::of(&CompileSettings::default())
    }
}

/// Why there is no code.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum CompileError {
    #[error(transparent)]
    Refused(#[from] LoadError),
    #[error(
        "compiling it takes more than {0:?} of CPU time: it is very large, or made to be slow to compile; if it is neither, raise `filters.compile.cpu`"
    )]
    Cpu(Duration),
    #[error(
        "compiling it takes more than {0} bytes of memory: it is very large, or made to be so; if it is not, raise `filters.compile.memory`"
    )]
    Memory(usize),
    #[error(
        "compiling it was not done after {0:?}: it gets what traffic leaves of the processors, and that was too little"
    )]
    Wall(Duration),
    #[error("compiling it failed, which says nothing good about the module: {0}")]
    Crashed(String),
    /// These bytes failed before, within the same limits.
    #[error(transparent)]
    Known(Box<Self>),
    /// There is no image of it.
    #[error("{0}")]
    NotFrozen(String),
    #[error("compiling it was called off")]
    Cancelled,
    #[error(
        "it could not be compiled now: {0}; it is tried again when the file or the configuration changes"
    )]
    NoHelper(String),
}

impl CompileError {
    /// Whether the same bytes would fail again.
    const fn is_of_the_module(&self) -> bool {
        matches!(
            self,
            Self::Refused(_) | Self::NotFrozen(_) | Self::Cpu(_) | Self::Memory(_) | Self::Crashed(_)
        )
    }

    /// The metric's word for it.
    pub(crate) const fn outcome(&self) -> &'static str {
        match self {
            Self::Refused(_) | Self::NotFrozen(_) => "refused",
            Self::Cpu(_) => "cpu",
            Self::Memory(_) => "memory",
            Self::Wall(_) => "time",
            Self::Crashed(_) => "crashed",
            Self::Known(_) => "known",
            Self::Cancelled => "cancelled",
            Self::NoHelper(_) => "unavailable",
        }
    }
}

/// Where code came from: the metric's word for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    Cache,
    Compiler,
}

impl Source {
    pub(crate) const fn outcome(self) -> &'static str {
        match self {
            Self::Cache => "cached",
            Self::Compiler => "compiled",
        }
    }
}

/// Compiles modules, and remembers what came of it.
pub(crate) struct Compile {
    how: How,
    cache: Option<Cache>,
    failures: CompileFailures,
}

enum How {
    InProcess,
    Helpers { queue: Arc<CompileQueue>, threads: Vec<JoinHandle<()>> },
}

impl Compile {
    /// Starts what compiles, early: a process that is confined later may not be able to.
    ///
    /// # Errors
    /// The system has no process or thread to give.
    pub(crate) fn start(compiling: Compiling, cache: Option<Cache>) -> io::Result<Self> {
        let how = match compiling {
            Compiling::InProcess => How::InProcess,
            Compiling::Helper { program, arguments } => {
                let queue = Arc::<CompileQueue>::default();
                let mut how = How::Helpers { queue: queue.clone(), threads: Vec::new() };
                for lane in HELPERS {
                    let program = Program { path: program.clone(), arguments: arguments.clone() };
                    let helper = Helper::start(program)?;
                    let jobs = queue.clone();
                    let thread = std::thread::Builder::new().name("compiler".to_owned());
                    let thread = thread.spawn(move || helper.serve(&jobs, lane))?;
                    if let How::Helpers { threads, .. } = &mut how {
                        threads.push(thread);
                    }
                }
                how
            }
        };
        Ok(Self { how, cache, failures: CompileFailures::default() })
    }

    /// The cache of this directory, or of none. One that cannot be trusted is not used, and it is said why.
    pub(crate) fn cache(directory: Option<&Path>, engine: &Engine) -> Option<Cache> {
        let directory = directory?;
        match Cache::open(directory, engine.code_version()) {
            Ok(cache) => Some(cache),
            Err(problem) => {
                tracing::error!(
                    "compiled filters are not kept, and compiled again after a restart: {}: {problem}",
                    directory.display()
                );
                None
            }
        }
    }

    /// Code of a module, made now or before.
    pub(crate) fn code(
        &self,
        engine: &Engine,
        work: &Work,
        limits: CompileLimits,
        cancel: &Cancel,
    ) -> Result<(Made, Source), CompileError> {
        let digest = work.digest();
        if let Some(error) = self.failures.of(&digest, limits) {
            return Err(CompileError::Known(Box::new(error)));
        }
        if let Some(made) = self.cache.as_ref().and_then(|cache| cache.get(&digest)?.load(engine).ok()) {
            return Ok((made, Source::Cache));
        }
        let made = self.make(engine, work, limits, cancel, &digest);
        if let Err(error) = &made
            && error.is_of_the_module()
        {
            self.failures.note(digest, limits, error.clone());
        }
        made.map(|made| (made, Source::Compiler))
    }

    fn make(
        &self,
        engine: &Engine,
        work: &Work,
        limits: CompileLimits,
        cancel: &Cancel,
        digest: &[u8; 32],
    ) -> Result<Made, CompileError> {
        let artifact = match (&self.how, &self.cache) {
            (How::InProcess, None) => return make_here(engine, work),
            (How::InProcess, Some(_)) => {
                let compiler = Compiler::new().map_err(|error| CompileError::NoHelper(error.to_string()))?;
                Artifact::made_here(work, &compiler)?
            }
            (How::Helpers { queue, .. }, _) => ask(queue, work, limits, cancel)?,
        };
        let made = artifact.load(engine).map_err(CompileError::NoHelper)?;
        if let Some(cache) = &self.cache {
            cache.put(digest, &artifact);
        }
        Ok(made)
    }
}

fn make_here(engine: &Engine, work: &Work) -> Result<Made, CompileError> {
    match &work.state {
        None => {
            let (code, freezable) = Code::readable(engine, &work.wasm)?;
            Ok(Made { code, freezable })
        }
        Some(state) => {
            let code = Code::frozen(engine, &work.wasm, state)?;
            Ok(Made { code, freezable: Ok(()) })
        }
    }
}

impl From<NotFrozen> for CompileError {
    fn from(error: NotFrozen) -> Self {
        Self::NotFrozen(match error {
            NotFrozen::Module { reason } | NotFrozen::Compile { reason } => reason,
            other => other.to_string(),
        })
    }
}

impl Drop for Compile {
    fn drop(&mut self) {
        if let How::Helpers { queue, threads } = &mut self.how {
            queue.close();
            for thread in threads.drain(..) {
                // It has nothing to say.
                let _ = thread.join();
            }
        }
    }
}

/// Waits for a helper, or until nobody wants the answer.
fn ask(
    queue: &CompileQueue,
    work: &Work,
    limits: CompileLimits,
    cancel: &Cancel,
) -> Result<Artifact, CompileError> {
    let (reply, answer) = sync_channel(1);
    queue.add(CompileJob { work: work.clone(), limits, cancel: cancel.clone(), reply, takes_long: false });
    loop {
        match answer.recv_timeout(GLANCE) {
            Ok(outcome) => return outcome,
            Err(RecvTimeoutError::Timeout) if cancel.is_cancelled() => return Err(CompileError::Cancelled),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(CompileError::Cancelled),
        }
    }
}
