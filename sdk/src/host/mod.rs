//! The calls that a filter can make to its host, typed and safe; most authors use [`crate::Headers`] and its
//! neighbours instead.
//!
//! Owns the translation between Rust values and the ABI's numbers and bytes. It must never know about filters or
//! verdicts. `wasm` makes the calls in a Wasm host; `native` answers them from memory, for tests.

mod pairs;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod native;
#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code, reason = "the raw imports; everything outside of this module is safe")]
mod wasm;

#[cfg(not(target_arch = "wasm32"))]
use native as backend;
#[cfg(target_arch = "wasm32")]
use wasm as backend;

use crate::error::{HostError, Status};

/// A list of headers in the order of the message. Names are lower case.
pub type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// `proxy_map_type_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum MapType {
    /// The head of the request, with `:method`, `:scheme`, `:authority` and `:path`.
    RequestHeaders = 0,
    /// What follows the request's body.
    RequestTrailers = 1,
    /// The head of the response, with `:status`.
    ResponseHeaders = 2,
    /// What follows the response's body.
    ResponseTrailers = 3,
}

impl std::fmt::Display for MapType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::RequestHeaders => "request headers",
            Self::RequestTrailers => "request trailers",
            Self::ResponseHeaders => "response headers",
            Self::ResponseTrailers => "response trailers",
        })
    }
}

/// `proxy_log_level_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum LogLevel {
    /// Each step.
    Trace = 0,
    /// For the author.
    Debug = 1,
    /// For the operator, in normal operation.
    Info = 2,
    /// Something to look at.
    Warn = 3,
    /// Something failed.
    Error = 4,
    /// The filter cannot go on.
    Critical = 5,
}

/// Plugin configuration in `proxy_buffer_type_t`.
const PLUGIN_CONFIGURATION: u32 = 7;
/// The HTTP request in `proxy_stream_type_t`.
const HTTP_REQUEST: u32 = 0;
/// "Not a gRPC status": the host maps the HTTP status when the client speaks gRPC.
const GRPC_STATUS_UNSET: i32 = -1;

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
    Ok(match level {
        0 => LogLevel::Trace,
        1 => LogLevel::Debug,
        2 => LogLevel::Info,
        3 => LogLevel::Warn,
        4 => LogLevel::Error,
        5 => LogLevel::Critical,
        _ => return Err(HostError::new("proxy_get_log_level", Status::ResultMismatch)),
    })
}

/// The plugin's configuration as the operator wrote it; empty if there is none. Only while the host configures the
/// plugin.
///
/// # Errors
/// The host refuses.
pub fn plugin_configuration() -> Result<Vec<u8>, HostError> {
    let bytes = backend::get_buffer(PLUGIN_CONFIGURATION, 0, usize::MAX);
    Ok(optional("proxy_get_buffer_bytes", bytes)?.unwrap_or_default())
}

/// All headers of a map; empty if the map is not available in this callback.
///
/// # Errors
/// The host refuses, or its answer is malformed (parse failure).
pub fn header_pairs(map: MapType) -> Result<Pairs, HostError> {
    const CALL: &str = "proxy_get_header_map_pairs";
    let bytes = value(CALL, backend::get_header_map_pairs(map as u32))?;
    pairs::decode(&bytes).ok_or(HostError::new(CALL, Status::ParseFailure))
}

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
pub fn add_header(map: MapType, name: &str, value: &[u8]) -> Result<(), HostError> {
    let code = backend::add_header_map_value(map as u32, name.as_bytes(), value);
    check("proxy_add_header_map_value", code)
}

/// Drops all values of a header and sets this one.
///
/// # Errors
/// The map is not available in this callback, or the host refuses name or value.
pub fn replace_header(map: MapType, name: &str, value: &[u8]) -> Result<(), HostError> {
    let code = backend::replace_header_map_value(map as u32, name.as_bytes(), value);
    check("proxy_replace_header_map_value", code)
}

/// Drops all values of a header; none is fine.
///
/// # Errors
/// The map is not available in this callback.
pub fn remove_header(map: MapType, name: &str) -> Result<(), HostError> {
    check("proxy_remove_header_map_value", backend::remove_header_map_value(map as u32, name.as_bytes()))
}

/// A property of the request, the connection or the plugin, in the host's encoding: text as it is, integers as 8 bytes
/// little-endian. `None` if the host has no such property, or not yet.
///
/// # Errors
/// The property exists but has no byte form.
pub fn property(path: &[&str]) -> Result<Option<Vec<u8>>, HostError> {
    optional("proxy_get_property", backend::get_property(path.join("\0").as_bytes()))
}

/// Answers the request from here. Takes effect when the callback returns; the first reply wins.
///
/// # Errors
/// The host refuses the reply.
pub fn send_local_reply(
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

/// Ends the request without an answer: the connection or stream is reset.
///
/// # Errors
/// The host refuses.
pub fn close_request() -> Result<(), HostError> {
    check("proxy_close_stream", backend::close_stream(HTTP_REQUEST))
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
