//! Modules that a generator makes of bytes: valid, with imports of host functions and the exports that a filter has, and
//! with whatever in between.

use std::sync::OnceLock;

use arbitrary::Unstructured;
use wasm_smith::{Config, Module};

/// Memory that a generated module asks for at most.
const MEMORY_BYTES: u64 = 1 << 20;

/// A module made of these bytes, unless they are too few.
pub fn module(bytes: &[u8]) -> Option<Vec<u8>> {
    let config = Config {
        exports: Some(exports().clone()),
        available_imports: Some(imports().clone()),
        max_memory32_bytes: MEMORY_BYTES,
        max_imports: 20,
        // Small ones compile fast, and a fuzzer sees more of them.
        max_funcs: 16,
        max_instructions: 40,
        max_data_segments: 4,
        max_element_segments: 4,
        // What the host's engine does not take; refusing it is shown by other bytes.
        gc_enabled: false,
        exceptions_enabled: false,
        tail_call_enabled: false,
        threads_enabled: false,
        shared_everything_threads_enabled: false,
        relaxed_simd_enabled: false,
        memory64_enabled: false,
        custom_page_sizes_enabled: false,
        wide_arithmetic_enabled: false,
        max_memories: 1,
        ..Config::default()
    };
    let module = Module::new(config, &mut Unstructured::new(bytes)).ok()?;
    Some(module.to_bytes())
}

/// A module whose exports (names and types) the generated ones have.
fn exports() -> &'static Vec<u8> {
    static EXPORTS: OnceLock<Vec<u8>> = OnceLock::new();
    EXPORTS.get_or_init(|| {
        wat::parse_str(
            r#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
                 (func (export "malloc") (param i32) (result i32) (i32.const 1024))
                 (func (export "_initialize"))
                 (func (export "proxy_on_context_create") (param i32 i32))
                 (func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 1))
                 (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))
                 (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) (i32.const 0))
                 (func (export "proxy_on_tick") (param i32))
                 (func (export "proxy_on_log") (param i32)))"#,
        )
        .expect("the text is in order")
    })
}

/// A module whose imports are those that generated ones choose from.
fn imports() -> &'static Vec<u8> {
    static IMPORTS: OnceLock<Vec<u8>> = OnceLock::new();
    IMPORTS.get_or_init(|| {
        let import = |(from, name, types): (String, String, &str)| {
            format!("(import \"{from}\" \"{name}\" (func (param {types}) (result i32)))\n")
        };
        let imports: String = abi_kit::hostile::imports().into_iter().map(import).collect();
        wat::parse_str(format!("(module {imports})")).expect("the text is in order")
    })
}
