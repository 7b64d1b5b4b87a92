//! The one place where machine code is taken over that this process did not compile.
//!
//! Owns which bytes are believed to be a compiler's: those of this gateway's own helper, and those that the cache has found to
//! be as it wrote them. What follows from it for who may write where is in docs/security.md.

#![allow(
    unsafe_code,
    reason = "code from the helper process and from the cache is run; this file says why that is right"
)]

use proxy_wasm_host::{Code, Compiler, Engine, Freezable};

use super::{CompileError, Work};

/// Bytes that a compiler of this build made: the length of a note, the note, machine code. The note says why no image can be
/// made of a module; none says that one can. There are three ways to have some, all named here.
pub(crate) struct Artifact(Vec<u8>);

/// What workers can run.
pub(crate) struct Made {
    pub(crate) code: Code,
    /// Of an image itself it says nothing.
    pub(crate) freezable: Freezable,
}

impl Artifact {
    /// What came over the socket to the helper, which this process started from its own binary.
    pub(super) fn from_helper(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// What the cache has verified: written by this user, under a key that this user alone can read.
    pub(super) fn from_cache(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// What this process compiles itself.
    pub(super) fn made_here(work: &Work, compiler: &Compiler) -> Result<Self, CompileError> {
        let (code, freezable) = match &work.state {
            None => compiler.readable(&work.wasm)?,
            Some(state) => (compiler.frozen(&work.wasm, state)?, Ok(())),
        };
        let note = freezable.err().unwrap_or_default();
        // A note is a sentence.
        let length = u32::try_from(note.len()).unwrap_or_default();
        let note = &note.as_bytes()[..length as usize];
        Ok(Self([&length.to_le_bytes()[..], note, &code].concat()))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn load(&self, engine: &Engine) -> Result<Made, String> {
        let damaged = || "what the compiler answered does not begin with a note".to_owned();
        let (length, rest) = self.0.split_first_chunk().ok_or_else(damaged)?;
        let (note, code) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(damaged)?;
        // SAFETY: `code` is what `proxy_wasm_host::Compiler` returned, unchanged, behind the note that `made_here` put before
        // it: in this process; in the helper, which answers with an artifact over a socket pair that nobody else has an end of;
        // or earlier, and kept in a file whose keyed digest was found to be right.
        let code = unsafe { Code::load(engine, code) }.map_err(|error| error.to_string())?;
        let freezable =
            if note.is_empty() { Ok(()) } else { Err(String::from_utf8_lossy(note).into_owned()) };
        Ok(Made { code, freezable })
    }
}
