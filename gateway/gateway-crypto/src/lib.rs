//! Hashes, HMACs and signatures for filters, by the library that the gateway's TLS has: [`AwsLc`].
//!
//! Owns which keys and signatures are acceptable, so that a filter gets the verdict that the SDK's portable code gives it
//! elsewhere. It must never know of guests, streams or configuration.
//!
//! Nothing is kept between calls. Reading a key costs less than a tenth of a check with it (`cargo bench -p micro-benches
//! --bench signatures`), which pays for no cache and its bounds.
#![forbid(unsafe_code)]

use aws_lc_rs::digest::{self, SHA256, SHA384, SHA512};
use aws_lc_rs::hmac::{self, HMAC_SHA256, HMAC_SHA384, HMAC_SHA512};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, EcdsaVerificationAlgorithm, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    RsaPublicKeyComponents,
};
use proxy_wasm_host::crypto::{BadKey, Cryptography, Hash, SignatureAlgorithm};

/// Shorter RSA keys can be broken (RFC 7518, section 3.3).
const MIN_RSA_BITS: usize = 2048;
/// The time for a check grows with the square of the size; that of longer keys is the filter's, and may be an attacker's wish.
const MAX_RSA_BITS: usize = 4096;
/// Exponents of RSA in use have three bytes; the time for a check grows with their size.
const MAX_EXPONENT_BYTES: usize = 4;

/// What computes.
#[derive(Clone, Copy, Debug, Default)]
pub struct AwsLc;

impl Cryptography for AwsLc {
    fn hash(&self, hash: Hash, text: &[u8], out: &mut Vec<u8>) {
        let algorithm = match hash {
            Hash::Sha256 => &SHA256,
            Hash::Sha384 => &SHA384,
            Hash::Sha512 => &SHA512,
        };
        out.extend_from_slice(digest::digest(algorithm, text).as_ref());
    }

    fn hmac(&self, hash: Hash, key: &[u8], text: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(hmac::sign(&hmac_key(hash, key), text).as_ref());
    }

    fn verify_hmac(&self, hash: Hash, key: &[u8], tag: &[u8], text: &[u8]) -> bool {
        hmac::verify(&hmac_key(hash, key), text, tag).is_ok()
    }

    fn verify_signature(
        &self,
        algorithm: SignatureAlgorithm,
        key: &[u8],
        signature: &[u8],
        text: &[u8],
    ) -> Result<bool, BadKey> {
        match algorithm {
            SignatureAlgorithm::RsaPkcs1Sha256 => rsa(&RSA_PKCS1_2048_8192_SHA256, key, signature, text),
            SignatureAlgorithm::RsaPkcs1Sha384 => rsa(&RSA_PKCS1_2048_8192_SHA384, key, signature, text),
            SignatureAlgorithm::RsaPkcs1Sha512 => rsa(&RSA_PKCS1_2048_8192_SHA512, key, signature, text),
            SignatureAlgorithm::RsaPssSha256 => rsa(&RSA_PSS_2048_8192_SHA256, key, signature, text),
            SignatureAlgorithm::RsaPssSha384 => rsa(&RSA_PSS_2048_8192_SHA384, key, signature, text),
            SignatureAlgorithm::RsaPssSha512 => rsa(&RSA_PSS_2048_8192_SHA512, key, signature, text),
            SignatureAlgorithm::EcdsaP256Sha256 => ecdsa(&ECDSA_P256_SHA256_FIXED, 32, key, signature, text),
            SignatureAlgorithm::EcdsaP384Sha384 => ecdsa(&ECDSA_P384_SHA384_FIXED, 48, key, signature, text),
            SignatureAlgorithm::Ed25519 => ed25519(key, signature, text),
        }
    }
}

fn hmac_key(hash: Hash, key: &[u8]) -> hmac::Key {
    let algorithm = match hash {
        Hash::Sha256 => HMAC_SHA256,
        Hash::Sha384 => HMAC_SHA384,
        Hash::Sha512 => HMAC_SHA512,
    };
    hmac::Key::new(algorithm, key)
}

fn rsa(
    parameters: &'static RsaParameters,
    key: &[u8],
    signature: &[u8],
    text: &[u8],
) -> Result<bool, BadKey> {
    let (exponent_bytes, rest) = key.split_first().ok_or(BadKey)?;
    let (e, n) = rest.split_at_checked(usize::from(*exponent_bytes)).ok_or(BadKey)?;
    let is_odd_number = |number: &[u8]| {
        number.first().is_some_and(|byte| *byte != 0) && number.last().is_some_and(|byte| byte & 1 == 1)
    };
    let bits = n.len() * 8 - n.first().map_or(0, |byte| byte.leading_zeros() as usize);
    let in_range = (MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) && e.len() <= MAX_EXPONENT_BYTES;
    // A modulus with one bit in its first byte leaves that byte of a PSS signature to nobody (RFC 8017, section 8.1.2).
    if !in_range || bits % 8 == 1 || !is_odd_number(n) || !is_odd_number(e) || e == [1] {
        return Err(BadKey);
    }
    Ok(RsaPublicKeyComponents { n, e }.verify(parameters, text, signature).is_ok())
}

fn ecdsa(
    algorithm: &'static EcdsaVerificationAlgorithm,
    coordinate_bytes: usize,
    key: &[u8],
    signature: &[u8],
    text: &[u8],
) -> Result<bool, BadKey> {
    if key.len() != 2 * coordinate_bytes {
        return Err(BadKey);
    }
    // Uncompressed, as in SEC 1, section 2.3.3.
    let key = ParsedPublicKey::new(algorithm, [&[4], key].concat()).map_err(|_| BadKey)?;
    Ok(key.verify_sig(text, signature).is_ok())
}

fn ed25519(key: &[u8], signature: &[u8], text: &[u8]) -> Result<bool, BadKey> {
    let key: &[u8; 32] = key.try_into().map_err(|_| BadKey)?;
    if !is_honest_point(key) {
        return Err(BadKey);
    }
    let Ok(signature): Result<&[u8; 64], _> = signature.try_into() else { return Ok(false) };
    if !signature.first_chunk().is_some_and(is_honest_point) {
        return Ok(false);
    }
    let key = ParsedPublicKey::new(&ED25519, key).map_err(|_| BadKey)?;
    Ok(key.verify_sig(text, signature).is_ok())
}

/// Whether an encoded point has its one legal encoding, and is none of the eight of small order: with those, one signature
/// can hold for many texts (RFC 8032, section 8.9, leaves it to whoever checks).
fn is_honest_point(encoded: &[u8; 32]) -> bool {
    /// 2^255 - 19, little endian.
    const P: [u8; 32] = {
        let mut p = [0xff; 32];
        p[0] = 0xed;
        p[31] = 0x7f;
        p
    };
    /// The y of the points of order 8, of which there are two.
    const OF_ORDER_8: [[u8; 32]; 2] = [
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
            0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
            0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
        ],
    ];
    let mut y = *encoded;
    y[31] &= 0x7f;
    let is_canonical = y.iter().rev().lt(P.iter().rev());
    // y = 0 has order 4, y = 1 order 1, y = -1 order 2.
    let mut minus_one = P;
    minus_one[0] -= 1;
    let is_trivial = y[1..].iter().all(|byte| *byte == 0) && y[0] <= 1;
    is_canonical && !is_trivial && y != minus_one && !OF_ORDER_8.contains(&y)
}
