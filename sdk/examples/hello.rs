//! The smallest filter that does something.

use gateway_sdk::prelude::*;

/// Greets.
pub struct Hello;

#[filter]
impl Filter for Hello {
    type Config = NoConfig;

    async fn init(_: NoConfig, _cx: &Context) -> Result<Self> {
        Ok(Self)
    }

    async fn on_response(&self, response: &mut Response, _cx: &Context) -> Result<Flow> {
        response.headers_mut().set("x-hello", "world")?;
        Ok(Flow::Continue)
    }
}
