//! The conformance kit's filter (`tests/abi/filters`) on the 0.1 series of the `proxy-wasm` crate.
#![cfg(target_arch = "wasm32")]
#![allow(missing_docs, reason = "exports have names of the ABI")]

use std::time::Duration;

use proxy_wasm_0_1::hostcalls;
use proxy_wasm_0_1::traits::{Context, HttpContext, RootContext};
use proxy_wasm_0_1::types::{Action, ContextType, LogLevel, MetricType};

#[unsafe(no_mangle)]
pub extern "C" fn _start() {
    proxy_wasm_0_1::set_log_level(LogLevel::Info);
    proxy_wasm_0_1::set_root_context(|_| Box::new(Plugin { config: String::new(), requests: 0 }));
}

struct Plugin {
    config: String,
    requests: u32,
}

impl Context for Plugin {}

impl RootContext for Plugin {
    fn on_configure(&mut self, _size: usize) -> bool {
        let config = self.get_configuration().unwrap_or_default();
        self.config = String::from_utf8_lossy(&config).into_owned();
        hostcalls::define_metric(MetricType::Counter, "rust_0_1_requests").is_ok_and(|id| {
            self.requests = id;
            true
        })
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { config: self.config.clone(), requests: self.requests }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

struct Stream {
    config: String,
    requests: u32,
}

impl Context for Stream {
    fn on_http_call_response(&mut self, _token: u32, _headers: usize, _body_bytes: usize, _trailers: usize) {
        let status = self.get_http_call_response_header(":status").unwrap_or_default();
        self.add_http_request_header("x-answer", &status);
        self.resume_http_request();
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _count: usize) -> Action {
        let _ = hostcalls::increment_metric(self.requests, 1);
        self.add_http_request_header("x-filter-seen", &self.config);
        match self.get_http_request_header(":path").as_deref() {
            Some("/answer") => {
                self.send_http_response(418, vec![], Some(b"short and stout"));
                Action::Pause
            }
            Some("/ask") => {
                let headers = vec![(":method", "GET"), (":path", "/callout"), (":authority", "origin")];
                let asked = self.dispatch_http_call("origin", headers, None, vec![], Duration::from_secs(1));
                if asked.is_ok() { Action::Pause } else { Action::Continue }
            }
            _ => Action::Continue,
        }
    }

    fn on_http_response_headers(&mut self, _count: usize) -> Action {
        self.add_http_response_header("x-filter", &self.config);
        log::info!("answered");
        Action::Continue
    }
}
