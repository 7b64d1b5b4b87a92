//! Decides on the request's whole body while its head is held, and changes both; turns server-sent events of the response
//! into upper case, piece by piece. Needs `bodyWhilePaused` in the gateway, `allow_on_headers_stop_iteration` in Envoy.

use gateway_sdk::Lines;
use gateway_sdk::prelude::*;
use gateway_sdk::serde_json::Value;

/// Approves orders up to 100.
pub struct Approve;

#[filter(request_body, rewrites_response_body)]
impl Filter for Approve {
    type Config = NoConfig;

    async fn init(_: NoConfig, _cx: &Context) -> Result<Self> {
        Ok(Self)
    }

    async fn on_request(&self, request: &mut Request, _cx: &Context) -> Result<Flow> {
        if !request.has_body() {
            return Ok(Flow::Continue);
        }
        let mut order: Value = request.body().await?.json()?;
        if order["amount"].as_u64().is_none_or(|amount| amount > 100) {
            return Ok(LocalReply::new(402).text("too much\n").into());
        }
        order["approved"] = true.into();
        request.headers_mut().set("x-approved", "yes")?;
        request.set_body(order.to_string())?;
        Ok(Flow::Continue)
    }

    async fn on_response_body(&self, body: &mut BodyStream, _cx: &Context) -> Result<()> {
        let mut events = Lines::new(body);
        while let Some(mut event) = events.next_event().await? {
            event.data = event.data.map(|data| data.to_uppercase());
            events.write(event.to_bytes())?;
        }
        Ok(())
    }
}
