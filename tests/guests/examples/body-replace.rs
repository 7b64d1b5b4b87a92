//! Holds the request body until it is whole, then replaces it by its upper case; appends the text of its configuration
//! (`|suffix` if there is none) to the end of the response body. Never touches `content-length`.
#![cfg(target_arch = "wasm32")]
#![allow(missing_docs, reason = "the entry macro writes a function without any")]

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};

const DEFAULT_SUFFIX: &[u8] = b"|suffix";

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Plugin { suffix: Vec::new() }));
}}

struct Plugin {
    suffix: Vec<u8>,
}

impl Context for Plugin {}

impl RootContext for Plugin {
    fn on_configure(&mut self, _size: usize) -> bool {
        let text = self.get_plugin_configuration().filter(|text| !text.is_empty());
        self.suffix = text.unwrap_or_else(|| DEFAULT_SUFFIX.to_vec());
        true
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Replace { suffix: self.suffix.clone() }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

struct Replace {
    suffix: Vec<u8>,
}

impl Context for Replace {}

impl HttpContext for Replace {
    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        if !end {
            return Action::Pause;
        }
        let body = self.get_http_request_body(0, size).unwrap_or_default();
        self.set_http_request_body(0, size, &body.to_ascii_uppercase());
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, end: bool) -> Action {
        if end {
            self.set_http_response_body(size, 0, &self.suffix);
        }
        Action::Continue
    }
}
