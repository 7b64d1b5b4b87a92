//! Hashes, HMACs and signatures: computed by the host where it offers that, as the gateway does, else by the module itself
//! if it was built with this crate's feature `portable-crypto`. The verdicts are the same.
//!
//! Owns the algorithms, the limits of every input, and who computes. It must never know what is signed; tokens are in
//! [`crate::jwt`].

use std::cell::OnceCell;

use crate::error::{HostError, Status};

mod portable;
mod service;

use service::Function;

/// The longest text that is hashed or signed.
pub const MAX_TEXT_BYTES: usize = 1_000_000;
/// The longest key of an HMAC; longer ones can be hashed before (RFC 2104, section 2).
pub const MAX_HMAC_KEY_BYTES: usize = 16 * 1024;
/// Shorter RSA keys can be broken (RFC 7518, section 3.3).
const MIN_RSA_BITS: usize = 2048;
/// The time for a check grows with the square of the size.
const MAX_RSA_BITS: usize = 4096;
/// Exponents of RSA in use have three bytes; the time for a check grows with their size.
const MAX_EXPONENT_BYTES: usize = 4;
/// No signature is longer: one of RSA with 4096 bits has 512 bytes.
const MAX_SIGNATURE_BYTES: usize = MAX_RSA_BITS / 8;

/// A hash function (FIPS 180-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Hash {
    /// SHA-256.
    Sha256 = 1,
    /// SHA-384.
    Sha384 = 2,
    /// SHA-512.
    Sha512 = 3,
}

/// How a signature was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SignatureAlgorithm {
    /// RSASSA-PKCS1-v1_5 (RFC 8017, section 8.2) with SHA-256; JWT's `RS256`.
    RsaPkcs1Sha256 = 1,
    /// The same with SHA-384; `RS384`.
    RsaPkcs1Sha384 = 2,
    /// The same with SHA-512; `RS512`.
    RsaPkcs1Sha512 = 3,
    /// RSASSA-PSS (RFC 8017, section 8.1) with SHA-256 and a salt as long as the hash; `PS256`.
    RsaPssSha256 = 4,
    /// The same with SHA-384; `PS384`.
    RsaPssSha384 = 5,
    /// The same with SHA-512; `PS512`.
    RsaPssSha512 = 6,
    /// ECDSA (FIPS 186-5) on P-256 with SHA-256, as 64 bytes; `ES256`.
    EcdsaP256Sha256 = 7,
    /// ECDSA on P-384 with SHA-384, as 96 bytes; `ES384`.
    EcdsaP384Sha384 = 8,
    /// Ed25519 (RFC 8032, section 5.1); `EdDSA`.
    Ed25519 = 9,
}

/// Why nothing was computed. No answer about a text, a tag or a signature is an error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// Neither the host nor the module can compute this.
    #[error(
        "this host has no cryptography for filters, and the filter was built without the feature `portable-crypto` of gateway-sdk"
    )]
    Unavailable,
    /// It is none, too weak or too large.
    #[error("the key {0}")]
    BadKey(&'static str),
    /// It is longer than hosts compute with.
    #[error("the {what} has {bytes} bytes; at most {limit_bytes} are possible")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit_bytes: usize,
    },
    /// The host failed.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// The hash of `text`.
///
/// # Errors
/// `text` is longer than [`MAX_TEXT_BYTES`], or nobody computes it.
pub fn hash(hash: Hash, text: &[u8]) -> Result<Vec<u8>, CryptoError> {
    check_text(text)?;
    match service::call(Function::Hash, hash as u8, &[], text)? {
        Some(digest) if digest.len() == hash.output_bytes() => Ok(digest),
        Some(_) => Err(mismatch()),
        None => portable::hash(hash, text),
    }
}

/// The HMAC of `text` (RFC 2104). To compare with one that a peer sent, use [`verify_hmac`].
///
/// # Errors
/// `key` or `text` is too long, or nobody computes it.
pub fn hmac(hash: Hash, key: &[u8], text: &[u8]) -> Result<Vec<u8>, CryptoError> {
    check_hmac_key(key)?;
    check_text(text)?;
    match service::call(Function::Hmac, hash as u8, &[key], text)? {
        Some(tag) if tag.len() == hash.output_bytes() => Ok(tag),
        Some(_) => Err(mismatch()),
        None => portable::hmac(hash, key, text),
    }
}

/// Whether `tag` is the HMAC of `text`, all of it. Takes as long for a tag that is nearly right as for any other.
///
/// # Errors
/// As [`hmac()`].
pub fn verify_hmac(hash: Hash, key: &[u8], text: &[u8], tag: &[u8]) -> Result<bool, CryptoError> {
    check_hmac_key(key)?;
    check_text(text)?;
    if tag.len() != hash.output_bytes() {
        return Ok(false);
    }
    match service::call(Function::VerifyHmac, hash as u8, &[key, tag], text)? {
        Some(verdict) => truth(&verdict),
        None => portable::verify_hmac(hash, key, text, tag),
    }
}

/// A public key that has been checked.
pub struct PublicKey {
    kind: Kind,
    /// As the host takes it.
    encoded: Vec<u8>,
    /// Made at the first use without the host.
    portable: OnceCell<portable::Key>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl PublicKey {
    /// An RSA key of 2048 to 4096 bits, from modulus and exponent (big endian).
    ///
    /// # Errors
    /// It is too weak, too large or none, or nobody computes with it.
    pub fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, CryptoError> {
        let (n, e) = (without_zeros(modulus), without_zeros(exponent));
        let bits = n.len() * 8 - n.first().map_or(0, |byte| byte.leading_zeros() as usize);
        let is_odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
        if bits < MIN_RSA_BITS {
            return Err(CryptoError::BadKey("is an RSA key of less than 2048 bits"));
        }
        // With one bit in the first byte, that byte of a PSS signature would be nobody's (RFC 8017, section 8.1.2).
        if bits > MAX_RSA_BITS || bits % 8 == 1 || !is_odd(n) {
            return Err(CryptoError::BadKey("is no RSA key of at most 4096 bits"));
        }
        if e.len() > MAX_EXPONENT_BYTES || !is_odd(e) || e == [1] {
            return Err(CryptoError::BadKey("has an exponent that is not odd, from 3 to 32 bits"));
        }
        // Four at the most, by the check above.
        Self::checked(Kind::Rsa, [&[e.len() as u8], e, n].concat())
    }

    /// A point of P-256, from its coordinates of 32 bytes each.
    ///
    /// # Errors
    /// It is none, or nobody computes with it.
    pub fn p256(x: &[u8], y: &[u8]) -> Result<Self, CryptoError> {
        Self::checked(Kind::P256, coordinates(x, y, 32)?)
    }

    /// A point of P-384, from its coordinates of 48 bytes each.
    ///
    /// # Errors
    /// It is none, or nobody computes with it.
    pub fn p384(x: &[u8], y: &[u8]) -> Result<Self, CryptoError> {
        Self::checked(Kind::P384, coordinates(x, y, 48)?)
    }

    /// A key of Ed25519 (RFC 8032, section 5.1.5). One that is no point of the curve is not told here: no signature holds
    /// with it.
    ///
    /// # Errors
    /// It has not 32 bytes, is of small order or not encoded as it must be, or nobody computes with it.
    pub fn ed25519(key: &[u8]) -> Result<Self, CryptoError> {
        if key.len() != 32 {
            return Err(CryptoError::BadKey("is not 32 bytes long"));
        }
        Self::checked(Kind::Ed25519, key.to_vec())
    }

    /// Whether `signature` is one of `text`, made in that way with the private key to this one.
    ///
    /// # Errors
    /// `text` is too long, the key is for other algorithms, or nobody computes it.
    pub fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        text: &[u8],
        signature: &[u8],
    ) -> Result<bool, CryptoError> {
        check_text(text)?;
        if algorithm.kind() != self.kind {
            return Err(CryptoError::BadKey("is for other algorithms"));
        }
        if signature.len() > MAX_SIGNATURE_BYTES {
            return Ok(false);
        }
        let fields = [self.encoded.as_slice(), signature];
        match service::call(Function::VerifySignature, algorithm as u8, &fields, text) {
            Ok(Some(verdict)) => truth(&verdict),
            Ok(None) => self.portable()?.verify(algorithm, text, signature),
            // All else is within its limits.
            Err(HostError { status: Status::BadArgument, .. }) => {
                Err(CryptoError::BadKey(self.kind.problem()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whoever computes looks at the key before the signature.
    fn checked(kind: Kind, encoded: Vec<u8>) -> Result<Self, CryptoError> {
        let key = Self { kind, encoded, portable: OnceCell::new() };
        key.verify(kind.algorithm(), b"", b"").map(|_| key)
    }

    fn portable(&self) -> Result<&portable::Key, CryptoError> {
        if let Some(key) = self.portable.get() {
            return Ok(key);
        }
        let key = portable::Key::read(self.kind, &self.encoded)?;
        Ok(self.portable.get_or_init(|| key))
    }
}

impl Hash {
    /// Bytes of a hash, and of an HMAC.
    pub const fn output_bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

impl SignatureAlgorithm {
    const fn kind(self) -> Kind {
        match self {
            Self::RsaPkcs1Sha256
            | Self::RsaPkcs1Sha384
            | Self::RsaPkcs1Sha512
            | Self::RsaPssSha256
            | Self::RsaPssSha384
            | Self::RsaPssSha512 => Kind::Rsa,
            Self::EcdsaP256Sha256 => Kind::P256,
            Self::EcdsaP384Sha384 => Kind::P384,
            Self::Ed25519 => Kind::Ed25519,
        }
    }
}

impl Kind {
    /// One of its algorithms.
    const fn algorithm(self) -> SignatureAlgorithm {
        match self {
            Self::Rsa => SignatureAlgorithm::RsaPkcs1Sha256,
            Self::P256 => SignatureAlgorithm::EcdsaP256Sha256,
            Self::P384 => SignatureAlgorithm::EcdsaP384Sha384,
            Self::Ed25519 => SignatureAlgorithm::Ed25519,
        }
    }

    /// What is wrong with a key that has the right form.
    const fn problem(self) -> &'static str {
        match self {
            Self::Rsa => "is no RSA key",
            Self::P256 => "is no point of P-256",
            Self::P384 => "is no point of P-384",
            Self::Ed25519 => "is no point of Ed25519 that can be used",
        }
    }
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

fn coordinates(x: &[u8], y: &[u8], bytes: usize) -> Result<Vec<u8>, CryptoError> {
    if x.len() != bytes || y.len() != bytes {
        return Err(CryptoError::BadKey("has coordinates of another length than its curve"));
    }
    Ok([x, y].concat())
}

fn check_text(text: &[u8]) -> Result<(), CryptoError> {
    check_length("text", text, MAX_TEXT_BYTES)
}

fn check_hmac_key(key: &[u8]) -> Result<(), CryptoError> {
    check_length("key", key, MAX_HMAC_KEY_BYTES)
}

fn check_length(what: &'static str, bytes: &[u8], limit_bytes: usize) -> Result<(), CryptoError> {
    if bytes.len() > limit_bytes {
        return Err(CryptoError::TooLong { what, bytes: bytes.len(), limit_bytes });
    }
    Ok(())
}

fn truth(verdict: &[u8]) -> Result<bool, CryptoError> {
    match verdict {
        [0] => Ok(false),
        [1] => Ok(true),
        _ => Err(mismatch()),
    }
}

/// The host has a function of that name, but not this one.
fn mismatch() -> CryptoError {
    HostError::new("proxy_call_foreign_function", Status::ResultMismatch).into()
}

#[cfg(test)]
#[path = "crypto_tests.rs"]
mod tests;
