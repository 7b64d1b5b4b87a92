//! The message gate: follows the messages of HTTP/1 on one direction of a connection (RFC 9112), from head to body to the
//! next head, and lets through only those that every reader reads in the same way.
//!
//! It runs before the HTTP library and reads the same bytes: [`RequestGate`] what clients send, [`ResponseGate`] what
//! upstreams send. A gate is shown bytes in pieces of any size, says how many of them may go on, and what is wrong with
//! those that may not. Heads go on whole: of one that has not ended yet, nothing does.

mod body;
mod head;
pub(crate) mod line;
pub(crate) mod request;
mod response;

pub use request::{RequestGate, first_line};
pub use response::{Expected, ResponseGate};

use crate::Refusal;

/// Bytes of chunk extensions in one body; they mean nothing to anybody and are not passed on.
pub const MAX_EXTENSION_BYTES: usize = 4 * 1024;
/// Bytes of trailers in one body.
pub const MAX_TRAILER_BYTES: usize = 8 * 1024;
/// Trailer lines in one body.
pub const MAX_TRAILERS: usize = 32;
/// Interim responses to one request.
pub const MAX_INTERIM_RESPONSES: usize = 8;

/// How large a head may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From its first byte to the end of its empty line.
    pub head_bytes: usize,
    /// Header lines.
    pub headers: usize,
}

/// What a gate makes of some bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scan {
    /// As many may go on, from the first one.
    pub passed: usize,
    /// What is with those that may not.
    pub next: Next,
}

/// What a gate wants next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// The bytes after `passed` are the beginning of a head: to be shown again together with those that follow them. Where
    /// all have passed, just those that follow.
    More,
    /// The bytes after `passed` belong to nobody yet: to be shown again once it is known what the connection speaks.
    Hold,
    /// The message that these bytes belong to is refused. Nothing goes on from here.
    Refused(Refusal),
}

impl Scan {
    const fn new(passed: usize, next: Next) -> Self {
        Self { passed, next }
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
