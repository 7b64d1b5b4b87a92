//! Owns an issuer's keys over time: fetched again and again, at once when a token names an unknown one, kept when they
//! cannot be fetched.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::{KeySet, Refusal, Rules, Token, Verified};
use crate::config::{ConfigError, TimeSpan};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::shared::Shared;

/// Tokens with made-up key ids must not make the gateway ask the issuer all the time.
const MIN_FETCH_INTERVAL: Duration = Duration::from_secs(10);
/// How often a request looks whether a fetch that another one began has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// The shortest time between two fetches that were not asked for.
const MIN_REFRESH: Duration = Duration::from_secs(1);

/// Where keys are.
#[derive(PartialEq, Deserialize, crate::FilterConfig)]
#[serde(rename_all = "camelCase")]
pub enum Jwks {
    /// Here: a JSON Web Key Set.
    Inline(Value),
    /// At an upstream of the host.
    Remote(Remote),
}

/// A key set to fetch.
#[derive(PartialEq, Deserialize, crate::FilterConfig)]
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

const fn default_refresh() -> TimeSpan {
    TimeSpan(Duration::from_secs(600))
}

const fn default_keep() -> TimeSpan {
    TimeSpan(Duration::from_secs(86_400))
}

const fn default_timeout() -> TimeSpan {
    TimeSpan(Duration::from_secs(5))
}

/// The keys of one issuer.
pub struct Keys {
    remote: Option<Remote>,
    /// What all workers, and the next start of the filter, begin with.
    stored: Shared<String>,
    keys: RefCell<Option<Rc<KeySet>>>,
    /// When the keys came.
    fetched_at: Cell<Duration>,
    tried_at: Cell<Option<Duration>>,
    fetching: Cell<bool>,
}

impl Keys {
    /// Those that are given, or will be fetched. `place` is where the configuration has `jwks`, for messages.
    ///
    /// # Errors
    /// Keys that cannot be used, a path that does not begin with `/`, a `refresh` below a second or no `timeout`.
    pub fn new(issuer: &str, place: &str, jwks: Jwks) -> Result<Self> {
        let (remote, keys) = match jwks {
            Jwks::Remote(remote) => {
                remote.check(place)?;
                (Some(remote), None)
            }
            Jwks::Inline(set) => {
                let keys = KeySet::from_json(&serde_json::to_vec(&set).map_err(Error::new)?);
                let keys =
                    keys.map_err(|why| ConfigError::invalid(format!("{place}.inline"), why.to_string()))?;
                (None, Some(Rc::new(keys)))
            }
        };
        Ok(Self {
            remote,
            stored: Shared::new(format!("jwks/{issuer}")),
            keys: RefCell::new(keys),
            fetched_at: Cell::new(Duration::ZERO),
            tried_at: Cell::new(None),
            fetching: Cell::new(false),
        })
    }

    /// The token in `text`, if it keeps all of `rules` and its signature holds; to be believed then.
    ///
    /// # Errors
    /// The host refuses a call, or nobody computes signatures. A token that is refused is no error.
    pub async fn admit<'a>(
        &self,
        text: &'a [u8],
        rules: &Rules,
        cx: &Context,
    ) -> Result<Result<Token<'a>, Refusal>> {
        let parsed = Token::parse(text).and_then(|token| token.check_origin(rules).map(|()| token));
        let token = match parsed {
            Ok(token) => token,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Err(refusal) = self.verify(&token, cx).await? {
            return Ok(Err(refusal));
        }
        Ok(token.check_claims(rules, cx.now()?).map(|()| token))
    }

    /// Whether the token's signature holds. Keys that are not there, or lack the one that the token names, are fetched.
    ///
    /// # Errors
    /// As [`Keys::admit`].
    pub async fn verify(&self, token: &Token<'_>, cx: &Context) -> Result<Result<(), Refusal>> {
        let mut verified = self.check(token, cx)?;
        if matches!(verified, None | Some(Verified::NoKey)) && self.may_fetch(cx)? {
            self.fetch_once(cx).await?;
            verified = self.check(token, cx)?;
        }
        Ok(match verified {
            Some(Verified::Holds) => Ok(()),
            Some(Verified::DoesNotHold) => Err(Refusal::BadSignature),
            Some(Verified::NoKey) => Err(Refusal::UnknownKey),
            Some(Verified::OtherAlgorithm) => Err(Refusal::AlgMismatch),
            None => Err(Refusal::KeysUnavailable),
        })
    }

    /// Fetches the keys again and again, as often as is configured; to be awaited in [`crate::Filter::background`].
    ///
    /// # Errors
    /// The host refuses a timer or a clock. Keys that cannot be fetched are logged, and those at hand are kept.
    pub async fn keep_fresh(&self, cx: &Context) -> Result<()> {
        let Some(remote) = &self.remote else { return Ok(()) };
        let period = remote.refresh.0;
        cx.sleep(period).await?;
        cx.every(period, async || self.fetch_once(cx).await).await
    }

    /// Begins with what another worker, or the filter before its restart, has fetched; else with a fetch. No keys are no
    /// reason not to start: the issuer may be down just now. To be awaited in [`crate::Filter::init`].
    ///
    /// # Errors
    /// The host refuses a call.
    pub async fn start(&self, cx: &Context) -> Result<()> {
        if self.remote.is_none() {
            return Ok(());
        }
        if let Some(text) = self.stored.get()? {
            self.take(text.as_bytes(), cx)?;
        }
        self.fetch_once(cx).await
    }

    /// Fetches the keys, or waits for whoever does already. What goes wrong is logged.
    async fn fetch_once(&self, cx: &Context) -> Result<()> {
        let Some(remote) = &self.remote else { return Ok(()) };
        if self.fetching.get() {
            while self.fetching.get() {
                cx.sleep(POLL_INTERVAL).await?;
            }
            return Ok(());
        }
        // Also put back when this request's client leaves, and the future is dropped.
        let _fetching = Fetching::begin(&self.fetching);
        self.tried_at.set(Some(cx.monotonic()?));
        let mut call = cx.http(&remote.upstream).get(&remote.path).timeout(remote.timeout.0);
        if let Some(authority) = &remote.authority {
            call = call.authority(authority);
        }
        let fetched = match call.header("accept", "application/json").send().await {
            Ok(answer) => answer.text(),
            Err(error) => Err(error),
        };
        match fetched {
            Ok(text) => {
                if self.take(text.as_bytes(), cx)? {
                    self.stored.set_for(remote.keep.0, &text)?;
                }
            }
            Err(error) => log::warn!("keys cannot be fetched, those at hand are kept: {error}"),
        }
        Ok(())
    }

    /// Whether the text had keys.
    fn take(&self, text: &[u8], cx: &Context) -> Result<bool> {
        match KeySet::from_json(text) {
            Ok(keys) => {
                self.keys.replace(Some(Rc::new(keys)));
                self.fetched_at.set(cx.monotonic()?);
                Ok(true)
            }
            Err(why) => {
                log::warn!("a key set cannot be used, the keys at hand are kept: {why}");
                Ok(false)
            }
        }
    }

    /// `None` without keys.
    fn check(&self, token: &Token<'_>, cx: &Context) -> Result<Option<Verified>> {
        let keys = self.usable(cx)?;
        Ok(keys.map(|keys| keys.verify(token)).transpose()?)
    }

    /// Keys that could not be fetched again for too long are none.
    fn usable(&self, cx: &Context) -> Result<Option<Rc<KeySet>>> {
        let keys = self.keys.borrow().clone();
        let Some(remote) = &self.remote else { return Ok(keys) };
        let age = cx.monotonic()?.saturating_sub(self.fetched_at.get());
        Ok(keys.filter(|_| age <= remote.keep.0))
    }

    fn may_fetch(&self, cx: &Context) -> Result<bool> {
        if self.remote.is_none() {
            return Ok(false);
        }
        let now = cx.monotonic()?;
        let recent = |tried: Duration| now.saturating_sub(tried) < MIN_FETCH_INTERVAL;
        Ok(self.fetching.get() || !self.tried_at.get().is_some_and(recent))
    }
}

/// Marks a fetch under way for as long as it lives.
struct Fetching<'a>(&'a Cell<bool>);

impl<'a> Fetching<'a> {
    fn begin(flag: &'a Cell<bool>) -> Self {
        flag.set(true);
        Self(flag)
    }
}

impl Drop for Fetching<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl Remote {
    fn check(&self, place: &str) -> Result<(), ConfigError> {
        if !self.path.starts_with('/') {
            return Err(ConfigError::invalid(format!("{place}.remote.path"), "does not begin with `/`"));
        }
        if self.refresh.0 < MIN_REFRESH || self.timeout.0.is_zero() {
            let problem = "needs a `refresh` of at least 1s and a `timeout` above zero";
            return Err(ConfigError::invalid(format!("{place}.remote"), problem));
        }
        Ok(())
    }
}
