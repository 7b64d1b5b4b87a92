//! Stamps both directions with the text of its configuration: the request gets `x-stamp-seen`, the response `x-stamp`.
#![cfg(target_arch = "wasm32")]
#![allow(missing_docs, reason = "the entry macro writes a function without any")]

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Plugin { stamp: Vec::new() }));
}}

struct Plugin {
    stamp: Vec<u8>,
}

impl Context for Plugin {}

impl RootContext for Plugin {
    fn on_configure(&mut self, _size: usize) -> bool {
        self.stamp = self.get_plugin_configuration().unwrap_or_default();
        true
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stamp { stamp: self.stamp.clone() }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

struct Stamp {
    stamp: Vec<u8>,
}

impl Context for Stamp {}

impl HttpContext for Stamp {
    fn on_http_request_headers(&mut self, _count: usize, _end: bool) -> Action {
        self.set_http_request_header_bytes("x-stamp-seen", Some(&self.stamp));
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _count: usize, _end: bool) -> Action {
        self.add_http_response_header_bytes("x-stamp", &self.stamp);
        Action::Continue
    }
}
