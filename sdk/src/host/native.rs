//! The host of native builds: answers every call from memory, so that a filter's tests run without a proxy.
//!
//! Owns one [`State`] per thread. Behaves as the gateway and Envoy do where both agree: names without case, `get` sees
//! the first value, `replace` drops all others, a map that is not there is a bad argument.

use std::cell::RefCell;
use std::collections::HashMap;

use super::{LogLevel, Pairs, pairs};
use crate::error::Status;

const OK: u32 = 0;
const NOT_FOUND: u32 = Status::NotFound.code();
const BAD_ARGUMENT: u32 = Status::BadArgument.code();

/// What the host knows, and what the filter did to it.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) configuration: Vec<u8>,
    /// The maps that are available in the current callback, by their number in the ABI.
    pub(crate) maps: HashMap<u32, Pairs>,
    /// By path, segments joined with zero bytes.
    pub(crate) properties: HashMap<Vec<u8>, Vec<u8>>,
    /// Calls that fail, and how, by name.
    pub(crate) refusals: HashMap<&'static str, Status>,
    pub(crate) logs: Vec<(LogLevel, String)>,
    /// The first reply wins.
    pub(crate) reply: Option<Reply>,
    pub(crate) closed: bool,
}

pub(crate) struct Reply {
    pub(crate) status: u32,
    pub(crate) details: Vec<u8>,
    pub(crate) headers: Pairs,
    pub(crate) body: Vec<u8>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

/// Runs `callback` against `state` and returns what became of it.
pub(crate) fn run<T>(state: State, callback: impl FnOnce() -> T) -> (T, State) {
    STATE.replace(state);
    let result = callback();
    (result, STATE.take())
}

pub(super) fn log(level: u32, message: &[u8]) -> u32 {
    let level = match level {
        0 => LogLevel::Trace,
        1 => LogLevel::Debug,
        2 => LogLevel::Info,
        3 => LogLevel::Warn,
        4 => LogLevel::Error,
        5 => LogLevel::Critical,
        _ => return BAD_ARGUMENT,
    };
    let line = String::from_utf8_lossy(message).into_owned();
    status(call("proxy_log", |state| {
        state.logs.push((level, line));
        Ok(())
    }))
}

pub(super) fn get_log_level() -> Result<u32, u32> {
    call("proxy_get_log_level", |_| Ok(LogLevel::Trace as u32))
}

pub(super) fn get_buffer(buffer: u32, start: usize, max_size: usize) -> Result<Vec<u8>, u32> {
    call("proxy_get_buffer_bytes", |state| match buffer {
        super::PLUGIN_CONFIGURATION => {
            Ok(state.configuration.iter().skip(start).take(max_size).copied().collect())
        }
        _ => Err(BAD_ARGUMENT),
    })
}

pub(super) fn get_header_map_pairs(map: u32) -> Result<Vec<u8>, u32> {
    call("proxy_get_header_map_pairs", |state| {
        Ok(state.maps.get(&map).map(|headers| pairs::encode(headers)).unwrap_or_default())
    })
}

pub(super) fn get_header_map_value(map: u32, name: &[u8]) -> Result<Vec<u8>, u32> {
    call("proxy_get_header_map_value", |state| {
        let headers = state.maps.get(&map).ok_or(BAD_ARGUMENT)?;
        let found = headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.clone()).ok_or(NOT_FOUND)
    })
}

pub(super) fn add_header_map_value(map: u32, name: &[u8], value: &[u8]) -> u32 {
    edit("proxy_add_header_map_value", map, |headers| {
        headers.push((name.to_ascii_lowercase(), value.to_vec()));
    })
}

pub(super) fn replace_header_map_value(map: u32, name: &[u8], value: &[u8]) -> u32 {
    edit("proxy_replace_header_map_value", map, |headers| {
        let place = headers.iter().position(|(other, _)| other.eq_ignore_ascii_case(name));
        headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        let pair = (name.to_ascii_lowercase(), value.to_vec());
        headers.insert(place.unwrap_or(headers.len()), pair);
    })
}

pub(super) fn remove_header_map_value(map: u32, name: &[u8]) -> u32 {
    edit("proxy_remove_header_map_value", map, |headers| {
        headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
    })
}

pub(super) fn get_property(path: &[u8]) -> Result<Vec<u8>, u32> {
    call("proxy_get_property", |state| state.properties.get(path).cloned().ok_or(NOT_FOUND))
}

pub(super) fn send_local_response(
    status_code: u32,
    details: &[u8],
    body: &[u8],
    headers: &[u8],
    _grpc_status: i32,
) -> u32 {
    status(call("proxy_send_local_response", |state| {
        let headers = pairs::decode(headers).ok_or(BAD_ARGUMENT)?;
        let reply = Reply { status: status_code, details: details.to_vec(), headers, body: body.to_vec() };
        state.reply.get_or_insert(reply);
        Ok(())
    }))
}

pub(super) fn close_stream(_stream: u32) -> u32 {
    status(call("proxy_close_stream", |state| {
        state.closed = true;
        Ok(())
    }))
}

fn edit(name: &'static str, map: u32, change: impl FnOnce(&mut Pairs)) -> u32 {
    status(call(name, |state| {
        change(state.maps.get_mut(&map).ok_or(BAD_ARGUMENT)?);
        Ok(())
    }))
}

fn call<T>(name: &'static str, answer: impl FnOnce(&mut State) -> Result<T, u32>) -> Result<T, u32> {
    STATE.with_borrow_mut(|state| match state.refusals.get(name) {
        Some(refusal) => Err(refusal.code()),
        None => answer(state),
    })
}

fn status(result: Result<(), u32>) -> u32 {
    result.err().unwrap_or(OK)
}
