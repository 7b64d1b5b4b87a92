//! Adds to the trailers of each direction, if there are any, how many it saw: `x-request-trailers`, `x-response-trailers`.
//! Trailers named `x-remove` are removed.
#![cfg(target_arch = "wasm32")]
#![allow(missing_docs, reason = "the entry macro writes a function without any")]

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

proxy_wasm::main! {{
    proxy_wasm::set_http_context(|_, _| Box::new(Trailers));
}}

struct Trailers;

impl Context for Trailers {}

impl HttpContext for Trailers {
    fn on_http_request_trailers(&mut self, count: usize) -> Action {
        self.remove_http_request_trailer("x-remove");
        self.add_http_request_trailer("x-request-trailers", &count.to_string());
        Action::Continue
    }

    fn on_http_response_trailers(&mut self, count: usize) -> Action {
        self.remove_http_response_trailer("x-remove");
        self.add_http_response_trailer("x-response-trailers", &count.to_string());
        Action::Continue
    }
}
