//! The host's functions for cryptography, which only the gateway has (foreign functions `crypto_...`).
//!
//! Owns the layout of their arguments, and what is known of the host: a function that it does not have is asked for once in
//! the life of a Wasm instance, and never again.

use std::cell::Cell;

use crate::error::{HostError, Status};
use crate::host;

/// A function of the host.
#[derive(Clone, Copy)]
pub(super) enum Function {
    Hash,
    Hmac,
    VerifyHmac,
    VerifySignature,
}

impl Function {
    const fn name(self) -> &'static str {
        match self {
            Self::Hash => "crypto_hash",
            Self::Hmac => "crypto_hmac",
            Self::VerifyHmac => "crypto_verify_hmac",
            Self::VerifySignature => "crypto_verify_signature",
        }
    }
}

thread_local! {
    /// A bit for each function that the host does not have.
    static ABSENT: Cell<u8> = const { Cell::new(0) };
}

/// Calls the host's function; `None` if it has none.
pub(super) fn call(
    function: Function,
    algorithm: u8,
    fields: &[&[u8]],
    text: &[u8],
) -> Result<Option<Vec<u8>>, HostError> {
    let bit = 1 << function as u8;
    if ABSENT.get() & bit != 0 {
        return Ok(None);
    }
    let answer = match host::foreign_function(function.name(), &argument(algorithm, fields, text)) {
        // A host that has no foreign functions at all, or does not let this filter call them.
        Err(HostError { status: Status::Unimplemented | Status::InternalFailure, .. }) => Ok(None),
        answer => answer,
    };
    if answer == Ok(None) {
        ABSENT.set(ABSENT.get() | bit);
    }
    answer
}

/// The algorithm, each field after its length, and the text.
fn argument(algorithm: u8, fields: &[&[u8]], text: &[u8]) -> Vec<u8> {
    let of_fields: usize = fields.iter().map(|field| 4 + field.len()).sum();
    let mut argument = Vec::with_capacity(1 + of_fields + text.len());
    argument.push(algorithm);
    for field in fields {
        // All are limited to far less by whoever calls.
        argument.extend((field.len() as u32).to_le_bytes());
        argument.extend_from_slice(field);
    }
    argument.extend_from_slice(text);
    argument
}

/// As in an instance that has not asked yet.
#[cfg(test)]
pub(super) fn forget() {
    ABSENT.set(0);
}
