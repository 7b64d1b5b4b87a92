//! `jwt-auth`: lets requests with a valid JSON Web Token pass and tells the upstream what the token claims. See
//! `README.md` for the configuration.
//!
//! Owns the decision; what a token and a key are is the SDK's (`gateway_sdk::jwt`). A token never appears in a reply, a log
//! line or an error.
#![forbid(unsafe_code)]

mod denial;
mod presented;
mod settings;

use gateway_sdk::headers::is_legal_value;
use gateway_sdk::join_all;
use gateway_sdk::jwt::{Keys, Refusal, Rules, Token};
use gateway_sdk::prelude::*;

use denial::Denial;
pub use settings::{ClaimToHeader, Issuer, Settings, Source};

/// The filter, configured.
pub struct JwtAuth {
    settings: Settings,
    /// In the order of the issuers.
    trusted: Vec<Trusted>,
}

/// An issuer whose tokens are accepted.
struct Trusted {
    rules: Rules,
    keys: Keys,
}

/// Headers for the upstream, by the place of the claim in the configuration.
type Claims = Vec<(String, String)>;

#[filter]
impl Filter for JwtAuth {
    type Config = Settings;

    async fn init(mut settings: Settings, cx: &Context) -> Result<Self> {
        settings.check()?;
        let leeway = settings.leeway.0;
        let mut trusted = Vec::new();
        for (index, issuer) in settings.issuers.iter_mut().enumerate() {
            let place = format!("issuers[{index}].jwks");
            let jwks = issuer.take_jwks();
            let keys = Keys::new(&issuer.issuer, &place, jwks)?;
            trusted.push(Trusted { rules: issuer.rules(leeway), keys });
        }
        let started = join_all(trusted.iter().map(|issuer| issuer.keys.start(cx))).await;
        started.into_iter().collect::<Result<()>>()?;
        Ok(Self { settings, trusted })
    }

    async fn on_request(&self, request: &mut Request, cx: &Context) -> Result<Flow> {
        let token = match presented::find(request, &self.settings.from)? {
            Ok(token) => Some(token),
            Err(Denial::Missing) if self.settings.optional => None,
            Err(denial) => return Ok(self.deny(denial)),
        };
        let claims = match &token {
            Some(token) => match self.admit(token, cx).await? {
                Ok(claims) => claims,
                Err(refusal) => return Ok(self.deny(refusal.into())),
            },
            None => Claims::new(),
        };
        self.pass(request, &claims)?;
        Ok(Flow::Continue)
    }

    /// Fetches each issuer's keys again and again.
    async fn background(&self, cx: &Context) -> Result<()> {
        let refreshing = self.trusted.iter().map(|issuer| issuer.keys.keep_fresh(cx));
        join_all(refreshing).await.into_iter().collect()
    }
}

impl JwtAuth {
    /// What the upstream gets to see of a token that is valid.
    async fn admit(&self, token: &[u8], cx: &Context) -> Result<Result<Claims, Refusal>> {
        let token = match Token::parse(token) {
            Ok(token) => token,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut issuers = self.settings.issuers.iter().zip(&self.trusted);
        let Some((issuer, Trusted { rules, keys })) =
            issuers.find(|(_, trusted)| trusted.rules.issuer == token.issuer())
        else {
            return Ok(Err(Refusal::UnknownIssuer));
        };
        if let Err(refusal) = token.check_origin(rules) {
            return Ok(Err(refusal));
        }
        if let Err(refusal) = keys.verify(&token, cx).await? {
            return Ok(Err(refusal));
        }
        let checked = token.check_claims(rules, cx.now()?);
        Ok(checked.and_then(|()| claims(issuer, &token)))
    }

    /// What clients claim to be in headers that only this filter may set is removed, with a token or without.
    fn pass(&self, request: &mut Request, claims: &Claims) -> Result<()> {
        let known = self.settings.issuers.iter().flat_map(|issuer| &issuer.claims_to_headers);
        let known: Vec<&str> = known.map(|claim| claim.header.as_str()).collect();
        let names = request.headers().iter().filter_map(|(name, _)| std::str::from_utf8(name).ok());
        let is_claim = |name: &&str| known.iter().any(|known| looks_like(name, known));
        let made_up: Vec<String> = names.filter(is_claim).map(str::to_owned).collect();
        for name in made_up {
            request.headers_mut().remove(name)?;
        }
        for (header, value) in claims {
            request.headers_mut().set(header, value)?;
        }
        if !self.settings.forward {
            presented::strip(request, &self.settings.from)?;
        }
        Ok(())
    }

    fn deny(&self, denial: Denial) -> Flow {
        gateway_sdk::log::debug!("request denied: {}", denial.code());
        denial.reply(&self.settings.realm).into()
    }
}

fn claims(issuer: &Issuer, token: &Token<'_>) -> Result<Claims, Refusal> {
    let mut claims = Claims::new();
    for ClaimToHeader { claim, header, required } in &issuer.claims_to_headers {
        match token.claim_text(claim)? {
            Some(text) if is_legal_value(text.as_bytes()) => claims.push((header.clone(), text)),
            None if !required => {}
            _ => return Err(Refusal::BadClaim),
        }
    }
    Ok(claims)
}

/// Servers that read `_` and `-` alike must not find a client's own claim in a look-alike header.
fn looks_like(name: &str, other: &str) -> bool {
    let plain = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.bytes().map(plain).eq(other.bytes().map(plain))
}

/// Where the tests run.
#[cfg(test)]
fn host() -> gateway_sdk::testing::TestHost {
    gateway_sdk::testing::TestHost::new()
}

#[cfg(test)]
mod tests;
