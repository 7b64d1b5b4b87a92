//! `proxy_get_current_time_nanoseconds`, `proxy_set_tick_period_milliseconds`.

use std::time::Duration;

use super::{Offers, offer};
use crate::memory::{Guest, Outcome, split, write};

pub(super) fn register(offers: &mut Offers) -> wasmtime::Result<()> {
    offer!(offers, "proxy_get_current_time_nanoseconds", |guest, time_at: u32| get_time(guest, time_at))?;
    offer!(offers, "proxy_set_tick_period_milliseconds", |guest, period_ms: u32| {
        let period = (period_ms > 0).then(|| Duration::from_millis(u64::from(period_ms)));
        guest.data_mut().plugin.effects.set_tick_period(period);
        Ok(())
    })
}

fn get_time(guest: &mut Guest<'_>, time_at: u32) -> Outcome {
    let (memory, state) = split(guest)?;
    let now_ns = state.plugin.services.realtime_ns();
    Ok(write(memory, time_at, now_ns.to_le_bytes())?)
}
