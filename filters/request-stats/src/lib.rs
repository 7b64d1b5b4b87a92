//! `request-stats`: counts requests and measures time and sizes, under the names and with the labels of Istio's standard
//! metrics. See `README.md` for the configuration.
//!
//! Owns what the labels say. What is not known reads `unknown`, never nothing: dashboards drop series with empty labels.
#![forbid(unsafe_code)]

mod flags;
mod labels;

use std::cell::RefCell;
use std::collections::BTreeMap;

use gateway_sdk::metrics::Series;
use gateway_sdk::prelude::*;
use gateway_sdk::{Counter, Histogram, PropertyList};
use serde::Deserialize;

use labels::{FIXED, NAMES, seen};

/// Combinations of label values that are told apart; all others count as one. Each makes four metrics, and the gateway
/// allows a filter a thousand.
const MAX_SERIES: usize = 240;

/// The configuration of `request-stats`.
#[derive(PartialEq, Deserialize, FilterConfig)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Settings {
    /// Which side of the connection this is.
    #[serde(default)]
    #[config(default = "destination")]
    pub reporter: Reporter,
    /// What labels say, by name, where the filter cannot know: `destination_workload: reviews-v1`.
    #[serde(default)]
    #[config(default_json = "{}")]
    pub labels: BTreeMap<String, String>,
}

/// The label `reporter`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, FilterConfig)]
#[serde(rename_all = "lowercase")]
pub enum Reporter {
    /// In front of a server.
    #[default]
    Destination,
    /// On the side of the client, as a gateway is to what is behind it.
    Source,
    /// In between.
    Waypoint,
}

/// The filter, configured.
pub struct RequestStats {
    settings: Settings,
    seen: PropertyList<{ seen::PATHS.len() }>,
    requests: Counter<{ NAMES.len() }>,
    duration: Histogram<{ NAMES.len() }>,
    request_bytes: Histogram<{ NAMES.len() }>,
    response_bytes: Histogram<{ NAMES.len() }>,
    /// By the label values that differ from request to request.
    known: RefCell<BTreeMap<String, Known>>,
}

/// The series of one combination.
#[derive(Clone, Copy)]
struct Known {
    requests: Series,
    duration: Series,
    request_bytes: Series,
    response_bytes: Series,
}

#[filter]
impl Filter for RequestStats {
    type Config = Settings;

    async fn init(settings: Settings, _cx: &Context) -> Result<Self> {
        if let Some(unknown) = settings.labels.keys().find(|name| !FIXED.contains(&name.as_str())) {
            let problem = format!("is not a label that can be set; there are {}", FIXED.join(", "));
            return Err(ConfigError::invalid(format!("labels.{unknown}"), problem).into());
        }
        if let Some((name, _)) = settings.labels.iter().find(|(_, value)| value.is_empty()) {
            let problem = "is empty; leave it out, and it reads `unknown`";
            return Err(ConfigError::invalid(format!("labels.{name}"), problem).into());
        }
        Ok(Self {
            settings,
            seen: PropertyList::new(seen::PATHS),
            requests: Counter::new("istio_requests_total", NAMES).max_series(MAX_SERIES),
            duration: Histogram::new("istio_request_duration_milliseconds", NAMES).max_series(MAX_SERIES),
            request_bytes: Histogram::new("istio_request_bytes", NAMES).max_series(MAX_SERIES),
            response_bytes: Histogram::new("istio_response_bytes", NAMES).max_series(MAX_SERIES),
            known: RefCell::default(),
        })
    }

    fn on_log(&self, _exchange: &Exchange, cx: &Context) {
        let seen = cx.properties(&self.seen);
        let known = self.series(&labels::Values::of(&self.settings, &seen));
        let number = |place| seen.get_number(place).unwrap_or_default();
        self.requests.add_to(known.requests, 1);
        self.duration.record_in(known.duration, number(seen::DURATION) / 1_000_000);
        self.request_bytes.record_in(known.request_bytes, number(seen::REQUEST_BYTES));
        self.response_bytes.record_in(known.response_bytes, number(seen::RESPONSE_BYTES));
    }

    /// Nothing here may keep a request from passing.
    fn on_error(&self, _error: &Error) -> Flow {
        Flow::Continue
    }
}

impl RequestStats {
    /// Label values make long names, which hosts look up slowly; what was met before is found by the few that vary.
    fn series(&self, values: &labels::Values<'_>) -> Known {
        let key = values.varying();
        if let Some(known) = self.known.borrow().get(&key) {
            return *known;
        }
        let all = values.all(&self.settings);
        let known = Known {
            requests: self.requests.series(all),
            duration: self.duration.series(all),
            request_bytes: self.request_bytes.series(all),
            response_bytes: self.response_bytes.series(all),
        };
        let mut cache = self.known.borrow_mut();
        if cache.len() < MAX_SERIES {
            cache.insert(key, known);
        }
        known
    }
}

#[cfg(test)]
mod tests;
