#![no_main]
//! See `abi_kit::hostile::map`.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| abi_kit::hostile::map(bytes));
