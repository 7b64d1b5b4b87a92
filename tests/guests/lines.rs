//! A guest without dependencies, to be compiled with debug information (`gateway_tests::wasm::with_lines`): what it fails
//! at has a file and a line. It panics at a request whose head has more than forty lines.
#![crate_type = "cdylib"]

#[unsafe(no_mangle)]
pub extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    Vec::<u8>::with_capacity(size).leak().as_mut_ptr()
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_request_headers(_context: u32, headers: u32, _end: u32) -> u32 {
    check(headers);
    0
}

#[inline(never)]
fn check(headers: u32) {
    if headers > 40 {
        panic!("too many headers: {headers}"); // here
    }
}
