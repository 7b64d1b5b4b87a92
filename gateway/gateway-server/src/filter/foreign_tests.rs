//! Signatures and compressed bytes, good and bad.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use proxy_wasm_host::{SignedText, Status};
use rcgen::PublicKeyData;

use super::{compress, uncompress, verify_signature};

#[test]
fn a_signature_holds_for_its_text_and_key_alone() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &key.serialize_der()).unwrap();
    let signature = pair.sign(&SystemRandom::new(), b"text").unwrap();
    let der = key.subject_public_key_info();
    let pem = key.public_key_pem();
    let given = SignedText {
        hash: b"sha256",
        key_der: &der,
        key_pem: b"",
        signature: signature.as_ref(),
        text: b"text",
    };
    assert_eq!(verify_signature(&given), Ok(Ok(())));
    let by_pem = SignedText { key_der: b"", key_pem: pem.as_bytes(), ..given };
    assert_eq!(verify_signature(&by_pem), Ok(Ok(())));
    for wrong in [
        SignedText { text: b"other", ..given },
        SignedText { signature: b"short", ..given },
        SignedText { hash: b"sha384", ..given },
        SignedText { hash: b"md5", ..given },
    ] {
        assert!(matches!(verify_signature(&wrong), Ok(Err(_))), "{wrong:?}");
    }
    for key_der in [&b"no key"[..], &[&der[..], b"more"].concat()] {
        assert_eq!(verify_signature(&SignedText { key_der, ..given }), Err(Status::BadArgument));
    }
}

#[test]
fn what_is_compressed_comes_back() {
    let (text, mut compressed, mut back) = (b"abc".repeat(1000), Vec::new(), Vec::new());
    compress(&text, 3000, &mut compressed).unwrap();
    assert!(compressed.len() < 100);
    uncompress(&compressed, text.len(), &mut back).unwrap();
    assert_eq!(back, text);
}

#[test]
fn a_bomb_and_garbage_leave_nothing_behind() {
    let (mut bomb, mut out) = (Vec::new(), b"kept".to_vec());
    compress(&vec![0; 10_000_000], 100_000, &mut bomb).unwrap();
    assert_eq!(uncompress(&bomb, 1_000_000, &mut out), Err(Status::InternalFailure));
    assert_eq!(uncompress(b"garbage", 1_000_000, &mut out), Err(Status::SerializationFailure));
    assert_eq!(
        uncompress(&bomb[..bomb.len() - 10], 100_000_000, &mut out),
        Err(Status::SerializationFailure)
    );
    assert_eq!(compress(&[1, 2, 3], 2, &mut out), Err(Status::InternalFailure));
    assert_eq!(out, b"kept");
}
