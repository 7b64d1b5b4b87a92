//! Holds each request until an upstream has answered `GET /check`: 200 lets it pass with the answer's body in
//! `x-checked`; anything else, a refused call or a time-out gives 403.
//!
//! Configuration: the upstream's name, and after a space the time-out in milliseconds (500 if left out).
#![cfg(target_arch = "wasm32")]
#![allow(missing_docs, reason = "the entry macro writes a function without any")]

use std::time::Duration;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};

const DEFAULT_TIMEOUT_MS: u64 = 500;

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Plugin { upstream: String::new(), timeout: Duration::ZERO }));
}}

struct Plugin {
    upstream: String,
    timeout: Duration,
}

impl Context for Plugin {}

impl RootContext for Plugin {
    fn on_configure(&mut self, _size: usize) -> bool {
        let text = self.get_plugin_configuration().unwrap_or_default();
        let text = String::from_utf8_lossy(&text).replace('"', "");
        let mut words = text.split_whitespace();
        self.upstream = words.next().unwrap_or_default().to_owned();
        let timeout_ms = words.next().and_then(|word| word.parse().ok()).unwrap_or(DEFAULT_TIMEOUT_MS);
        self.timeout = Duration::from_millis(timeout_ms);
        true
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Check { upstream: self.upstream.clone(), timeout: self.timeout }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

struct Check {
    upstream: String,
    timeout: Duration,
}

impl Context for Check {
    fn on_http_call_response(&mut self, _token: u32, headers: usize, body_bytes: usize, _trailers: usize) {
        let status = self.get_http_call_response_header(":status").unwrap_or_else(|| "none".to_owned());
        if status != "200" {
            return self.deny(&format!("check answered {status} with {headers} headers"));
        }
        let body = self.get_http_call_response_body(0, body_bytes).unwrap_or_default();
        self.set_http_request_header_bytes("x-checked", Some(&body));
        self.resume_http_request();
    }
}

impl HttpContext for Check {
    fn on_http_request_headers(&mut self, _count: usize, _end: bool) -> Action {
        let headers = vec![(":method", "GET"), (":path", "/check"), (":authority", "check.example")];
        let call = self.dispatch_http_call(&self.upstream, headers, None, vec![], self.timeout);
        if let Err(status) = call {
            self.deny(&format!("check refused: {status:?}"));
        }
        Action::Pause
    }
}

impl Check {
    fn deny(&self, why: &str) {
        self.send_http_response(403, vec![("x-denied", why)], Some(why.as_bytes()));
    }
}
