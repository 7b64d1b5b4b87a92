//! Write Proxy-Wasm filters in Rust: implement [`Filter`], put [`#[filter]`](macro@filter) on it, build for
//! `wasm32-wasip1`.
//!
//! The module that comes out speaks plain Proxy-Wasm ABI 0.2.1 and runs on any host of it. The same code compiles
//! natively against an in-memory host, so that `cargo test` runs a filter without a proxy (see [`testing`]).
//!
//! This crate owns the guest's side of the ABI. It must never know which host runs the filter, and nothing in it
//! panics: whatever a host answers, or a peer sends, arrives as a value.
//!
//! ```
//! use std::time::Duration;
//!
//! use gateway_sdk::prelude::*;
//!
//! #[derive(serde::Deserialize, FilterConfig)]
//! #[serde(deny_unknown_fields)]
//! struct Settings {
//!     #[config(format = "upstream")]
//!     users: String,
//! }
//!
//! struct Tier(Settings);
//!
//! #[filter]
//! impl Filter for Tier {
//!     type Config = Settings;
//!
//!     async fn init(settings: Settings, _cx: &Context) -> Result<Self> {
//!         Ok(Self(settings))
//!     }
//!
//!     async fn on_request(&self, request: &mut Request, cx: &Context) -> Result<Flow> {
//!         let Some(user) = request.headers().get_str("x-user")? else {
//!             return Ok(LocalReply::new(401).text("who are you?\n").into());
//!         };
//!         let call = cx.http(&self.0.users).get(&format!("/tier/{user}")).timeout(Duration::from_millis(200));
//!         let tier = call.send().await?.text()?;
//!         request.headers_mut().set("x-tier", tier)?;
//!         Ok(Flow::Continue)
//!     }
//! }
//!
//! # fn main() {
//! use gateway_sdk::testing::{CallAnswer, TestHost, TestRequest};
//!
//! let host = TestHost::new().on_call("accounts", |call| {
//!     assert_eq!(call.target(), "GET /tier/ann");
//!     CallAnswer::new(200).body("gold").after(Duration::from_millis(20))
//! });
//! let mut tester = host.start::<Tier>(r#"{"users": "accounts"}"#).expect("a legal configuration");
//! let outcome = tester.request(TestRequest::get("/").header("x-user", "ann"));
//! assert_eq!(outcome.header_values("x-tier"), ["gold"]);
//! # }
//! ```
#![deny(unsafe_code)]

// What `#[filter]` expands to names this crate from outside.
extern crate self as gateway_sdk;

pub mod body;
pub mod cache;
pub mod call;
pub mod combine;
pub mod config;
pub mod context;
pub mod crypto;
mod decimal;
pub mod error;
pub mod filter;
pub mod headers;
pub mod host;
pub mod jwt;
pub mod message;
pub mod reply;

#[doc(hidden)]
pub mod entry;
mod logging;
pub mod metrics;
pub mod pieces;
mod plugin;
pub mod query;
pub mod random;
mod reactor;
pub mod schema;
pub mod shared;
mod stream;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
mod vm;

pub use body::{Body, BodyStream};
pub use cache::Cache;
pub use call::{CallBuilder, CallResponse, Upstream};
pub use combine::{Either, join, join_all, race};
pub use config::{ConfigError, NoConfig, Secret};
pub use context::Context;
pub use decimal::{Decimal, decimal};
pub use error::{BodyError, CallError, Error, HostError, Result, Status};
pub use filter::{Filter, Flow, Phases};
pub use gateway_sdk_macros::{FilterConfig, filter};
pub use headers::Headers;
pub use host::{Properties, PropertyList};
pub use message::{Exchange, Request, Response};
pub use metrics::{Counter, Gauge, Histogram};
pub use pieces::{Event, Lines};
pub use reply::LocalReply;
pub use schema::FilterConfig;
pub use shared::{Admission, RollingWindow, Shared, SharedCounter, TokenBucket};

/// Faster than that of the C library, and smaller.
#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ALLOCATOR: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();

/// The types of methods, statuses and headers.
pub use http;
/// The logging facade, so that a filter needs no dependency of its own: `gateway_sdk::log::info!("...")`.
pub use log;
/// For [`serde_json::json!`] in bodies.
pub use serde_json;

/// What nearly every filter needs.
pub mod prelude {
    pub use crate::{
        BodyStream, ConfigError, Context, Error, Exchange, Filter, FilterConfig, Flow, LocalReply, NoConfig,
        Request, Response, Result, Secret, filter,
    };
}

/// What `#[filter]` expands to; no part of the contract.
#[doc(hidden)]
pub mod __private {
    #[cfg(target_arch = "wasm32")]
    pub use crate::entry::start::{allocate, run_constructors};
    pub use crate::vm::Vm;
}
