//! Counts responses in shared data by compare-and-swap; each response carries its number in `x-shared-count`.
#![cfg(target_arch = "wasm32")]
#![allow(missing_docs, reason = "the entry macro writes a function without any")]

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, Status};

const KEY: &str = "count";
const MAX_ATTEMPTS: usize = 1_000;

proxy_wasm::main! {{
    proxy_wasm::set_http_context(|_, _| Box::new(Shared));
}}

struct Shared;

impl Context for Shared {}

impl HttpContext for Shared {
    fn on_http_response_headers(&mut self, _count: usize, _end: bool) -> Action {
        let number = self.next().unwrap_or_else(|why| why);
        self.add_http_response_header("x-shared-count", &number);
        Action::Continue
    }
}

impl Shared {
    fn next(&self) -> Result<String, String> {
        for _ in 0..MAX_ATTEMPTS {
            let (value, cas) = self.get_shared_data(KEY);
            let text = value.and_then(|value| String::from_utf8(value).ok());
            let next = (text.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0) + 1).to_string();
            match self.set_shared_data(KEY, Some(next.as_bytes()), cas) {
                Ok(()) => return Ok(next),
                Err(Status::CasMismatch) => {}
                Err(status) => return Err(format!("{status:?}")),
            }
        }
        Err(format!("no success in {MAX_ATTEMPTS} attempts"))
    }
}
