//! JSON Web Tokens (RFC 7519) and the keys to check them with (RFC 7517): what the shipped filter `jwt-auth` is made of,
//! for filters that decide more than whether a token is valid.
//!
//! Owns the meaning of tokens and keys; who computes signatures is [`crate::crypto`]. It must never know where in a request
//! a token is. Nothing here puts a token, or a part of one, into an error or a log line.
//!
//! ```
//! use gateway_sdk::jwt::{Jwks, Keys, Rules};
//! use gateway_sdk::prelude::*;
//!
//! #[derive(serde::Deserialize, FilterConfig)]
//! #[serde(deny_unknown_fields)]
//! struct Settings {
//!     issuer: String,
//!     /// `{inline: {keys: [...]}}`, or `{remote: {upstream: idp, path: /jwks.json}}`.
//!     jwks: Jwks,
//! }
//!
//! struct Gate {
//!     keys: Keys,
//!     rules: Rules,
//! }
//!
//! #[filter]
//! impl Filter for Gate {
//!     type Config = Settings;
//!
//!     async fn init(settings: Settings, cx: &Context) -> Result<Self> {
//!         let keys = Keys::new(&settings.issuer, "jwks", settings.jwks)?;
//!         keys.start(cx).await?;
//!         Ok(Self { keys, rules: Rules::of_issuer(settings.issuer) })
//!     }
//!
//!     async fn on_request(&self, request: &mut Request, cx: &Context) -> Result<Flow> {
//!         let token = request.headers().get("x-token").unwrap_or_default();
//!         match self.keys.admit(token, &self.rules, cx).await? {
//!             Ok(token) if token.claims()["admin"] == true => Ok(Flow::Continue),
//!             Ok(_) => Ok(LocalReply::new(403).into()),
//!             Err(refusal) => Ok(LocalReply::new(401).details(refusal.code()).into()),
//!         }
//!     }
//!
//!     async fn background(&self, cx: &Context) -> Result<()> {
//!         self.keys.keep_fresh(cx).await
//!     }
//! }
//! # fn main() {
//! # use gateway_sdk::testing::{TestRequest, Tester};
//! # let keys = r#"{"keys": [{"kty": "oct", "k": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}]}"#;
//! # let config = format!(r#"{{"issuer": "i", "jwks": {{"inline": {keys}}}}}"#);
//! # let Ok(mut tester) = Tester::<Gate>::new(&config) else { return };
//! # assert_eq!(tester.request(TestRequest::get("/")).refusal(), (401, "jwt_malformed"));
//! # }
//! ```

mod base64url;
mod jwk;
mod keys;
mod token;

pub use jwk::{KeySet, KeySetError, Verified};
pub use keys::{Jwks, Keys, Remote};
pub use token::{MAX_TOKEN_BYTES, Refusal, Rules, Token};

use crate::crypto::{Hash, SignatureAlgorithm};

/// `alg` of RFC 7518, section 3.1 and RFC 8037, section 3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, crate::FilterConfig)]
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

/// How an algorithm is computed.
#[derive(Clone, Copy)]
enum Method {
    Hmac(Hash),
    Signature(SignatureAlgorithm),
}

impl Algorithm {
    /// `None` for a name that is unknown, and for `none`.
    pub fn from_name(name: &str) -> Option<Self> {
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

    const fn method(self) -> Method {
        Method::Signature(match self {
            Self::HS256 => return Method::Hmac(Hash::Sha256),
            Self::HS384 => return Method::Hmac(Hash::Sha384),
            Self::HS512 => return Method::Hmac(Hash::Sha512),
            Self::RS256 => SignatureAlgorithm::RsaPkcs1Sha256,
            Self::RS384 => SignatureAlgorithm::RsaPkcs1Sha384,
            Self::RS512 => SignatureAlgorithm::RsaPkcs1Sha512,
            Self::PS256 => SignatureAlgorithm::RsaPssSha256,
            Self::PS384 => SignatureAlgorithm::RsaPssSha384,
            Self::PS512 => SignatureAlgorithm::RsaPssSha512,
            Self::ES256 => SignatureAlgorithm::EcdsaP256Sha256,
            Self::ES384 => SignatureAlgorithm::EcdsaP384Sha384,
            Self::EdDSA => SignatureAlgorithm::Ed25519,
        })
    }
}

#[cfg(test)]
#[path = "jwt_tests.rs"]
mod tests;
