//! The raw calls to a Wasm host, and the only unsafe code of the SDK.
//!
//! Owns pointers and the memory that the host hands over. It must never interpret what it carries: codes and bytes go
//! to the parent module as they are. Signatures: Proxy-Wasm ABI 0.2.1.

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: u32, message: *const u8, message_size: usize) -> u32;
    fn proxy_get_log_level(level: *mut u32) -> u32;
    fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        max_size: usize,
        bytes: *mut *mut u8,
        size: *mut usize,
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
    fn proxy_close_stream(stream: u32) -> u32;
}

pub(super) fn log(level: u32, message: &[u8]) -> u32 {
    // SAFETY: the host reads `message` during the call.
    unsafe { proxy_log(level, message.as_ptr(), message.len()) }
}

pub(super) fn get_log_level() -> Result<u32, u32> {
    let mut level = 0;
    // SAFETY: the host writes 32 bits to `level` during the call.
    match unsafe { proxy_get_log_level(&raw mut level) } {
        0 => Ok(level),
        code => Err(code),
    }
}

pub(super) fn get_buffer(buffer: u32, start: usize, max_size: usize) -> Result<Vec<u8>, u32> {
    // SAFETY: `received` passes places that are valid during the call.
    received(|bytes, size| unsafe { proxy_get_buffer_bytes(buffer, start, max_size, bytes, size) })
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

pub(super) fn close_stream(stream: u32) -> u32 {
    // SAFETY: no memory is involved.
    unsafe { proxy_close_stream(stream) }
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
