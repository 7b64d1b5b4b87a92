#![no_main]
//! See `abi_kit::hostile::module`: bytes as they come, and a module that a generator makes of them.

#[path = "../src/generated.rs"]
mod generated;

use abi_kit::hostile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    hostile::module(bytes);
    if let Some(module) = generated::module(bytes) {
        hostile::module(&module);
    }
});
