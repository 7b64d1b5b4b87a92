//! Every 50 ms: adds 1 to the counter metric `ticks` and to `ticks` in shared data, and lets the requests go on that wait
//! for a tick. A request with `x-wait: tick` waits for the next one and then carries `x-ticked: 1`.
#![cfg(target_arch = "wasm32")]
#![allow(missing_docs, reason = "the entry macro writes a function without any")]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, MapType, MetricType};

const PERIOD: Duration = Duration::from_millis(50);

/// The ids of the requests that wait.
type Waiting = Rc<RefCell<Vec<u32>>>;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Plugin { counter: 0, waiting: Waiting::default() }));
}}

struct Plugin {
    counter: u32,
    waiting: Waiting,
}

impl Context for Plugin {}

impl RootContext for Plugin {
    fn on_configure(&mut self, _size: usize) -> bool {
        let Ok(counter) = hostcalls::define_metric(MetricType::Counter, "ticks") else { return false };
        self.counter = counter;
        self.set_tick_period(PERIOD);
        true
    }

    fn on_tick(&mut self) {
        if let Err(status) = hostcalls::increment_metric(self.counter, 1) {
            log::error!("metric: {status:?}");
        }
        let (value, cas) = self.get_shared_data("ticks");
        let text = value.and_then(|value| String::from_utf8(value).ok());
        let ticks = text.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0) + 1;
        // Another worker may have been first; its tick counts then.
        let _ = self.set_shared_data("ticks", Some(ticks.to_string().as_bytes()), cas);
        for id in self.waiting.take() {
            resume(id);
        }
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Wait { id, waiting: self.waiting.clone() }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// A request that is gone in the meantime is not an error.
fn resume(id: u32) {
    if hostcalls::set_effective_context(id).is_err() {
        return;
    }
    let edited = hostcalls::set_map_value(MapType::HttpRequestHeaders, "x-ticked", Some("1"));
    if let Err(status) = edited.and_then(|()| hostcalls::resume_http_request()) {
        log::error!("resume of {id}: {status:?}");
    }
}

struct Wait {
    id: u32,
    waiting: Waiting,
}

impl Context for Wait {
    fn on_done(&mut self) -> bool {
        self.waiting.borrow_mut().retain(|id| *id != self.id);
        true
    }
}

impl HttpContext for Wait {
    fn on_http_request_headers(&mut self, _count: usize, _end: bool) -> Action {
        if self.get_http_request_header("x-wait").as_deref() != Some("tick") {
            return Action::Continue;
        }
        self.waiting.borrow_mut().push(self.id);
        Action::Pause
    }
}
