//! Owns a token's parts (RFC 7519, RFC 7515) and the checks of its claims. Nothing of it is believed before its signature
//! holds, but for whose keys to ask and which of them.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Algorithm, base64url};

/// Longer than any honest token; what hosts accept as a head is not much more.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// A token taken apart.
#[derive(Debug)]
pub struct Token<'a> {
    algorithm: Algorithm,
    key_id: Option<String>,
    signed: &'a [u8],
    signature: Vec<u8>,
    claims: Map<String, Value>,
}

/// Why a token is not accepted. The text is fit for clients: it tells which kind of thing is wrong, and nothing of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is longer than any honest one.
    #[error("this is not a token")]
    TooLong,
    /// It is not three parts of base64url with JSON inside.
    #[error("this is not a token")]
    Malformed,
    /// `alg` is `none`.
    #[error("the token is signed in a way that is not accepted")]
    AlgNone,
    /// `alg` is unknown, or not wanted.
    #[error("the token is signed in a way that is not accepted")]
    AlgNotAllowed,
    /// The key with that id is for another algorithm: a public key, say, used as a secret.
    #[error("the token is signed in a way that is not accepted")]
    AlgMismatch,
    /// `crit` names something that is not understood (RFC 7515, section 4.1.11).
    #[error("the token is signed in a way that is not accepted")]
    Critical,
    /// It is of another issuer.
    #[error("the token is for something else")]
    UnknownIssuer,
    /// The issuer has no key with that id.
    #[error("the token's signature does not hold")]
    UnknownKey,
    /// The signature does not hold.
    #[error("the token's signature does not hold")]
    BadSignature,
    /// `exp` is over, or not there.
    #[error("the token has expired")]
    Expired,
    /// `nbf` or `iat` lies in the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// None of the audiences is wanted.
    #[error("the token is for something else")]
    WrongAudience,
    /// A claim that is needed is not there, or is of the wrong kind.
    #[error("the token lacks a claim that is needed")]
    BadClaim,
    /// The issuer's keys could not be fetched.
    #[error("the token cannot be checked at the moment")]
    KeysUnavailable,
}

impl Refusal {
    /// A word of its own for each, for replies, logs and metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLong => "jwt_too_long",
            Self::Malformed => "jwt_malformed",
            Self::AlgNone => "jwt_alg_none",
            Self::AlgNotAllowed => "jwt_alg_not_allowed",
            Self::AlgMismatch => "jwt_alg_mismatch",
            Self::Critical => "jwt_critical_unknown",
            Self::UnknownIssuer => "jwt_unknown_issuer",
            Self::UnknownKey => "jwt_unknown_key",
            Self::BadSignature => "jwt_bad_signature",
            Self::Expired => "jwt_expired",
            Self::NotYetValid => "jwt_not_yet_valid",
            Self::WrongAudience => "jwt_wrong_audience",
            Self::BadClaim => "jwt_bad_claim",
            Self::KeysUnavailable => "jwt_keys_unavailable",
        }
    }
}

/// What tokens must be like beside their signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// What the claim `iss` says.
    pub issuer: String,
    /// One of these must be in the claim `aud`; empty accepts any.
    pub audiences: Vec<String>,
    /// The algorithms that the issuer uses; empty accepts what its keys are for.
    pub algorithms: Vec<Algorithm>,
    /// Whether a token needs `exp`.
    pub require_expiry: bool,
    /// How far clocks may be apart.
    pub leeway: Duration,
}

impl Rules {
    /// Any audience, what the keys are for, an expiry, and a minute between clocks.
    pub const fn of_issuer(issuer: String) -> Self {
        Self {
            issuer,
            audiences: Vec::new(),
            algorithms: Vec::new(),
            require_expiry: true,
            leeway: Duration::from_secs(60),
        }
    }
}

impl<'a> Token<'a> {
    /// Takes a token apart; nothing of it is believed yet.
    ///
    /// # Errors
    /// It is none, or is signed in a way that nobody should accept.
    pub fn parse(text: &'a [u8]) -> Result<Self, Refusal> {
        if text.len() > MAX_TOKEN_BYTES {
            return Err(Refusal::TooLong);
        }
        let mut parts = text.split(|byte| *byte == b'.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Refusal::Malformed);
        };
        let signed = &text[..header.len() + 1 + claims.len()];
        let header = object(header)?;
        let claims = object(claims)?;
        let signature = base64url::decode(signature).ok_or(Refusal::Malformed)?;
        let algorithm = header.get("alg").and_then(Value::as_str).ok_or(Refusal::Malformed)?;
        if algorithm.eq_ignore_ascii_case("none") {
            return Err(Refusal::AlgNone);
        }
        let algorithm = Algorithm::from_name(algorithm).ok_or(Refusal::AlgNotAllowed)?;
        if header.contains_key("crit") {
            return Err(Refusal::Critical);
        }
        let key_id = match header.get("kid") {
            None => None,
            Some(Value::String(id)) => Some(id.clone()),
            Some(_) => return Err(Refusal::Malformed),
        };
        Ok(Self { algorithm, key_id, signed, signature, claims })
    }

    /// How it says that it is signed.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// With which key it says that it is signed.
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// Its claims; true only once its signature holds ([`super::Keys::verify`]).
    pub const fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// The claim `iss`; empty without one.
    pub fn issuer(&self) -> &str {
        self.claims.get("iss").and_then(Value::as_str).unwrap_or_default()
    }

    /// What the signature is of.
    pub(super) const fn signed(&self) -> &[u8] {
        self.signed
    }

    pub(super) fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// What can be said before the signature is looked at.
    ///
    /// # Errors
    /// It is another issuer's, or signed in a way that the issuer does not use.
    pub fn check_origin(&self, rules: &Rules) -> Result<(), Refusal> {
        if self.issuer() != rules.issuer {
            return Err(Refusal::UnknownIssuer);
        }
        if !rules.algorithms.is_empty() && !rules.algorithms.contains(&self.algorithm) {
            return Err(Refusal::AlgNotAllowed);
        }
        Ok(())
    }

    /// The claims that every token has; to be asked once the signature holds. `now` is the time since the Unix epoch.
    ///
    /// # Errors
    /// It is too late or too early for it, or it is for somebody else.
    pub fn check_claims(&self, rules: &Rules, now: Duration) -> Result<(), Refusal> {
        let (now, leeway) = (now.as_secs_f64(), rules.leeway.as_secs_f64());
        match self.time("exp")? {
            Some(expiry) if now >= expiry + leeway => return Err(Refusal::Expired),
            None if rules.require_expiry => return Err(Refusal::Expired),
            _ => {}
        }
        for claim in ["nbf", "iat"] {
            if self.time(claim)?.is_some_and(|start| now < start - leeway) {
                return Err(Refusal::NotYetValid);
            }
        }
        let wanted = |audience: &str| rules.audiences.iter().any(|wanted| wanted == audience);
        let fits = rules.audiences.is_empty()
            || match self.claims.get("aud") {
                Some(Value::String(audience)) => wanted(audience),
                Some(Value::Array(audiences)) => audiences.iter().filter_map(Value::as_str).any(wanted),
                _ => false,
            };
        if fits { Ok(()) } else { Err(Refusal::WrongAudience) }
    }

    /// A claim as text, lists with commas; `None` if it is not there. Dots lead into objects, after the whole name was
    /// looked for: issuers have dots in names, too.
    ///
    /// # Errors
    /// It is an object, or a list of other things than texts, numbers and truths.
    pub fn claim_text(&self, name: &str) -> Result<Option<String>, Refusal> {
        let found = self.claims.get(name).or_else(|| {
            let mut segments = name.split('.');
            let first = self.claims.get(segments.next()?)?;
            segments.try_fold(first, |value, segment| value.get(segment))
        });
        let text = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(truth) => Some(truth.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        };
        match found {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(values)) => {
                let texts: Option<Vec<String>> = values.iter().map(text).collect();
                texts.map(|texts| Some(texts.join(","))).ok_or(Refusal::BadClaim)
            }
            Some(value) => text(value).map(Some).ok_or(Refusal::BadClaim),
        }
    }

    /// Seconds since the epoch, possibly with a fraction.
    fn time(&self, claim: &str) -> Result<Option<f64>, Refusal> {
        match self.claims.get(claim) {
            None => Ok(None),
            Some(value) => value.as_f64().map(Some).ok_or(Refusal::Malformed),
        }
    }
}

/// A part of a token: an object in JSON in base64url.
fn object(part: &[u8]) -> Result<Map<String, Value>, Refusal> {
    let text = base64url::decode(part).ok_or(Refusal::Malformed)?;
    match serde_json::from_slice(&text) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(Refusal::Malformed),
    }
}
