//! The shipped filters as this binary carries them: module and an example manifest. Made by `build.rs`.

/// A filter that comes with the gateway.
pub(crate) struct Shipped {
    /// Name of the filter, and of its files without extension.
    pub(crate) name: &'static str,
    /// The module.
    pub(crate) wasm: &'static [u8],
    /// A manifest that the demo uses and that reads as an example.
    pub(crate) manifest: &'static str,
}

/// Lets requests with a known API key pass.
pub(crate) const API_KEY: Shipped = Shipped {
    name: "api-key",
    wasm: include_bytes!(concat!(env!("OUT_DIR"), "/api-key.wasm")),
    manifest: include_str!("commands/demo/api-key.yaml"),
};
