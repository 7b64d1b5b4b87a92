//! Owns what an operator may configure, and the checks that types cannot express.

use gateway_sdk::TokenBucket;
use gateway_sdk::config::TimeSpan;
use gateway_sdk::headers::is_legal_name;
use gateway_sdk::prelude::*;
use serde::Deserialize;

/// The most limits: each costs two host calls per request.
const MAX_LIMITS: usize = 10;

/// The configuration of `rate-limit`.
#[derive(PartialEq, Deserialize, FilterConfig)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Settings {
    /// A request must be within all of them. They are asked in this order, and a later one's refusal gives nothing back.
    #[config(min_items = 1, max_items = 10)]
    pub limits: Vec<Limit>,
    /// Whether responses carry `ratelimit-*` headers.
    #[serde(default = "default_headers")]
    #[config(default = true)]
    pub headers: bool,
    /// Whether requests pass when the buckets cannot be reached.
    #[serde(default)]
    #[config(default = false)]
    pub fail_open: bool,
}

/// How many requests each key may make.
#[derive(PartialEq, Deserialize, FilterConfig)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Limit {
    /// What has a bucket of its own.
    #[serde(default = "default_key")]
    #[config(default = "clientAddress")]
    pub key: KeyBy,
    /// How many requests each key may make in that time.
    #[config(minimum = 1)]
    pub requests: u64,
    /// The time, in the long run.
    pub per: TimeSpan,
    /// How many at once; as many as `requests` without it.
    #[serde(default)]
    pub burst: Option<u64>,
}

/// What has a bucket of its own.
#[derive(Clone, PartialEq, Deserialize, FilterConfig)]
#[serde(rename_all = "camelCase")]
pub enum KeyBy {
    /// Nothing: all requests share one.
    All,
    /// Each address of a client.
    ClientAddress,
    /// Each value of this header.
    Header(String),
    /// Each path, without its query.
    Path,
}

impl Settings {
    pub(crate) fn buckets(&self) -> Result<Vec<TokenBucket>, ConfigError> {
        if self.limits.is_empty() || self.limits.len() > MAX_LIMITS {
            let problem = format!("has {} limits; 1 to {MAX_LIMITS} are possible", self.limits.len());
            return Err(ConfigError::invalid("limits", problem));
        }
        self.limits
            .iter()
            .enumerate()
            .map(|(index, limit)| limit.bucket(&format!("limits[{index}]")))
            .collect()
    }
}

impl Limit {
    fn bucket(&self, place: &str) -> Result<TokenBucket, ConfigError> {
        let invalid =
            |field: &str, problem: &str| Err(ConfigError::invalid(format!("{place}.{field}"), problem));
        if self.requests == 0 {
            return invalid("requests", "is 0; refuse everything with a route instead");
        }
        if self.burst == Some(0) {
            return invalid(
                "burst",
                "is 0, so that nothing could pass; leave it out to allow `requests` at once",
            );
        }
        if self.per.0.is_zero() {
            return invalid("per", "is no time at all");
        }
        if let KeyBy::Header(name) = &self.key
            && !is_legal_name(name)
        {
            return invalid("key.header", "is not a header name");
        }
        Ok(TokenBucket { burst: self.burst.unwrap_or(self.requests), tokens: self.requests, per: self.per.0 })
    }
}

const fn default_headers() -> bool {
    true
}

const fn default_key() -> KeyBy {
    KeyBy::ClientAddress
}
