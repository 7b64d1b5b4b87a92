//! Shared data and shared queues, which outlive the VM: both belong to the process, found through `Services`.

use super::{Offers, offer};
use crate::memory::{Guest, Out, Outcome, Span, hand_over, split, write};

pub(super) fn register(offers: &mut Offers) -> wasmtime::Result<()> {
    offer!(offers, "proxy_get_shared_data", |guest,
                                             key: u32,
                                             key_len: u32,
                                             value_at: u32,
                                             len_at: u32,
                                             cas_at: u32| {
        get(guest, Span::new(key, key_len), Out::new(value_at, len_at), cas_at)
    })?;
    offer!(offers, "proxy_set_shared_data", |guest,
                                             key: u32,
                                             key_len: u32,
                                             value: u32,
                                             value_len: u32,
                                             cas: u32| {
        let (memory, state) = split(guest)?;
        let (key, value) = (Span::new(key, key_len).read(memory)?, Span::new(value, value_len).read(memory)?);
        Ok(state.plugin.services.set_shared_data(key, value, cas)?)
    })?;
    offer!(offers, "proxy_register_shared_queue", |guest, name: u32, name_len: u32, id_at: u32| {
        let (memory, state) = split(guest)?;
        // Checked first: a queue whose id cannot be told is of no use.
        write(memory, id_at, 0_u32.to_le_bytes())?;
        let name = Span::new(name, name_len).read(memory)?;
        let queue = state.plugin.services.register_queue(name)?;
        if let Some(record) = &mut state.plugin.record {
            record.queue(name, queue);
        }
        Ok(write(memory, id_at, queue.to_le_bytes())?)
    })?;
    offer!(
        offers,
        "proxy_resolve_shared_queue",
        |guest, vm_id: u32, vm_id_len: u32, name: u32, name_len: u32, id_at: u32| {
            let (memory, state) = split(guest)?;
            let (vm_id, name) =
                (Span::new(vm_id, vm_id_len).read(memory)?, Span::new(name, name_len).read(memory)?);
            let queue = state.plugin.services.resolve_queue(vm_id, name)?;
            Ok(write(memory, id_at, queue.to_le_bytes())?)
        }
    )?;
    offer!(offers, "proxy_enqueue_shared_queue", |guest, queue: u32, value: u32, value_len: u32| {
        let (memory, state) = split(guest)?;
        Ok(state.plugin.services.enqueue(queue, Span::new(value, value_len).read(memory)?)?)
    })?;
    offer!(offers, "proxy_dequeue_shared_queue", |guest, queue: u32, value_at: u32, len_at: u32| {
        hand_over(guest, Out::new(value_at, len_at), |_, state, bytes| {
            state.plugin.services.dequeue(queue, bytes)
        })
    })
}

fn get(guest: &mut Guest<'_>, key: Span, value: Out, cas_at: u32) -> Outcome {
    let mut cas = 0;
    hand_over(guest, value, |memory, state, bytes| {
        cas = state.plugin.services.shared_data(key.read(memory)?, bytes)?;
        Ok(())
    })?;
    Ok(write(split(guest)?.0, cas_at, cas.to_le_bytes())?)
}
