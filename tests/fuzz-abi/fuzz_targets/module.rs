#![no_main]
//! See `abi_kit::hostile::module`: bytes as they come, and modules that are valid, with the exports that a filter has.

use std::sync::OnceLock;

use abi_kit::hostile;
use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use wasm_smith::{Config, Module};

fuzz_target!(|bytes: &[u8]| {
    hostile::module(bytes);
    let config = Config { exports: Some(exports().clone()), max_memory32_bytes: 1 << 20, ..Config::default() };
    if let Ok(module) = Module::new(config, &mut Unstructured::new(bytes)) {
        hostile::module(&module.to_bytes());
    }
});

/// A module whose exports (names and types) the generated ones have.
fn exports() -> &'static Vec<u8> {
    static EXPORTS: OnceLock<Vec<u8>> = OnceLock::new();
    EXPORTS.get_or_init(|| {
        wat::parse_str(
            r#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
                 (func (export "malloc") (param i32) (result i32) (i32.const 1024))
                 (func (export "_initialize"))
                 (func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 1))
                 (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))
                 (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) (i32.const 0))
                 (func (export "proxy_on_log") (param i32)))"#,
        )
        .expect("the text is in order")
    })
}
