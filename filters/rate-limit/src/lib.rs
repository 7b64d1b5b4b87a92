//! `rate-limit`: limits requests per key with token buckets that all workers share. See `README.md` for the
//! configuration.
//!
//! Owns which bucket a request takes from, and what the client hears of it. The buckets themselves are the SDK's.
#![forbid(unsafe_code)]

mod settings;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use gateway_sdk::prelude::*;
use gateway_sdk::serde_json::json;
use gateway_sdk::{Admission, Decimal, TokenBucket, decimal};

pub use settings::{KeyBy, Limit, Settings};

/// Keys that are longer go into the bucket's name by their hash.
const MAX_KEY_BYTES: usize = 128;

/// The filter, configured.
pub struct RateLimit {
    settings: Settings,
    /// Of each limit, with what the names of its buckets begin with.
    buckets: Vec<(String, TokenBucket)>,
}

/// The bucket that is closest to empty, for the response's headers.
#[derive(Clone, Copy)]
struct Tightest {
    limit: u64,
    admission: Admission,
}

#[filter]
impl Filter for RateLimit {
    type Config = Settings;

    async fn init(settings: Settings, _cx: &Context) -> Result<Self> {
        let named = |(index, bucket)| (format!("rate-limit/{index}/"), bucket);
        let buckets = settings.buckets()?.into_iter().enumerate().map(named).collect();
        Ok(Self { settings, buckets })
    }

    async fn on_request(&self, request: &mut Request, cx: &Context) -> Result<Flow> {
        let mut tightest: Option<Tightest> = None;
        for (limit, (prefix, bucket)) in self.settings.limits.iter().zip(&self.buckets) {
            let admission = bucket.take(&bucket_name(prefix, limit, request, cx)?, 1)?;
            if !admission.admitted {
                return Ok(self.refuse(limit, bucket, admission).into());
            }
            if tightest.is_none_or(|known| admission.remaining < known.admission.remaining) {
                tightest = Some(Tightest { limit: bucket.burst, admission });
            }
        }
        if let Some(tightest) = tightest.filter(|_| self.settings.headers) {
            cx.keep(tightest);
        }
        Ok(Flow::Continue)
    }

    async fn on_response(&self, response: &mut Response, cx: &Context) -> Result<Flow> {
        if let Some(tightest) = cx.kept::<Tightest>() {
            for (name, value) in headers(tightest.limit, &tightest.admission) {
                response.headers_mut().set(name, value)?;
            }
        }
        Ok(Flow::Continue)
    }

    fn on_error(&self, error: &Error) -> Flow {
        if self.settings.fail_open {
            return Flow::Continue;
        }
        LocalReply::new(503).details("rate_limit_failed").json(&json!({"error": error.to_string()})).into()
    }
}

impl RateLimit {
    fn refuse(&self, limit: &Limit, bucket: &TokenBucket, admission: Admission) -> LocalReply {
        gateway_sdk::log::debug!("refused: more than {} requests", limit.requests);
        let mut reply = LocalReply::new(429)
            .details("rate_limited")
            .header("retry-after", whole_seconds(admission.retry_after).to_string());
        if self.settings.headers {
            for (name, value) in headers(bucket.burst, &admission) {
                reply = reply.header(name, value);
            }
        }
        reply.json(&json!({"error": "rate_limited", "message": "too many requests"}))
    }
}

/// The name of the bucket that a request belongs to; `prefix` tells the limits apart. One without the header shares a bucket
/// with its like.
fn bucket_name(prefix: &str, limit: &Limit, request: &Request, cx: &Context) -> Result<String> {
    Ok(match &limit.key {
        KeyBy::All => prefix.to_owned(),
        KeyBy::Header(name) => named(prefix, &request.headers().get_alone(name)?.unwrap_or_default()),
        KeyBy::ClientAddress => {
            let address = cx.client_ip_text();
            let address = address.ok_or_else(|| Error::new("the host does not tell the client's address"))?;
            [prefix, &address].concat()
        }
        KeyBy::Path => named(prefix, request.path_only()?.as_bytes()),
    })
}

fn named(prefix: &str, key: &[u8]) -> String {
    if key.len() > MAX_KEY_BYTES {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        // No short one's name.
        return format!("{}#{}/{:016x}", prefix.trim_end_matches('/'), key.len(), hasher.finish());
    }
    // In every request: formatting takes several times as long.
    match str::from_utf8(key) {
        Ok(plain) if key.iter().all(is_plain) => [prefix, plain].concat(),
        _ => [prefix, &key.escape_ascii().to_string()].concat(),
    }
}

/// Whether [`u8::escape_ascii`] leaves it as it is.
fn is_plain(byte: &u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\'' | b'\\')
}

/// The fields of the IETF's draft "RateLimit header fields for HTTP" in the form that most clients read.
fn headers(limit: u64, admission: &Admission) -> [(&'static str, Decimal); 3] {
    [
        ("ratelimit-limit", decimal(limit)),
        ("ratelimit-remaining", decimal(admission.remaining)),
        ("ratelimit-reset", decimal(whole_seconds(admission.reset_after))),
    ]
}

/// Rounded up: who comes back then is not too early.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests;
