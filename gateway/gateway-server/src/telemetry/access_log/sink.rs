//! The way of a line from a worker to the file: a buffer per worker, a bounded channel, one thread that writes.
//!
//! Owns buffering, loss and reopening. A worker never waits: a buffer that finds the channel full is dropped and its
//! lines are counted. Buffers return to their worker, so that steady logging allocates nothing.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use super::format::write_line;
use super::stamp::Stamp;
use super::{AccessLine, Format, Target, Template};
use crate::telemetry::families::ACCESS_LOG_DROPPED;
use crate::telemetry::metrics::{Counter, Registry};

/// A worker sends its buffer once it holds this many bytes. Smaller ones wake the writing thread more often, and each
/// time cost as much as writing some fifty lines.
pub(crate) const BUFFER_BYTES: usize = 64 << 10;

/// Buffers on their way to the file; with [`BUFFER_BYTES`] about 4 MiB, several seconds of a busy gateway.
pub(crate) const MAX_QUEUED_BUFFERS: usize = 64;

/// Empty buffers kept per worker for use again.
const MAX_SPARE_BUFFERS: usize = 4;

/// Room of a new buffer: the line that fills it may exceed [`BUFFER_BYTES`].
const FRESH_BUFFER_BYTES: usize = BUFFER_BYTES + BUFFER_BYTES / 4;

/// A buffer that grew beyond this for a few huge lines is given back to the allocator.
const MAX_SPARE_BUFFER_BYTES: usize = 2 * BUFFER_BYTES;

/// How long a shutdown waits for a reader that does not read.
pub(crate) const SHUTDOWN_WAIT: Duration = Duration::from_secs(5);

/// The writing end. One per target; `Send + Sync`.
pub(crate) struct AccessLogSink {
    format: Format,
    registry: Arc<Registry>,
    batches: SyncSender<Batch>,
    signals: Arc<Signals>,
}

impl AccessLogSink {
    /// The sink that a configuration asks for; `None` when it is off.
    ///
    /// # Errors
    /// As [`AccessLogSink::start`].
    pub(crate) fn of(
        config: &gateway_config::AccessLog,
        registry: Arc<Registry>,
    ) -> io::Result<Option<Self>> {
        let target = match &config.to {
            gateway_config::AccessLogTarget::Off => return Ok(None),
            gateway_config::AccessLogTarget::Stdout => Target::Stdout,
            gateway_config::AccessLogTarget::File(path) => Target::File(path.clone()),
        };
        let format = match &config.format {
            gateway_config::AccessLogFormat::Text => Format::Text,
            gateway_config::AccessLogFormat::Json => Format::Json,
            gateway_config::AccessLogFormat::TextTemplate(template) => {
                Format::Template(Arc::new(Template::text(template)))
            }
            gateway_config::AccessLogFormat::JsonTemplate(keys) => {
                Format::Template(Arc::new(Template::json(keys)))
            }
        };
        Self::start(target, format, registry).map(Some)
    }

    /// Opens the target and starts the thread that writes to it.
    ///
    /// # Errors
    /// The target cannot be opened (a pipe without a reader included), or there is no thread to be had.
    pub(crate) fn start(target: Target, format: Format, registry: Arc<Registry>) -> io::Result<Self> {
        let output = open(&target)?;
        let signals = Arc::new(Signals::default());
        let (batches, received) = mpsc::sync_channel(MAX_QUEUED_BUFFERS);
        let mut flusher = Flusher {
            target,
            output: Some(output),
            torn: false,
            failing: false,
            dropped: registry.counter(&ACCESS_LOG_DROPPED, &[]),
            signals: Arc::clone(&signals),
        };
        std::thread::Builder::new().name("access-log".to_owned()).spawn(move || flusher.run(received))?;
        Ok(Self { format, registry, batches, signals })
    }

    /// A log for one worker.
    pub(crate) fn worker(&self) -> WorkerLog {
        let (spare_sender, spares) = mpsc::sync_channel(MAX_SPARE_BUFFERS);
        WorkerLog {
            format: self.format.clone(),
            pending: RefCell::new(Pending { bytes: Vec::new(), lines: 0, stamp: Stamp::new() }),
            batches: self.batches.clone(),
            spares,
            spare_sender,
            dropped: self.registry.counter(&ACCESS_LOG_DROPPED, &[]),
        }
    }

    /// Lines lost so far, over all workers and since the process began.
    #[cfg(test)]
    pub(crate) fn dropped_lines(&self) -> u64 {
        self.registry.counter_total(&ACCESS_LOG_DROPPED, &[])
    }

    /// Opens the file again under its path, for log rotation. Lines sent before may go to either file; none is lost.
    pub(crate) fn reopen(&self) {
        self.signals.reopen.store(true, Ordering::Release);
        self.wake();
    }

    /// Writes everything that was sent and stops. Let the workers end first: their last flush must come before this.
    ///
    /// # Errors
    /// `TimedOut` if whoever reads the log did not take it within [`SHUTDOWN_WAIT`].
    pub(crate) fn shutdown(&self) -> io::Result<()> {
        self.shutdown_within(SHUTDOWN_WAIT)
    }

    fn shutdown_within(&self, wait: Duration) -> io::Result<()> {
        let deadline = Instant::now() + wait;
        // Before the stop signal, so that whoever sees that one sees this as well.
        let _ = self.signals.waiter.set(std::thread::current());
        self.signals.stop.store(true, Ordering::Release);
        self.wake();
        while !self.signals.ended.load(Ordering::Acquire) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let message = format!("the access log could not be written within {wait:?}; its end is lost");
                return Err(io::Error::new(ErrorKind::TimedOut, message));
            }
            std::thread::park_timeout(left);
        }
        Ok(())
    }

    /// A full channel needs no waking: the flusher looks at the signals after each buffer.
    fn wake(&self) {
        let _ = self.batches.try_send(Batch { bytes: Vec::new(), lines: 0, home: None });
    }
}

#[derive(Default)]
struct Signals {
    stop: AtomicBool,
    reopen: AtomicBool,
    /// Everything is written and the flusher has ended.
    ended: AtomicBool,
    /// Who waits for the end.
    waiter: OnceLock<Thread>,
}

/// Whole lines on their way.
struct Batch {
    bytes: Vec<u8>,
    lines: u64,
    /// Where the empty buffer goes back to.
    home: Option<SyncSender<Vec<u8>>>,
}

/// The log of one worker. Lines reach the file when [`BUFFER_BYTES`] are full, or at [`WorkerLog::flush`].
pub(crate) struct WorkerLog {
    format: Format,
    pending: RefCell<Pending>,
    batches: SyncSender<Batch>,
    spares: Receiver<Vec<u8>>,
    spare_sender: SyncSender<Vec<u8>>,
    dropped: Counter,
}

struct Pending {
    bytes: Vec<u8>,
    lines: u64,
    stamp: Stamp,
}

impl WorkerLog {
    /// The format, if it is the operator's own.
    pub(crate) fn template(&self) -> Option<&Template> {
        match &self.format {
            Format::Template(template) => Some(template),
            Format::Text | Format::Json => None,
        }
    }

    /// Adds a line.
    pub(crate) fn push(&self, line: &AccessLine<'_>) {
        let mut pending = self.pending.borrow_mut();
        let Pending { bytes, lines, stamp } = &mut *pending;
        write_line(&self.format, line, stamp, bytes);
        *lines += 1;
        if bytes.len() >= BUFFER_BYTES {
            self.send(&mut pending);
        }
    }

    /// Sends what has gathered; call it several times a second. Dropping the log does so as well.
    pub(crate) fn flush(&self) {
        let mut pending = self.pending.borrow_mut();
        if pending.lines > 0 {
            self.send(&mut pending);
        }
    }

    fn send(&self, pending: &mut Pending) {
        let bytes = std::mem::take(&mut pending.bytes);
        let lines = std::mem::take(&mut pending.lines);
        let batch = Batch { bytes, lines, home: Some(self.spare_sender.clone()) };
        pending.bytes = match self.batches.try_send(batch) {
            Ok(()) => self.spares.try_recv().unwrap_or_else(|_| Vec::with_capacity(FRESH_BUFFER_BYTES)),
            Err(TrySendError::Full(mut lost) | TrySendError::Disconnected(mut lost)) => {
                self.dropped.add(lost.lines);
                lost.bytes.clear();
                lost.bytes
            }
        };
    }
}

impl Drop for WorkerLog {
    fn drop(&mut self) {
        self.flush();
    }
}

/// The thread that writes.
struct Flusher {
    target: Target,
    /// None once nobody reads any more, until a reopening succeeds.
    output: Option<File>,
    /// The last write stopped within a line.
    torn: bool,
    /// The last write failed; said once, not once per buffer.
    failing: bool,
    dropped: Counter,
    signals: Arc<Signals>,
}

impl Flusher {
    fn run(&mut self, received: Receiver<Batch>) {
        while !self.signals.stop.load(Ordering::Acquire)
            && let Ok(batch) = received.recv()
        {
            self.take(batch);
        }
        received.try_iter().for_each(|batch| self.take(batch));
        // Closed first, so that a worker that outlives the log counts its lines as lost.
        drop(received);
        self.signals.ended.store(true, Ordering::Release);
        if let Some(waiter) = self.signals.waiter.get() {
            waiter.unpark();
        }
    }

    fn take(&mut self, mut batch: Batch) {
        if self.signals.reopen.swap(false, Ordering::AcqRel) {
            self.reopen();
        }
        self.write(&batch);
        if let Some(home) = batch.home.filter(|_| batch.bytes.capacity() <= MAX_SPARE_BUFFER_BYTES) {
            batch.bytes.clear();
            let _ = home.try_send(batch.bytes);
        }
    }

    fn write(&mut self, batch: &Batch) {
        let Some(output) = &mut self.output else { return self.dropped.add(batch.lines) };
        if batch.bytes.is_empty() {
            return;
        }
        let result = if self.torn { output.write_all(b"\n") } else { Ok(()) };
        let (written, result) = match result {
            Ok(()) => write_counted(output, &batch.bytes),
            Err(error) => (0, Err(error)),
        };
        match result {
            Ok(()) => (self.torn, self.failing) = (false, false),
            Err(error) => self.fail(batch, written, &error),
        }
    }

    fn fail(&mut self, batch: &Batch, written: usize, error: &io::Error) {
        let (done, lost) = batch.bytes.split_at(written);
        self.torn = if done.is_empty() { self.torn } else { !done.ends_with(b"\n") };
        self.dropped.add(lost.iter().filter(|byte| **byte == b'\n').count() as u64);
        if error.kind() == ErrorKind::BrokenPipe {
            self.output = None;
        }
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(target = %self.target, %error, "access log lines are being lost: the log cannot be written");
        }
    }

    /// Keeps the old file if the new one cannot be opened: better the wrong file than no log.
    fn reopen(&mut self) {
        match open(&self.target) {
            Ok(output) => (self.output, self.torn, self.failing) = (Some(output), false, false),
            Err(error) => {
                tracing::warn!(target = %self.target, %error, "the access log cannot be reopened; the old file stays in use");
            }
        }
    }
}

/// A pipe without a reader is refused at once instead of blocking for ever; after that, writes block as usual.
fn open(target: &Target) -> io::Result<File> {
    let path = match target {
        Target::Stdout => return Ok(io::stdout().as_fd().try_clone_to_owned()?.into()),
        Target::File(path) => path,
    };
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut options = OpenOptions::new();
    let file = options.append(true).create(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    rustix::fs::fcntl_setfl(&file, OFlags::APPEND)?;
    Ok(file)
}

/// Like `write_all`, and says how far it came.
fn write_counted(output: &mut File, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match output.write(&bytes[written..]) {
            Ok(0) => return (written, Err(ErrorKind::WriteZero.into())),
            Ok(n) => written += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

#[cfg(test)]
#[path = "sink_tests.rs"]
mod tests;
