//! The foreign functions with which filters hash, authenticate and verify: `crypto_hash`, `crypto_hmac`,
//! `crypto_verify_hmac` and `crypto_verify_signature`.
//!
//! Owns the layout of their arguments: one byte that says which algorithm, then fields, each after its length (four bytes,
//! little endian), and last the text, which is all the rest. A verdict is one byte, 0 or 1.

use crate::abi::Status;
use crate::crypto::{Cryptography, Hash, SignatureAlgorithm};
use crate::limits::{HMAC_KEY_BYTES, PUBLIC_KEY_BYTES, SIGNATURE_BYTES};
use crate::state::HostState;

/// Runs the function of that name; `None` if it is none of these.
pub(super) fn run(
    state: &HostState,
    name: &[u8],
    arguments: &[u8],
    result: &mut Vec<u8>,
) -> Option<Result<(), Status>> {
    let function = match name {
        b"crypto_hash" => hash,
        b"crypto_hmac" => hmac,
        b"crypto_verify_hmac" => verify_hmac,
        b"crypto_verify_signature" => verify_signature,
        _ => return None,
    };
    Some(match state.plugin.services.cryptography() {
        Some(cryptography) => function(cryptography, arguments, result),
        None => Err(Status::NotFound),
    })
}

fn hash(cryptography: &dyn Cryptography, arguments: &[u8], result: &mut Vec<u8>) -> Result<(), Status> {
    let (hash, text) = hash_function(arguments)?;
    cryptography.hash(hash, text, result);
    Ok(())
}

fn hmac(cryptography: &dyn Cryptography, arguments: &[u8], result: &mut Vec<u8>) -> Result<(), Status> {
    let (hash, rest) = hash_function(arguments)?;
    let (key, text) = field(rest)?;
    if key.len() > HMAC_KEY_BYTES {
        return Err(Status::BadArgument);
    }
    cryptography.hmac(hash, key, text, result);
    Ok(())
}

fn verify_hmac(
    cryptography: &dyn Cryptography,
    arguments: &[u8],
    result: &mut Vec<u8>,
) -> Result<(), Status> {
    let (hash, rest) = hash_function(arguments)?;
    let (key, rest) = field(rest)?;
    let (tag, text) = field(rest)?;
    if key.len() > HMAC_KEY_BYTES {
        return Err(Status::BadArgument);
    }
    result.push(u8::from(cryptography.verify_hmac(hash, key, tag, text)));
    Ok(())
}

fn verify_signature(
    cryptography: &dyn Cryptography,
    arguments: &[u8],
    result: &mut Vec<u8>,
) -> Result<(), Status> {
    let (number, rest) = arguments.split_first().ok_or(Status::BadArgument)?;
    let algorithm = SignatureAlgorithm::from_number(*number).ok_or(Status::Unimplemented)?;
    let (key, rest) = field(rest)?;
    let (signature, text) = field(rest)?;
    if key.len() > PUBLIC_KEY_BYTES || signature.len() > SIGNATURE_BYTES {
        return Err(Status::BadArgument);
    }
    let holds = cryptography.verify_signature(algorithm, key, signature, text);
    result.push(u8::from(holds.map_err(|_| Status::BadArgument)?));
    Ok(())
}

/// An algorithm that does not exist here may exist in later versions: a filter can tell that from a mistake of its own.
fn hash_function(arguments: &[u8]) -> Result<(Hash, &[u8]), Status> {
    let (number, rest) = arguments.split_first().ok_or(Status::BadArgument)?;
    Ok((Hash::from_number(*number).ok_or(Status::Unimplemented)?, rest))
}

fn field(bytes: &[u8]) -> Result<(&[u8], &[u8]), Status> {
    let (length, rest) = bytes.split_first_chunk().ok_or(Status::BadArgument)?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or(Status::BadArgument)
}
