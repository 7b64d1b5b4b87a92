//! `proxy_get_property`, `proxy_set_property`. The plugin's own names are answered here, all others by the stream in
//! effect or, without one, by the process.

use super::{Offers, hidden, offer};
use crate::abi::Status;
use crate::limits::{PROPERTIES_AT_ONCE, PROPERTY_SEGMENTS};
use crate::memory::{Guest, Out, Outcome, Span, hand_over, split};
use crate::state::HostState;

pub(super) fn register(offers: &mut Offers) -> wasmtime::Result<()> {
    offer!(offers, "proxy_get_property", |guest, path: u32, path_len: u32, value_at: u32, len_at: u32| {
        get(guest, Span::new(path, path_len), Out::new(value_at, len_at))
    })?;
    offer!(offers, "proxy_set_property", |guest, path: u32, path_len: u32, value: u32, value_len: u32| {
        set(guest, Span::new(path, path_len), Span::new(value, value_len))
    })
}

fn get(guest: &mut Guest<'_>, path: Span, out: Out) -> Outcome {
    hand_over(guest, out, |memory, state, bytes| find(state, path.read(memory)?, bytes))
}

/// The foreign function `get_properties`: several at once. The argument has the length of each path (32 bits, little endian)
/// and the path, the result the length of each value and the value, or [`ABSENT`] for one that cannot be had. No more than [`PROPERTIES_AT_ONCE`].
pub(super) fn get_several(state: &HostState, mut paths: &[u8], result: &mut Vec<u8>) -> Result<(), Status> {
    let limit = state.limits().foreign_bytes;
    for _ in 0..PROPERTIES_AT_ONCE {
        let Some((len, rest)) = paths.split_first_chunk() else { break };
        let len = u32::from_le_bytes(*len) as usize;
        let (path, rest) = rest.split_at_checked(len).ok_or(Status::BadArgument)?;
        paths = rest;
        let at = result.len();
        result.extend(ABSENT.to_le_bytes());
        let value_at = result.len();
        match find(state, path, result) {
            Ok(()) => {
                let len = u32::try_from(result.len() - value_at).map_err(|_| Status::InternalFailure)?;
                result[at..value_at].copy_from_slice(&len.to_le_bytes());
            }
            Err(_) => result.truncate(value_at),
        }
        if result.len() > limit {
            return Err(Status::InternalFailure);
        }
    }
    if paths.is_empty() { Ok(()) } else { Err(Status::BadArgument) }
}

/// In place of a length: there is no such property.
const ABSENT: u32 = u32::MAX;

fn find(state: &HostState, path: &[u8], bytes: &mut Vec<u8>) -> Result<(), Status> {
    if path.is_empty() {
        return Err(Status::SerializationFailure);
    }
    let path = Path::parse(path, state.limits().property_bytes).ok_or(Status::NotFound)?;
    if let Some(own) = own_property(state, path.segments()) {
        bytes.extend_from_slice(own);
        return Ok(());
    }
    if hidden::is_hidden_property(&state.plugin.config, path.segments()) {
        return Err(Status::NotFound);
    }
    let from = bytes.len();
    match state.stream() {
        Some(stream) => stream.borrow().property(path.segments(), bytes)?,
        None => state.plugin.services.property(path.segments(), bytes)?,
    }
    hidden::redact(&state.plugin.config, path.segments(), bytes, from);
    Ok(())
}

fn set(guest: &mut Guest<'_>, path: Span, value: Span) -> Outcome {
    let (memory, state) = split(guest)?;
    let (path, value) = (path.read(memory)?, value.read(memory)?);
    let limit = state.limits().property_bytes;
    let stream = state.stream().ok_or(Status::NotFound)?;
    if path.is_empty() {
        return Err(Status::BadArgument.into());
    }
    let is_read_only = state.plugin.declared.get(path).copied().unwrap_or(false);
    let path = Path::parse(path, limit).ok_or(Status::BadArgument)?;
    if is_read_only && stream.borrow().property(path.segments(), &mut Vec::new()).is_ok() {
        return Err(Status::BadArgument.into());
    }
    if value.len() > limit {
        return Err(Status::InternalFailure.into());
    }
    Ok(stream.borrow_mut().set_property(path.segments(), value)?)
}

fn own_property<'a>(state: &'a HostState, path: &[&[u8]]) -> Option<&'a [u8]> {
    let [name] = path else { return None };
    match *name {
        b"plugin_name" => Some(state.plugin.config.name.as_bytes()),
        b"plugin_root_id" => Some(state.plugin.config.root_id.as_bytes()),
        b"plugin_vm_id" => Some(state.plugin.config.vm_id.as_bytes()),
        _ => None,
    }
}

/// Segments joined by NUL; Envoy also takes one at the end.
struct Path<'a> {
    segments: [&'a [u8]; PROPERTY_SEGMENTS],
    len: usize,
}

impl<'a> Path<'a> {
    /// `None` for a path longer than any that exists.
    fn parse(path: &'a [u8], max_bytes: usize) -> Option<Self> {
        if path.len() > max_bytes {
            return None;
        }
        let mut parsed = Self { segments: [&[]; PROPERTY_SEGMENTS], len: 0 };
        for segment in path.strip_suffix(b"\0").unwrap_or(path).split(|byte| *byte == 0) {
            *parsed.segments.get_mut(parsed.len)? = segment;
            parsed.len += 1;
        }
        Some(parsed)
    }

    fn segments(&self) -> &[&'a [u8]] {
        &self.segments[..self.len]
    }
}
