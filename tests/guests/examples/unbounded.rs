//! Uses and ruins what the request header `x-do` says, as a word and a number; what came of it is in the response header
//! `x-done`.
#![cfg(target_arch = "wasm32")]
#![allow(missing_docs, reason = "the entry macro writes a function without any")]

use std::cell::Cell;
use std::time::{Duration, SystemTime};

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

const LEAK_BYTES: usize = 1024;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Plugin { tick: Vec::new(), queue: Cell::new(None) }));
}}

/// As in the ABI: the SDK's wrappers panic where a host refuses.
mod raw {
    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        pub(super) safe fn proxy_define_metric(kind: u32, name: *const u8, size: usize, id: *mut u32) -> u32;
        pub(super) safe fn proxy_set_shared_data(
            key: *const u8,
            key_size: usize,
            value: *const u8,
            size: usize,
            cas: u32,
        ) -> u32;
        pub(super) safe fn proxy_enqueue_shared_queue(queue: u32, value: *const u8, size: usize) -> u32;
    }
}

fn is_set(key: &str, value: &[u8]) -> bool {
    raw::proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), 0) == 0
}

thread_local! {
    /// What the plugin's tick does; set by a request.
    static LAST: Cell<u32> = const { Cell::new(0) };
}

struct Plugin {
    tick: Vec<String>,
    queue: Cell<Option<u32>>,
}

impl Context for Plugin {}

impl RootContext for Plugin {
    /// `tick MILLISECONDS HARM` works in the background.
    fn on_configure(&mut self, _size: usize) -> bool {
        let text = self.get_plugin_configuration().unwrap_or_default();
        let words = String::from_utf8_lossy(&text).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        if let [_, period, rest @ ..] = words.as_slice() {
            self.set_tick_period(Duration::from_millis(period.parse().unwrap_or(10)));
            self.tick = rest.to_vec();
        }
        self.queue.set(Some(self.register_shared_queue("own")));
        true
    }

    fn on_tick(&mut self) {
        LAST.set(LAST.get() + 1);
        if let [what, amount] = self.tick.as_slice() {
            act(what, amount.parse().unwrap_or(0), None);
        }
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Unbounded { queue: self.queue.get(), body: String::new(), done: String::new() }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

struct Unbounded {
    queue: Option<u32>,
    /// What to do with the body.
    body: String,
    done: String,
}

impl Context for Unbounded {}

impl HttpContext for Unbounded {
    fn on_http_request_headers(&mut self, _count: usize, _end: bool) -> Action {
        let asked = self.get_http_request_header("x-do").unwrap_or_default();
        let (what, amount) = asked.split_once(' ').unwrap_or((&asked, "0"));
        if let Some(edit) = what.strip_prefix("edit-") {
            self.set_http_request_header("x-mine", None);
            self.add_http_request_header("x-edited", "yes");
            self.set_http_request_header(":path", Some("/edited"));
            return fail(edit);
        }
        if what.starts_with("body-") || what.starts_with("response-") {
            self.body = what.to_owned();
            return Action::Continue;
        }
        if what == "fail" {
            return fail(what);
        }
        self.done = act(what, amount.parse().unwrap_or(0), self.queue);
        Action::Continue
    }

    /// Ruins every piece and fails with the last one.
    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        let Some(how) = self.body.strip_prefix("body-") else { return Action::Continue };
        self.set_http_request_body(0, size, b"ruined");
        if end { fail(how) } else { Action::Pause }
    }

    fn on_http_response_headers(&mut self, _count: usize, _end: bool) -> Action {
        if let Some(how) = self.body.strip_prefix("response-") {
            self.set_http_response_header("x-origin", None);
            self.set_http_response_header(":status", Some("201"));
            return fail(how);
        }
        self.add_http_response_header("x-done", &self.done);
        self.add_http_response_header("x-ticks", &LAST.get().to_string());
        Action::Continue
    }
}

/// By a panic, or by asking for the policy.
fn fail(how: &str) -> Action {
    if how == "panic" {
        panic!("asked to panic");
    }
    let answer = hostcalls::call_foreign_function("fail_stream", Some(b"out of luck"));
    assert!(answer.is_ok(), "{answer:?}");
    Action::Pause
}

fn act(what: &str, amount: u64, queue: Option<u32>) -> String {
    let counted = |one: &dyn Fn(u64) -> bool| (0..amount).filter(|n| one(*n)).count().to_string();
    match what {
        "spin" => {
            let until = now() + Duration::from_micros(amount);
            while now() < until {}
            String::new()
        }
        "panic" => panic!("asked to panic"),
        "leak" => {
            for _ in 0..amount {
                // A compiler may leave out what nobody looks at.
                std::mem::forget(std::hint::black_box(vec![1_u8; LEAK_BYTES]));
            }
            String::new()
        }
        "log" => {
            (0..amount).for_each(|n| {
                let _ = hostcalls::log(LogLevel::Error, &format!("line {n} of many"));
            });
            String::new()
        }
        "metrics" => {
            let defined = |name: String| raw::proxy_define_metric(0, name.as_ptr(), name.len(), &mut 0) == 0;
            counted(&|n| defined(format!("m{n}")))
        }
        "keys" => counted(&|n| is_set(&format!("k{n}"), b"1")),
        "kept" => counted(&|n| matches!(hostcalls::get_shared_data(&format!("k{n}")), Ok((Some(_), _)))),
        "data" => counted(&|n| is_set(&format!("d{n}"), &[1; 1000])),
        "queue" => {
            let queue = queue.unwrap_or_default();
            counted(&|_| raw::proxy_enqueue_shared_queue(queue, b"entry".as_ptr(), 5) == 0)
        }
        "calls" => counted(&|_| {
            let headers = vec![(":method", "GET"), (":path", "/called"), (":authority", "it")];
            let time = Duration::from_secs(5);
            hostcalls::dispatch_http_call("origin", headers, None, vec![], time).is_ok()
        }),
        _ => String::new(),
    }
}

fn now() -> SystemTime {
    hostcalls::get_current_time().expect("there is a clock")
}
