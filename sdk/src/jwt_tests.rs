//! Tokens of the RFCs, and what no text may do.

use super::*;

fn set(key: &str) -> KeySet {
    KeySet::from_json(format!(r#"{{"keys": [{key}]}}"#).as_bytes()).unwrap()
}

#[test]
fn tokens_of_the_rfcs_hold_and_a_change_breaks_them() {
    const CLAIMS: &str =
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let cases = [
        // RFC 7515, A.1.
        (
            "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9",
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
            r#"{"kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#,
        ),
        // RFC 7515, A.3.
        (
            "eyJhbGciOiJFUzI1NiJ9",
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
            r#"{"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
        ),
    ];
    for (header, signature, key) in cases {
        let keys = set(key);
        let text = format!("{header}.{CLAIMS}.{signature}");
        let token = Token::parse(text.as_bytes()).unwrap();
        assert_eq!((token.issuer(), &token.claims()["exp"]), ("joe", &1_300_819_380.into()));
        assert_eq!(keys.verify(&token), Ok(Verified::Holds), "{header}");
        // {"iss":"joe"}
        let text = format!("{header}.eyJpc3MiOiJqb2UifQ.{signature}");
        let token = Token::parse(text.as_bytes()).unwrap();
        assert_eq!(keys.verify(&token), Ok(Verified::DoesNotHold), "{header}");
        let changed = format!("{header}.{CLAIMS}.{}", signature.replacen('t', "u", 1).replacen('D', "E", 1));
        let token = Token::parse(changed.as_bytes()).unwrap();
        assert_eq!(keys.verify(&token), Ok(Verified::DoesNotHold), "{header}");
    }
    // RFC 8037, A.4: its text is no JSON, so that only the key and the signature can be looked at here.
    let key = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let decode = |text: &str| base64url::decode(text.as_bytes()).unwrap();
    let key = crate::crypto::PublicKey::ed25519(&decode(key)).unwrap();
    let text = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    assert_eq!(key.verify(SignatureAlgorithm::Ed25519, text, &decode(signature)), Ok(true));
}

/// Numbers that need not be good: xorshift64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

#[test]
fn no_text_makes_a_token_or_a_key_set_panic() {
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../../filters/jwt-auth/vectors/vectors.json")).unwrap();
    let keys = KeySet::from_json(vectors["jwks"].to_string().as_bytes()).unwrap();
    let names = ["ES256", "EdDSA", "HS256", "RS256"];
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (mut parsed, mut held) = (0, 0);
    for round in 0..2_000 {
        let original = vectors["tokens"][names[round % names.len()]].as_str().unwrap();
        let mut text = original.as_bytes().to_vec();
        for _ in 0..dice.below(3) {
            let place = dice.below(text.len());
            match dice.below(4) {
                0 => drop(text.remove(place)),
                1 => text.insert(place, dice.below(256) as u8),
                2 => text.truncate(place.max(1)),
                _ => text[place] = b"Aa0_.-=\xff"[dice.below(8)],
            }
        }
        if let Ok(token) = Token::parse(&text) {
            parsed += 1;
            let verified = keys.verify(&token).unwrap();
            assert!(verified != Verified::Holds || text == original.as_bytes(), "{text:?}");
            held += usize::from(verified == Verified::Holds);
            let _ = token.claim_text("a.b");
            let _ = token.check_claims(&Rules::of_issuer(String::new()), std::time::Duration::MAX);
        }
    }
    assert!(parsed > held && held > 100, "{parsed} parsed, {held} held");
    let set = vectors["jwks"].to_string();
    for _ in 0..500 {
        let mut text = set.clone().into_bytes();
        for _ in 0..=dice.below(3) {
            let place = dice.below(text.len());
            text[place] = b"\"A0:,}[e"[dice.below(8)];
        }
        let _ = KeySet::from_json(&text);
    }
}
