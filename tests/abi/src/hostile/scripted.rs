//! A guest that does what bytes say, compiled once: its callbacks read a script that it finds in its VM configuration.
//!
//! An operation is one byte: the number of a function in [`functions`], then its arguments; [`SET_ALLOCATOR`] and a way for
//! the allocator to behave; [`GROW`] and a number of pages; from [`RETURN`] on the end of the callback, with its answer in the
//! next byte. Any other byte is skipped, and the end of the script ends every callback.
//!
//! What the guest itself can see of a broken promise ends it in the function [`BROKEN`]: a status that does not exist, and a
//! callback inside of a callback.

use std::fmt::Write;

use crate::guest::{FUNCTIONS, WASI};

/// The function on the stack of a guest that was let down: no script can call it.
pub(crate) const BROKEN: &str = "promise_broken";
/// Longest script.
pub(crate) const SCRIPT_BYTES: usize = 0x4000;
/// Sets how the allocator behaves from now on.
pub(crate) const SET_ALLOCATOR: usize = 200;
/// Grows memory.
pub(crate) const GROW: usize = 201;
/// Ends a callback.
pub(crate) const RETURN: u8 = 240;
/// Bytes that an argument can hold in place.
pub(crate) const INLINE_BYTES: usize = 0x6f;

/// Numbers that are close to something, as 64 bits each.
const NUMBERS_AT: usize = 0x1000;
/// Pointers and lengths of [`TEXTS`].
const TEXTS_AT: usize = 0x1800;
/// Where those lie.
const TEXTS_FROM: usize = 0x2000;

/// Addresses, sizes, signs, identifiers.
const NUMBERS: [i64; 32] = [
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    12,
    99,
    100,
    104,
    200,
    403,
    599,
    0x1000,
    0x2000,
    0x8000,
    65_535,
    65_536,
    131_068,
    131_071,
    131_072,
    i64::MAX,
    i64::MIN,
    -1,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fffc,
    0xffff_ffff,
];

/// Bytes that mean something to some function.
const TEXTS: [&[u8]; 32] = [
    b"",
    b"x-a",
    b"X-New",
    b":path",
    b":status",
    b"two\r\nthree",
    b"/other",
    b"origin",
    b"refused",
    b"\x01\0\0\0\x03\0\0\0\x03\0\0\0x-b\0two\0",
    // The head of a callout.
    b"\x03\0\0\0\x07\0\0\0\x03\0\0\0\x05\0\0\0\x01\0\0\0\x0a\0\0\0\x06\0\0\0:method\0GET\0:path\0/\0:authority\0origin\0",
    b"\0\0\0\0",
    b"\0",
    b"\xff\xff\xff\xff\x01\0\0\0",
    b"\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff",
    b"request",
    b"request\0path",
    b"request\0headers\0x-a",
    b"plugin_name",
    b"filter_state\0wasm.mine",
    b"mine",
    b"compress",
    b"uncompress",
    b"verify_signature",
    b"declare_property",
    b"set_envoy_filter_state",
    b"clear_route_cache",
    b"a queue",
    b"hostile",
    // Protobuf: field 1 "mine", field 2 "value".
    b"\x0a\x04mine\x12\x05value",
    // Two vectors of `fd_write`.
    b"\0\x80\0\0\x10\0\0\0\0\x20\0\0\xff\xff\xff\x7f",
    b"\x78\x9c\x03\x00\x00\x00\x00\x01",
];

/// How the arguments of a function are made: `s` a pointer and a length, `o` a place for a result, `n` a number, `N` one of
/// 64 bits.
const SHAPES: [(&str, &str); 44] = [
    ("log", "n s"),
    ("get_log_level", "o"),
    ("get_status", "o o o"),
    ("set_property", "s s"),
    ("get_property", "s o o"),
    ("send_local_response", "n s s s n"),
    ("get_shared_data", "s o o o"),
    ("set_shared_data", "s s n"),
    ("register_shared_queue", "s o"),
    ("resolve_shared_queue", "s s o"),
    ("enqueue_shared_queue", "n s"),
    ("dequeue_shared_queue", "n o o"),
    ("get_header_map_value", "n s o o"),
    ("add_header_map_value", "n s s"),
    ("replace_header_map_value", "n s s"),
    ("remove_header_map_value", "n s"),
    ("get_header_map_pairs", "n o o"),
    ("set_header_map_pairs", "n s"),
    ("get_header_map_size", "n o"),
    ("get_buffer_status", "n o o"),
    ("get_buffer_bytes", "n n n o o"),
    ("set_buffer_bytes", "n n n s"),
    ("http_call", "s s s s n o"),
    ("grpc_call", "s s s s s n o"),
    ("grpc_stream", "s s s s o"),
    ("grpc_send", "n s n"),
    ("get_current_time_nanoseconds", "o"),
    ("define_metric", "n s o"),
    ("increment_metric", "n N"),
    ("record_metric", "n N"),
    ("get_metric", "n o"),
    ("call_foreign_function", "s s o o"),
    ("get_configuration", "o o"),
    ("fd_write", "n s o"),
    ("fd_read", "n s o"),
    ("fd_fdstat_get", "n o"),
    ("fd_prestat_get", "n o"),
    ("fd_prestat_dir_name", "n s"),
    ("clock_time_get", "n N o"),
    ("clock_res_get", "n o"),
    ("random_get", "s"),
    ("environ_sizes_get", "o o"),
    ("environ_get", "o o"),
    ("args_sizes_get", "o o"),
];

/// The functions that a script can call, by number: where they are from, their name, and the types of their parameters.
pub(crate) fn functions() -> Vec<(&'static str, &'static str, &'static str)> {
    let env = FUNCTIONS.iter().map(|(name, types)| ("env", *name, *types));
    env.chain(WASI.iter().map(|(name, types)| ("wasi_snapshot_preview1", *name, *types))).collect()
}

/// The number of an operation, for scripts that tests write.
///
/// # Panics
/// If there is no function of that name.
pub(crate) fn operation(name: &str) -> u8 {
    let at = functions().iter().position(|(_, other, _)| *other == name);
    at.and_then(|at| u8::try_from(at).ok()).unwrap_or_else(|| panic!("no function {name}"))
}

/// An argument that is one of [`TEXTS`].
///
/// # Panics
/// If there is none like it.
pub(crate) fn text(text: &[u8]) -> u8 {
    let at = TEXTS.iter().position(|other| *other == text);
    at.and_then(|at| u8::try_from(at).ok()).unwrap_or_else(|| panic!("no such text: {text:?}"))
}

/// An argument that is the next bytes of the script, this many.
pub(crate) fn inline(len: usize) -> u8 {
    0x80 | len.min(INLINE_BYTES) as u8
}

/// An argument that is one of [`NUMBERS`].
///
/// # Panics
/// If there is none like it.
pub(crate) fn number(number: i64) -> u8 {
    let at = NUMBERS.iter().position(|other| *other == number);
    at.and_then(|at| u8::try_from(at).ok()).unwrap_or_else(|| panic!("no such number: {number}"))
}

/// The guest in the text form.
pub(crate) fn guest() -> String {
    let mut parts = String::from(
        r#"(import "env" "proxy_get_buffer_bytes" (func $script (param i32 i32 i32 i32 i32) (result i32)))"#,
    );
    let mut dispatch = String::new();
    for (at, (from, name, types)) in functions().iter().enumerate() {
        let prefix = if *from == "env" { "proxy_" } else { "" };
        let _ = writeln!(
            parts,
            r#"(import "{from}" "{prefix}{name}" (func $f{at} (param {types}) (result i32)))"#
        );
        // A status of WASI is another number.
        let check = if *from == "env" { "$checked" } else { "$unchecked" };
        let arguments = arguments(name, types);
        let _ = writeln!(
            dispatch,
            "(if (i32.eq (local.get $op) (i32.const {at}))
               (then (call {check} (call $f{at} {arguments})) (br $next)))"
        );
    }
    let callbacks: String = CALLBACKS.iter().map(export).collect();
    let data = data();
    let number = |number: usize| number.to_string();
    let machine = include_str!("scripted.wat")
        .replace("{dispatch}", &dispatch)
        .replace("{set_allocator}", &number(SET_ALLOCATOR))
        .replace("{grow}", &number(GROW))
        .replace("{return}", &RETURN.to_string())
        .replace("{log}", &operation("log").to_string())
        .replace("{add}", &operation("add_header_map_value").to_string());
    format!("(module {parts} {machine} {callbacks} {data})")
}

/// Callbacks with their parameters and whether they answer something.
const CALLBACKS: [(&str, &str, bool); 16] = [
    ("proxy_on_vm_start", "i32 i32", true),
    ("proxy_on_configure", "i32 i32", true),
    ("proxy_on_tick", "i32", false),
    ("proxy_on_queue_ready", "i32 i32", false),
    ("proxy_on_http_call_response", "i32 i32 i32 i32 i32", false),
    ("proxy_on_request_headers", "i32 i32 i32", true),
    ("proxy_on_request_body", "i32 i32 i32", true),
    ("proxy_on_request_trailers", "i32 i32", true),
    ("proxy_on_response_headers", "i32 i32 i32", true),
    ("proxy_on_response_body", "i32 i32 i32", true),
    ("proxy_on_response_trailers", "i32 i32", true),
    ("proxy_on_log", "i32", false),
    ("proxy_on_done", "i32", true),
    ("proxy_on_delete", "i32", false),
    ("proxy_on_grpc_close", "i32 i32 i32", false),
    ("proxy_on_foreign_function", "i32 i32 i32", false),
];

fn export((name, types, answers): &(&str, &str, bool)) -> String {
    let (result, drop) = if *answers { ("(result i32)", "") } else { ("", "drop") };
    format!("(func (export \"{name}\") (param {types}) {result} (call $run) {drop})\n")
}

fn arguments(name: &str, types: &str) -> String {
    let Some((_, shape)) = SHAPES.iter().find(|(of, _)| *of == name) else {
        let numbers =
            types.split_whitespace().map(|ty| if ty == "i64" { "(call $num64)" } else { "(call $num)" });
        return numbers.collect();
    };
    let part = |kind| match kind {
        "s" => "(call $str) (global.get $len)",
        "o" => "(call $place)",
        "N" => "(call $num64)",
        _ => "(call $num)",
    };
    shape.split_whitespace().map(part).collect()
}

fn data() -> String {
    let escaped = |bytes: &[u8]| bytes.iter().map(|byte| format!("\\{byte:02x}")).collect::<String>();
    let numbers: Vec<u8> = NUMBERS.iter().flat_map(|number| number.to_le_bytes()).collect();
    let (mut table, mut texts) = (Vec::new(), Vec::new());
    for text in TEXTS {
        for number in [TEXTS_FROM + texts.len(), text.len()] {
            table.extend(u32::try_from(number).unwrap_or_default().to_le_bytes());
        }
        texts.extend_from_slice(text);
    }
    let segments = [(NUMBERS_AT, numbers), (TEXTS_AT, table), (TEXTS_FROM, texts)];
    let segment =
        |(at, bytes): &(usize, Vec<u8>)| format!("(data (i32.const {at}) \"{}\")\n", escaped(bytes));
    segments.iter().map(segment).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_those_of_the_functions() {
        for (name, shape) in SHAPES {
            let all = functions();
            let (_, _, types) = all.iter().find(|(_, other, _)| *other == name).expect(name);
            let widths = shape.split_whitespace().map(|kind| match kind {
                "s" => "i32 i32",
                "N" => "i64",
                _ => "i32",
            });
            assert_eq!(widths.collect::<Vec<_>>().join(" "), *types, "{name}");
        }
        assert!(functions().len() < SET_ALLOCATOR);
    }
}
