//! Owns an issuer's keys over time: fetched again and again, at once when a token names an unknown one, kept when they
//! cannot be fetched.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use gateway_sdk::prelude::*;
use gateway_sdk::{Shared, serde_json};

use crate::keys::{KeySet, Verified};
use crate::settings::{Jwks, Remote};
use crate::token::Token;

/// Tokens with made-up key ids must not make the gateway ask the issuer all the time.
const MIN_FETCH_INTERVAL: Duration = Duration::from_secs(10);
/// How often a request looks whether a fetch that another one began has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// The keys of one issuer.
pub(crate) struct Provider {
    remote: Option<Remote>,
    /// What all workers, and the next start of the filter, begin with.
    stored: Shared<String>,
    keys: RefCell<Option<Rc<KeySet>>>,
    /// When the keys came.
    fetched_at: Cell<Duration>,
    tried_at: Cell<Option<Duration>>,
    fetching: Cell<bool>,
}

impl Provider {
    pub(crate) fn new(issuer: &str, place: &str, jwks: Jwks) -> Result<Self> {
        let (remote, keys) = match jwks {
            Jwks::Remote(remote) => (Some(remote), None),
            Jwks::Inline(set) => {
                let keys = KeySet::from_json(&serde_json::to_vec(&set).map_err(Error::new)?);
                let keys = keys.map_err(|why| ConfigError::invalid(format!("{place}.jwks.inline"), why))?;
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

    /// What the signature is. Keys that are not there, or lack the one that the token names, are fetched; `None` if there
    /// are none to be had.
    pub(crate) async fn verify(&self, token: &Token<'_>, cx: &Context) -> Result<Option<Verified>> {
        let verified = self.usable(cx)?.map(|keys| check(&keys, token));
        let lacks = matches!(verified, None | Some(Verified::NoKey));
        if !lacks || !self.may_fetch(cx)? {
            return Ok(verified);
        }
        self.fetch_once(cx).await?;
        Ok(self.usable(cx)?.map(|keys| check(&keys, token)))
    }

    /// How often the keys are to be fetched, if they are to be.
    pub(crate) fn refresh(&self) -> Option<Duration> {
        self.remote.as_ref().map(|remote| remote.refresh.0)
    }

    /// Begins with what another worker, or the filter before its restart, has fetched; else with a fetch. No keys are no
    /// reason not to start: the issuer may be down just now.
    pub(crate) async fn start(&self, cx: &Context) -> Result<()> {
        if self.remote.is_none() {
            return Ok(());
        }
        if let Some(text) = self.stored.get()? {
            self.take(text.as_bytes(), cx)?;
        }
        self.fetch_once(cx).await
    }

    /// Fetches the keys, or waits for whoever does already. What goes wrong is logged.
    pub(crate) async fn fetch_once(&self, cx: &Context) -> Result<()> {
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
            Err(error) => gateway_sdk::log::warn!("keys cannot be fetched, those at hand are kept: {error}"),
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
                gateway_sdk::log::warn!("a key set cannot be used, the keys at hand are kept: {why}");
                Ok(false)
            }
        }
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

fn check(keys: &KeySet, token: &Token<'_>) -> Verified {
    keys.verify(token.algorithm, token.key_id.as_deref(), token.signed, &token.signature)
}
