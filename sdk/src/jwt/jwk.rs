//! Owns keys (RFC 7517, RFC 7518, RFC 8037) and what a signature made with them is. A key says for which algorithms it can
//! be used; a token cannot choose otherwise.

use serde::Deserialize;

use super::{Algorithm, Method, Token, base64url};
use crate::crypto::{self, CryptoError, PublicKey};

/// The most keys of one set.
const MAX_KEYS: usize = 100;
/// Shorter secrets can be guessed (RFC 7518, section 3.2 asks for as many bits as the hash has).
const MIN_SECRET_BYTES: usize = 32;

/// A set of keys (RFC 7517, section 5). Keys of kinds that are not known are left out, as it demands.
pub struct KeySet {
    keys: Vec<Key>,
}

/// Why a text is no set of keys, or has none that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeySetError(String);

struct Key {
    id: Option<String>,
    /// The only algorithm it is for, if it says so.
    algorithm: Option<String>,
    material: Material,
}

enum Material {
    Secret(Vec<u8>),
    Rsa(PublicKey),
    P256(PublicKey),
    P384(PublicKey),
    Ed25519(PublicKey),
}

/// How a signature and the keys for it go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified {
    /// It was made with one of the keys.
    Holds,
    /// It was not made with any key that it could be made with.
    DoesNotHold,
    /// No key has that id.
    NoKey,
    /// Only keys for other algorithms have that id.
    OtherAlgorithm,
}

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    k: Option<String>,
}

impl KeySet {
    /// Takes a JSON Web Key Set.
    ///
    /// # Errors
    /// It is none, has too many keys, or no key of it can be used.
    pub fn from_json(text: &[u8]) -> Result<Self, KeySetError> {
        let set: JwkSet = serde_json::from_slice(text)
            .map_err(|_| KeySetError("it is not a JSON Web Key Set".to_owned()))?;
        if set.keys.len() > MAX_KEYS {
            let problem = format!("it has {} keys; at most {MAX_KEYS} are possible", set.keys.len());
            return Err(KeySetError(problem));
        }
        let mut problem = "it has no keys".to_owned();
        let mut keys = Vec::new();
        for (index, key) in set.keys.into_iter().enumerate() {
            let key = serde_json::from_value(key).map_err(|_| CryptoError::BadKey("is not a key"));
            match key.and_then(Key::from_jwk) {
                Ok(Some(key)) => keys.push(key),
                Ok(None) => problem = format!("keys[{index}] is not for signatures"),
                Err(CryptoError::BadKey(why)) => problem = format!("keys[{index}] {why}"),
                Err(error) => problem = format!("keys[{index}] cannot be used: {error}"),
            }
        }
        if keys.is_empty() { Err(KeySetError(problem)) } else { Ok(Self { keys }) }
    }

    /// Looks at all keys with the id that the token names; at all keys if it names none.
    ///
    /// # Errors
    /// The signature could not be computed.
    pub fn verify(&self, token: &Token<'_>) -> Result<Verified, CryptoError> {
        let id = token.key_id();
        let mut verified = Verified::NoKey;
        for key in self.keys.iter().filter(|key| id.is_none() || key.id.as_deref() == id) {
            if !key.is_for(token.algorithm()) {
                if verified == Verified::NoKey {
                    verified = Verified::OtherAlgorithm;
                }
            } else if key.material.holds(token)? {
                return Ok(Verified::Holds);
            } else {
                verified = Verified::DoesNotHold;
            }
        }
        Ok(verified)
    }
}

impl Key {
    /// `None` for a key that is for something else than signatures.
    fn from_jwk(jwk: Jwk) -> Result<Option<Self>, CryptoError> {
        if jwk.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return Ok(None);
        }
        let material = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("oct", _) => {
                let secret = field(jwk.k.as_ref(), "has no `k`")?;
                if secret.len() < MIN_SECRET_BYTES {
                    return Err(CryptoError::BadKey(
                        "is a secret of less than 32 bytes, which can be guessed",
                    ));
                }
                Material::Secret(secret)
            }
            ("RSA", _) => {
                let (n, e) = (field(jwk.n.as_ref(), "has no `n`")?, field(jwk.e.as_ref(), "has no `e`")?);
                Material::Rsa(PublicKey::rsa(&n, &e)?)
            }
            ("EC", Some(curve @ ("P-256" | "P-384"))) => {
                let (x, y) = (field(jwk.x.as_ref(), "has no `x`")?, field(jwk.y.as_ref(), "has no `y`")?);
                if curve == "P-256" {
                    Material::P256(PublicKey::p256(&x, &y)?)
                } else {
                    Material::P384(PublicKey::p384(&x, &y)?)
                }
            }
            ("OKP", Some("Ed25519")) => {
                Material::Ed25519(PublicKey::ed25519(&field(jwk.x.as_ref(), "has no `x`")?)?)
            }
            _ => return Err(CryptoError::BadKey("is of a kind that is not known")),
        };
        Ok(Some(Self { id: jwk.kid, algorithm: jwk.alg, material }))
    }

    fn is_for(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{ES256, ES384, EdDSA, HS256, HS384, HS512, PS256, PS384, PS512, RS256, RS384, RS512};
        let named = self.algorithm.as_deref().and_then(Algorithm::from_name);
        let allowed = self.algorithm.is_none() || named == Some(algorithm);
        allowed
            && match self.material {
                Material::Secret(_) => matches!(algorithm, HS256 | HS384 | HS512),
                Material::Rsa(_) => matches!(algorithm, RS256 | RS384 | RS512 | PS256 | PS384 | PS512),
                Material::P256(_) => algorithm == ES256,
                Material::P384(_) => algorithm == ES384,
                Material::Ed25519(_) => algorithm == EdDSA,
            }
    }
}

impl Material {
    /// For an algorithm that it is for; nothing holds with any other.
    fn holds(&self, token: &Token<'_>) -> Result<bool, CryptoError> {
        match (self, token.algorithm().method()) {
            (Self::Secret(secret), Method::Hmac(hash)) => {
                crypto::verify_hmac(hash, secret, token.signed(), token.signature())
            }
            (
                Self::Rsa(key) | Self::P256(key) | Self::P384(key) | Self::Ed25519(key),
                Method::Signature(algorithm),
            ) => key.verify(algorithm, token.signed(), token.signature()),
            _ => Ok(false),
        }
    }
}

fn field(text: Option<&String>, missing: &'static str) -> Result<Vec<u8>, CryptoError> {
    let decoded = base64url::decode(text.ok_or(CryptoError::BadKey(missing))?.as_bytes());
    decoded.ok_or(CryptoError::BadKey("has a field that is not base64url"))
}
