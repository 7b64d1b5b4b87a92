//! `api-key`: lets requests with a known API key pass, tells the upstream whose key it was, and keeps the key itself from
//! it. See `README.md` for the configuration.
//!
//! Owns the decision. It must never know which host runs it, and a key never appears in a reply, a log line or an error.
#![forbid(unsafe_code)]

mod keys;
mod settings;

use std::borrow::Cow;

use gateway_sdk::prelude::*;
use gateway_sdk::query;
use gateway_sdk::serde_json::json;

use keys::KeyRing;
use settings::{ReplyFormat, Settings};

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

#[filter]
impl Filter for ApiKey {
    type Config = Settings;

    async fn init(settings: Settings, _cx: &Context) -> Result<Self> {
        settings.check()?;
        let keys = KeyRing::new(settings.consumers.iter().map(|consumer| consumer.keys.as_slice()));
        Ok(Self { settings, keys })
    }

    async fn on_request(&self, request: &mut Request, _cx: &Context) -> Result<Flow> {
        match self.decide(request)? {
            Ok(pass) => self.admit(request, &pass).map(|()| Flow::Continue),
            Err(denial) => Ok(self.deny(denial).into()),
        }
    }
}

impl ApiKey {
    /// A key may be given several times if it is the same each time: different keys could be read differently by
    /// something else on the way.
    fn decide(&self, request: &Request) -> Result<Result<Pass<'_>, Denial>> {
        let query = match &self.settings.query {
            Some(parameter) => query::take(request.path()?, parameter),
            None => query::Taken::default(),
        };
        let in_header = request.headers().get_all(&self.settings.header).map(Cow::Borrowed);
        let in_query = query.values.into_iter().map(Cow::Owned);
        let mut presented = in_header.chain(in_query).filter(|key| !key.is_empty());
        let Some(key) = presented.next() else { return Ok(Err(Denial::Missing)) };
        if presented.any(|other| other != key) {
            return Ok(Err(Denial::Ambiguous));
        }
        let owner = self.keys.owner(&key).and_then(|owner| self.settings.consumers.get(owner));
        Ok(match owner {
            Some(consumer) => Ok(Pass { consumer: &consumer.name, path: query.path }),
            None => Err(Denial::Unknown),
        })
    }

    /// Upstreams that read `_` and `-` alike (CGI, WSGI) must not find a client's own claim in a look-alike header.
    fn admit(&self, request: &mut Request, pass: &Pass<'_>) -> Result<()> {
        let settings = &self.settings;
        let is_claim =
            |name: &[u8]| looks_like(name, &settings.consumer_header) || looks_like(name, &settings.header);
        request.headers_mut().remove_where(is_claim);
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

fn looks_like(name: &[u8], other: &str) -> bool {
    let plain = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.len() == other.len() && name.iter().map(plain).eq(other.as_bytes().iter().map(plain))
}

#[cfg(test)]
mod tests;
