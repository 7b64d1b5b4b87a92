//! `deny-list`: refuses requests by the client's address, by path and by header. See `README.md` for the configuration.
//!
//! Owns the decision. A request that cannot be judged, such as one whose address the host does not know, is refused.
#![forbid(unsafe_code)]

mod rules;

use gateway_sdk::prelude::*;
use gateway_sdk::serde_json::json;
use serde::Deserialize;

use rules::{Checked, Rule};

/// The configuration of `deny-list`.
#[derive(PartialEq, Deserialize, FilterConfig)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Settings {
    /// A request that fits one of them is refused.
    #[config(min_items = 1, max_items = 1000)]
    pub deny: Vec<Rule>,
    /// A request that fits one of them is not refused, whatever `deny` says.
    #[serde(default)]
    #[config(max_items = 1000, default_json = "[]")]
    pub allow: Vec<Rule>,
    /// The status of refusals.
    #[serde(default = "default_status")]
    #[config(default = 403, minimum = 400, maximum = 499)]
    pub status: u16,
}

/// The filter, configured.
pub struct DenyList {
    deny: Vec<Checked>,
    allow: Vec<Checked>,
    status: u16,
}

#[filter]
impl Filter for DenyList {
    type Config = Settings;

    async fn init(settings: Settings, _cx: &Context) -> Result<Self> {
        if settings.deny.is_empty() {
            let problem = "is empty, so that nothing would be refused; name at least one rule";
            return Err(ConfigError::invalid("deny", problem).into());
        }
        if !(400..=499).contains(&settings.status) {
            let problem = format!("is {}; refusals have a status from 400 to 499", settings.status);
            return Err(ConfigError::invalid("status", problem).into());
        }
        Ok(Self {
            deny: rules::check("deny", settings.deny)?,
            allow: rules::check("allow", settings.allow)?,
            status: settings.status,
        })
    }

    async fn on_request(&self, request: &mut Request, cx: &Context) -> Result<Flow> {
        let mut facts = rules::Facts::new(request, cx);
        if facts.fit_any(&self.allow)?.is_some() {
            return Ok(Flow::Continue);
        }
        let Some(rule) = facts.fit_any(&self.deny)? else { return Ok(Flow::Continue) };
        gateway_sdk::log::debug!("refused by deny[{rule}]");
        let body = json!({"error": "denied", "message": "this request is not allowed"});
        Ok(LocalReply::new(self.status).details("denied").json(&body).into())
    }
}

const fn default_status() -> u16 {
    403
}

#[cfg(test)]
mod tests;
