//! Readers of bytes that strangers sent: how messages are framed, what a path means, whose address a header names.
//!
//! Everything here is a pure function or a small state machine over bytes: no I/O, no clock, no HTTP library. What it
//! accepts has exactly one meaning to every reader further down the line; what could have two, it refuses by a reason.
//! Being apart lets each reader be fuzzed and timed without a server around it.

#![forbid(unsafe_code)]

pub mod authority;
pub mod downgrade;
pub mod forwarded;
pub mod gate;
pub mod path;
pub mod proxy_protocol;
mod refusal;

pub use refusal::Refusal;
