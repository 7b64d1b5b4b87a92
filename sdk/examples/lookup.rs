//! Tells the service behind which plan the caller has. The plan is looked up once a minute, whatever the number of requests.

use std::time::Duration;

use gateway_sdk::Cache;
use gateway_sdk::prelude::*;

/// The filter, configured.
pub struct Lookup {
    plans: Cache<String>,
}

#[filter]
impl Filter for Lookup {
    type Config = NoConfig;

    async fn init(_: NoConfig, _cx: &Context) -> Result<Self> {
        Ok(Self { plans: Cache::new("plans") })
    }

    async fn on_request(&self, request: &mut Request, cx: &Context) -> Result<Flow> {
        let user = request.headers().get_str("x-user")?.unwrap_or("nobody").to_owned();
        let ask =
            async || Ok(cx.http("plans").get(&format!("/plans/{user}")).send().await?.text()?.to_owned());
        let plan = self.plans.get_or_load(cx, &user, Duration::from_secs(60), ask).await?;
        request.headers_mut().set("x-plan", plan)?;
        Ok(Flow::Continue)
    }
}
