//! Answers `/properties?name=a.b.c` with the raw bytes of that property: 404 if there is none, 500 with the status if the
//! host refuses. With the request header `x-phase: response` it asks in the response headers callback, and replaces the
//! upstream's response.
#![cfg(target_arch = "wasm32")]
#![allow(missing_docs, reason = "the entry macro writes a function without any")]

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

proxy_wasm::main! {{
    proxy_wasm::set_http_context(|_, _| Box::new(Properties { at_response: None }));
}}

struct Properties {
    at_response: Option<String>,
}

impl Context for Properties {}

impl HttpContext for Properties {
    fn on_http_request_headers(&mut self, _count: usize, _end: bool) -> Action {
        let path = self.get_http_request_header(":path").unwrap_or_default();
        let Some(name) = path.strip_prefix("/properties?name=") else { return Action::Continue };
        if self.get_http_request_header("x-phase").as_deref() == Some("response") {
            self.at_response = Some(name.to_owned());
            return Action::Continue;
        }
        self.answer(name);
        Action::Pause
    }

    fn on_http_response_headers(&mut self, _count: usize, _end: bool) -> Action {
        let Some(name) = self.at_response.take() else { return Action::Continue };
        self.answer(&name);
        Action::Pause
    }
}

impl Properties {
    fn answer(&self, name: &str) {
        match hostcalls::get_property(name.split('.').collect()) {
            Ok(Some(bytes)) => self.send_http_response(200, vec![("x-property", name)], Some(&bytes)),
            Ok(None) => self.send_http_response(404, vec![("x-property", name)], None),
            Err(status) => {
                let text = format!("{status:?}");
                self.send_http_response(500, vec![("x-property", name)], Some(text.as_bytes()));
            }
        }
    }
}
