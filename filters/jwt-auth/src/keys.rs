//! Owns public keys (RFC 7517, RFC 7518, RFC 8037) and what a signature made with them is. A key says for which
//! algorithms it can be used; a token cannot choose otherwise.

use ed25519_dalek::VerifyingKey as Ed25519Key;
use gateway_sdk::serde_json;
use hmac::{Hmac, Mac};
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use rsa::{BigUint, Pkcs1v15Sign, Pss, RsaPublicKey};
use serde::Deserialize;
use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::base64url;

/// The most keys of one set.
const MAX_KEYS: usize = 100;
/// Shorter secrets can be guessed (RFC 7518, section 3.2 asks for as many bits as the hash has).
const MIN_SECRET_BYTES: usize = 32;
/// Shorter RSA keys can be broken (RFC 7518, section 3.3).
const MIN_RSA_BITS: usize = 2048;

/// `alg` of RFC 7518, section 3.1 and RFC 8037, section 3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, gateway_sdk::FilterConfig)]
#[allow(missing_docs, clippy::upper_case_acronyms, reason = "the names of the specification")]
pub enum Algorithm {
    HS256,
    HS384,
    HS512,
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

impl Algorithm {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "HS256" => Self::HS256,
            "HS384" => Self::HS384,
            "HS512" => Self::HS512,
            "RS256" => Self::RS256,
            "RS384" => Self::RS384,
            "RS512" => Self::RS512,
            "PS256" => Self::PS256,
            "PS384" => Self::PS384,
            "PS512" => Self::PS512,
            "ES256" => Self::ES256,
            "ES384" => Self::ES384,
            "EdDSA" => Self::EdDSA,
            _ => return None,
        })
    }
}

/// A set of keys (RFC 7517, section 5). Keys of kinds that are not known are left out, as it demands.
pub(crate) struct KeySet {
    keys: Vec<Key>,
}

struct Key {
    id: Option<String>,
    /// The only algorithm it is for, if it says so.
    algorithm: Option<String>,
    material: Material,
}

enum Material {
    Secret(Vec<u8>),
    Rsa(Box<RsaPublicKey>),
    P256(Box<p256::ecdsa::VerifyingKey>),
    P384(Box<p384::ecdsa::VerifyingKey>),
    Ed25519(Box<Ed25519Key>),
}

/// How a signature and the keys for it go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verified {
    Holds,
    DoesNotHold,
    /// No key with that id.
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
    /// Why the text is no set of keys, or has none that can be used.
    pub(crate) fn from_json(text: &[u8]) -> Result<Self, String> {
        let set: JwkSet =
            serde_json::from_slice(text).map_err(|_| "it is not a JSON Web Key Set".to_owned())?;
        if set.keys.len() > MAX_KEYS {
            return Err(format!("it has {} keys; at most {MAX_KEYS} are possible", set.keys.len()));
        }
        let mut problem = "it has no keys".to_owned();
        let mut keys = Vec::new();
        for (index, key) in set.keys.into_iter().enumerate() {
            match serde_json::from_value(key).map_err(|_| "is not a key").and_then(Key::from_jwk) {
                Ok(Some(key)) => keys.push(key),
                Ok(None) => problem = format!("keys[{index}] is not for signatures"),
                Err(why) => problem = format!("keys[{index}] {why}"),
            }
        }
        if keys.is_empty() { Err(problem) } else { Ok(Self { keys }) }
    }

    /// Looks at all keys with that id; without an id at all keys.
    pub(crate) fn verify(
        &self,
        algorithm: Algorithm,
        id: Option<&str>,
        signed: &[u8],
        signature: &[u8],
    ) -> Verified {
        let mut verified = Verified::NoKey;
        for key in self.keys.iter().filter(|key| id.is_none() || key.id.as_deref() == id) {
            if !key.is_for(algorithm) {
                if verified == Verified::NoKey {
                    verified = Verified::OtherAlgorithm;
                }
            } else if key.material.holds(algorithm, signed, signature) {
                return Verified::Holds;
            } else {
                verified = Verified::DoesNotHold;
            }
        }
        verified
    }
}

impl Key {
    /// `None` for a key that is for something else than signatures.
    fn from_jwk(jwk: Jwk) -> Result<Option<Self>, &'static str> {
        if jwk.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return Ok(None);
        }
        let material = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("oct", _) => secret(&jwk)?,
            ("RSA", _) => rsa_key(&jwk)?,
            ("EC", Some("P-256")) => {
                let point = point(&jwk, 32)?;
                let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&point);
                Material::P256(Box::new(key.map_err(|_| "is no point of P-256")?))
            }
            ("EC", Some("P-384")) => {
                let point = point(&jwk, 48)?;
                let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(&point);
                Material::P384(Box::new(key.map_err(|_| "is no point of P-384")?))
            }
            ("OKP", Some("Ed25519")) => {
                let bytes = field(jwk.x.as_ref(), "has no `x`")?;
                let bytes = bytes.as_slice().try_into().map_err(|_| "has an `x` that is not 32 bytes")?;
                let key = Ed25519Key::from_bytes(bytes).map_err(|_| "is no point of Ed25519")?;
                Material::Ed25519(Box::new(key))
            }
            _ => return Err("is of a kind that is not known"),
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
    fn holds(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Secret(secret) => match algorithm {
                Algorithm::HS256 => mac::<Hmac<Sha256>>(secret, signed, signature),
                Algorithm::HS384 => mac::<Hmac<Sha384>>(secret, signed, signature),
                Algorithm::HS512 => mac::<Hmac<Sha512>>(secret, signed, signature),
                _ => false,
            },
            Self::Rsa(key) => {
                let (sha256, sha384, sha512) =
                    (|| Sha256::digest(signed), || Sha384::digest(signed), || Sha512::digest(signed));
                let result = match algorithm {
                    Algorithm::RS256 => key.verify(Pkcs1v15Sign::new::<Sha256>(), &sha256(), signature),
                    Algorithm::RS384 => key.verify(Pkcs1v15Sign::new::<Sha384>(), &sha384(), signature),
                    Algorithm::RS512 => key.verify(Pkcs1v15Sign::new::<Sha512>(), &sha512(), signature),
                    Algorithm::PS256 => key.verify(Pss::new::<Sha256>(), &sha256(), signature),
                    Algorithm::PS384 => key.verify(Pss::new::<Sha384>(), &sha384(), signature),
                    Algorithm::PS512 => key.verify(Pss::new::<Sha512>(), &sha512(), signature),
                    _ => return false,
                };
                result.is_ok()
            }
            Self::P256(key) => p256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_prehash(&Sha256::digest(signed), &signature).is_ok()),
            Self::P384(key) => p384::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(signed, &signature).is_ok()),
            Self::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(signed, &signature).is_ok()),
        }
    }
}

/// In constant time.
fn mac<M: Mac + hmac::digest::KeyInit>(secret: &[u8], signed: &[u8], signature: &[u8]) -> bool {
    let Ok(mac) = <M as Mac>::new_from_slice(secret) else { return false };
    mac.chain_update(signed).verify_slice(signature).is_ok()
}

fn secret(jwk: &Jwk) -> Result<Material, &'static str> {
    let secret = field(jwk.k.as_ref(), "has no `k`")?;
    if secret.len() < MIN_SECRET_BYTES {
        return Err("is a secret of less than 32 bytes, which can be guessed");
    }
    Ok(Material::Secret(secret))
}

fn rsa_key(jwk: &Jwk) -> Result<Material, &'static str> {
    let n = BigUint::from_bytes_be(&field(jwk.n.as_ref(), "has no `n`")?);
    let e = BigUint::from_bytes_be(&field(jwk.e.as_ref(), "has no `e`")?);
    if n.bits() < MIN_RSA_BITS {
        return Err("is an RSA key of less than 2048 bits");
    }
    // Refuses more than 4096 bits, and exponents with which a check would take long.
    let key = RsaPublicKey::new(n, e).map_err(|_| "is no RSA key of at most 4096 bits")?;
    Ok(Material::Rsa(Box::new(key)))
}

/// The point as SEC 1, section 2.3.4 writes it, uncompressed.
fn point(jwk: &Jwk, coordinate_bytes: usize) -> Result<Vec<u8>, &'static str> {
    let (x, y) = (field(jwk.x.as_ref(), "has no `x`")?, field(jwk.y.as_ref(), "has no `y`")?);
    if x.len() != coordinate_bytes || y.len() != coordinate_bytes {
        return Err("has coordinates of another length than its curve");
    }
    Ok([&[4], x.as_slice(), y.as_slice()].concat())
}

fn field(text: Option<&String>, missing: &'static str) -> Result<Vec<u8>, &'static str> {
    base64url::decode(text.ok_or(missing)?.as_bytes()).ok_or("has a field that is not base64url")
}
