//! `quota`: limits the requests of each consumer within a rolling window that all workers share. See `README.md` for the
//! configuration.
//!
//! Owns whose quota a request counts against. Who the consumer is, an earlier filter has found out.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::time::Duration;

use gateway_sdk::config::TimeSpan;
use gateway_sdk::headers::is_legal_name;
use gateway_sdk::prelude::*;
use gateway_sdk::serde_json::json;
use gateway_sdk::{Admission, RollingWindow, decimal};
use serde::Deserialize;

/// Names that are longer are none of ours: an earlier filter gives short ones.
const MAX_CONSUMER_BYTES: usize = 256;

/// The configuration of `quota`.
#[derive(PartialEq, Deserialize, FilterConfig)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Settings {
    /// The request header with the consumer's name, as an earlier filter sets it.
    #[serde(default = "default_header")]
    #[config(default = "x-consumer", format = "header-name")]
    pub header: String,
    /// How many requests each consumer may make within the window.
    pub limit: u64,
    /// The length of the window: any stretch of time of that length counts.
    pub window: TimeSpan,
    /// Other limits for some, by name.
    #[serde(default)]
    #[config(default_json = "{}")]
    pub consumers: BTreeMap<String, u64>,
    /// How many requests those without a name may make, all together; without it they are refused.
    #[serde(default)]
    pub anonymous: Option<u64>,
    /// Whether requests pass when the counts cannot be reached.
    #[serde(default)]
    #[config(default = false)]
    pub fail_open: bool,
}

/// The filter, configured.
pub struct Quota {
    settings: Settings,
}

/// What is left, for the response's headers.
#[derive(Clone, Copy)]
struct Left {
    limit: u64,
    admission: Admission,
}

#[filter]
impl Filter for Quota {
    type Config = Settings;

    async fn init(settings: Settings, _cx: &Context) -> Result<Self> {
        if !is_legal_name(&settings.header) {
            return Err(ConfigError::invalid("header", "is not a header name").into());
        }
        if settings.window.0 < Duration::from_secs(1) {
            return Err(ConfigError::invalid("window", "is shorter than a second; use `rate-limit`").into());
        }
        Ok(Self { settings })
    }

    async fn on_request(&self, request: &mut Request, cx: &Context) -> Result<Flow> {
        let name = request.headers().get_alone(&self.settings.header)?.unwrap_or_default();
        // Who is not to be known by a name is nobody, and not a failure that `failOpen` would let pass.
        let known = str::from_utf8(&name).ok().and_then(|name| Some((name, self.limit_of(name)?)));
        let Some((name, limit)) = known else {
            let body = json!({"error": "quota_no_consumer", "message": "who you are is not known"});
            return Ok(LocalReply::new(403).details("quota_no_consumer").json(&body).into());
        };
        let window = RollingWindow { limit, window: self.settings.window.0 };
        let admission = window.take(&["quota/", name].concat(), 1)?;
        if !admission.admitted {
            return Ok(refuse(limit, &admission).into());
        }
        cx.keep(Left { limit, admission });
        Ok(Flow::Continue)
    }

    async fn on_response(&self, response: &mut Response, cx: &Context) -> Result<Flow> {
        if let Some(left) = cx.kept::<Left>() {
            response.headers_mut().set("x-quota-limit", decimal(left.limit))?;
            response.headers_mut().set("x-quota-remaining", decimal(left.admission.remaining))?;
        }
        Ok(Flow::Continue)
    }

    fn on_error(&self, error: &Error) -> Flow {
        if self.settings.fail_open {
            return Flow::Continue;
        }
        LocalReply::new(503).details("quota_failed").json(&json!({"error": error.to_string()})).into()
    }
}

impl Quota {
    /// `None` refuses.
    fn limit_of(&self, name: &str) -> Option<u64> {
        match name {
            "" => self.settings.anonymous,
            long if long.len() > MAX_CONSUMER_BYTES => None,
            known => Some(self.settings.consumers.get(known).copied().unwrap_or(self.settings.limit)),
        }
    }
}

fn refuse(limit: u64, admission: &Admission) -> LocalReply {
    let seconds = admission.retry_after.as_secs() + u64::from(admission.retry_after.subsec_nanos() > 0);
    LocalReply::new(429)
        .details("quota_exceeded")
        .header("retry-after", seconds.to_string())
        .header("x-quota-limit", limit.to_string())
        .header("x-quota-remaining", admission.remaining.to_string())
        .json(&json!({"error": "quota_exceeded", "message": "the quota is used up"}))
}

fn default_header() -> String {
    "x-consumer".to_owned()
}

#[cfg(test)]
mod tests;
