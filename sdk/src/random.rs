//! Random numbers that no other request, machine or copy of the filter has.
//!
//! A gateway configures a filter once and serves with copies of it. What is drawn here is drawn anew in each copy; numbers of
//! another origin, such as the seeds that [`std::collections::HashMap`] draws for itself, cannot be, and a filter that draws
//! them in [`Filter::init`](crate::Filter::init) is therefore not copied but started again for each worker. A number that
//! `init` itself keeps is the same in every copy: draw where it is used.

use std::cell::RefCell;

use crate::error::HostError;
use crate::host;

/// Bytes drawn from the host at a time; a larger wish is drawn by itself.
const RESERVE_BYTES: usize = 64;
/// Most that the host gives at once.
const MAX_DRAW_BYTES: usize = 64 * 1024;

thread_local! {
    /// Drawn and not used yet.
    static RESERVE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Fills `bytes` with numbers fit for keys.
///
/// # Errors
/// The host has none to give.
pub fn fill(bytes: &mut [u8]) -> Result<(), HostError> {
    if bytes.len() > RESERVE_BYTES {
        for chunk in bytes.chunks_mut(MAX_DRAW_BYTES) {
            host::random(chunk)?;
        }
        return Ok(());
    }
    RESERVE.with_borrow_mut(|reserve| {
        if reserve.len() < bytes.len() {
            let mut drawn = [0; RESERVE_BYTES];
            host::random(&mut drawn)?;
            *reserve = drawn.to_vec();
        }
        let rest = reserve.split_off(reserve.len() - bytes.len());
        bytes.copy_from_slice(&rest);
        Ok(())
    })
}

/// A random number, each equally likely.
///
/// # Errors
/// As [`fill`].
pub fn u64() -> Result<u64, HostError> {
    let mut bytes = [0; 8];
    fill(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// The filter is a copy from here on: what was drawn before is the original's.
#[doc(hidden)]
pub fn on_copy() {
    RESERVE.with_borrow_mut(Vec::clear);
}

#[cfg(test)]
#[path = "random_tests.rs"]
mod tests;
