//! Does the harm that the request header `x-do` asks for: `loop`, `memory`, `panic` or `stack`. Anything else passes.
//! With `x-do-at: response` it waits for the response headers first.
#![cfg(target_arch = "wasm32")]
#![allow(missing_docs, reason = "the entry macro writes a function without any")]

use std::hint::black_box;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, LogLevel};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_http_context(|_, _| Box::new(Hostile { at_response: None }));
}}

struct Hostile {
    at_response: Option<String>,
}

impl Context for Hostile {}

impl HttpContext for Hostile {
    fn on_http_request_headers(&mut self, _count: usize, _end: bool) -> Action {
        let what = self.get_http_request_header("x-do");
        if self.get_http_request_header("x-do-at").as_deref() == Some("response") {
            self.at_response = what;
        } else {
            harm(what.as_deref());
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _count: usize, _end: bool) -> Action {
        harm(self.at_response.as_deref());
        Action::Continue
    }
}

fn harm(what: Option<&str>) {
    match what {
        Some("loop") => loop {
            black_box(0);
        },
        Some("memory") => exhaust_memory(),
        Some("panic") => panic!("asked to panic"),
        Some("stack") => {
            black_box(recurse(0));
        }
        _ => {}
    }
}

/// Grows without touching, so that the memory limit is met before any deadline.
fn exhaust_memory() -> ! {
    const STEP_PAGES: usize = 16;
    while std::arch::wasm32::memory_grow(0, STEP_PAGES) != usize::MAX {}
    std::arch::wasm32::unreachable()
}

/// Uses its argument after the call, so that no optimiser can make a loop of it.
#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 32]);
    if black_box(false) {
        return depth;
    }
    recurse(depth + 1).wrapping_add(frame[0])
}
