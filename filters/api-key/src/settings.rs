//! Owns what an operator may configure, and the checks that types cannot express.

use std::collections::BTreeMap;

use gateway_sdk::ConfigError;
use gateway_sdk::headers::is_legal_name;
use gateway_sdk::{FilterConfig, Secret};
use serde::Deserialize;

use crate::keys::{MAX_KEY_BYTES, MAX_KEYS};

/// Headers that frame or route a message; taking or setting them would break it.
const RESERVED_HEADERS: [&str; 8] =
    ["connection", "content-length", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];

/// The configuration of `api-key`.
#[derive(PartialEq, Deserialize, FilterConfig)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Settings {
    /// The request header with the key.
    #[serde(default = "default_header")]
    #[config(default = "x-api-key", format = "header-name")]
    pub header: String,
    /// The query parameter with the key; without it the query is not looked at.
    #[serde(default)]
    pub query: Option<String>,
    /// The request header in which the upstream finds the consumer's name.
    #[serde(default = "default_consumer_header")]
    #[config(default = "x-consumer", format = "header-name")]
    pub consumer_header: String,
    /// Named in `www-authenticate` when the key is missing.
    #[serde(default = "default_realm")]
    #[config(default = "api")]
    pub realm: String,
    /// The form of the body of refusals.
    #[serde(default)]
    #[config(default = "json")]
    pub reply: ReplyFormat,
    /// Who may pass.
    #[config(min_items = 1)]
    pub consumers: Vec<Consumer>,
}

/// Someone who may pass, with any of several keys, so that a key can be replaced without a gap.
#[derive(PartialEq, Deserialize, FilterConfig)]
#[serde(deny_unknown_fields)]
pub struct Consumer {
    /// What the upstream gets to see.
    pub name: String,
    /// The keys: several, to replace one without a gap.
    #[config(min_items = 1)]
    pub keys: Vec<Secret>,
}

/// The form of the body of refusals.
#[derive(Clone, Copy, Default, PartialEq, Deserialize, FilterConfig)]
#[serde(rename_all = "lowercase")]
pub enum ReplyFormat {
    /// `{"error": "...", "message": "..."}`
    #[default]
    Json,
    /// One line.
    Text,
}

impl Settings {
    /// The checks that types cannot express. Messages name places, never keys.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        check_header_name("header", &self.header)?;
        check_header_name("consumerHeader", &self.consumer_header)?;
        if self.header.eq_ignore_ascii_case(&self.consumer_header) {
            let problem = format!("is `{}`, as is `header`; use two different headers", self.header);
            return Err(ConfigError::invalid("consumerHeader", problem));
        }
        if self.query.as_ref().is_some_and(String::is_empty) {
            return Err(ConfigError::invalid("query", "is empty; name a parameter, or leave `query` out"));
        }
        if !self.realm.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'"' && b != b'\\') {
            let problem = "contains a quote, a backslash or a character other than printable ASCII";
            return Err(ConfigError::invalid("realm", problem));
        }
        self.check_consumers()
    }

    fn check_consumers(&self) -> Result<(), ConfigError> {
        if self.consumers.is_empty() {
            let problem = "is empty, so that nobody could pass; name at least one consumer";
            return Err(ConfigError::invalid("consumers", problem));
        }
        let count: usize = self.consumers.iter().map(|consumer| consumer.keys.len()).sum();
        if count > MAX_KEYS {
            let problem = format!("have {count} keys together; at most {MAX_KEYS} are possible");
            return Err(ConfigError::invalid("consumers", problem));
        }
        let mut names = BTreeMap::new();
        let mut places_of_keys = BTreeMap::new();
        for (index, consumer) in self.consumers.iter().enumerate() {
            let place = format!("consumers[{index}]");
            check_consumer(&place, consumer)?;
            if let Some(first) = names.insert(consumer.name.as_str(), index) {
                let problem =
                    format!("is `{}`, as is consumers[{first}].name; give both keys to one", consumer.name);
                return Err(ConfigError::invalid(format!("{place}.name"), problem));
            }
            for (key_index, key) in consumer.keys.iter().enumerate() {
                let place = format!("{place}.keys[{key_index}]");
                if let Some(first) = places_of_keys.insert(key.reveal(), place.clone()) {
                    return Err(ConfigError::invalid(place, format!("is the same key as {first}")));
                }
            }
        }
        Ok(())
    }
}

fn default_header() -> String {
    "x-api-key".to_owned()
}

fn default_consumer_header() -> String {
    "x-consumer".to_owned()
}

fn default_realm() -> String {
    "api".to_owned()
}

fn check_header_name(field: &str, name: &str) -> Result<(), ConfigError> {
    let problem = if !is_legal_name(name) {
        "is not a header name"
    } else if RESERVED_HEADERS.iter().any(|reserved| reserved.eq_ignore_ascii_case(name)) {
        "is a header that messages need for themselves; choose another"
    } else {
        return Ok(());
    };
    Err(ConfigError::invalid(field, format!("`{}` {problem}", name.escape_debug())))
}

fn check_consumer(place: &str, consumer: &Consumer) -> Result<(), ConfigError> {
    let name = &consumer.name;
    if name.trim().is_empty() || name.trim() != name || !name.bytes().all(|b| matches!(b, b' '..=b'~')) {
        let problem = "must be printable ASCII, not empty, without spaces around it: it goes into a header";
        return Err(ConfigError::invalid(format!("{place}.name"), problem));
    }
    if consumer.keys.is_empty() {
        let problem = "is empty; give the consumer a key, or leave the consumer out";
        return Err(ConfigError::invalid(format!("{place}.keys"), problem));
    }
    for (index, key) in consumer.keys.iter().map(Secret::reveal).enumerate() {
        let problem = if key.is_empty() {
            "is empty".to_owned()
        } else if key.len() > MAX_KEY_BYTES {
            format!("has {} bytes; at most {MAX_KEY_BYTES} are possible", key.len())
        } else if !key.bytes().all(|b| b.is_ascii_graphic()) {
            "contains a space or a character other than printable ASCII".to_owned()
        } else {
            continue;
        };
        return Err(ConfigError::invalid(format!("{place}.keys[{index}]"), problem));
    }
    Ok(())
}
