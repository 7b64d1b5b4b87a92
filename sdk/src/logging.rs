//! Owns the bridge from the `log` facade, and from panics, to the host's log. A line that the host does not take is
//! lost: a filter must not fail because of its log.

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::host::{self, LogLevel};

struct HostLog;

/// May be called again, and then changes nothing.
pub(crate) fn install() {
    if log::set_logger(&HostLog).is_ok() {
        log::set_max_level(LevelFilter::Trace);
        #[cfg(target_arch = "wasm32")]
        std::panic::set_hook(Box::new(|panic| {
            let _ = host::log(LogLevel::Critical, &panic.to_string());
        }));
    }
}

/// Not in a test: its threads share one level.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) const fn follow_host_level() {}

/// Lines below the host's level then cost no call. A host that does not tell its level sorts them out itself.
#[cfg(target_arch = "wasm32")]
pub(crate) fn follow_host_level() {
    log::set_max_level(match host::log_level() {
        Ok(LogLevel::Trace) | Err(_) => LevelFilter::Trace,
        Ok(LogLevel::Debug) => LevelFilter::Debug,
        Ok(LogLevel::Info) => LevelFilter::Info,
        Ok(LogLevel::Warn) => LevelFilter::Warn,
        Ok(LogLevel::Error) => LevelFilter::Error,
        Ok(LogLevel::Critical) => LevelFilter::Off,
    });
}

impl Log for HostLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        let level = match record.level() {
            Level::Trace => LogLevel::Trace,
            Level::Debug => LogLevel::Debug,
            Level::Info => LogLevel::Info,
            Level::Warn => LogLevel::Warn,
            Level::Error => LogLevel::Error,
        };
        let _ = host::log(level, &record.args().to_string());
    }

    fn flush(&self) {}
}
