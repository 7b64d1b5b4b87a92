//! The calls that a filter can make to its host, typed and safe; most authors use [`crate::Context`],
//! [`crate::Headers`] and their neighbours instead.
//!
//! Owns the translation between Rust values and the ABI's numbers and bytes. It must never know about filters or
//! verdicts. `wasm` makes the calls in a Wasm host; `native` answers them from memory, for tests.

pub(crate) mod kinds;
mod pairs;
mod properties;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod native;
#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code, reason = "the raw imports; everything outside of this module is safe")]
mod wasm;

#[cfg(not(target_arch = "wasm32"))]
use native as backend;
#[cfg(target_arch = "wasm32")]
use wasm as backend;

use std::time::Duration;

use crate::context::milliseconds;
use crate::error::{HostError, Status};

pub use kinds::{BufferType, LogLevel, MapType, MetricType, Pairs, StreamType};
pub use properties::{Properties, PropertyList};

/// "Not a gRPC status": the host maps the HTTP status when the client speaks gRPC.
const GRPC_STATUS_UNSET: i32 = -1;
/// The foreign function with which a filter has the host apply the operator's failure policy to the current stream.
const FAIL_STREAM: &str = "fail_stream";

/// Paths of properties that hosts know are shorter.
const SHORT_PATH_BYTES: usize = 64;

/// The foreign function that answers with random bytes, as many as its argument says (32 bits, little endian).
const RANDOM: &str = "random";

/// What a callout consists of, serialized.
#[derive(Clone, Copy)]
pub(crate) struct CallParts<'a> {
    pub(crate) upstream: &'a [u8],
    pub(crate) headers: &'a [u8],
    pub(crate) body: &'a [u8],
    pub(crate) timeout_milliseconds: u32,
}

/// Writes one line to the host's log.
///
/// # Errors
/// The host does not take the line.
pub fn log(level: LogLevel, message: &str) -> Result<(), HostError> {
    check("proxy_log", backend::log(level as u32, message.as_bytes()))
}

/// The lowest level that the host writes; a line below it costs a call for nothing.
///
/// # Errors
/// The host has no such call, or answers with a level that the ABI does not list.
pub fn log_level() -> Result<LogLevel, HostError> {
    let level = value("proxy_get_log_level", backend::get_log_level())?;
    LogLevel::from_number(level).ok_or(HostError::new("proxy_get_log_level", Status::ResultMismatch))
}

/// Time since the Unix epoch.
///
/// # Errors
/// The host refuses.
pub fn realtime() -> Result<Duration, HostError> {
    value("proxy_get_current_time_nanoseconds", backend::realtime_ns()).map(Duration::from_nanos)
}

/// Time on a clock that never goes back.
///
/// # Errors
/// The host refuses.
pub fn monotonic() -> Result<Duration, HostError> {
    value("clock_time_get", backend::monotonic_ns()).map(Duration::from_nanos)
}

/// From now on the plugin gets a tick after each period; `None` stops them. Periods are whole milliseconds, at least 1.
///
/// # Errors
/// The host refuses.
pub(crate) fn set_tick_period(period: Option<Duration>) -> Result<(), HostError> {
    let milliseconds = period.map_or(0, |period| {
        // Rounded up: a timer may be late, never early.
        let whole = milliseconds(period.saturating_add(Duration::from_nanos(999_999)));
        u32::try_from(whole.max(1)).unwrap_or(u32::MAX)
    });
    check("proxy_set_tick_period_milliseconds", backend::set_tick_period(milliseconds))
}

/// Makes the following calls be about this stream, or plugin.
///
/// # Errors
/// It is gone.
pub(crate) fn set_effective_context(context: u32) -> Result<(), HostError> {
    check("proxy_set_effective_context", backend::set_effective_context(context))
}

/// The plugin's configuration as the operator wrote it; empty if there is none. Only while the host configures the
/// plugin.
///
/// # Errors
/// The host refuses.
pub fn plugin_configuration() -> Result<Vec<u8>, HostError> {
    buffer(BufferType::PluginConfiguration, 0, usize::MAX)
}

/// A part of a buffer; empty if there is none in this callback.
///
/// # Errors
/// The host refuses.
pub fn buffer(buffer: BufferType, start: usize, max_bytes: usize) -> Result<Vec<u8>, HostError> {
    let bytes = backend::get_buffer(buffer as u32, start, max_bytes);
    Ok(optional("proxy_get_buffer_bytes", bytes)?.unwrap_or_default())
}

/// Replaces the first `size` bytes of a buffer. Only in the callback that brings the buffer.
///
/// # Errors
/// The buffer is not there or cannot be changed.
pub fn replace_buffer(buffer: BufferType, size: usize, bytes: &[u8]) -> Result<(), HostError> {
    check("proxy_set_buffer_bytes", backend::set_buffer(buffer as u32, 0, size, bytes))
}

/// All headers of a map in the byte form of the ABI; empty if the map is not available in this callback.
pub(crate) fn header_bytes(map: MapType) -> Result<Vec<u8>, HostError> {
    value("proxy_get_header_map_pairs", backend::get_header_map_pairs(map as u32))
}

/// All headers of a map; empty if the map is not available in this callback.
///
/// # Errors
/// The host refuses, or its answer is malformed (parse failure).
pub fn header_pairs(map: MapType) -> Result<Pairs, HostError> {
    let bytes = header_bytes(map)?;
    pairs::decode(&bytes).ok_or(HostError::new("proxy_get_header_map_pairs", Status::ParseFailure))
}

pub(crate) use pairs::{Span, index as index_pairs};

/// The first value of a header.
///
/// # Errors
/// The map is not available in this callback.
pub fn header_value(map: MapType, name: &str) -> Result<Option<Vec<u8>>, HostError> {
    optional("proxy_get_header_map_value", backend::get_header_map_value(map as u32, name.as_bytes()))
}

/// Adds one more value of a header.
///
/// # Errors
/// The map is not available in this callback, or the host refuses name or value.
pub fn add_header(map: MapType, name: impl AsRef<[u8]>, value: &[u8]) -> Result<(), HostError> {
    let code = backend::add_header_map_value(map as u32, name.as_ref(), value);
    check("proxy_add_header_map_value", code)
}

/// Drops all values of a header and sets this one.
///
/// # Errors
/// The map is not available in this callback, or the host refuses name or value.
pub fn replace_header(map: MapType, name: impl AsRef<[u8]>, value: &[u8]) -> Result<(), HostError> {
    let code = backend::replace_header_map_value(map as u32, name.as_ref(), value);
    check("proxy_replace_header_map_value", code)
}

/// Drops all values of a header; none is fine.
///
/// # Errors
/// The map is not available in this callback.
pub fn remove_header(map: MapType, name: impl AsRef<[u8]>) -> Result<(), HostError> {
    check("proxy_remove_header_map_value", backend::remove_header_map_value(map as u32, name.as_ref()))
}

/// A property of the request, the connection or the plugin, in the host's encoding: text as it is, integers as 8 bytes
/// little-endian. `None` if the host has no such property, or not yet.
///
/// # Errors
/// The property exists but has no byte form.
pub fn property(path: &[&str]) -> Result<Option<Vec<u8>>, HostError> {
    with_joined(path, property_at)
}

/// The same by its segments with a zero byte between them.
pub(crate) fn property_at(path: &[u8]) -> Result<Option<Vec<u8>>, HostError> {
    optional("proxy_get_property", backend::get_property(path))
}

/// Stores a property for the stream, for this filter and those after it.
///
/// # Errors
/// There is no stream, or the host refuses the path.
pub fn set_property(path: &[&str], value: &[u8]) -> Result<(), HostError> {
    check("proxy_set_property", with_joined(path, |path| backend::set_property(path, value)))
}

/// The segments in one text, as the ABI has them. Without an allocation for those that hosts know.
fn with_joined<T>(path: &[&str], call: impl FnOnce(&[u8]) -> T) -> T {
    let mut joined = [0; SHORT_PATH_BYTES];
    let mut end = 0;
    for (index, segment) in path.iter().enumerate() {
        let start = end + usize::from(index > 0);
        end = start + segment.len();
        let Some(place) = joined.get_mut(start..end) else { return call(path.join("\0").as_bytes()) };
        place.copy_from_slice(segment.as_bytes());
    }
    call(&joined[..end])
}

/// Answers the request from here. Takes effect when the callback returns; the first reply wins.
///
/// # Errors
/// The host refuses the reply.
pub(crate) fn send_local_reply(
    status: u16,
    details: &str,
    headers: &[(String, Vec<u8>)],
    body: &[u8],
) -> Result<(), HostError> {
    let code = backend::send_local_response(
        u32::from(status),
        details.as_bytes(),
        body,
        &pairs::encode(headers),
        GRPC_STATUS_UNSET,
    );
    check("proxy_send_local_response", code)
}

/// Lets a held message go on. Only for one that is held: some hosts send it twice otherwise.
///
/// # Errors
/// The host refuses.
pub(crate) fn continue_stream(stream: StreamType) -> Result<(), HostError> {
    check("proxy_continue_stream", backend::continue_stream(stream as u32))
}

/// Ends the request without an answer: the connection or stream is reset.
///
/// # Errors
/// The host refuses.
pub(crate) fn close_request() -> Result<(), HostError> {
    check("proxy_close_stream", backend::close_stream(StreamType::Request as u32))
}

/// Starts a callout; its answer comes with the token. `headers` begin with `:method`, `:path` and `:authority`.
pub(crate) fn http_call(
    upstream: &str,
    headers: &[(String, Vec<u8>)],
    body: &[u8],
    timeout: Duration,
) -> Result<u32, HostError> {
    let call = CallParts {
        upstream: upstream.as_bytes(),
        headers: &pairs::encode(headers),
        body,
        timeout_milliseconds: u32::try_from(milliseconds(timeout)).unwrap_or(u32::MAX),
    };
    value("proxy_http_call", backend::http_call(&call))
}

/// A value that all instances of the filter share, and its version for [`set_shared_data`].
///
/// # Errors
/// The host refuses.
pub fn shared_data(key: &str) -> Result<Option<(Vec<u8>, u32)>, HostError> {
    optional("proxy_get_shared_data", backend::get_shared_data(key.as_bytes()))
}

/// Stores a shared value if its version is still this one. Version 0 stores in any case; a key that does not exist
/// takes any version.
///
/// # Errors
/// [`Status::CasMismatch`], or the host refuses.
pub fn set_shared_data(key: &str, bytes: &[u8], version: u32) -> Result<(), HostError> {
    check("proxy_set_shared_data", backend::set_shared_data(key.as_bytes(), bytes, version))
}

/// Defines a metric, or finds it again.
///
/// # Errors
/// The host refuses the name, or has too many.
pub(crate) fn define_metric(kind: MetricType, name: &str) -> Result<u32, HostError> {
    value("proxy_define_metric", backend::define_metric(kind as u32, name.as_bytes()))
}

/// Adds to a counter (above zero only) or a gauge.
pub(crate) fn increment_metric(id: u32, offset: i64) -> Result<(), HostError> {
    check("proxy_increment_metric", backend::increment_metric(id, offset))
}

/// Sets a gauge, or records into a histogram.
pub(crate) fn record_metric(id: u32, number: u64) -> Result<(), HostError> {
    check("proxy_record_metric", backend::record_metric(id, number))
}

/// Calls a function that only some hosts have; `None` if this one does not.
///
/// # Errors
/// Whatever the function answers.
pub fn foreign_function(name: &str, argument: &[u8]) -> Result<Option<Vec<u8>>, HostError> {
    optional("proxy_call_foreign_function", backend::call_foreign_function(name.as_bytes(), argument))
}

/// Fills `bytes`, at most 64 KiB: by the host's own function, which is drawn from again in copies of the filter, or else by
/// that of WASI.
pub(crate) fn random(bytes: &mut [u8]) -> Result<(), HostError> {
    let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
    if let Ok(Some(drawn)) = foreign_function(RANDOM, &size)
        && drawn.len() == bytes.len()
    {
        bytes.copy_from_slice(&drawn);
        return Ok(());
    }
    check("random_get", backend::random(bytes))
}

/// Has the host apply the operator's failure policy to the current stream; false if it cannot.
pub(crate) fn fail_stream(reason: &str) -> bool {
    matches!(foreign_function(FAIL_STREAM, reason.as_bytes()), Ok(Some(_)))
}

fn check(call: &'static str, code: u32) -> Result<(), HostError> {
    Status::from_code(code).map_or(Ok(()), |status| Err(HostError::new(call, status)))
}

/// A backend answers with a value or with a code other than OK.
fn value<T>(call: &'static str, answer: Result<T, u32>) -> Result<T, HostError> {
    answer.map_err(|code| HostError::new(call, Status::from_code(code).unwrap_or(Status::Other(code))))
}

fn optional<T>(call: &'static str, answer: Result<T, u32>) -> Result<Option<T>, HostError> {
    match value(call, answer) {
        Ok(value) => Ok(Some(value)),
        Err(HostError { status: Status::NotFound, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
