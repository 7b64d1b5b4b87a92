//! `proxy_log`, `proxy_get_log_level`. Logging is allowed everywhere, even before the plugin exists.

use super::{Offers, offer_always};
use crate::abi::{LogLevel, Status};
use crate::memory::{Guest, Outcome, Span, split, write};

pub(super) fn register(offers: &mut Offers) -> wasmtime::Result<()> {
    offer_always!(offers, "proxy_log", |guest, level: u32, at: u32, len: u32| {
        log(guest, level, Span::new(at, len))
    })?;
    offer_always!(offers, "proxy_get_log_level", |guest, level_at: u32| get_log_level(guest, level_at))
}

fn log(guest: &mut Guest<'_>, level: u32, message: Span) -> Outcome {
    let (memory, state) = split(guest)?;
    let message = message.read(memory)?;
    state.log(level_from_number(level)?, message);
    Ok(())
}

fn get_log_level(guest: &mut Guest<'_>, level_at: u32) -> Outcome {
    let (memory, state) = split(guest)?;
    let level = state.plugin.services.log_level() as u32;
    Ok(write(memory, level_at, level.to_le_bytes())?)
}

fn level_from_number(number: u32) -> Result<LogLevel, Status> {
    Ok(match number {
        0 => LogLevel::Trace,
        1 => LogLevel::Debug,
        2 => LogLevel::Info,
        3 => LogLevel::Warn,
        4 => LogLevel::Error,
        5 => LogLevel::Critical,
        _ => return Err(Status::BadArgument),
    })
}
