//! Owns a token's parts (RFC 7519, RFC 7515) and the checks of its claims. Nothing of it is believed before its signature
//! holds, but for whose keys to ask and which of them.

use std::time::Duration;

use gateway_sdk::serde_json::{self, Map, Value};

use crate::base64url;
use crate::denial::Denial;
use crate::keys::Algorithm;
use crate::settings::Issuer;

/// Longer than any honest token; what hosts accept as a head is not much more.
pub(crate) const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// A token taken apart.
#[derive(Debug)]
pub(crate) struct Token<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) key_id: Option<String>,
    pub(crate) signed: &'a [u8],
    pub(crate) signature: Vec<u8>,
    pub(crate) claims: Map<String, Value>,
}

impl<'a> Token<'a> {
    pub(crate) fn parse(text: &'a [u8]) -> Result<Self, Denial> {
        if text.len() > MAX_TOKEN_BYTES {
            return Err(Denial::TooLong);
        }
        let mut parts = text.split(|byte| *byte == b'.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Denial::Malformed);
        };
        let signed = &text[..header.len() + 1 + claims.len()];
        let header = object(header)?;
        let claims = object(claims)?;
        let signature = base64url::decode(signature).ok_or(Denial::Malformed)?;
        let algorithm = header.get("alg").and_then(Value::as_str).ok_or(Denial::Malformed)?;
        if algorithm.eq_ignore_ascii_case("none") {
            return Err(Denial::AlgNone);
        }
        let algorithm = Algorithm::from_name(algorithm).ok_or(Denial::AlgNotAllowed)?;
        if header.contains_key("crit") {
            return Err(Denial::Critical);
        }
        let key_id = match header.get("kid") {
            None => None,
            Some(Value::String(id)) => Some(id.clone()),
            Some(_) => return Err(Denial::Malformed),
        };
        Ok(Self { algorithm, key_id, signed, signature, claims })
    }

    pub(crate) fn issuer(&self) -> &str {
        self.claims.get("iss").and_then(Value::as_str).unwrap_or_default()
    }

    /// The claims that every token has, once its signature holds.
    pub(crate) fn check_claims(
        &self,
        issuer: &Issuer,
        now: Duration,
        leeway: Duration,
    ) -> Result<(), Denial> {
        let (now, leeway) = (now.as_secs_f64(), leeway.as_secs_f64());
        match self.time("exp")? {
            Some(expiry) if now >= expiry + leeway => return Err(Denial::Expired),
            None if issuer.require_expiry => return Err(Denial::Expired),
            _ => {}
        }
        for claim in ["nbf", "iat"] {
            if self.time(claim)?.is_some_and(|start| now < start - leeway) {
                return Err(Denial::NotYetValid);
            }
        }
        let wanted = |audience: &str| issuer.audiences.iter().any(|wanted| wanted == audience);
        let fits = issuer.audiences.is_empty()
            || match self.claims.get("aud") {
                Some(Value::String(audience)) => wanted(audience),
                Some(Value::Array(audiences)) => audiences.iter().filter_map(Value::as_str).any(wanted),
                _ => false,
            };
        if fits { Ok(()) } else { Err(Denial::WrongAudience) }
    }

    /// A claim as text for a header; `None` if it is not there. Dots lead into objects, after the whole name was looked
    /// for: issuers have dots in names, too.
    pub(crate) fn claim_text(&self, name: &str) -> Result<Option<String>, Denial> {
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
                texts.map(|texts| Some(texts.join(","))).ok_or(Denial::BadClaim)
            }
            Some(value) => text(value).map(Some).ok_or(Denial::BadClaim),
        }
    }

    /// Seconds since the epoch, possibly with a fraction.
    fn time(&self, claim: &str) -> Result<Option<f64>, Denial> {
        match self.claims.get(claim) {
            None => Ok(None),
            Some(value) => value.as_f64().map(Some).ok_or(Denial::Malformed),
        }
    }
}

/// A part of a token: an object in JSON in base64url.
fn object(part: &[u8]) -> Result<Map<String, Value>, Denial> {
    let text = base64url::decode(part).ok_or(Denial::Malformed)?;
    match serde_json::from_slice(&text) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(Denial::Malformed),
    }
}
