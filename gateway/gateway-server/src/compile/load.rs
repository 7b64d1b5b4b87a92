//! The one place where machine code is taken over that this process did not compile.
//!
//! Owns which bytes are believed to be a compiler's: those of this gateway's own helper, and those that the cache has found to
//! be as it wrote them. What follows from it for who may write where is in docs/security.md.

#![allow(
    unsafe_code,
    reason = "code from the helper process and from the cache is run; this file says why that is right"
)]

use proxy_wasm_host::{Code, Engine, ForeignCode};

/// Bytes that a compiler of this build made. There are three ways to have some, all named here.
pub(crate) struct Artifact(Vec<u8>);

impl Artifact {
    /// What came over the socket to the helper, which this process started from its own binary.
    pub(super) fn from_helper(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// What the cache has verified: written by this user, under a key that this user alone can read.
    pub(super) fn from_cache(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// What this process compiled itself.
    pub(super) fn made_here(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn load(&self, engine: &Engine) -> Result<Code, ForeignCode> {
        // SAFETY: an artifact is made of what `proxy_wasm_host::Compiler::compile` returned, unchanged: in this process; in the
        // helper, whose answer arrives over a socket pair that nobody else has an end of; or earlier, and kept in a file whose
        // keyed digest was found to be right.
        unsafe { Code::load(engine, &self.0) }
    }
}
