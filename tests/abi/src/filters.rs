//! Filters as authors build them: by language and SDK, see `filters/README.md`. Those in Rust are built from this
//! workspace, the others are kept as modules.

use std::path::Path;

/// The module of a filter.
///
/// # Panics
/// If there is none of that name.
pub(crate) fn module(name: &str) -> Vec<u8> {
    #[cfg(feature = "sockets")]
    if name.starts_with("rust-") {
        return gateway_tests::wasm::guest(name);
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("filters/{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
