//! Buffers: the stream's two bodies, the body of a callout's answer, and the two configurations.

use std::ops::Range;

use super::{Offers, offer};
use crate::abi::{Status, StreamBuffer};
use crate::memory::{Guest, Out, Outcome, Span, hand_over_with, split, write};
use crate::state::HostState;

pub(super) fn register(offers: &mut Offers) -> wasmtime::Result<()> {
    offer!(offers, "proxy_get_buffer_bytes", |guest,
                                              buffer: u32,
                                              start: u32,
                                              max_len: u32,
                                              bytes_at: u32,
                                              len_at: u32| {
        get_bytes(guest, Buffer::from_number(buffer)?, start, max_len, Out::new(bytes_at, len_at))
    })?;
    offer!(offers, "proxy_get_buffer_status", |guest, buffer: u32, len_at: u32, flags_at: u32| {
        get_status(guest, buffer, len_at, flags_at)
    })?;
    offer!(offers, "proxy_set_buffer_bytes", |guest,
                                              buffer: u32,
                                              start: u32,
                                              len: u32,
                                              data: u32,
                                              data_len: u32| {
        set_bytes(guest, buffer, start, len, Span::new(data, data_len))
    })?;
    // ABI 0.1.0: the configuration that belongs to the callback under way.
    offer!(offers, "proxy_get_configuration", |guest, bytes_at: u32, len_at: u32| {
        let buffer =
            if guest.data().configuring { Buffer::PluginConfiguration } else { Buffer::VmConfiguration };
        get_bytes(guest, buffer, 0, u32::MAX, Out::new(bytes_at, len_at))
    })
}

#[derive(Clone, Copy)]
enum Buffer {
    Stream(StreamBuffer),
    /// Buffers of connections and gRPC, which are always empty for HTTP filters.
    Empty,
    CallBody,
    VmConfiguration,
    PluginConfiguration,
    /// Arguments of foreign functions, which do not exist here.
    CallData,
}

impl Buffer {
    fn from_number(number: u32) -> Result<Self, Status> {
        Ok(match number {
            0 => Self::Stream(StreamBuffer::RequestBody),
            1 => Self::Stream(StreamBuffer::ResponseBody),
            2 | 3 | 5 => Self::Empty,
            4 => Self::CallBody,
            6 => Self::VmConfiguration,
            7 => Self::PluginConfiguration,
            8 => Self::CallData,
            _ => return Err(Status::BadArgument),
        })
    }

    /// Shows the buffer's bytes to `look`.
    fn look<R>(self, state: &HostState, look: impl FnOnce(&[u8]) -> R) -> Result<R, Status> {
        match self {
            Self::Stream(buffer) => match state.stream() {
                Some(stream) => Ok(look(stream.borrow().body(buffer))),
                None => Ok(look(&[])),
            },
            Self::Empty => Ok(look(&[])),
            Self::CallBody => state.answer.as_ref().map(|answer| look(&answer.body)).ok_or(Status::NotFound),
            Self::VmConfiguration => Ok(look(&state.plugin.config.vm_configuration)),
            Self::PluginConfiguration if state.configuring => Ok(look(&state.plugin.config.configuration)),
            Self::PluginConfiguration | Self::CallData => Err(Status::NotFound),
        }
    }
}

/// A start beyond the end and a length beyond it are no errors: the guest gets what is there.
fn get_bytes(guest: &mut Guest<'_>, buffer: Buffer, start: u32, max_len: u32, out: Out) -> Outcome {
    let range = buffer.look(guest.data(), |bytes| clamp(start, max_len, bytes.len()))?;
    hand_over_with(guest, out, range.len(), |state, target| {
        // The allocator may only log, so the buffer is as it was a moment ago.
        let copied = buffer.look(state, |bytes| target.copy_from_slice(&bytes[range]));
        debug_assert!(copied.is_ok());
    })
}

fn get_status(guest: &mut Guest<'_>, buffer: u32, len_at: u32, flags_at: u32) -> Outcome {
    let (memory, state) = split(guest)?;
    let len = Buffer::from_number(buffer)?.look(state, <[u8]>::len)?;
    let len = u32::try_from(len).map_err(|_| Status::InternalFailure)?;
    write(memory, len_at, len.to_le_bytes())?;
    Ok(write(memory, flags_at, 0_u32.to_le_bytes())?)
}

/// Replaces `len` bytes from `start` on: nothing at 0 prepends, everything replaces, a start at or beyond the end appends.
fn set_bytes(guest: &mut Guest<'_>, buffer: u32, start: u32, len: u32, data: Span) -> Outcome {
    let (memory, state) = split(guest)?;
    let data = data.read(memory)?;
    let buffer = Buffer::from_number(buffer)?;
    let (Buffer::Stream(buffer), Some(stream)) = (buffer, state.stream()) else {
        // What is not there is not found; what is there and no stream's cannot be changed.
        buffer.look(state, |_| ())?;
        return Err(Status::BadArgument.into());
    };
    let mut stream = stream.borrow_mut();
    let range = clamp(start, len, stream.body(buffer).len());
    Ok(stream.splice_body(buffer, range, data)?)
}

fn clamp(start: u32, len: u32, size: usize) -> Range<usize> {
    let start = (start as usize).min(size);
    start..start.saturating_add(len as usize).min(size)
}
