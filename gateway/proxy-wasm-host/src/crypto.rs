//! What filters ask of cryptography, as types, and the seam to whoever computes it.
//!
//! Owns the numbers that guests use and the limits that every input is held to. It must never know a library: this crate
//! computes nothing, and a guest that asks without an embedder that does gets `NotFound`.

use std::fmt;

/// A hash function (FIPS 180-4), by the number that guests use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Hash {
    /// SHA-256.
    Sha256 = 1,
    /// SHA-384.
    Sha384 = 2,
    /// SHA-512.
    Sha512 = 3,
}

impl Hash {
    /// `None` for a number that is none.
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Sha256,
            2 => Self::Sha384,
            3 => Self::Sha512,
            _ => return None,
        })
    }
}

/// How a signature was made, by the number that guests use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum SignatureAlgorithm {
    /// RSASSA-PKCS1-v1_5 (RFC 8017, section 8.2) with SHA-256.
    RsaPkcs1Sha256 = 1,
    /// The same with SHA-384.
    RsaPkcs1Sha384 = 2,
    /// The same with SHA-512.
    RsaPkcs1Sha512 = 3,
    /// RSASSA-PSS (RFC 8017, section 8.1) with SHA-256, MGF1 of it, and a salt as long as the hash.
    RsaPssSha256 = 4,
    /// The same with SHA-384.
    RsaPssSha384 = 5,
    /// The same with SHA-512.
    RsaPssSha512 = 6,
    /// ECDSA (FIPS 186-5) on P-256 with SHA-256.
    EcdsaP256Sha256 = 7,
    /// ECDSA on P-384 with SHA-384.
    EcdsaP384Sha384 = 8,
    /// Ed25519 (RFC 8032, section 5.1).
    Ed25519 = 9,
}

impl SignatureAlgorithm {
    /// `None` for a number that is none.
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::RsaPkcs1Sha256,
            2 => Self::RsaPkcs1Sha384,
            3 => Self::RsaPkcs1Sha512,
            4 => Self::RsaPssSha256,
            5 => Self::RsaPssSha384,
            6 => Self::RsaPssSha512,
            7 => Self::EcdsaP256Sha256,
            8 => Self::EcdsaP384Sha384,
            9 => Self::Ed25519,
            _ => return None,
        })
    }
}

/// The bytes are no key for that algorithm, or one that is too weak or too large to be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadKey;

/// Whoever computes. Inputs are bounded before: see [`crate::limits`].
pub trait Cryptography: fmt::Debug {
    /// Appends the hash of `text` to `out`.
    fn hash(&self, hash: Hash, text: &[u8], out: &mut Vec<u8>);

    /// Appends the HMAC (RFC 2104) of `text` to `out`.
    fn hmac(&self, hash: Hash, key: &[u8], text: &[u8], out: &mut Vec<u8>);

    /// Whether `tag` is the whole HMAC of `text`; takes as long for a tag that is nearly right as for any other.
    fn verify_hmac(&self, hash: Hash, key: &[u8], tag: &[u8], text: &[u8]) -> bool;

    /// Whether `signature` is one of `text`. Keys: RSA as in RFC 3110, section 2 (one byte with the exponent's length,
    /// exponent, modulus; big endian), ECDSA as both coordinates one after the other, Ed25519 as RFC 8032 encodes it.
    /// Signatures: ECDSA as both numbers one after the other (RFC 7518, section 3.4), the others as their RFC has them.
    ///
    /// # Errors
    /// [`BadKey`], whatever the signature.
    fn verify_signature(
        &self,
        algorithm: SignatureAlgorithm,
        key: &[u8],
        signature: &[u8],
        text: &[u8],
    ) -> Result<bool, BadKey>;
}
