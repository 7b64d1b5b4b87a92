//! Calls one upstream, then another with what the first one answered, both within 200 ms, then sets a header.

use std::time::Duration;

use gateway_sdk::prelude::*;
use gateway_sdk::serde_json::Value;

/// Adds the plan of the caller.
pub struct Enrich;

#[filter]
impl Filter for Enrich {
    type Config = NoConfig;

    async fn init(_: NoConfig, _cx: &Context) -> Result<Self> {
        Ok(Self)
    }

    async fn on_request(&self, request: &mut Request, cx: &Context) -> Result<Flow> {
        let calls = async {
            let user: Value = cx.http("accounts").get("/user").send().await?.json()?;
            Ok(cx.http("plans").post("/plan").json(&user["id"]).send().await?.text()?)
        };
        let plan = cx.within(Duration::from_millis(200), calls).await?;
        request.headers_mut().set("x-plan", plan)?;
        Ok(Flow::Continue)
    }
}
