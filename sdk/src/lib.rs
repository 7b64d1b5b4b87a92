//! Write Proxy-Wasm filters in Rust: implement [`Filter`], name it in [`filter!`], build for `wasm32-wasip1`.
//!
//! The module that comes out speaks plain Proxy-Wasm ABI 0.2.1 and runs on any host of it. The same code compiles
//! natively against an in-memory host, so that `cargo test` runs a filter without a proxy (see [`testing`]).
//!
//! This crate owns the guest's side of the ABI. It must never know which host runs the filter, and nothing in it
//! panics: whatever a host answers, or a peer sends, arrives as a value.
//!
//! ```
//! use gateway_sdk::{ConfigError, Filter, FilterError, Flow, LocalReply, Request};
//!
//! #[derive(serde::Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Settings {
//!     tenant: String,
//! }
//!
//! struct Tenant(Settings);
//!
//! impl Filter for Tenant {
//!     type Config = Settings;
//!
//!     fn new(settings: Settings) -> Result<Self, ConfigError> {
//!         Ok(Self(settings))
//!     }
//!
//!     fn on_request(&self, request: &mut Request) -> Result<Flow, FilterError> {
//!         if request.headers().get("x-forbidden")?.is_some() {
//!             return Ok(LocalReply::new(403).text("no\n").into());
//!         }
//!         request.headers_mut().set("x-tenant", &self.0.tenant)?;
//!         Ok(Flow::Continue)
//!     }
//! }
//!
//! gateway_sdk::filter!(Tenant);
//!
//! # fn main() -> Result<(), ConfigError> {
//! use gateway_sdk::testing::{TestRequest, Tester};
//!
//! let outcome = Tester::<Tenant>::new(r#"{"tenant": "acme"}"#)?.request(TestRequest::get("/"));
//! assert_eq!(outcome.header_values("x-tenant"), ["acme"]);
//! # Ok(())
//! # }
//! ```
#![deny(unsafe_code)]

pub mod config;
pub mod error;
pub mod filter;
pub mod headers;
pub mod host;
pub mod message;
pub mod reply;

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod entry;
mod logging;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use config::{ConfigError, NoConfig, config};
pub use error::{FilterError, HostError, Status};
pub use filter::{Filter, Flow};
pub use headers::Headers;
pub use message::{Request, Response};
pub use reply::LocalReply;

/// The logging facade, so that a filter needs no dependency of its own: `gateway_sdk::log::info!("...")`.
pub use log;
/// For [`serde_json::json!`] in reply bodies.
pub use serde_json;

/// What [`filter!`] expands to; no part of the contract.
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod __private {
    pub use proxy_wasm;
}

/// Makes a [`Filter`] the filter of this module: the entry point that a Proxy-Wasm host calls. Once per crate.
///
/// On native targets it only checks that the type is a filter.
#[macro_export]
macro_rules! filter {
    ($filter:ty) => {
        const _: () = {
            #[cfg(target_arch = "wasm32")]
            $crate::__private::proxy_wasm::main! {{
                $crate::entry::start::<$filter>();
            }}

            const fn is_a_filter<F: $crate::Filter>() {}
            is_a_filter::<$filter>()
        };
    };
}
