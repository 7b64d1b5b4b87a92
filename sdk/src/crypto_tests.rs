//! The portable code against signatures, tags and hashes, good and bad (`gateway/gateway-crypto/vectors/make.py`), and who is
//! asked to compute.

use serde_json::Value;

use super::*;
use crate::host::native::{self, ForeignFunctions, State};

const VECTORS: &str = include_str!("../../gateway/gateway-crypto/vectors/vectors.json");

fn vectors(part: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(VECTORS).unwrap();
    all[part].as_array().unwrap().clone()
}

fn bytes(case: &Value, name: &str) -> Vec<u8> {
    let hex = case[name].as_str().unwrap();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn hash_of(case: &Value) -> Hash {
    [Hash::Sha256, Hash::Sha384, Hash::Sha512][case["hash"].as_u64().unwrap() as usize - 1]
}

fn algorithm_of(case: &Value) -> SignatureAlgorithm {
    use SignatureAlgorithm::*;
    let all = [
        RsaPkcs1Sha256,
        RsaPkcs1Sha384,
        RsaPkcs1Sha512,
        RsaPssSha256,
        RsaPssSha384,
        RsaPssSha512,
        EcdsaP256Sha256,
        EcdsaP384Sha384,
        Ed25519,
    ];
    let number = case["algorithm"].as_u64().unwrap();
    assert_eq!(all[number as usize - 1] as u64, number);
    all[number as usize - 1]
}

/// A key from the form in which hosts take it. Zeros before numbers are none of that form.
fn key_of(kind: Kind, encoded: &[u8]) -> Result<PublicKey, CryptoError> {
    let half = encoded.len() / 2;
    match kind {
        Kind::Rsa => {
            let cut = CryptoError::BadKey("is cut off");
            let (length, rest) = encoded.split_first().ok_or(cut.clone())?;
            let (e, n) = rest.split_at_checked(usize::from(*length)).ok_or(cut.clone())?;
            if e.first() == Some(&0) || n.first() == Some(&0) {
                return Err(cut);
            }
            PublicKey::rsa(n, e)
        }
        Kind::P256 => PublicKey::p256(&encoded[..half], &encoded[half..]),
        Kind::P384 => PublicKey::p384(&encoded[..half], &encoded[half..]),
        Kind::Ed25519 => PublicKey::ed25519(encoded),
    }
}

fn verdict(case: &Value) -> &'static str {
    let algorithm = algorithm_of(case);
    let key = key_of(algorithm.kind(), &bytes(case, "key"));
    let verified = key.and_then(|key| key.verify(algorithm, &bytes(case, "text"), &bytes(case, "signature")));
    match verified {
        Ok(true) => "holds",
        Ok(false) => "does not hold",
        Err(CryptoError::BadKey(_)) => "bad key",
        Err(error) => panic!("{}: {error}", case["name"]),
    }
}

#[test]
fn each_signature_gets_its_verdict_without_the_host() {
    service::forget();
    let cases = vectors("signatures");
    for case in &cases {
        assert_eq!(verdict(case), case["verdict"], "{}", case["name"]);
    }
    assert!(cases.len() > 150);
}

#[test]
fn zeros_before_the_numbers_of_an_rsa_key_are_no_part_of_it() {
    let cases = vectors("signatures");
    let case = cases.iter().find(|case| case["name"] == "RS256: RFC 7515, A.2").unwrap();
    let key = bytes(case, "key");
    let padded = PublicKey::rsa(&[&[0, 0], &key[4..]].concat(), &[0, 1, 0, 1]).unwrap();
    assert_eq!(padded.encoded, key);
}

#[test]
fn tags_and_hashes_are_computed_without_the_host() {
    service::forget();
    for case in vectors("macs") {
        let (hash, key, text) = (hash_of(&case), bytes(&case, "key"), bytes(&case, "text"));
        let tag = bytes(&case, "tag");
        assert_eq!(hmac(hash, &key, &text).as_ref(), Ok(&tag), "{case}");
        assert_eq!(verify_hmac(hash, &key, &text, &tag), Ok(true), "{case}");
        let mut changed = tag.clone();
        changed[0] ^= 0x80;
        for bad in [&changed[..], &tag[..tag.len() - 1], b"", &[&tag[..], &[0]].concat()] {
            assert_eq!(verify_hmac(hash, &key, &text, bad), Ok(false), "{case}");
        }
    }
    for case in vectors("digests") {
        assert_eq!(hash(hash_of(&case), &bytes(&case, "text")), Ok(bytes(&case, "digest")), "{case}");
    }
}

#[test]
fn inputs_have_limits() {
    let (text, key) = (vec![0; MAX_TEXT_BYTES + 1], vec![0; MAX_HMAC_KEY_BYTES + 1]);
    assert!(matches!(hash(Hash::Sha256, &text), Err(CryptoError::TooLong { what: "text", .. })));
    assert!(matches!(hmac(Hash::Sha256, b"", &text), Err(CryptoError::TooLong { what: "text", .. })));
    assert!(matches!(hmac(Hash::Sha256, &key, b""), Err(CryptoError::TooLong { what: "key", .. })));
    assert!(matches!(verify_hmac(Hash::Sha256, &key, b"", &[0; 32]), Err(CryptoError::TooLong { .. })));
    assert!(hash(Hash::Sha256, &text[1..]).is_ok() && hmac(Hash::Sha512, &key[1..], b"").is_ok());
    let cases = vectors("signatures");
    let case = cases.iter().find(|case| case["name"] == "EdDSA: good").unwrap();
    let key = PublicKey::ed25519(&bytes(case, "key")).unwrap();
    let signature = bytes(case, "signature");
    assert!(matches!(
        key.verify(SignatureAlgorithm::Ed25519, &text, &signature),
        Err(CryptoError::TooLong { .. })
    ));
    assert_eq!(key.verify(SignatureAlgorithm::Ed25519, b"", &text), Ok(false));
    assert_eq!(
        key.verify(SignatureAlgorithm::EcdsaP256Sha256, b"", &signature),
        Err(CryptoError::BadKey("is for other algorithms"))
    );
}

/// Runs with foreign functions that answer like this; what came of it, and which were asked for.
fn with_host<T>(foreign: Option<ForeignFunctions>, run: impl FnOnce() -> T) -> (T, Vec<String>) {
    service::forget();
    let (result, state) = native::run(State { foreign, ..State::default() }, run);
    service::forget();
    (result, state.foreign_calls)
}

#[test]
fn a_host_that_computes_is_asked_and_believed() {
    let ((digest, tag, known, unknown), calls) = with_host(
        Some(|name, argument| match name {
            b"crypto_hash" => {
                assert_eq!(argument, b"\x02text");
                Ok(vec![1; 48])
            }
            b"crypto_hmac" => {
                assert_eq!(argument, b"\x01\x03\0\0\0keytext");
                Ok(vec![2; 32])
            }
            b"crypto_verify_hmac" => Ok(vec![u8::from(argument.ends_with(b"right"))]),
            _ => Err(1),
        }),
        || {
            (
                hash(Hash::Sha384, b"text"),
                hmac(Hash::Sha256, b"key", b"text"),
                verify_hmac(Hash::Sha256, b"key", b"right", &[9; 32]),
                verify_hmac(Hash::Sha256, b"key", b"wrong", &[9; 32]),
            )
        },
    );
    assert_eq!((digest, tag), (Ok(vec![1; 48]), Ok(vec![2; 32])));
    assert_eq!((known, unknown), (Ok(true), Ok(false)), "not what this code would say");
    assert_eq!(calls, ["crypto_hash", "crypto_hmac", "crypto_verify_hmac", "crypto_verify_hmac"]);
}

#[test]
fn signatures_are_the_hosts_and_so_is_what_it_says_of_keys() {
    let (verified, calls) = with_host(
        Some(|name, argument| {
            assert_eq!(name, b"crypto_verify_signature");
            match &argument[..5] {
                // Ed25519, and 32 bytes of a key.
                [9, 32, 0, 0, 0] if argument[5] == 7 => Err(2),
                [9, 32, 0, 0, 0] => Ok(vec![u8::from(argument[37..] == *b"\x03\0\0\0sigtext")]),
                _ => Err(1),
            }
        }),
        || {
            let key = PublicKey::ed25519(&[8; 32]).unwrap();
            let bad = PublicKey::ed25519(&[7; 32]).map(drop);
            let verify = |signature| key.verify(SignatureAlgorithm::Ed25519, b"text", signature);
            (verify(b"sig"), verify(b"gis"), bad)
        },
    );
    let bad = Err(CryptoError::BadKey("is no point of Ed25519 that can be used"));
    assert_eq!(verified, (Ok(true), Ok(false), bad));
    assert_eq!(calls, ["crypto_verify_signature"; 4]);
}

#[test]
fn a_host_that_does_not_compute_is_asked_once() {
    for status in [1, 10, 12] {
        let foreign: ForeignFunctions = match status {
            1 => |_, _| Err(1),
            10 => |_, _| Err(10),
            _ => |_, _| Err(12),
        };
        let (digests, calls) = with_host(Some(foreign), || [(); 3].map(|()| hash(Hash::Sha256, b"abc")));
        assert!(digests.iter().all(|digest| digest.as_ref().unwrap()[..2] == [0xba, 0x78]), "{digests:?}");
        assert_eq!(calls, ["crypto_hash"], "status {status}");
    }
}

#[test]
fn an_answer_that_makes_no_sense_is_an_error_and_no_verdict() {
    let (results, _) = with_host(Some(|_, _| Ok(vec![2])), || {
        (
            hash(Hash::Sha256, b"").map(drop),
            hmac(Hash::Sha256, b"", b"").map(drop),
            verify_hmac(Hash::Sha256, b"", b"", &[0; 32]).map(drop),
            PublicKey::ed25519(&[8; 32]).map(drop),
        )
    });
    let mismatch = Err(HostError::new("proxy_call_foreign_function", Status::ResultMismatch).into());
    assert_eq!(results, (mismatch.clone(), mismatch.clone(), mismatch.clone(), mismatch));
    let (result, calls) = with_host(Some(|_, _| Err(11)), || [(); 2].map(|()| hash(Hash::Sha256, b"")));
    assert!(result.iter().all(|result| matches!(result, Err(CryptoError::Host(_)))), "{result:?}");
    assert_eq!(calls.len(), 2, "it may work the next time");
}
