//! Keeps a secret in shared data and reads a queue; how many entries came is in the response header `x-inbox`.
#![cfg(target_arch = "wasm32")]
#![allow(missing_docs, reason = "the entry macro writes a function without any")]

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::Action;
use proxy_wasm::types::ContextType;

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Plugin { inbox: 0 }));
}}

struct Plugin {
    inbox: u32,
}

impl Context for Plugin {}

impl RootContext for Plugin {
    fn on_configure(&mut self, _size: usize) -> bool {
        self.inbox = self.register_shared_queue("inbox");
        hostcalls::set_shared_data("secret", Some(b"of the victim"), None).is_ok()
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Victim { inbox: self.inbox }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

struct Victim {
    inbox: u32,
}

impl Context for Victim {}

impl HttpContext for Victim {
    fn on_http_response_headers(&mut self, _count: usize, _end: bool) -> Action {
        let mut entries = 0;
        while let Ok(Some(_)) = hostcalls::dequeue_shared_queue(self.inbox) {
            entries += 1;
        }
        self.add_http_response_header("x-inbox", &entries.to_string());
        Action::Continue
    }
}
