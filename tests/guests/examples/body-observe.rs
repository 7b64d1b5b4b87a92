//! Counts the bytes of both bodies as they pass. At the end of a request it logs them, and adds them to totals in shared
//! data, which a request for `/totals` reads.
#![cfg(target_arch = "wasm32")]
#![allow(missing_docs, reason = "the entry macro writes a function without any")]

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, LogLevel, Status};

const TOTAL_REQUEST: &str = "request_bytes";
const TOTAL_RESPONSE: &str = "response_bytes";
const MAX_ATTEMPTS: usize = 100;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_http_context(|_, _| Box::new(Observe::default()));
}}

#[derive(Default)]
struct Observe {
    path: String,
    request_bytes: usize,
    response_bytes: usize,
    answered: bool,
}

impl Context for Observe {}

impl HttpContext for Observe {
    fn on_http_request_headers(&mut self, _count: usize, _end: bool) -> Action {
        self.path = self.get_http_request_header(":path").unwrap_or_default();
        if self.path != "/totals" {
            return Action::Continue;
        }
        self.answered = true;
        let body =
            format!("request={} response={}", self.total(TOTAL_REQUEST).0, self.total(TOTAL_RESPONSE).0);
        self.send_http_response(200, vec![], Some(body.as_bytes()));
        Action::Pause
    }

    fn on_http_request_body(&mut self, size: usize, _end: bool) -> Action {
        self.request_bytes += size;
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, _end: bool) -> Action {
        self.response_bytes += size;
        Action::Continue
    }

    fn on_log(&mut self) {
        if self.answered {
            return;
        }
        log::info!(
            "bodies path={} request={} response={}",
            self.path,
            self.request_bytes,
            self.response_bytes
        );
        self.add(TOTAL_REQUEST, self.request_bytes);
        self.add(TOTAL_RESPONSE, self.response_bytes);
    }
}

impl Observe {
    fn total(&self, key: &str) -> (usize, Option<u32>) {
        let (value, cas) = self.get_shared_data(key);
        let text = value.and_then(|value| String::from_utf8(value).ok());
        (text.and_then(|text| text.parse().ok()).unwrap_or(0), cas)
    }

    fn add(&self, key: &str, bytes: usize) {
        for _ in 0..MAX_ATTEMPTS {
            let (total, cas) = self.total(key);
            match self.set_shared_data(key, Some((total + bytes).to_string().as_bytes()), cas) {
                Err(Status::CasMismatch) => {}
                Err(status) => return log::error!("shared data {key}: {status:?}"),
                Ok(()) => return,
            }
        }
        log::error!("shared data {key}: no success in {MAX_ATTEMPTS} attempts");
    }
}
