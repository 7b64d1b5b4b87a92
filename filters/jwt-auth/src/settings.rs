//! Owns what an operator may configure, and the checks that types cannot express.

use std::time::Duration;

use gateway_sdk::config::TimeSpan;
use gateway_sdk::headers::is_legal_name;
use gateway_sdk::prelude::*;
use gateway_sdk::serde_json::Value;
use serde::Deserialize;

use crate::keys::Algorithm;

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

/// Where keys are.
#[derive(PartialEq, Deserialize, FilterConfig)]
#[serde(rename_all = "camelCase")]
pub enum Jwks {
    /// Here: a JSON Web Key Set.
    Inline(Value),
    /// At an upstream of the host.
    Remote(Remote),
}

/// A key set to fetch.
#[derive(PartialEq, Deserialize, FilterConfig)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Remote {
    /// The upstream; in Envoy the cluster.
    #[config(format = "upstream")]
    pub upstream: String,
    /// Its path, such as `/.well-known/jwks.json`.
    pub path: String,
    /// The host to ask for; the upstream's name without it.
    #[serde(default)]
    pub authority: Option<String>,
    /// How often it is fetched again.
    #[serde(default = "default_refresh")]
    #[config(default = "10m")]
    pub refresh: TimeSpan,
    /// How long keys are used when they can no longer be fetched.
    #[serde(default = "default_keep")]
    #[config(default = "24h")]
    pub keep: TimeSpan,
    /// How long one attempt may take.
    #[serde(default = "default_timeout")]
    #[config(default = "5s")]
    pub timeout: TimeSpan,
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
    fn check(&self, place: &str) -> Result<(), ConfigError> {
        if let Jwks::Remote(remote) = &self.jwks {
            if !remote.path.starts_with('/') {
                let problem = "does not begin with `/`";
                return Err(ConfigError::invalid(format!("{place}.jwks.remote.path"), problem));
            }
            if remote.refresh.0 < Duration::from_secs(1) || remote.timeout.0.is_zero() {
                let problem = "needs a `refresh` of at least 1s and a `timeout` above zero";
                return Err(ConfigError::invalid(format!("{place}.jwks.remote"), problem));
            }
        }
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

const fn default_refresh() -> TimeSpan {
    TimeSpan(Duration::from_secs(600))
}

const fn default_keep() -> TimeSpan {
    TimeSpan(Duration::from_secs(86_400))
}

const fn default_timeout() -> TimeSpan {
    TimeSpan(Duration::from_secs(5))
}
