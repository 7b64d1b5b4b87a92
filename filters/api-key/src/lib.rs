//! `api-key`: lets requests with a known API key pass, tells the upstream whose key it was, and keeps the key itself from
//! it. See `README.md` for the configuration.
//!
//! Owns the decision. It must never know which host runs it, and a key never appears in a reply, a log line or an error.
#![forbid(unsafe_code)]

mod keys;
mod query;
mod settings;

use gateway_sdk::serde_json::json;
use gateway_sdk::{ConfigError, Filter, FilterError, Flow, LocalReply, Request};

use keys::KeyRing;
use settings::{ReplyFormat, Settings};

gateway_sdk::filter!(ApiKey);

/// The filter, configured.
pub struct ApiKey {
    settings: Settings,
    keys: KeyRing,
}

/// Why a request does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Denial {
    Missing,
    Ambiguous,
    Unknown,
}

/// What a request that passes looks like to the upstream.
#[derive(Debug, PartialEq, Eq)]
struct Pass<'a> {
    consumer: &'a str,
    /// The path without the key, if it carried one.
    path: Option<String>,
}

impl Filter for ApiKey {
    type Config = Settings;

    fn new(settings: Settings) -> Result<Self, ConfigError> {
        settings.check()?;
        let keys = KeyRing::new(settings.consumers.iter().map(|consumer| consumer.keys.as_slice()));
        Ok(Self { settings, keys })
    }

    fn on_request(&self, request: &mut Request) -> Result<Flow, FilterError> {
        let headers = request.headers().all()?;
        let decision = self.decide(&headers, self.query_path(request)?);
        match decision {
            Ok(pass) => self.admit(request, &headers, &pass).map(|()| Flow::Continue),
            Err(denial) => Ok(self.deny(denial).into()),
        }
    }
}

impl ApiKey {
    /// The path, if a key may be in it.
    fn query_path(&self, request: &Request) -> Result<Option<String>, FilterError> {
        self.settings.query.as_ref().map(|_| request.path()).transpose()
    }

    /// A key may be given several times if it is the same each time: different keys could be read differently by
    /// something else on the way.
    fn decide(&self, headers: &[(Vec<u8>, Vec<u8>)], path: Option<String>) -> Result<Pass<'_>, Denial> {
        let in_header = headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case(self.settings.header.as_bytes()))
            .map(|(_, value)| value.clone());
        let query = match (&path, &self.settings.query) {
            (Some(path), Some(parameter)) => query::take(path, parameter),
            _ => query::Taken::default(),
        };
        let mut presented = in_header.chain(query.values).filter(|key| !key.is_empty());
        let key = presented.next().ok_or(Denial::Missing)?;
        if presented.any(|other| other != key) {
            return Err(Denial::Ambiguous);
        }
        let owner = self.keys.owner(&key).ok_or(Denial::Unknown)?;
        let consumer = self.settings.consumers.get(owner).ok_or(Denial::Unknown)?;
        Ok(Pass { consumer: &consumer.name, path: query.path })
    }

    /// Upstreams that read `_` and `-` alike (CGI, WSGI) must not find a client's own claim in a look-alike header.
    fn admit(
        &self,
        request: &mut Request,
        headers: &[(Vec<u8>, Vec<u8>)],
        pass: &Pass<'_>,
    ) -> Result<(), FilterError> {
        let settings = &self.settings;
        for name in headers.iter().filter_map(|(name, _)| std::str::from_utf8(name).ok()) {
            if looks_like(name, &settings.consumer_header) || looks_like(name, &settings.header) {
                request.headers_mut().remove(name)?;
            }
        }
        request.headers_mut().set(&settings.consumer_header, pass.consumer)?;
        if let Some(path) = &pass.path {
            request.set_path(path)?;
        }
        Ok(())
    }

    fn deny(&self, denial: Denial) -> LocalReply {
        let (status, code, message) = match denial {
            Denial::Missing => (401, "api_key_missing", "an API key is required"),
            Denial::Ambiguous => (400, "api_key_ambiguous", "different API keys were given"),
            Denial::Unknown => (403, "api_key_unknown", "the API key is not known"),
        };
        gateway_sdk::log::debug!("request denied: {code}");
        let reply = LocalReply::new(status).details(code);
        let reply = match denial {
            Denial::Missing => {
                reply.header("www-authenticate", format!("ApiKey realm=\"{}\"", self.settings.realm))
            }
            Denial::Ambiguous | Denial::Unknown => reply,
        };
        match self.settings.reply {
            ReplyFormat::Json => reply.json(&json!({"error": code, "message": message})),
            ReplyFormat::Text => reply.text(format!("{message}\n")),
        }
    }
}

fn looks_like(name: &str, other: &str) -> bool {
    let plain = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.bytes().map(plain).eq(other.bytes().map(plain))
}

#[cfg(test)]
mod tests;
