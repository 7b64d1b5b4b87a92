//! Owns what an operator may configure, and the checks that types cannot express.

use std::time::Duration;

use gateway_sdk::config::TimeSpan;
use gateway_sdk::headers::is_legal_name;
use gateway_sdk::jwt::{Algorithm, Jwks, Rules};
use gateway_sdk::prelude::*;
use gateway_sdk::serde_json::Value;
use serde::Deserialize;

/// The configuration of `jwt-auth`.
#[derive(PartialEq, Deserialize, FilterConfig)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Settings {
    /// Whose tokens are accepted.
    #[config(min_items = 1)]
    pub issuers: Vec<Issuer>,
    /// Where a token may be; all places are looked at.
    #[serde(default = "default_from")]
    #[config(min_items = 1, default_json = "[{\"header\": \"authorization\"}]")]
    pub from: Vec<Source>,
    /// Whether requests without a token pass. A token that is there must be valid all the same.
    #[serde(default)]
    #[config(default = false)]
    pub optional: bool,
    /// Whether the upstream gets to see the token.
    #[serde(default)]
    #[config(default = false)]
    pub forward: bool,
    /// How far clocks may be apart.
    #[serde(default = "default_leeway")]
    #[config(default = "60s")]
    pub leeway: TimeSpan,
    /// Named in `www-authenticate`.
    #[serde(default = "default_realm")]
    #[config(default = "api")]
    pub realm: String,
}

/// Whose tokens are accepted, and how they are checked.
#[derive(PartialEq, Deserialize, FilterConfig)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Issuer {
    /// What the claim `iss` says.
    pub issuer: String,
    /// One of these must be in the claim `aud`; empty accepts any.
    #[serde(default)]
    #[config(default_json = "[]")]
    pub audiences: Vec<String>,
    /// The algorithms that the issuer uses; empty accepts what its keys are for.
    #[serde(default)]
    #[config(default_json = "[]")]
    pub algorithms: Vec<Algorithm>,
    /// Its keys.
    pub jwks: Jwks,
    /// Claims that the upstream gets to see as headers.
    #[serde(default)]
    #[config(default_json = "[]")]
    pub claims_to_headers: Vec<ClaimToHeader>,
    /// Whether a token needs `exp`.
    #[serde(default = "default_true")]
    #[config(default = true)]
    pub require_expiry: bool,
}

/// A claim that the upstream gets to see.
#[derive(PartialEq, Deserialize, FilterConfig)]
#[serde(deny_unknown_fields)]
pub struct ClaimToHeader {
    /// The claim; dots lead into objects.
    pub claim: String,
    /// The request header; one that the client sent is always removed.
    #[config(format = "header-name")]
    pub header: String,
    /// Whether a token without it is refused.
    #[serde(default)]
    #[config(default = false)]
    pub required: bool,
}

/// Where a token may be.
#[derive(PartialEq, Deserialize, FilterConfig)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum Source {
    /// A request header. `authorization` has the token behind `Bearer`, any other header has nothing else.
    Header(String),
    /// A parameter of the query.
    Query(String),
    /// A cookie.
    Cookie(String),
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.issuers.is_empty() {
            return Err(ConfigError::invalid("issuers", "is empty, so that nobody could pass"));
        }
        if self.from.is_empty() {
            return Err(ConfigError::invalid("from", "is empty; leave it out for `authorization`"));
        }
        if !self.realm.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'"' && b != b'\\') {
            let problem = "contains a quote, a backslash or a character other than printable ASCII";
            return Err(ConfigError::invalid("realm", problem));
        }
        for (index, source) in self.from.iter().enumerate() {
            if let Source::Header(name) = source
                && !is_legal_name(name)
            {
                return Err(ConfigError::invalid(format!("from[{index}].header"), "is not a header name"));
            }
        }
        for (index, issuer) in self.issuers.iter().enumerate() {
            let place = format!("issuers[{index}]");
            if self.issuers[..index].iter().any(|other| other.issuer == issuer.issuer) {
                let problem = format!("is `{}`, as is one before", issuer.issuer.escape_debug());
                return Err(ConfigError::invalid(format!("{place}.issuer"), problem));
            }
            issuer.check(&place)?;
        }
        Ok(())
    }
}

impl Issuer {
    /// Key sets may be large, and are needed once.
    pub(crate) fn take_jwks(&mut self) -> Jwks {
        std::mem::replace(&mut self.jwks, Jwks::Inline(Value::Null))
    }

    pub(crate) fn rules(&self, leeway: Duration) -> Rules {
        Rules {
            issuer: self.issuer.clone(),
            audiences: self.audiences.clone(),
            algorithms: self.algorithms.clone(),
            require_expiry: self.require_expiry,
            leeway,
        }
    }

    fn check(&self, place: &str) -> Result<(), ConfigError> {
        for (index, claim) in self.claims_to_headers.iter().enumerate() {
            if !is_legal_name(&claim.header) {
                let place = format!("{place}.claimsToHeaders[{index}].header");
                return Err(ConfigError::invalid(place, "is not a header name"));
            }
        }
        Ok(())
    }
}

fn default_from() -> Vec<Source> {
    vec![Source::Header("authorization".to_owned())]
}

const fn default_leeway() -> TimeSpan {
    TimeSpan(Duration::from_secs(60))
}

fn default_realm() -> String {
    "api".to_owned()
}

const fn default_true() -> bool {
    true
}
