//! What this binary carries, made by `build.rs`: the shipped filters (modules and example manifests), and the source of the SDK.

/// A filter that comes with the gateway.
pub(crate) struct Shipped {
    /// Name of the filter, and of its files without extension.
    pub(crate) name: &'static str,
    /// The module.
    pub(crate) wasm: &'static [u8],
    /// A manifest as an example.
    pub(crate) manifest: &'static str,
}

/// All of them, each with the example of its README.
pub(crate) const SHIPPED: &[Shipped] = include!(concat!(env!("OUT_DIR"), "/shipped.rs"));

/// Lets requests with a known API key pass; with the manifest of the demo.
pub(crate) const API_KEY: Shipped = Shipped {
    name: "api-key",
    wasm: include_bytes!(concat!(env!("OUT_DIR"), "/api-key.wasm")),
    manifest: include_str!("commands/demo/api-key.yaml"),
};

/// The SDK as a crate of its own: paths and texts.
pub(crate) const SDK: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sdk.rs"));
/// The versions that the SDK was tested with, among others.
pub(crate) const LOCK_FILE: &str = include_str!(concat!(env!("OUT_DIR"), "/Cargo.lock"));
