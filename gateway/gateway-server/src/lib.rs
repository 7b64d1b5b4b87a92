//! The gateway: workers that serve traffic, and a control thread that tells them how.
//!
//! [`start`] runs it inside the calling process; `gateway-cli` is a thin front end over it. The map of this crate is in
//! `gateway/ARCHITECTURE.md`; the life of a request is `request::serve_request`.

#![deny(unsafe_code)]

mod body;
mod clock;
mod compile;
mod control;
mod executor;
pub mod explain;
mod filter;
mod gated;
mod outbox;
mod process;
mod refusal;
mod request;
mod route;
mod running;
mod shared;
mod snapshot;
mod target;
mod telemetry;
mod tls;
mod upstream;
mod worker;

pub use compile::{Compiling, compile_for_gateway, default_cache};
pub use control::{CertificateProblem, ConfigSource, FilterFinding, check_certificates, check_filters};
pub use running::{Options, Running, StartError, StopError, start};
pub use shared::OpenListener;
