//! Counters, gauges and histograms that the guest defines.

use super::{Offers, offer};
use crate::abi::{MetricKind, Status};
use crate::memory::{Guest, Outcome, Span, split, write};

pub(super) fn register(offers: &mut Offers) -> wasmtime::Result<()> {
    offer!(offers, "proxy_define_metric", |guest, kind: u32, name: u32, name_len: u32, id_at: u32| {
        define(guest, kind, Span::new(name, name_len), id_at)
    })?;
    offer!(offers, "proxy_increment_metric", |guest, id: u32, offset: i64| {
        let plugin = &guest.data().plugin;
        Ok(plugin.services.increment_metric(plugin.metrics.of_services(id)?, offset)?)
    })?;
    offer!(offers, "proxy_record_metric", |guest, id: u32, value: u64| {
        let plugin = &guest.data().plugin;
        Ok(plugin.services.record_metric(plugin.metrics.of_services(id)?, value)?)
    })?;
    offer!(offers, "proxy_get_metric", |guest, id: u32, value_at: u32| {
        let (memory, state) = split(guest)?;
        let value = state.plugin.services.metric(state.plugin.metrics.of_services(id)?)?;
        Ok(write(memory, value_at, value.to_le_bytes())?)
    })
}

fn define(guest: &mut Guest<'_>, kind: u32, name: Span, id_at: u32) -> Outcome {
    let (memory, state) = split(guest)?;
    let kind = match kind {
        0 => MetricKind::Counter,
        1 => MetricKind::Gauge,
        2 => MetricKind::Histogram,
        _ => return Err(Status::BadArgument.into()),
    };
    // Checked first: a metric whose id cannot be told is of no use.
    write(memory, id_at, 0_u32.to_le_bytes())?;
    let (plugin, name) = (&mut state.plugin, name.read(memory)?);
    let of_services = plugin.services.define_metric(kind, name)?;
    let id = plugin.metrics.insert(kind, of_services)?;
    if let Some(record) = &mut plugin.record {
        record.metric(kind, name);
    }
    Ok(write(memory, id_at, id.to_le_bytes())?)
}
