//! Tells each upstream a random number of its own (`x-dice`), and what a hash map's random seed makes of a word (`x-hash`).
//!
//! It draws a number when it is configured, too: the gateway copies it all the same, because it draws by the SDK, and no
//! copy goes on with what the original had in reserve.

use std::hash::{BuildHasher, RandomState};

use gateway_sdk::prelude::*;
use gateway_sdk::random;

/// Throws.
pub struct Dice;

#[filter]
impl Filter for Dice {
    type Config = NoConfig;

    async fn init(_config: NoConfig, _cx: &Context) -> Result<Self> {
        let first = random::u64()?;
        gateway_sdk::log::debug!("the first throw was {first}");
        Ok(Self)
    }

    async fn on_request(&self, request: &mut Request, _cx: &Context) -> Result<Flow> {
        let headers = request.headers_mut();
        headers.set("x-dice", random::u64()?.to_string())?;
        headers.set("x-hash", RandomState::new().hash_one("word").to_string())?;
        Ok(Flow::Continue)
    }
}
