//! The conformance kit for Proxy-Wasm hosts.
//!
//! A [`Case`] is a small guest with what is sent through it and what must come of that: what the guest sees (its *record*),
//! what the client gets, what the origin gets. The same cases run in three ways: in this process against the host crate
//! ([`in_process`]), and over a port against any proxy that can be started with a module (`over_port`), the gateway among
//! them. [`matrix`] writes down who does what.

#![forbid(unsafe_code)]

pub mod bugs;
#[cfg(feature = "sockets")]
pub mod bytes;
mod case;
mod filters;
#[cfg(feature = "sockets")]
pub mod gateway;
mod guest;
pub mod hostile;
pub mod in_process;
#[cfg(feature = "sockets")]
pub mod matrix;
mod outcome;
#[cfg(feature = "sockets")]
pub mod over_port;
mod stream;
mod world;

pub use case::{Case, Exchange, Mode, cases};
pub use guest::module;
pub use outcome::{Outcome, Verdict};
