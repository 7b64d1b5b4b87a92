//! The same without the host, in pure Rust: for other hosts, and for tests. Without the feature `portable-crypto` there is
//! nothing of it in a module, and nobody computes where the host does not.

#[cfg(feature = "portable-crypto")]
pub(super) use present::{Key, hash, hmac, verify_hmac};

#[cfg(not(feature = "portable-crypto"))]
pub(super) use absent::{Key, hash, hmac, verify_hmac};

#[cfg(feature = "portable-crypto")]
mod present {
    use ed25519_dalek::VerifyingKey;
    use hmac::{Hmac, Mac};
    use p256::ecdsa::signature::Verifier;
    use rsa::traits::PublicKeyParts;
    use rsa::{BigUint, Pkcs1v15Sign, Pss, RsaPublicKey};
    use sha2::{Digest, Sha256, Sha384, Sha512};

    use crate::crypto::{CryptoError, Hash, Kind, SignatureAlgorithm};

    /// A key, ready for use.
    pub(in crate::crypto) enum Key {
        Rsa(Box<RsaPublicKey>),
        P256(Box<p256::ecdsa::VerifyingKey>),
        P384(Box<p384::ecdsa::VerifyingKey>),
        /// `None` is no point of the curve.
        Ed25519(Option<Box<VerifyingKey>>),
    }

    pub(in crate::crypto) fn hash(hash: Hash, text: &[u8]) -> Result<Vec<u8>, CryptoError> {
        Ok(match hash {
            Hash::Sha256 => Sha256::digest(text).to_vec(),
            Hash::Sha384 => Sha384::digest(text).to_vec(),
            Hash::Sha512 => Sha512::digest(text).to_vec(),
        })
    }

    pub(in crate::crypto) fn hmac(hash: Hash, key: &[u8], text: &[u8]) -> Result<Vec<u8>, CryptoError> {
        Ok(match hash {
            Hash::Sha256 => mac::<Hmac<Sha256>>(key, text)?.finalize().into_bytes().to_vec(),
            Hash::Sha384 => mac::<Hmac<Sha384>>(key, text)?.finalize().into_bytes().to_vec(),
            Hash::Sha512 => mac::<Hmac<Sha512>>(key, text)?.finalize().into_bytes().to_vec(),
        })
    }

    /// In constant time.
    pub(in crate::crypto) fn verify_hmac(
        hash: Hash,
        key: &[u8],
        text: &[u8],
        tag: &[u8],
    ) -> Result<bool, CryptoError> {
        Ok(match hash {
            Hash::Sha256 => mac::<Hmac<Sha256>>(key, text)?.verify_slice(tag),
            Hash::Sha384 => mac::<Hmac<Sha384>>(key, text)?.verify_slice(tag),
            Hash::Sha512 => mac::<Hmac<Sha512>>(key, text)?.verify_slice(tag),
        }
        .is_ok())
    }

    fn mac<M: Mac + hmac::digest::KeyInit>(key: &[u8], text: &[u8]) -> Result<M, CryptoError> {
        // No length is refused (RFC 2104, section 2).
        let mac = <M as Mac>::new_from_slice(key).map_err(|_| CryptoError::BadKey("is no key of an HMAC"))?;
        Ok(mac.chain_update(text))
    }

    impl Key {
        pub(in crate::crypto) fn read(kind: Kind, encoded: &[u8]) -> Result<Self, CryptoError> {
            let bad = || CryptoError::BadKey(kind.problem());
            Ok(match kind {
                Kind::Rsa => {
                    let (exponent_bytes, rest) = encoded.split_first().ok_or_else(bad)?;
                    let (e, n) = rest.split_at_checked(usize::from(*exponent_bytes)).ok_or_else(bad)?;
                    let key = RsaPublicKey::new(BigUint::from_bytes_be(n), BigUint::from_bytes_be(e));
                    Self::Rsa(Box::new(key.map_err(|_| bad())?))
                }
                Kind::P256 => {
                    let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&uncompressed(encoded));
                    Self::P256(Box::new(key.map_err(|_| bad())?))
                }
                Kind::P384 => {
                    let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(&uncompressed(encoded));
                    Self::P384(Box::new(key.map_err(|_| bad())?))
                }
                Kind::Ed25519 => {
                    let encoded: &[u8; 32] = encoded.try_into().map_err(|_| bad())?;
                    let key = VerifyingKey::from_bytes(encoded).ok().map(Box::new);
                    if !is_canonical(encoded) || key.as_ref().is_some_and(|key| key.is_weak()) {
                        return Err(bad());
                    }
                    Self::Ed25519(key)
                }
            })
        }

        pub(in crate::crypto) fn verify(
            &self,
            algorithm: SignatureAlgorithm,
            text: &[u8],
            signature: &[u8],
        ) -> Result<bool, CryptoError> {
            Ok(match self {
                Self::Rsa(key) => rsa(key, algorithm, text, signature),
                Self::P256(key) => p256::ecdsa::Signature::from_slice(signature)
                    .is_ok_and(|signature| key.verify(text, &signature).is_ok()),
                Self::P384(key) => p384::ecdsa::Signature::from_slice(signature)
                    .is_ok_and(|signature| key.verify(text, &signature).is_ok()),
                Self::Ed25519(None) => false,
                // Strictly: no point of small order, one encoding of each.
                Self::Ed25519(Some(key)) => ed25519_dalek::Signature::from_slice(signature)
                    .is_ok_and(|signature| key.verify_strict(text, &signature).is_ok()),
            })
        }
    }

    fn rsa(key: &RsaPublicKey, algorithm: SignatureAlgorithm, text: &[u8], signature: &[u8]) -> bool {
        // The library checks this for PKCS #1 v1.5 alone; without it a signature has a second form.
        if signature.len() != key.size() || BigUint::from_bytes_be(signature) >= *key.n() {
            return false;
        }
        let verified = match algorithm {
            SignatureAlgorithm::RsaPkcs1Sha256 => {
                key.verify(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(text), signature)
            }
            SignatureAlgorithm::RsaPkcs1Sha384 => {
                key.verify(Pkcs1v15Sign::new::<Sha384>(), &Sha384::digest(text), signature)
            }
            SignatureAlgorithm::RsaPkcs1Sha512 => {
                key.verify(Pkcs1v15Sign::new::<Sha512>(), &Sha512::digest(text), signature)
            }
            SignatureAlgorithm::RsaPssSha256 => {
                key.verify(Pss::new::<Sha256>(), &Sha256::digest(text), signature)
            }
            SignatureAlgorithm::RsaPssSha384 => {
                key.verify(Pss::new::<Sha384>(), &Sha384::digest(text), signature)
            }
            SignatureAlgorithm::RsaPssSha512 => {
                key.verify(Pss::new::<Sha512>(), &Sha512::digest(text), signature)
            }
            SignatureAlgorithm::EcdsaP256Sha256
            | SignatureAlgorithm::EcdsaP384Sha384
            | SignatureAlgorithm::Ed25519 => return false,
        };
        verified.is_ok()
    }

    /// As in SEC 1, section 2.3.3.
    fn uncompressed(coordinates: &[u8]) -> Vec<u8> {
        [&[4], coordinates].concat()
    }

    /// Whether y is below 2^255 - 19 (RFC 8032, section 5.1.3).
    fn is_canonical(encoded: &[u8; 32]) -> bool {
        let [first, middle @ .., last] = encoded;
        *first < 0xed || last & 0x7f != 0x7f || middle.iter().any(|byte| *byte != 0xff)
    }
}

#[cfg(not(feature = "portable-crypto"))]
mod absent {
    use crate::crypto::{CryptoError, Hash, Kind, SignatureAlgorithm};

    /// There is none.
    pub(in crate::crypto) enum Key {}

    pub(in crate::crypto) fn hash(_: Hash, _: &[u8]) -> Result<Vec<u8>, CryptoError> {
        Err(CryptoError::Unavailable)
    }

    pub(in crate::crypto) fn hmac(_: Hash, _: &[u8], _: &[u8]) -> Result<Vec<u8>, CryptoError> {
        Err(CryptoError::Unavailable)
    }

    pub(in crate::crypto) fn verify_hmac(_: Hash, _: &[u8], _: &[u8], _: &[u8]) -> Result<bool, CryptoError> {
        Err(CryptoError::Unavailable)
    }

    impl Key {
        pub(in crate::crypto) fn read(_: Kind, _: &[u8]) -> Result<Self, CryptoError> {
            Err(CryptoError::Unavailable)
        }

        pub(in crate::crypto) fn verify(
            &self,
            _: SignatureAlgorithm,
            _: &[u8],
            _: &[u8],
        ) -> Result<bool, CryptoError> {
            match *self {}
        }
    }
}
