//! Header maps: the stream's four, and the two of a callout's answer (read-only, during its callback).
//!
//! Names reach the stream in lower case. Reads of a map that is not available answer `BadArgument`, except the whole map,
//! which is then empty (as in Envoy).

use std::borrow::Cow;

use super::{Offers, hidden, offer};
use crate::abi::{AbiVersion, Status, StreamMap};
use crate::effects::HeaderList;
use crate::host::SharedStream;
use crate::limits::Limits;
use crate::memory::{Guest, Out, Outcome, Span, hand_over, split, write};
use crate::pairs;
use crate::state::HostState;

pub(super) fn register(offers: &mut Offers) -> wasmtime::Result<()> {
    offer!(
        offers,
        "proxy_get_header_map_value",
        |guest, map: u32, name: u32, name_len: u32, value_at: u32, len_at: u32| {
            get_value(guest, map, Span::new(name, name_len), Out::new(value_at, len_at))
        }
    )?;
    offer!(offers, "proxy_get_header_map_pairs", |guest, map: u32, pairs_at: u32, len_at: u32| {
        get_pairs(guest, map, Out::new(pairs_at, len_at))
    })?;
    offer!(offers, "proxy_get_header_map_size", |guest, map: u32, size_at: u32| get_size(
        guest, map, size_at
    ))?;
    offer!(offers, "proxy_set_header_map_pairs", |guest, map: u32, pairs: u32, len: u32| {
        set_pairs(guest, map, Span::new(pairs, len))
    })?;
    offer!(
        offers,
        "proxy_add_header_map_value",
        |guest, map: u32, name: u32, name_len: u32, value: u32, value_len: u32| {
            set_value(guest, map, Span::new(name, name_len), Span::new(value, value_len), Change::Add)
        }
    )?;
    offer!(
        offers,
        "proxy_replace_header_map_value",
        |guest, map: u32, name: u32, name_len: u32, value: u32, value_len: u32| {
            set_value(guest, map, Span::new(name, name_len), Span::new(value, value_len), Change::Replace)
        }
    )?;
    offer!(offers, "proxy_remove_header_map_value", |guest, map: u32, name: u32, name_len: u32| {
        remove_value(guest, map, Span::new(name, name_len))
    })
}

/// Entries the guest gave, owned and with names in lower case.
pub(super) fn read_list(memory: &[u8], span: Span, limits: &Limits) -> Result<HeaderList, Status> {
    let entries = decode(span.read(memory)?, limits)?;
    Ok(entries.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value.to_vec())).collect())
}

#[derive(Clone, Copy)]
enum Map {
    Stream(StreamMap),
    /// gRPC callouts do not exist here, so their maps are never available.
    Grpc,
    CallHeaders,
    CallTrailers,
}

#[derive(Clone, Copy)]
enum Change {
    Add,
    Replace,
}

impl Map {
    fn from_number(number: u32) -> Result<Self, Status> {
        Ok(match number {
            0 => Self::Stream(StreamMap::RequestHeaders),
            1 => Self::Stream(StreamMap::RequestTrailers),
            2 => Self::Stream(StreamMap::ResponseHeaders),
            3 => Self::Stream(StreamMap::ResponseTrailers),
            4 | 5 => Self::Grpc,
            6 => Self::CallHeaders,
            7 => Self::CallTrailers,
            _ => return Err(Status::BadArgument),
        })
    }
}

fn get_value(guest: &mut Guest<'_>, map: u32, name: Span, out: Out) -> Outcome {
    hand_over(guest, out, |memory, state, bytes| {
        let map = Map::from_number(map)?;
        let name = lower_case(name.read(memory)?, state.limits())?;
        let is_hidden = matches!(map, Map::Stream(_)) && hidden::is_hidden(&state.plugin.config, &name);
        if (!is_hidden && append_value(state, map, &name, bytes)?) || state.abi == AbiVersion::V0_1_0 {
            Ok(())
        } else {
            Err(Status::NotFound)
        }
    })
}

/// Appends the first value of `name`; false if there is none.
fn append_value(state: &HostState, map: Map, name: &[u8], out: &mut Vec<u8>) -> Result<bool, Status> {
    if let Map::Stream(map) = map {
        let stream = state.stream().ok_or(Status::BadArgument)?.borrow();
        let mut value = stream.header(map, name)?;
        // Envoy keeps the host header in `:authority` and answers either name.
        if value.is_none() && map == StreamMap::RequestHeaders && name == b"host" {
            value = stream.header(map, b":authority")?;
        }
        return Ok(value.map(|value| out.extend_from_slice(value)).is_some());
    }
    let list = answer_list(state, map).ok_or(Status::BadArgument)?;
    let value = list.iter().find(|(candidate, _)| candidate == name).map(|(_, value)| value);
    Ok(value.map(|value| out.extend_from_slice(value)).is_some())
}

fn get_pairs(guest: &mut Guest<'_>, map: u32, out: Out) -> Outcome {
    hand_over(guest, out, |_, state, bytes| {
        let encoded = match Map::from_number(map)? {
            Map::Stream(map) => match state.stream() {
                Some(stream) => {
                    let stream = stream.borrow();
                    pairs::encode_visited(bytes, |visit| {
                        hidden::visit(&state.plugin.config, &*stream, map, visit)
                    })
                }
                None => Err(Status::BadArgument),
            },
            map => {
                let list = answer_list(state, map).unwrap_or_default();
                pairs::encode(bytes, list.iter().map(|(name, value)| (&name[..], &value[..])));
                Ok(())
            }
        };
        let is_empty_map = bytes.starts_with(&[0; 4]);
        match encoded {
            Err(Status::BadArgument) => bytes.clear(),
            Err(status) => return Err(status),
            Ok(()) if is_empty_map => bytes.clear(),
            Ok(()) => {}
        }
        Ok(())
    })
}

/// Bytes of names and values, as in Envoy: neither the serialized size nor the number of entries.
fn get_size(guest: &mut Guest<'_>, map: u32, size_at: u32) -> Outcome {
    let (memory, state) = split(guest)?;
    let mut size = 0_usize;
    match Map::from_number(map)? {
        Map::Stream(map) => {
            let stream = state.stream().ok_or(Status::BadArgument)?.borrow();
            hidden::visit(&state.plugin.config, &*stream, map, &mut |name, value| {
                size += name.len() + value.len()
            })?;
        }
        map => {
            let list = answer_list(state, map).ok_or(Status::BadArgument)?;
            size = list.iter().map(|(name, value)| name.len() + value.len()).sum();
        }
    }
    let size = u32::try_from(size).map_err(|_| Status::InternalFailure)?;
    Ok(write(memory, size_at, size.to_le_bytes())?)
}

fn set_pairs(guest: &mut Guest<'_>, map: u32, pairs: Span) -> Outcome {
    let (memory, state) = split(guest)?;
    let (stream, map) = writable(state, map)?;
    let entries = decode(pairs.read(memory)?, state.limits())?;
    let names: Vec<Vec<u8>> = entries.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    for name in &names {
        writable_name(state, name)?;
    }
    let kept = hidden::kept(&state.plugin.config, &*stream.borrow(), map)?;
    let given = names.iter().zip(&entries).map(|(name, (_, value))| (&name[..], *value));
    let entries: Vec<(&[u8], &[u8])> =
        given.chain(kept.iter().map(|(name, value)| (&name[..], &value[..]))).collect();
    Ok(stream.borrow_mut().set_headers(map, &entries)?)
}

fn set_value(guest: &mut Guest<'_>, map: u32, name: Span, value: Span, change: Change) -> Outcome {
    let (memory, state) = split(guest)?;
    let (name, value) = (name.read(memory)?, value.read(memory)?);
    let (stream, map) = writable(state, map)?;
    let name = lower_case(name, state.limits())?;
    writable_name(state, &name)?;
    let mut stream = stream.borrow_mut();
    match change {
        Change::Add => stream.add_header(map, &name, value)?,
        Change::Replace => stream.replace_header(map, &name, value)?,
    }
    Ok(())
}

fn remove_value(guest: &mut Guest<'_>, map: u32, name: Span) -> Outcome {
    let (memory, state) = split(guest)?;
    let name = name.read(memory)?;
    let (stream, map) = writable(state, map)?;
    let name = lower_case(name, state.limits())?;
    writable_name(state, &name)?;
    Ok(stream.borrow_mut().remove_header(map, &name)?)
}

fn writable(state: &HostState, map: u32) -> Result<(&SharedStream, StreamMap), Status> {
    match (Map::from_number(map)?, state.stream()) {
        (Map::Stream(map), Some(stream)) => Ok((stream, map)),
        _ => Err(Status::BadArgument),
    }
}

/// A plugin has no authority over headers that are hidden from it.
fn writable_name(state: &HostState, name: &[u8]) -> Result<(), Status> {
    if hidden::is_hidden(&state.plugin.config, name) { Err(Status::InternalFailure) } else { Ok(()) }
}

fn answer_list(state: &HostState, map: Map) -> Option<&[(Vec<u8>, Vec<u8>)]> {
    let answer = state.answer.as_ref()?;
    match map {
        Map::CallHeaders => Some(&answer.headers),
        Map::CallTrailers => Some(&answer.trailers),
        Map::Stream(_) | Map::Grpc => None,
    }
}

fn decode<'a>(bytes: &'a [u8], limits: &Limits) -> Result<pairs::Entries<'a>, Status> {
    pairs::decode(bytes, limits.map_pairs, limits.map_bytes).map_err(|_| Status::BadArgument)
}

/// Names are nearly always in lower case already.
fn lower_case<'a>(name: &'a [u8], limits: &Limits) -> Result<Cow<'a, [u8]>, Status> {
    if name.len() > limits.map_bytes {
        return Err(Status::BadArgument);
    }
    let has_upper_case = name.iter().any(u8::is_ascii_uppercase);
    Ok(if has_upper_case { Cow::Owned(name.to_ascii_lowercase()) } else { Cow::Borrowed(name) })
}
