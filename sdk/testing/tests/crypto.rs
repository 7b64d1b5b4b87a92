//! The host's cryptography and the SDK's portable one say the same of everything, and neither panics: signatures and keys with
//! octets changed, cut off and put in at random. `FUZZED_SIGNATURES` says how many; 3000 without it.

use gateway_crypto::AwsLc;
use gateway_sdk::crypto::{self, CryptoError, PublicKey};
use proxy_wasm_host::crypto::{Cryptography, Hash, SignatureAlgorithm};
use serde_json::Value;

/// A generator of numbers that need not be good: xorshift64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    /// Changes a little, or nothing.
    fn spoil(&mut self, bytes: &mut Vec<u8>) {
        let place = self.below(bytes.len().max(1));
        match self.below(8) {
            0 if !bytes.is_empty() => bytes[place] ^= 1 << self.below(8),
            1 if !bytes.is_empty() => bytes[place] = self.below(256) as u8,
            2 => bytes.truncate(place),
            3 => bytes.insert(place, self.below(256) as u8),
            4 => {
                let from = place.min(bytes.len());
                bytes[from..].fill([0, 0xff][self.below(2)]);
            }
            _ => {}
        }
    }
}

fn bytes(case: &Value, name: &str) -> Vec<u8> {
    let hex = case[name].as_str().expect("text");
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
}

/// What the SDK says, which takes numbers and coordinates; `None` for a key of another form than the host's.
fn portable(algorithm: u8, key: &[u8], signature: &[u8], text: &[u8]) -> Option<Result<bool, CryptoError>> {
    use crypto::SignatureAlgorithm as Of;
    let algorithm = [
        Of::RsaPkcs1Sha256,
        Of::RsaPkcs1Sha384,
        Of::RsaPkcs1Sha512,
        Of::RsaPssSha256,
        Of::RsaPssSha384,
        Of::RsaPssSha512,
        Of::EcdsaP256Sha256,
        Of::EcdsaP384Sha384,
        Of::Ed25519,
    ][usize::from(algorithm) - 1];
    let key = match algorithm {
        Of::EcdsaP256Sha256 | Of::EcdsaP384Sha384 => {
            let (x, y) = key.split_at(key.len() / 2);
            if algorithm == Of::EcdsaP256Sha256 { PublicKey::p256(x, y) } else { PublicKey::p384(x, y) }
        }
        Of::Ed25519 => PublicKey::ed25519(key),
        _ => {
            let (length, rest) = key.split_first()?;
            let (e, n) = rest.split_at_checked(usize::from(*length))?;
            if e.first() == Some(&0) || n.first() == Some(&0) {
                return None;
            }
            PublicKey::rsa(n, e)
        }
    };
    Some(key.and_then(|key| key.verify(algorithm, text, signature)))
}

#[test]
fn both_say_the_same_of_signatures() {
    let rounds = std::env::var("FUZZED_SIGNATURES").ok();
    let rounds = rounds.map_or(3_000, |number| number.parse().expect("FUZZED_SIGNATURES is a number"));
    let vectors: Value =
        serde_json::from_str(include_str!("../../../gateway/gateway-crypto/vectors/vectors.json"))
            .expect("JSON");
    let cases = vectors["signatures"].as_array().expect("a list");
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut seen = [0_u32; 3];
    for _ in 0..rounds {
        let case = &cases[dice.below(cases.len())];
        let [mut key, mut signature, mut text] = ["key", "signature", "text"].map(|name| bytes(case, name));
        for part in [&mut key, &mut signature, &mut text] {
            if dice.below(3) == 0 {
                dice.spoil(part);
            }
        }
        let number = u8::try_from(case["algorithm"].as_u64().expect("a number")).expect("a byte");
        let algorithm = SignatureAlgorithm::from_number(number).expect("an algorithm");
        let host = AwsLc.verify_signature(algorithm, &key, &signature, &text);
        let told = || format!("{}: {key:02x?} {signature:02x?} {text:02x?}", case["name"]);
        match portable(number, &key, &signature, &text) {
            None => assert!(host.is_err(), "{}", told()),
            Some(Ok(holds)) => assert_eq!(host, Ok(holds), "{}", told()),
            Some(Err(CryptoError::BadKey(_))) => assert!(host.is_err(), "{}", told()),
            Some(Err(error)) => panic!("{error}: {}", told()),
        }
        seen[host.map_or(2, usize::from)] += 1;
    }
    assert!(seen.iter().all(|count| *count > rounds / 30), "the cases test nothing: {seen:?}");
}

#[test]
fn both_compute_the_same_hashes_and_tags() {
    let pairs = [
        (Hash::Sha256, crypto::Hash::Sha256),
        (Hash::Sha384, crypto::Hash::Sha384),
        (Hash::Sha512, crypto::Hash::Sha512),
    ];
    let mut dice = Dice(7);
    for _ in 0..300 {
        let (host_hash, hash) = pairs[dice.below(3)];
        let text: Vec<u8> = (0..dice.below(300)).map(|_| dice.below(256) as u8).collect();
        let key: Vec<u8> = (0..dice.below(300)).map(|_| dice.below(256) as u8).collect();
        let (mut digest, mut tag) = (Vec::new(), Vec::new());
        AwsLc.hash(host_hash, &text, &mut digest);
        AwsLc.hmac(host_hash, &key, &text, &mut tag);
        assert_eq!(crypto::hash(hash, &text), Ok(digest));
        assert_eq!(crypto::hmac(hash, &key, &text).as_ref(), Ok(&tag));
        dice.spoil(&mut tag);
        let holds = AwsLc.verify_hmac(host_hash, &key, &tag, &text);
        assert_eq!(crypto::verify_hmac(hash, &key, &text, &tag), Ok(holds));
    }
}
