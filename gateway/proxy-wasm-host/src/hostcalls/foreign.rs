//! `proxy_call_foreign_function`: the functions that Envoy's filters call by name, without those of its expression language,
//! and `fail_stream`.
//!
//! Some functions are this host's own: `random`, whose argument is a number of bytes (four bytes, little endian) and whose
//! result are as many random ones; unlike those of WASI, a guest can draw them anew after it was copied. `get_properties`,
//! which saves a filter that needs many a call for each. And those of `crypto`.
//!
//! Arguments and results of the others are the messages of Envoy's `source/extensions/common/wasm/ext`. What needs cryptography or zlib
//! is the embedder's, asked for through [`Services`](crate::Services).

use super::{Offers, offer};
use crate::abi::Status;
use crate::effects::Effect;
use crate::host::SignedText;
use crate::limits::{DECLARED_PROPERTIES, FAILURE_BYTES, RANDOM_BYTES};
use crate::memory::{Guest, Out, Outcome, Refusal, Span, hand_over, split};
use crate::protobuf::{self, Value};
use crate::state::HostState;
use crate::stream::Wish;

pub(super) fn register(offers: &mut Offers) -> wasmtime::Result<()> {
    offer!(
        offers,
        "proxy_call_foreign_function",
        |guest, name: u32, name_len: u32, arguments: u32, arguments_len: u32, result_at: u32, len_at: u32| {
            let (name, arguments) = (Span::new(name, name_len), Span::new(arguments, arguments_len));
            call(guest, name, arguments, Out::new(result_at, len_at))
        }
    )
}

/// A caller that wants no result gives no places for it.
fn call(guest: &mut Guest<'_>, name: Span, arguments: Span, out: Out) -> Outcome {
    if out.pointer_at != 0 || out.length_at != 0 {
        return hand_over(guest, out, |memory, state, result| {
            run(state, name.read(memory)?, arguments.read(memory)?, result)
        });
    }
    let (memory, state) = split(guest)?;
    run(state, name.read(memory)?, arguments.read(memory)?, &mut Vec::new()).map_err(Refusal::Status)
}

fn run(state: &mut HostState, name: &[u8], arguments: &[u8], result: &mut Vec<u8>) -> Result<(), Status> {
    let limit = state.limits().foreign_bytes;
    // The time of what is worked on here is the guest's: its CPU budget is that of the thread, and is looked at when it runs
    // again. Until then nothing ends it, which is why every argument has a limit.
    if arguments.len() > limit {
        return Err(Status::BadArgument);
    }
    match name {
        b"verify_signature" => verify_signature(state, arguments, result),
        b"compress" => state.plugin.services.compress(arguments, limit, result),
        b"uncompress" => state.plugin.services.uncompress(arguments, limit, result),
        b"clear_route_cache" => {
            clear_route_cache(state);
            Ok(())
        }
        b"set_envoy_filter_state" => set_filter_state(state, arguments),
        b"random" => random(state, arguments, result),
        b"get_properties" => super::properties::get_several(state, arguments, result),
        b"declare_property" => declare_property(state, arguments),
        b"fail_stream" => fail_stream(state, arguments),
        _ => super::crypto::run(state, name, arguments, result).unwrap_or(Err(Status::NotFound)),
    }
}

/// No function of Envoy's: `NotFound` where there is no stream, as where there is no such function.
fn fail_stream(state: &mut HostState, reason: &[u8]) -> Result<(), Status> {
    if state.stream_id().is_none() {
        return Err(Status::NotFound);
    }
    if let Some(stream) = state.wish(Wish::Fail) {
        let reason = reason[..reason.len().min(FAILURE_BYTES)].to_vec();
        state.plugin.effects.push(Effect::Fail { stream, reason });
    }
    Ok(())
}

fn random(state: &mut HostState, arguments: &[u8], result: &mut Vec<u8>) -> Result<(), Status> {
    let count = arguments.try_into().map(u32::from_le_bytes).map_err(|_| Status::BadArgument)?;
    if count > RANDOM_BYTES {
        return Err(Status::BadArgument);
    }
    result.resize(count as usize, 0);
    state.drawn.bytes += u64::from(count);
    state.drawn.by_function += u64::from(count);
    if state.plugin.services.fill_random(result) { Ok(()) } else { Err(Status::InternalFailure) }
}

/// Also a function of ABI 0.1.0.
pub(super) fn clear_route_cache(state: &mut HostState) {
    if let Some(stream) = state.stream() {
        stream.borrow_mut().clear_route_cache();
    }
}

fn verify_signature(state: &HostState, arguments: &[u8], result: &mut Vec<u8>) -> Result<(), Status> {
    let mut given = SignedText::default();
    protobuf::read(arguments, |field, value| {
        if let Value::Bytes(bytes) = value {
            match field {
                1 => given.hash = bytes,
                2 => given.key_der = bytes,
                3 => given.signature = bytes,
                4 => given.text = bytes,
                5 => given.key_pem = bytes,
                _ => {}
            }
        }
    })
    .map_err(|_| Status::BadArgument)?;
    if given.key_der.is_empty() == given.key_pem.is_empty() {
        return Err(Status::BadArgument);
    }
    let verified = state.plugin.services.verify_signature(&given)?;
    protobuf::write_bool(result, 1, verified.is_ok());
    protobuf::write_bytes(result, 2, verified.err().unwrap_or_default().as_bytes());
    Ok(())
}

/// Stored as property `filter_state.PATH` of the stream.
fn set_filter_state(state: &HostState, arguments: &[u8]) -> Result<(), Status> {
    let (mut path, mut value) = (&[][..], &[][..]);
    protobuf::read(arguments, |field, given| match (field, given) {
        (1, Value::Bytes(bytes)) => path = bytes,
        (2, Value::Bytes(bytes)) => value = bytes,
        _ => {}
    })
    .map_err(|_| Status::BadArgument)?;
    if path.is_empty() || path.len() + value.len() > state.limits().property_bytes {
        return Err(Status::BadArgument);
    }
    let stream = state.stream().ok_or(Status::NotFound)?;
    stream.borrow_mut().set_property(&[b"filter_state", path], value)
}

/// What matters here of a declaration is whether the property may be set more than once; a second declaration of the same
/// name is refused.
fn declare_property(state: &mut HostState, arguments: &[u8]) -> Result<(), Status> {
    let (mut name, mut is_read_only) = (&[][..], false);
    protobuf::read(arguments, |field, value| match (field, value) {
        (1, Value::Bytes(bytes)) => name = bytes,
        (2, Value::Number(number)) => is_read_only = number != 0,
        _ => {}
    })
    .map_err(|_| Status::BadArgument)?;
    let limit = state.limits().property_bytes;
    if name.is_empty() || name.len() > limit || state.plugin.declared.contains_key(name) {
        return Err(Status::BadArgument);
    }
    if state.plugin.declared.len() >= DECLARED_PROPERTIES {
        return Err(Status::InternalFailure);
    }
    state.plugin.declared.insert(name.to_vec(), is_read_only);
    Ok(())
}
