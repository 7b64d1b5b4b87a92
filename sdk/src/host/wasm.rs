//! The raw calls to a Wasm host, and with `entry` the only unsafe code of the SDK.
//!
//! Owns pointers and the memory that the host hands over. It must never interpret what it carries: codes and bytes go
//! to the parent module as they are. Signatures: Proxy-Wasm ABI 0.2.1, and WASI preview 1 for the clock.

use super::CallParts;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: u32, message: *const u8, message_size: usize) -> u32;
    fn proxy_get_log_level(level: *mut u32) -> u32;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
    fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        max_size: usize,
        bytes: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_set_buffer_bytes(
        buffer: u32,
        start: usize,
        size: usize,
        bytes: *const u8,
        bytes_size: usize,
    ) -> u32;
    fn proxy_get_header_map_pairs(map: u32, bytes: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *mut *mut u8,
        value_size: *mut usize,
    ) -> u32;
    fn proxy_add_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_remove_header_map_value(map: u32, name: *const u8, name_size: usize) -> u32;
    fn proxy_get_property(
        path: *const u8,
        path_size: usize,
        value: *mut *mut u8,
        value_size: *mut usize,
    ) -> u32;
    fn proxy_set_property(path: *const u8, path_size: usize, value: *const u8, value_size: usize) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_continue_stream(stream: u32) -> u32;
    fn proxy_close_stream(stream: u32) -> u32;
    fn proxy_http_call(
        upstream: *const u8,
        upstream_size: usize,
        headers: *const u8,
        headers_size: usize,
        body: *const u8,
        body_size: usize,
        trailers: *const u8,
        trailers_size: usize,
        timeout_milliseconds: u32,
        token: *mut u32,
    ) -> u32;
    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        value: *mut *mut u8,
        value_size: *mut usize,
        version: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
        version: u32,
    ) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, id: *mut u32) -> u32;
    fn proxy_increment_metric(id: u32, offset: i64) -> u32;
    fn proxy_record_metric(id: u32, value: u64) -> u32;
    fn proxy_call_foreign_function(
        name: *const u8,
        name_size: usize,
        argument: *const u8,
        argument_size: usize,
        result: *mut *mut u8,
        result_size: *mut usize,
    ) -> u32;
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn clock_time_get(clock: u32, precision: u64, time: *mut u64) -> u32;
    fn random_get(bytes: *mut u8, size: usize) -> u32;
}

/// The clock that never goes back (WASI preview 1, "clockid").
const MONOTONIC: u32 = 1;

pub(super) fn log(level: u32, message: &[u8]) -> u32 {
    // SAFETY: the host reads `message` during the call.
    unsafe { proxy_log(level, message.as_ptr(), message.len()) }
}

pub(super) fn get_log_level() -> Result<u32, u32> {
    // SAFETY: the host writes 32 bits to `level` during the call.
    number(|level| unsafe { proxy_get_log_level(level) })
}

pub(super) fn realtime_ns() -> Result<u64, u32> {
    let mut time = 0;
    // SAFETY: the host writes 64 bits to `time` during the call.
    match unsafe { proxy_get_current_time_nanoseconds(&raw mut time) } {
        0 => Ok(time),
        code => Err(code),
    }
}

pub(super) fn monotonic_ns() -> Result<u64, u32> {
    let mut time = 0;
    // SAFETY: the host writes 64 bits to `time` during the call.
    match unsafe { clock_time_get(MONOTONIC, 1, &raw mut time) } {
        0 => Ok(time),
        code => Err(code),
    }
}

pub(super) fn set_tick_period(milliseconds: u32) -> u32 {
    // SAFETY: no memory is involved.
    unsafe { proxy_set_tick_period_milliseconds(milliseconds) }
}

pub(super) fn set_effective_context(context: u32) -> u32 {
    // SAFETY: no memory is involved.
    unsafe { proxy_set_effective_context(context) }
}

pub(super) fn get_buffer(buffer: u32, start: usize, max_size: usize) -> Result<Vec<u8>, u32> {
    // SAFETY: `received` passes places that are valid during the call.
    received(|bytes, size| unsafe { proxy_get_buffer_bytes(buffer, start, max_size, bytes, size) })
}

pub(super) fn set_buffer(buffer: u32, start: usize, size: usize, bytes: &[u8]) -> u32 {
    // SAFETY: the host reads `bytes` during the call.
    unsafe { proxy_set_buffer_bytes(buffer, start, size, bytes.as_ptr(), bytes.len()) }
}

pub(super) fn get_header_map_pairs(map: u32) -> Result<Vec<u8>, u32> {
    // SAFETY: `received` passes places that are valid during the call.
    received(|bytes, size| unsafe { proxy_get_header_map_pairs(map, bytes, size) })
}

pub(super) fn get_header_map_value(map: u32, name: &[u8]) -> Result<Vec<u8>, u32> {
    // SAFETY: the host reads `name` during the call; `received` passes places that are valid during it.
    received(|bytes, size| unsafe { proxy_get_header_map_value(map, name.as_ptr(), name.len(), bytes, size) })
}

pub(super) fn add_header_map_value(map: u32, name: &[u8], value: &[u8]) -> u32 {
    // SAFETY: the host reads `name` and `value` during the call.
    unsafe { proxy_add_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len()) }
}

pub(super) fn replace_header_map_value(map: u32, name: &[u8], value: &[u8]) -> u32 {
    // SAFETY: the host reads `name` and `value` during the call.
    unsafe { proxy_replace_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len()) }
}

pub(super) fn remove_header_map_value(map: u32, name: &[u8]) -> u32 {
    // SAFETY: the host reads `name` during the call.
    unsafe { proxy_remove_header_map_value(map, name.as_ptr(), name.len()) }
}

pub(super) fn get_property(path: &[u8]) -> Result<Vec<u8>, u32> {
    // SAFETY: the host reads `path` during the call; `received` passes places that are valid during it.
    received(|bytes, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), bytes, size) })
}

pub(super) fn set_property(path: &[u8], value: &[u8]) -> u32 {
    // SAFETY: the host reads `path` and `value` during the call.
    unsafe { proxy_set_property(path.as_ptr(), path.len(), value.as_ptr(), value.len()) }
}

pub(super) fn send_local_response(
    status: u32,
    details: &[u8],
    body: &[u8],
    headers: &[u8],
    grpc_status: i32,
) -> u32 {
    // SAFETY: the host reads the three slices during the call.
    unsafe {
        proxy_send_local_response(
            status,
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            grpc_status,
        )
    }
}

pub(super) fn continue_stream(stream: u32) -> u32 {
    // SAFETY: no memory is involved.
    unsafe { proxy_continue_stream(stream) }
}

pub(super) fn close_stream(stream: u32) -> u32 {
    // SAFETY: no memory is involved.
    unsafe { proxy_close_stream(stream) }
}

pub(super) fn http_call(call: &CallParts<'_>) -> Result<u32, u32> {
    let CallParts { upstream, headers, body, timeout_milliseconds } = *call;
    // SAFETY: the host reads the slices and writes 32 bits to `token` during the call.
    number(|token| unsafe {
        proxy_http_call(
            upstream.as_ptr(),
            upstream.len(),
            headers.as_ptr(),
            headers.len(),
            body.as_ptr(),
            body.len(),
            std::ptr::null(),
            0,
            timeout_milliseconds,
            token,
        )
    })
}

pub(super) fn get_shared_data(key: &[u8]) -> Result<(Vec<u8>, u32), u32> {
    let mut version = 0;
    // SAFETY: the host reads `key` and writes 32 bits to `version`; `received` passes places valid during the call.
    let value = received(|bytes, size| unsafe {
        proxy_get_shared_data(key.as_ptr(), key.len(), bytes, size, &raw mut version)
    })?;
    Ok((value, version))
}

pub(super) fn set_shared_data(key: &[u8], value: &[u8], version: u32) -> u32 {
    // SAFETY: the host reads `key` and `value` during the call.
    unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), version) }
}

pub(super) fn define_metric(kind: u32, name: &[u8]) -> Result<u32, u32> {
    // SAFETY: the host reads `name` and writes 32 bits to `id` during the call.
    number(|id| unsafe { proxy_define_metric(kind, name.as_ptr(), name.len(), id) })
}

pub(super) fn increment_metric(id: u32, offset: i64) -> u32 {
    // SAFETY: no memory is involved.
    unsafe { proxy_increment_metric(id, offset) }
}

pub(super) fn record_metric(id: u32, value: u64) -> u32 {
    // SAFETY: no memory is involved.
    unsafe { proxy_record_metric(id, value) }
}

pub(super) fn call_foreign_function(name: &[u8], argument: &[u8]) -> Result<Vec<u8>, u32> {
    // SAFETY: the host reads `name` and `argument`; `received` passes places that are valid during the call.
    received(|bytes, size| unsafe {
        proxy_call_foreign_function(name.as_ptr(), name.len(), argument.as_ptr(), argument.len(), bytes, size)
    })
}

pub(super) fn random(bytes: &mut [u8]) -> u32 {
    // SAFETY: the host writes within `bytes` during the call.
    unsafe { random_get(bytes.as_mut_ptr(), bytes.len()) }
}

/// Runs a call that answers with 32 bits.
fn number(call: impl FnOnce(*mut u32) -> u32) -> Result<u32, u32> {
    let mut value = 0;
    match call(&raw mut value) {
        0 => Ok(value),
        code => Err(code),
    }
}

/// Runs a call that answers with bytes, and takes them over. A host may say "none" with a null pointer or a size of 0.
fn received(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Vec<u8>, u32> {
    let mut bytes = std::ptr::null_mut();
    let mut size = 0;
    match call(&raw mut bytes, &raw mut size) {
        0 if bytes.is_null() || size == 0 => Ok(Vec::new()),
        // SAFETY: the ABI has the host allocate exactly `size` bytes with `proxy_on_memory_allocate`, which is the
        // global allocator with alignment 1 here, fill them, and pass ownership to the guest.
        0 => Ok(unsafe { Vec::from_raw_parts(bytes, size, size) }),
        code => Err(code),
    }
}
