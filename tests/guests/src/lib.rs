//! Holds the guests in `examples/`: each is one module that behaviour tests load, written on the plain `proxy-wasm` crate as
//! any filter for Envoy is. `garbage.wat` is the one guest that the crate's types would not allow.
//!
//! Build: `cargo build --profile filter --target wasm32-wasip1 -p test-guests --examples`.
