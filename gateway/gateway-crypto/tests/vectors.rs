//! Signatures, tags and hashes, good and bad, with what must be said of each; see `vectors/make.py`.

use gateway_crypto::AwsLc;
use proxy_wasm_host::crypto::{BadKey, Cryptography, Hash, SignatureAlgorithm};
use serde_json::Value;

fn vectors(part: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("../vectors/vectors.json")).expect("JSON");
    all[part].as_array().expect("a list").clone()
}

fn bytes(case: &Value, name: &str) -> Vec<u8> {
    let hex = case[name].as_str().expect("text");
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
}

fn number(case: &Value, name: &str) -> u8 {
    u8::try_from(case[name].as_u64().expect("a number")).expect("a byte")
}

#[test]
fn each_signature_gets_its_verdict() {
    let mut seen = 0;
    for case in vectors("signatures") {
        let algorithm = SignatureAlgorithm::from_number(number(&case, "algorithm")).expect("an algorithm");
        let expected = match case["verdict"].as_str().expect("text") {
            "holds" => Ok(true),
            "does not hold" => Ok(false),
            _ => Err(BadKey),
        };
        let (key, signature) = (bytes(&case, "key"), bytes(&case, "signature"));
        let verdict = AwsLc.verify_signature(algorithm, &key, &signature, &bytes(&case, "text"));
        assert_eq!(verdict, expected, "{}", case["name"]);
        seen += 1;
    }
    assert!(seen > 150, "{seen}");
}

#[test]
fn macs_are_made_and_hold_as_a_whole_only() {
    for case in vectors("macs") {
        let hash = Hash::from_number(number(&case, "hash")).expect("a hash");
        let (key, text, tag) = (bytes(&case, "key"), bytes(&case, "text"), bytes(&case, "tag"));
        let mut made = vec![7];
        AwsLc.hmac(hash, &key, &text, &mut made);
        assert_eq!(made[1..], tag, "{}", case["name"]);
        assert!(AwsLc.verify_hmac(hash, &key, &tag, &text), "{}", case["name"]);
        let mut changed = tag.clone();
        *changed.last_mut().expect("bytes") ^= 1;
        for bad in [&changed[..], &tag[..tag.len() - 1], &tag[..0], &[&tag[..], &[0]].concat()] {
            assert!(!AwsLc.verify_hmac(hash, &key, bad, &text), "{}", case["name"]);
        }
    }
}

#[test]
fn hashes_are_appended() {
    for case in vectors("digests") {
        let hash = Hash::from_number(number(&case, "hash")).expect("a hash");
        let mut out = vec![7];
        AwsLc.hash(hash, &bytes(&case, "text"), &mut out);
        assert_eq!(out[1..], bytes(&case, "digest"), "{case}");
    }
}

#[test]
fn numbers_are_those_of_the_types() {
    for number in 0..=u8::MAX {
        assert_eq!(
            Hash::from_number(number).map_or(0, |hash| hash as u8),
            if number < 4 { number } else { 0 }
        );
        let algorithm = SignatureAlgorithm::from_number(number).map_or(0, |algorithm| algorithm as u8);
        assert_eq!(algorithm, if number < 10 { number } else { 0 });
    }
}
