//! Guests written in a few lines: a text module that imports the whole ABI, with helpers that tell through the log which
//! status a host call answered (`say`) and what it handed over (`show`).

use std::cell::RefCell;
use std::fmt::Write;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use crate::abi::{Action, ContextId, LogLevel};
use crate::effects::Effect;
use crate::engine::Engine;
use crate::fake::{FakeServices, FakeStream, Ticker};
use crate::module::Module;
use crate::plugin::{CallError, Plugin, PluginConfig, StartError};

/// Where guests let the host write pointer and length of a value.
pub(crate) const OUT: u32 = 4000;
/// Where guests let the host write a number.
pub(crate) const NUMBER: u32 = 4016;
/// Outside of the one page of memory.
pub(crate) const OUTSIDE: u32 = 1 << 20;

/// Names without `proxy_`, and numbers of `i32` parameters.
const ABI: [(&str, usize); 41] = [
    ("log", 3),
    ("get_log_level", 1),
    ("get_status", 3),
    ("set_property", 4),
    ("get_property", 4),
    ("send_local_response", 8),
    ("get_shared_data", 5),
    ("set_shared_data", 5),
    ("register_shared_queue", 3),
    ("resolve_shared_queue", 5),
    ("enqueue_shared_queue", 3),
    ("dequeue_shared_queue", 3),
    ("get_header_map_value", 5),
    ("add_header_map_value", 5),
    ("replace_header_map_value", 5),
    ("remove_header_map_value", 3),
    ("get_header_map_pairs", 3),
    ("set_header_map_pairs", 3),
    ("get_header_map_size", 2),
    ("get_buffer_status", 3),
    ("get_buffer_bytes", 5),
    ("set_buffer_bytes", 5),
    ("http_call", 10),
    ("grpc_call", 12),
    ("grpc_stream", 9),
    ("grpc_close", 1),
    ("grpc_cancel", 1),
    ("grpc_send", 4),
    ("set_tick_period_milliseconds", 1),
    ("get_current_time_nanoseconds", 1),
    ("define_metric", 4),
    ("get_metric", 2),
    ("set_effective_context", 1),
    ("done", 0),
    ("call_foreign_function", 6),
    ("get_configuration", 2),
    ("continue_request", 0),
    ("continue_response", 0),
    ("clear_route_cache", 0),
    ("continue_stream", 1),
    ("close_stream", 1),
];

/// `proxy_on_memory_allocate` that never frees.
pub(crate) const BUMP_ALLOCATOR: &str = r#"(global $heap (mut i32) (i32.const 8192))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32)
    (global.get $heap) (global.set $heap (i32.add (global.get $heap) (local.get 0))))"#;

/// A module with everything but callbacks and allocator.
pub(crate) fn module_text(marker: &str, parts: &str) -> String {
    let mut imports = String::new();
    for (name, params) in &ABI {
        let params = " i32".repeat(*params);
        writeln!(imports, r#"(import "env" "proxy_{name}" (func ${name} (param{params}) (result i32)))"#)
            .unwrap();
    }
    for name in ["increment_metric", "record_metric"] {
        writeln!(imports, r#"(import "env" "proxy_{name}" (func ${name} (param i32 i64) (result i32)))"#)
            .unwrap();
    }
    for (name, params) in [
        ("fd_write", "i32 i32 i32 i32"),
        ("fd_prestat_get", "i32 i32"),
        ("fd_fdstat_get", "i32 i32"),
        ("clock_time_get", "i32 i64 i32"),
        ("random_get", "i32 i32"),
        ("environ_sizes_get", "i32 i32"),
        ("environ_get", "i32 i32"),
        ("args_sizes_get", "i32 i32"),
    ] {
        writeln!(
            imports,
            r#"(import "wasi_snapshot_preview1" "{name}" (func ${name} (param {params}) (result i32)))"#
        )
        .unwrap();
    }
    format!(
        r#"(module {imports}
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (func (export "{marker}"))
  (func $say (param i32)
    (i32.store8 (i32.const 4090) (i32.add (i32.const 48) (local.get 0)))
    (drop (call $log (i32.const 1) (i32.const 4090) (i32.const 1))))
  (func $show (param i32)
    (call $say (local.get 0))
    (drop (call $log (i32.const 2) (i32.load (i32.const {OUT})) (i32.load (i32.const {OUT_LEN})))))
  {parts})"#,
        OUT_LEN = OUT + 4,
    )
}

/// A guest of ABI 0.2.1 with the bump allocator.
pub(crate) fn guest(parts: &str) -> String {
    module_text("proxy_abi_version_0_2_1", &format!("{BUMP_ALLOCATOR} {parts}"))
}

/// `proxy_on_request_headers` that does this and answers Continue.
pub(crate) fn on_request_headers(code: &str) -> String {
    format!(
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) {code} (i32.const 0))"#
    )
}

/// A call whose answer is left on the stack.
pub(crate) fn call(name: &str, arguments: &[u32]) -> String {
    let arguments: String = arguments.iter().map(|argument| format!(" (i32.const {argument})")).collect();
    format!("(call ${name}{arguments})")
}

/// A call whose status is told.
pub(crate) fn say(name: &str, arguments: &[u32]) -> String {
    format!("(call $say {})", call(name, arguments))
}

/// A call whose status and value (at [`OUT`]) are told.
pub(crate) fn show(name: &str, arguments: &[u32]) -> String {
    format!("(call $show {})", call(name, arguments))
}

/// Tells the number at [`NUMBER`], which is below 80.
pub(crate) fn say_number() -> String {
    format!("(call $say (i32.load (i32.const {NUMBER})))")
}

/// Bytes in guest memory from the start. `\00` escapes as in the text format.
pub(crate) fn data(at: u32, text: &str) -> String {
    format!("(data (i32.const {at}) \"{text}\")")
}

/// Bytes in guest memory, whatever they are.
pub(crate) fn bytes(at: u32, bytes: &[u8]) -> String {
    let escaped: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
    data(at, &escaped)
}

pub(crate) fn wasm(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// One engine for all tests, ticking for as long as the process lives.
pub(crate) fn engine() -> &'static Engine {
    static ENGINE: OnceLock<(Engine, Ticker)> = OnceLock::new();
    let (engine, _) = ENGINE.get_or_init(|| {
        let engine = Engine::new().unwrap();
        let ticker = Ticker::start(&engine);
        (engine, ticker)
    });
    engine
}

/// A started plugin with one stream in its request headers phase.
pub(crate) struct Host {
    pub(crate) plugin: Plugin,
    pub(crate) services: Rc<FakeServices>,
    pub(crate) stream: Rc<RefCell<FakeStream>>,
}

impl Host {
    pub(crate) fn start(text: &str) -> Self {
        Self::start_with(text, PluginConfig::default()).unwrap()
    }

    pub(crate) fn start_with(text: &str, config: PluginConfig) -> Result<Self, StartError> {
        Self::start_in(text, config, Rc::new(FakeServices::default()))
    }

    pub(crate) fn start_in(
        text: &str,
        config: PluginConfig,
        services: Rc<FakeServices>,
    ) -> Result<Self, StartError> {
        let module = Module::compile(engine(), &wasm(text)).unwrap();
        let plugin = Plugin::start(&module, Arc::new(config), services.clone())?;
        let stream =
            FakeStream::with_request_headers(&[(":authority", "shop"), (":path", "/"), ("x-a", "one")]);
        Ok(Self { plugin, services, stream: Rc::new(RefCell::new(stream)) })
    }

    pub(crate) fn create_stream(&mut self) -> ContextId {
        self.plugin.create_stream(self.stream.clone()).unwrap()
    }

    /// Runs request headers of a new stream.
    pub(crate) fn request(&mut self) -> Result<Action, CallError> {
        let id = self.plugin.create_stream(self.stream.clone())?;
        self.plugin.on_request_headers(id, 3, true)
    }

    /// Statuses told since the last look.
    pub(crate) fn statuses(&self) -> Vec<u32> {
        self.take(LogLevel::Debug).iter().map(|line| u32::from(line.as_bytes()[0]) - 48).collect()
    }

    /// Values told since the last look.
    pub(crate) fn values(&self) -> Vec<String> {
        self.take(LogLevel::Info)
    }

    pub(crate) fn effects(&mut self) -> Vec<Effect> {
        std::iter::from_fn(|| self.plugin.next_effect()).collect()
    }

    fn take(&self, level: LogLevel) -> Vec<String> {
        let lines = self.services.lines_at(level);
        self.services.logs.borrow_mut().retain(|(candidate, _)| *candidate != level);
        lines
    }
}

/// Runs one request through a guest that does this in its request headers callback; statuses and values it told.
pub(crate) fn run(code: &str, parts: &str) -> (Vec<u32>, Vec<String>, Host) {
    let mut host = Host::start(&guest(&format!("{} {parts}", on_request_headers(code))));
    assert_eq!(host.request(), Ok(Action::Continue));
    (host.statuses(), host.values(), host)
}
