//! Tells the service behind which plan the caller has.

use gateway_sdk::prelude::*;

/// What the operator configures.
#[derive(serde::Deserialize, FilterConfig)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The upstream that knows plans.
    #[config(format = "upstream")]
    accounts: String,
}

/// The filter, configured.
pub struct Plan {
    settings: Settings,
}

#[filter]
impl Filter for Plan {
    type Config = Settings;

    async fn init(settings: Settings, _cx: &Context) -> Result<Self> {
        Ok(Self { settings })
    }

    async fn on_request(&self, request: &mut Request, cx: &Context) -> Result<Flow> {
        let Some(user) = request.headers().get_str("x-user")? else {
            return Ok(LocalReply::new(401).text("who are you?\n").into());
        };
        let plan = cx.http(&self.settings.accounts).get(&format!("/plans/{user}")).send().await?.text()?;
        request.headers_mut().set("x-plan", plan)?;
        Ok(Flow::Continue)
    }
}

#[cfg(test)]
mod tests {
    use gateway_sdk::testing::{CallAnswer, TestHost, TestRequest};

    use super::*;

    #[test]
    fn the_upstream_learns_the_plan() {
        let host = TestHost::new().on_call("accounts", |call| {
            assert_eq!(call.target(), "GET /plans/ann");
            CallAnswer::new(200).body("gold")
        });
        let mut tester = host.start::<Plan>(r#"{"accounts": "accounts"}"#).expect("a legal configuration");
        let outcome = tester.request(TestRequest::get("/").header("x-user", "ann"));
        assert_eq!(outcome.header_values("x-plan"), ["gold"]);
        assert_eq!(tester.request(TestRequest::get("/")).refusal().0, 401);
    }

    #[test]
    fn without_an_answer_nothing_passes() {
        let mut tester =
            TestHost::new().start::<Plan>(r#"{"accounts": "nowhere"}"#).expect("a legal configuration");
        let outcome = tester.request(TestRequest::get("/").header("x-user", "ann"));
        assert_eq!(outcome.refusal(), (503, "filter_failed"));
    }
}
