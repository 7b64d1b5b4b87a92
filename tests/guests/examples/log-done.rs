//! Logs the end of each request: `log`, `done` and `delete` with the request's path, and in `log` the status too, read from
//! the header maps at that time. The plugin's own `done` is logged as `plugin done`.
#![cfg(target_arch = "wasm32")]
#![allow(missing_docs, reason = "the entry macro writes a function without any")]

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Plugin));
}}

struct Plugin;

impl Context for Plugin {
    fn on_done(&mut self) -> bool {
        log::info!("plugin done");
        true
    }
}

impl RootContext for Plugin {
    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { path: String::new() }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

struct Stream {
    path: String,
}

impl Context for Stream {
    fn on_done(&mut self) -> bool {
        log::info!("done path={}", self.path);
        true
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _count: usize, _end: bool) -> Action {
        self.path = self.get_http_request_header(":path").unwrap_or_default();
        Action::Continue
    }

    fn on_log(&mut self) {
        let path = first(&self.get_http_request_headers_bytes(), ":path");
        let status = first(&self.get_http_response_headers_bytes(), ":status");
        log::info!("log path={path} status={status}");
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        log::info!("delete path={}", self.path);
    }
}

fn first(headers: &[(String, Vec<u8>)], name: &str) -> String {
    let found = headers.iter().find(|(other, _)| other == name);
    found.map_or_else(|| "none".to_owned(), |(_, value)| String::from_utf8_lossy(value).into_owned())
}
