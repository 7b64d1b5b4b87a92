//! The host of native builds: answers every call from memory, so that a filter's tests run without a proxy.
//!
//! Owns one [`State`] per thread. Behaves as the gateway and Envoy do where both agree: names without case, `get` sees
//! the first value, `replace` drops all others, a map that is not there is a bad argument.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::rc::Rc;

use super::{BufferType, CallParts, LogLevel, MapType, MetricType, Pairs, pairs};
use crate::error::Status;
use crate::testing::protocol::{Answer, Effect, SentCall, SentReply};

const OK: u32 = 0;
const NOT_FOUND: u32 = Status::NotFound.code();
const BAD_ARGUMENT: u32 = Status::BadArgument.code();

/// What the host knows, and what the filter did to it.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) configuration: Vec<u8>,
    /// By context id.
    pub(crate) streams: BTreeMap<u32, StreamState>,
    /// The context that calls are about.
    pub(crate) effective: u32,
    /// What one process shares between its workers.
    pub(crate) process: Rc<RefCell<Process>>,
    /// Those that may be called.
    pub(crate) upstreams: Vec<String>,
    /// What both clocks say.
    pub(crate) now_ns: u64,
    pub(crate) log_level: u32,
    /// Properties outside of streams, by path, segments joined with zero bytes.
    pub(crate) properties: HashMap<Vec<u8>, Vec<u8>>,
    /// Calls that fail, and how, by name.
    pub(crate) refusals: HashMap<String, u32>,
    pub(crate) logs: Vec<(LogLevel, String)>,
    pub(crate) effects: Vec<Effect>,
    /// While a callout's answer is delivered.
    pub(crate) answer: Option<Answer>,
    pub(crate) last_token: u32,
    /// What another worker stores just before this one does, once each.
    #[cfg(test)]
    pub(crate) interferences: Vec<Vec<u8>>,
    /// What foreign functions other than `fail_stream` answer; without, there are none.
    #[cfg(test)]
    pub(crate) foreign: Option<ForeignFunctions>,
    /// The names of the foreign functions that were asked for.
    #[cfg(test)]
    pub(crate) foreign_calls: Vec<String>,
}

/// Answers by name and argument, with bytes or a status.
#[cfg(test)]
pub(crate) type ForeignFunctions = fn(&[u8], &[u8]) -> Result<Vec<u8>, u32>;

/// One stream.
#[derive(Default)]
pub(crate) struct StreamState {
    /// The maps that are available, by their number in the ABI.
    pub(crate) maps: HashMap<u32, Pairs>,
    /// The bodies that are available, by their number in the ABI.
    pub(crate) bodies: HashMap<u32, Vec<u8>>,
    /// By path, segments joined with zero bytes.
    pub(crate) properties: HashMap<Vec<u8>, Vec<u8>>,
}

/// What one process shares between its workers.
#[derive(Default)]
pub(crate) struct Process {
    pub(crate) shared: BTreeMap<Vec<u8>, (Vec<u8>, u32)>,
    last_version: u32,
    /// The id of a metric is its index plus one. A histogram holds the sum of its records.
    pub(crate) metrics: Vec<(u32, String, u64)>,
}

impl Process {
    fn store(&mut self, key: &[u8], value: &[u8]) {
        self.last_version += 1;
        self.shared.insert(key.to_vec(), (value.to_vec(), self.last_version));
    }
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
    let Some(level) = LogLevel::from_number(level) else { return BAD_ARGUMENT };
    let line = String::from_utf8_lossy(message).into_owned();
    status(call("proxy_log", |state| {
        state.logs.push((level, line));
        Ok(())
    }))
}

pub(super) fn get_log_level() -> Result<u32, u32> {
    call("proxy_get_log_level", |state| Ok(state.log_level))
}

pub(super) fn realtime_ns() -> Result<u64, u32> {
    call("proxy_get_current_time_nanoseconds", |state| Ok(state.now_ns))
}

pub(super) fn monotonic_ns() -> Result<u64, u32> {
    call("clock_time_get", |state| Ok(state.now_ns))
}

pub(super) fn set_tick_period(milliseconds: u32) -> u32 {
    effect("proxy_set_tick_period_milliseconds", Effect::TickPeriod(milliseconds))
}

pub(super) fn set_effective_context(context: u32) -> u32 {
    status(call("proxy_set_effective_context", |state| {
        if context != crate::testing::protocol::ROOT && !state.streams.contains_key(&context) {
            return Err(BAD_ARGUMENT);
        }
        state.effective = context;
        Ok(())
    }))
}

pub(super) fn get_buffer(buffer: u32, start: usize, max_bytes: usize) -> Result<Vec<u8>, u32> {
    let part = |bytes: &[u8]| bytes.iter().skip(start).take(max_bytes).copied().collect();
    call("proxy_get_buffer_bytes", |state| {
        if buffer == BufferType::PluginConfiguration as u32 {
            return Ok(part(&state.configuration));
        }
        if buffer == BufferType::CallBody as u32 {
            return state.answer.as_ref().map(|answer| part(&answer.body)).ok_or(NOT_FOUND);
        }
        Ok(state.stream()?.bodies.get(&buffer).map(|body| part(body)).unwrap_or_default())
    })
}

pub(super) fn set_buffer(buffer: u32, start: usize, size: usize, bytes: &[u8]) -> u32 {
    status(call("proxy_set_buffer_bytes", |state| {
        let body = state.stream()?.bodies.get_mut(&buffer).ok_or(NOT_FOUND)?;
        let start = start.min(body.len());
        let end = start.saturating_add(size).min(body.len());
        body.splice(start..end, bytes.iter().copied());
        Ok(())
    }))
}

pub(super) fn get_header_map_pairs(map: u32) -> Result<Vec<u8>, u32> {
    call("proxy_get_header_map_pairs", |state| {
        Ok(state.map(map).map(|headers| pairs::encode(headers)).unwrap_or_default())
    })
}

pub(super) fn get_header_map_value(map: u32, name: &[u8]) -> Result<Vec<u8>, u32> {
    call("proxy_get_header_map_value", |state| {
        let headers = state.map(map).ok_or(BAD_ARGUMENT)?;
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
    call("proxy_get_property", |state| {
        let stream = state.streams.get(&state.effective);
        let set =
            stream.and_then(|stream| stream.properties.get(path)).or_else(|| state.properties.get(path));
        set.cloned().or_else(|| of_head(stream?, path)).ok_or(NOT_FOUND)
    })
}

/// What hosts read off the two heads.
fn of_head(stream: &StreamState, path: &[u8]) -> Option<Vec<u8>> {
    let header = |map: MapType, name: &[u8]| {
        let headers = stream.maps.get(&(map as u32))?;
        headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone())
    };
    match path.split(|byte| *byte == 0).collect::<Vec<_>>()[..] {
        [b"request", b"method"] => header(MapType::RequestHeaders, b":method"),
        [b"request", b"path"] => header(MapType::RequestHeaders, b":path"),
        [b"request", b"headers", name] => header(MapType::RequestHeaders, name),
        [b"response", b"headers", name] => header(MapType::ResponseHeaders, name),
        [b"response", b"code"] => {
            let status = String::from_utf8(header(MapType::ResponseHeaders, b":status")?).ok()?;
            Some(status.parse::<u64>().ok()?.to_le_bytes().to_vec())
        }
        _ => None,
    }
}

pub(super) fn set_property(path: &[u8], value: &[u8]) -> u32 {
    status(call("proxy_set_property", |state| {
        state.stream()?.properties.insert(path.to_vec(), value.to_vec());
        Ok(())
    }))
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
        let details = String::from_utf8_lossy(details).into_owned();
        let reply = SentReply { status: status_code, details, headers, body: body.to_vec() };
        let stream = state.effective;
        state.effects.push(Effect::Reply { stream, reply });
        Ok(())
    }))
}

pub(super) fn continue_stream(direction: u32) -> u32 {
    status(call("proxy_continue_stream", |state| {
        let stream = state.effective;
        state.effects.push(Effect::Resume { stream, direction });
        Ok(())
    }))
}

pub(super) fn close_stream(_stream: u32) -> u32 {
    status(call("proxy_close_stream", |state| {
        let stream = state.effective;
        state.effects.push(Effect::Close { stream });
        Ok(())
    }))
}

pub(super) fn http_call(parts: &CallParts<'_>) -> Result<u32, u32> {
    call("proxy_http_call", |state| {
        if !state.upstreams.iter().any(|known| known.as_bytes() == parts.upstream) {
            return Err(BAD_ARGUMENT);
        }
        state.last_token += 1;
        let call = SentCall {
            upstream: String::from_utf8_lossy(parts.upstream).into_owned(),
            headers: pairs::decode(parts.headers).ok_or(BAD_ARGUMENT)?,
            body: parts.body.to_vec(),
            timeout_milliseconds: u64::from(parts.timeout_milliseconds),
        };
        state.effects.push(Effect::Call { token: state.last_token, call });
        Ok(state.last_token)
    })
}

pub(super) fn get_shared_data(key: &[u8]) -> Result<(Vec<u8>, u32), u32> {
    call("proxy_get_shared_data", |state| state.process.borrow().shared.get(key).cloned().ok_or(NOT_FOUND))
}

pub(super) fn set_shared_data(key: &[u8], value: &[u8], version: u32) -> u32 {
    status(call("proxy_set_shared_data", |state| {
        #[cfg(test)]
        if let Some(other) = state.interferences.pop() {
            state.process.borrow_mut().store(key, &other);
        }
        let mut process = state.process.borrow_mut();
        if version != 0 && process.shared.get(key).is_some_and(|(_, current)| *current != version) {
            return Err(Status::CasMismatch.code());
        }
        process.store(key, value);
        Ok(())
    }))
}

pub(super) fn define_metric(kind: u32, name: &[u8]) -> Result<u32, u32> {
    let name = String::from_utf8_lossy(name).into_owned();
    call("proxy_define_metric", |state| {
        let metrics = &mut state.process.borrow_mut().metrics;
        let known = metrics.iter().position(|(_, other, _)| *other == name);
        let index = known.unwrap_or_else(|| {
            metrics.push((kind, name, 0));
            metrics.len() - 1
        });
        u32::try_from(index + 1).map_err(|_| Status::InternalFailure.code())
    })
}

pub(super) fn increment_metric(id: u32, offset: i64) -> u32 {
    status(call("proxy_increment_metric", |state| {
        let metrics = &mut state.process.borrow_mut().metrics;
        let (kind, _, value) = metric(metrics, id)?;
        let histogram = *kind == MetricType::Histogram as u32;
        if histogram || (*kind == MetricType::Counter as u32 && offset <= 0) {
            return Err(BAD_ARGUMENT);
        }
        *value = value.wrapping_add_signed(offset);
        Ok(())
    }))
}

pub(super) fn record_metric(id: u32, number: u64) -> u32 {
    status(call("proxy_record_metric", |state| {
        let metrics = &mut state.process.borrow_mut().metrics;
        let (kind, _, value) = metric(metrics, id)?;
        let gauge = *kind == MetricType::Gauge as u32;
        *value = if gauge { number } else { value.wrapping_add(number) };
        Ok(())
    }))
}

/// Of the gateway's, `fail_stream` alone.
pub(super) fn call_foreign_function(name: &[u8], argument: &[u8]) -> Result<Vec<u8>, u32> {
    call("proxy_call_foreign_function", |state| {
        #[cfg(test)]
        state.foreign_calls.push(String::from_utf8_lossy(name).into_owned());
        #[cfg(test)]
        if let Some(foreign) = state.foreign {
            return foreign(name, argument);
        }
        let stream = state.effective;
        if name != b"fail_stream" || !state.streams.contains_key(&stream) {
            return Err(NOT_FOUND);
        }
        let reason = String::from_utf8_lossy(argument).into_owned();
        state.effects.push(Effect::Fail { stream, reason });
        Ok(Vec::new())
    })
}

/// From the keys that the standard library gives to hash maps: enough for tests.
pub(super) fn random(bytes: &mut [u8]) -> u32 {
    for chunk in bytes.chunks_mut(8) {
        let number = RandomState::new().build_hasher().finish().to_le_bytes();
        chunk.copy_from_slice(&number[..chunk.len()]);
    }
    0
}

impl State {
    fn stream(&mut self) -> Result<&mut StreamState, u32> {
        self.streams.get_mut(&self.effective).ok_or(BAD_ARGUMENT)
    }

    fn map(&self, map: u32) -> Option<&Pairs> {
        match (map, &self.answer) {
            (6, Some(answer)) => Some(&answer.headers),
            (7, Some(answer)) => Some(&answer.trailers),
            _ => self.streams.get(&self.effective)?.maps.get(&map),
        }
    }
}

fn metric(metrics: &mut [(u32, String, u64)], id: u32) -> Result<&mut (u32, String, u64), u32> {
    let index = (id as usize).checked_sub(1).ok_or(NOT_FOUND)?;
    metrics.get_mut(index).ok_or(NOT_FOUND)
}

fn edit(name: &'static str, map: u32, change: impl FnOnce(&mut Pairs)) -> u32 {
    status(call(name, |state| {
        change(state.stream()?.maps.get_mut(&map).ok_or(BAD_ARGUMENT)?);
        Ok(())
    }))
}

fn effect(name: &'static str, effect: Effect) -> u32 {
    status(call(name, |state| {
        state.effects.push(effect);
        Ok(())
    }))
}

fn call<T>(name: &'static str, answer: impl FnOnce(&mut State) -> Result<T, u32>) -> Result<T, u32> {
    STATE.with_borrow_mut(|state| match state.refusals.get(name) {
        Some(refusal) => Err(*refusal),
        None => answer(state),
    })
}

fn status(result: Result<(), u32>) -> u32 {
    result.err().unwrap_or(OK)
}
