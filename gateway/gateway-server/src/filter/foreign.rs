//! What foreign functions of filters need beyond the host crate: signatures, and the format of zlib.

use std::io::{self, Read, Write};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1,
    ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA384_ASN1, ECDSA_P521_SHA512_ASN1,
    RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
    RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA384, UnparsedPublicKey,
    VerificationAlgorithm,
};
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use proxy_wasm_host::{SignedText, Status};
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// Checks a signature; the inner error says why it does not hold.
pub(super) fn verify_signature(given: &SignedText<'_>) -> Result<Result<(), String>, Status> {
    let pem = if given.key_pem.is_empty() {
        None
    } else {
        Some(parse_x509_pem(given.key_pem).map_err(|_| Status::BadArgument)?.1)
    };
    let der = pem.as_ref().map_or(given.key_der, |pem| &pem.contents);
    let (rest, key) = SubjectPublicKeyInfo::from_der(der).map_err(|_| Status::BadArgument)?;
    if !rest.is_empty() {
        return Err(Status::BadArgument);
    }
    let parsed = key.parsed().map_err(|_| Status::BadArgument)?;
    let Some(algorithm) = algorithm(&parsed, given.hash) else {
        let hash = String::from_utf8_lossy(given.hash);
        return Ok(Err(format!("{hash} is not supported with this kind of key")));
    };
    // The subject's public key itself, without the algorithm around it.
    let key = UnparsedPublicKey::new(algorithm, &key.subject_public_key.data);
    let verified = key.verify(given.text, given.signature);
    Ok(verified.map_err(|_| "the signature does not match".to_owned()))
}

fn algorithm(key: &PublicKey<'_>, hash: &[u8]) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match (key, hash) {
        (PublicKey::RSA(_), b"sha1") => &RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
        (PublicKey::RSA(_), b"sha256") => &RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
        (PublicKey::RSA(_), b"sha384") => &RSA_PKCS1_2048_8192_SHA384,
        (PublicKey::RSA(_), b"sha512") => &RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
        (PublicKey::EC(point), hash) => match (point.key_size(), hash) {
            (256, b"sha256") => &ECDSA_P256_SHA256_ASN1,
            (256, b"sha384") => &ECDSA_P256_SHA384_ASN1,
            (384, b"sha256") => &ECDSA_P384_SHA256_ASN1,
            (384, b"sha384") => &ECDSA_P384_SHA384_ASN1,
            // The size is told in whole bytes.
            (521 | 528, b"sha256") => &ECDSA_P521_SHA256_ASN1,
            (521 | 528, b"sha384") => &ECDSA_P521_SHA384_ASN1,
            (521 | 528, b"sha512") => &ECDSA_P521_SHA512_ASN1,
            _ => return None,
        },
        _ => return None,
    })
}

/// Appends `bytes` in the format of zlib (RFC 1950).
pub(super) fn compress(bytes: &[u8], limit_bytes: usize, out: &mut Vec<u8>) -> Result<(), Status> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let compressed = encoder.write_all(bytes).and_then(|()| encoder.finish());
    let compressed = compressed.map_err(|_| Status::SerializationFailure)?;
    if compressed.len() > limit_bytes {
        return Err(Status::InternalFailure);
    }
    out.extend_from_slice(&compressed);
    Ok(())
}

/// The reverse; a few bytes can become very many, so the limit counts what comes out.
pub(super) fn uncompress(bytes: &[u8], limit_bytes: usize, out: &mut Vec<u8>) -> Result<(), Status> {
    let start = out.len();
    let limit = limit_bytes as u64;
    let read = ZlibDecoder::new(bytes).take(limit + 1).read_to_end(out);
    match read {
        Ok(length) if length as u64 > limit => {
            out.truncate(start);
            Err(Status::InternalFailure)
        }
        Ok(_) => Ok(()),
        Err(error) => {
            out.truncate(start);
            debug_assert_ne!(error.kind(), io::ErrorKind::Interrupted, "it reads from memory");
            Err(Status::SerializationFailure)
        }
    }
}

#[cfg(test)]
#[path = "foreign_tests.rs"]
mod tests;
