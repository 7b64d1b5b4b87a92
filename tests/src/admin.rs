//! What operators ask of the admin interface about versions of filters, and what they change there.

use serde_json::Value;

use crate::eventually::eventually_some;
use crate::{Client, Gateway, Request, Response};

impl Gateway {
    /// What `GET /filters/NAME/history` says; `None` if there is no such filter.
    ///
    /// # Panics
    /// If the answer is not what the documentation says.
    #[must_use]
    pub fn history(&self, filter: &str) -> Option<Value> {
        let answer = self.admin_get(&format!("/filters/{filter}/history"));
        (answer.status == 200).then(|| serde_json::from_slice(&answer.body).expect("JSON"))
    }

    /// Waits for an entry of the history that `is_it` finds; the newest such.
    ///
    /// # Panics
    /// If there is none in time.
    pub fn await_entry(&self, filter: &str, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        eventually_some(&format!("{what} in the history of {filter}"), || {
            let history = self.history(filter)?;
            history["history"].as_array()?.iter().find(|entry| is_it(entry)).cloned()
        })
    }

    /// The version that serves, by the history.
    #[must_use]
    pub fn serving(&self, filter: &str) -> String {
        self.history(filter)
            .and_then(|history| Some(history["live"].as_str()?.to_owned()))
            .unwrap_or_default()
    }

    /// The events of a filter since the start, as `KIND REASON`.
    ///
    /// # Panics
    /// If the answer is not what the documentation says.
    #[must_use]
    pub fn events(&self, filter: &str) -> Vec<String> {
        let answer = self.admin_get("/api/events");
        let list: Value = serde_json::from_slice(&answer.body).expect("JSON");
        let events = list["events"].as_array().expect("a list").iter();
        let of_filter = events.filter(|event| event["filter"] == filter);
        let shown = |event: &Value| {
            let reason = event["reason"].as_str().map_or(String::new(), |reason| format!(" {reason}"));
            format!("{}{reason}", event["event"].as_str().expect("a kind"))
        };
        of_filter.map(shown).collect()
    }

    /// Asks for a change with this token.
    ///
    /// # Panics
    /// If there is no whole response.
    #[must_use]
    pub fn change(&self, path: &str, token: &str) -> Response {
        let address = self.admin_address();
        let request = Request::new("POST", path).host(&address.to_string());
        let request =
            request.header("authorization", &format!("Bearer {token}")).header("connection", "close");
        Client::connect(address).send(&request)
    }
}
