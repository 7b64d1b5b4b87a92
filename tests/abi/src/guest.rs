//! From the text of a case to a module: imports, the prelude, string literals, and the exports of its callbacks.

use std::fmt::Write;

use crate::case::Case;
use crate::filters;

/// Host functions by name without `proxy_`, with the types of their parameters.
pub(crate) const FUNCTIONS: [(&str, &str); 43] = [
    ("log", "i32 i32 i32"),
    ("get_log_level", "i32"),
    ("get_status", "i32 i32 i32"),
    ("set_property", "i32 i32 i32 i32"),
    ("get_property", "i32 i32 i32 i32"),
    ("send_local_response", "i32 i32 i32 i32 i32 i32 i32 i32"),
    ("get_shared_data", "i32 i32 i32 i32 i32"),
    ("set_shared_data", "i32 i32 i32 i32 i32"),
    ("register_shared_queue", "i32 i32 i32"),
    ("resolve_shared_queue", "i32 i32 i32 i32 i32"),
    ("enqueue_shared_queue", "i32 i32 i32"),
    ("dequeue_shared_queue", "i32 i32 i32"),
    ("get_header_map_value", "i32 i32 i32 i32 i32"),
    ("add_header_map_value", "i32 i32 i32 i32 i32"),
    ("replace_header_map_value", "i32 i32 i32 i32 i32"),
    ("remove_header_map_value", "i32 i32 i32"),
    ("get_header_map_pairs", "i32 i32 i32"),
    ("set_header_map_pairs", "i32 i32 i32"),
    ("get_header_map_size", "i32 i32"),
    ("get_buffer_status", "i32 i32 i32"),
    ("get_buffer_bytes", "i32 i32 i32 i32 i32"),
    ("set_buffer_bytes", "i32 i32 i32 i32 i32"),
    ("http_call", "i32 i32 i32 i32 i32 i32 i32 i32 i32 i32"),
    ("grpc_call", "i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32"),
    ("grpc_stream", "i32 i32 i32 i32 i32 i32 i32 i32 i32"),
    ("grpc_close", "i32"),
    ("grpc_cancel", "i32"),
    ("grpc_send", "i32 i32 i32 i32"),
    ("set_tick_period_milliseconds", "i32"),
    ("get_current_time_nanoseconds", "i32"),
    ("define_metric", "i32 i32 i32 i32"),
    ("increment_metric", "i32 i64"),
    ("record_metric", "i32 i64"),
    ("get_metric", "i32 i32"),
    ("set_effective_context", "i32"),
    ("done", ""),
    ("call_foreign_function", "i32 i32 i32 i32 i32 i32"),
    ("continue_stream", "i32"),
    ("close_stream", "i32"),
    ("get_configuration", "i32 i32"),
    ("continue_request", ""),
    ("continue_response", ""),
    ("clear_route_cache", ""),
];

/// Names that exist in one version only; the others are in all of them.
const VERSIONS: [(&str, &[&str]); 7] = [
    ("get_configuration", &["0_1_0"]),
    ("continue_request", &["0_1_0"]),
    ("continue_response", &["0_1_0"]),
    ("clear_route_cache", &["0_1_0"]),
    ("continue_stream", &["0_2_0", "0_2_1"]),
    ("close_stream", &["0_2_0", "0_2_1"]),
    ("get_log_level", &["0_2_1"]),
];

/// WASI functions by name, with the types of their parameters.
pub(crate) const WASI: [(&str, &str); 14] = [
    ("fd_write", "i32 i32 i32 i32"),
    ("fd_read", "i32 i32 i32 i32"),
    ("fd_close", "i32"),
    ("fd_fdstat_get", "i32 i32"),
    ("fd_prestat_get", "i32 i32"),
    ("fd_prestat_dir_name", "i32 i32 i32"),
    ("clock_time_get", "i32 i64 i32"),
    ("clock_res_get", "i32 i32"),
    ("random_get", "i32 i32"),
    ("environ_sizes_get", "i32 i32"),
    ("environ_get", "i32 i32"),
    ("args_sizes_get", "i32 i32"),
    ("args_get", "i32 i32"),
    ("sched_yield", ""),
];

/// Callbacks of streams by name without `proxy_on_`: number of parameters, and the result for a stream that only reads
/// the record. Without a result, the last is `None`.
const STREAM_CALLBACKS: [(&str, usize, Option<u32>); 9] = [
    ("request_headers", 3, Some(0)),
    ("request_body", 3, Some(0)),
    ("request_trailers", 2, Some(0)),
    ("response_headers", 3, Some(0)),
    ("response_body", 3, Some(0)),
    ("response_trailers", 2, Some(0)),
    ("log", 1, None),
    ("done", 1, Some(1)),
    ("delete", 1, None),
];

/// Callbacks of the plugin.
const ROOT_CALLBACKS: [(&str, usize, bool); 6] = [
    ("context_create", 2, false),
    ("vm_start", 2, true),
    ("configure", 2, true),
    ("tick", 1, false),
    ("queue_ready", 2, false),
    ("http_call_response", 5, false),
];

const PRELUDE: &str = include_str!("prelude.wat");
/// Literals are placed from here on.
const LITERALS_AT: usize = 0x4000;

/// The module of a case.
///
/// # Panics
/// If the text is wrong, or there is no such filter: the kit is wrong then.
#[must_use]
pub fn module(case: &Case) -> Vec<u8> {
    if let Some(filter) = &case.filter {
        return filters::module(filter);
    }
    let text = if case.is_raw { case.text.clone() } else { text(case) };
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{}: {error}\n{text}", case.id()))
}

fn text(case: &Case) -> String {
    let body = &case.text;
    let mut module = String::from("(module\n");
    for (name, parameters) in FUNCTIONS {
        let exists = VERSIONS.iter().all(|(of, versions)| *of != name || versions.contains(&&case.abi[..]));
        let is_used = body.contains(&format!("$p_{name}")) || body.contains(&format!("${name}"));
        // A module imports what it uses: hosts may refuse what they do not know.
        if is_used || (exists && NEEDED.contains(&name)) {
            import(&mut module, "env", &format!("proxy_{name}"), name, parameters);
        }
    }
    if body.contains("$exit") {
        module.push_str("(import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))\n");
    }
    for (name, parameters) in WASI {
        if body.contains(&format!("${name}")) {
            import(&mut module, "wasi_snapshot_preview1", name, name, parameters);
        }
    }
    let mut literals = Literals::default();
    module.push_str(&literals.expand(PRELUDE));
    module.push_str(&literals.expand(body));
    let allocator =
        if body.contains("(func $malloc ") { "" } else { r#"(export "malloc" (func $allocate))"# };
    let _ = writeln!(module, r#"{allocator} (func (export "proxy_abi_version_{}"))"#, case.abi);
    exports(&mut module, case);
    for (at, bytes) in literals.placed {
        let escaped: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
        let _ = writeln!(module, "(data (i32.const {at}) \"{escaped}\")");
    }
    module.push(')');
    module
}

/// What the prelude calls.
const NEEDED: [&str; 2] = ["get_header_map_value", "send_local_response"];

fn import(module: &mut String, from: &str, name: &str, as_name: &str, parameters: &str) {
    let _ =
        writeln!(module, r#"(import "{from}" "{name}" (func ${as_name} (param {parameters}) (result i32)))"#);
}

/// Exports the callbacks that the case has; streams that read the record are kept from it.
fn exports(module: &mut String, case: &Case) {
    let has = |name: &str| case.text.contains(&format!("(func $on_{name} "));
    for (name, parameters, quiet) in STREAM_CALLBACKS {
        let is_head = name == "request_headers";
        if !has(name) && !is_head {
            continue;
        }
        let count = if case.abi == "0_1_0" && name.ends_with("_headers") { 2 } else { parameters };
        let arguments: String = (0..count).map(|at| format!(" (local.get {at})")).collect();
        let call =
            if has(name) { format!("(call $on_{name}{arguments})") } else { "(i32.const 0)".to_owned() };
        let result = if quiet.is_some() { "(result i32)" } else { "" };
        let quiet = quiet.map_or(String::new(), |value| format!("(i32.const {value})"));
        let guard = if is_head {
            "(if (call $is_record) (then (return (call $answer_record (local.get 0)))))".to_owned()
        } else {
            format!("(if (call $is_quiet (local.get 0)) (then (return {quiet})))")
        };
        let types = " i32".repeat(count);
        let _ =
            writeln!(module, r#"(func (export "proxy_on_{name}") (param{types}) {result} {guard} {call})"#);
    }
    for (name, _, _) in ROOT_CALLBACKS.iter().filter(|(name, ..)| has(name)) {
        let _ = writeln!(module, r#"(export "proxy_on_{name}" (func $on_{name}))"#);
    }
    for (name, function) in [("_initialize", "$initialize"), ("_start", "$start"), ("malloc", "$malloc")] {
        if case.text.contains(&format!("(func {function} ")) {
            let _ = writeln!(module, r#"(export "{name}" (func {function}))"#);
        }
    }
}

/// Bytes that the text names in place: `@"text"` and `@map{name: value, name: value}` stand for a pointer and a length,
/// `@bytes{0a 0b}` likewise; `@out`, `@number` and `@none` for places that the prelude knows.
#[derive(Default)]
struct Literals {
    placed: Vec<(usize, Vec<u8>)>,
    used: usize,
}

impl Literals {
    fn expand(&mut self, text: &str) -> String {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('@') {
            expanded.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            let (replacement, after) = self.literal(rest);
            expanded.push_str(&replacement);
            rest = after;
        }
        expanded.push_str(rest);
        expanded
    }

    fn literal<'a>(&mut self, text: &'a str) -> (String, &'a str) {
        for (word, places) in [
            ("out", "(i32.const 4000) (i32.const 4004)"),
            ("number", "(i32.const 4016)"),
            ("none", "(i32.const 0) (i32.const 0)"),
            ("outside", "(i32.const 0x7fffff00)"),
        ] {
            if text.starts_with(word) && !text[word.len()..].starts_with(|c: char| c.is_alphanumeric()) {
                return (places.to_owned(), &text[word.len()..]);
            }
        }
        let (bytes, after) = if let Some(text) = text.strip_prefix('"') {
            let end = text.find('"').expect("a literal ends");
            (unescape(&text[..end]), &text[end + 1..])
        } else if let Some(text) = text.strip_prefix("map{") {
            let end = text.find('}').expect("a map ends");
            (map(&text[..end]), &text[end + 1..])
        } else if let Some(text) = text.strip_prefix("bytes{") {
            let end = text.find('}').expect("bytes end");
            let byte = |digits: &str| u8::from_str_radix(digits, 16).expect("two hexadecimal digits");
            (text[..end].split_whitespace().map(byte).collect(), &text[end + 1..])
        } else {
            panic!("no literal: @{}", text.lines().next().unwrap_or_default());
        };
        let (at, len) = (LITERALS_AT + self.used, bytes.len());
        self.used += len + 1;
        assert!(LITERALS_AT + self.used < 0x20000, "too many literals");
        self.placed.push((at, bytes));
        (format!("(i32.const {at}) (i32.const {len})"), after)
    }
}

/// `\0a` is a byte, `\\` a backslash.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'\\' {
            let digits = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
            bytes.push(u8::from_str_radix(digits.expect("two digits"), 16).expect("hexadecimal"));
            rest = &rest[2..];
        } else {
            bytes.push(*first);
        }
    }
    bytes
}

/// A serialized map (Proxy-Wasm ABI, "Serialized map").
fn map(text: &str) -> Vec<u8> {
    let entries: Vec<_> = text.split(", ").filter_map(|entry| entry.split_once(": ")).collect();
    let number = |number: usize| u32::try_from(number).expect("small").to_le_bytes();
    let mut bytes = number(entries.len()).to_vec();
    for (name, value) in &entries {
        bytes.extend(number(name.len()));
        bytes.extend(number(unescape(value).len()));
    }
    for (name, value) in &entries {
        bytes.extend(name.as_bytes());
        bytes.push(0);
        bytes.extend(unescape(value));
        bytes.push(0);
    }
    bytes
}
