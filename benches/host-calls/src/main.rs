//! Measures what one callback and one host function cost, without any I/O: `cargo run --release -p host-calls`.
//!
//! Each line is the fastest of several rounds, since everything else on the machine only ever adds time. A host function is
//! called many times inside of one callback; what the same callback costs without the calls is taken off. Functions that cannot
//! be called many times to the same effect (a local reply, a callout, a further line or entry) are not in the table.

#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::error::Error;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use proxy_wasm_host::fake::{FakeServices, FakeStream, Ticker};
use proxy_wasm_host::{ContextId, Engine, Module, Plugin, PluginConfig, StreamBuffer};

/// Rounds of each measurement; the fastest counts.
const ROUNDS: usize = 15;
/// Callbacks in a round.
const CALLBACKS: u32 = 20_000;
/// Calls of a host function in one callback.
const CALLS: u32 = 100;
/// The id of the first metric, a counter.
const METRIC: i64 = 1 << 2;

/// Host functions without `proxy_`, with their parameters and the arguments of a typical call.
const FUNCTIONS: [(&str, &str, &[i64]); 27] = [
    ("log", "i32 i32 i32", &[0, 100, 5]),
    ("get_log_level", "i32", &[64]),
    ("get_current_time_nanoseconds", "i32", &[64]),
    ("get_header_map_value", "i32 i32 i32 i32 i32", &[0, 100, 3, 64, 68]),
    ("get_header_map_pairs", "i32 i32 i32", &[0, 64, 68]),
    ("get_header_map_size", "i32 i32", &[0, 64]),
    ("replace_header_map_value", "i32 i32 i32 i32 i32", &[0, 100, 3, 110, 5]),
    ("remove_header_map_value", "i32 i32 i32", &[0, 120, 3]),
    ("set_header_map_pairs", "i32 i32 i32", &[0, 200, 22]),
    ("get_buffer_bytes", "i32 i32 i32 i32 i32", &[0, 0, 100, 64, 68]),
    ("get_buffer_status", "i32 i32 i32", &[0, 64, 68]),
    ("set_buffer_bytes", "i32 i32 i32 i32 i32", &[0, 0, 5, 110, 5]),
    ("get_property", "i32 i32 i32 i32", &[130, 12, 64, 68]),
    ("set_property", "i32 i32 i32 i32", &[150, 4, 110, 5]),
    ("get_shared_data", "i32 i32 i32 i32 i32", &[160, 1, 64, 68, 72]),
    ("set_shared_data", "i32 i32 i32 i32 i32", &[160, 1, 110, 5, 0]),
    ("register_shared_queue", "i32 i32 i32", &[160, 1, 64]),
    ("resolve_shared_queue", "i32 i32 i32 i32 i32", &[0, 0, 160, 1, 64]),
    ("dequeue_shared_queue", "i32 i32 i32", &[1, 64, 68]),
    ("increment_metric", "i32 i64", &[METRIC, 1]),
    ("record_metric", "i32 i64", &[METRIC, 1]),
    ("get_metric", "i32 i32", &[METRIC, 64]),
    ("set_effective_context", "i32", &[2]),
    ("continue_stream", "i32", &[0]),
    ("get_status", "i32 i32 i32", &[64, 68, 72]),
    ("set_tick_period_milliseconds", "i32", &[100]),
    ("call_foreign_function", "i32 i32 i32 i32 i32 i32", &[170, 17, 0, 0, 64, 68]),
];

fn main() -> Result<(), Box<dyn Error>> {
    let engine = Engine::new()?;
    let _ticker = Ticker::start(&engine);
    println!("| what | ns |\n|---|---|");
    let nothing = fastest(&engine, "")?;
    println!("| a callback that does nothing | {nothing:.0} |");
    let reads = fastest(&engine, &call("get_header_map_value", &[0, 100, 3, 64, 68]))?;
    println!("| a callback that reads one header | {reads:.0} |");
    let empty = in_a_loop(&engine, "")?;
    for (name, _, arguments) in FUNCTIONS {
        let with = in_a_loop(&engine, &call(name, arguments))?;
        println!("| `proxy_{name}` | {:.0} |", (with - empty).max(0.0) / f64::from(CALLS));
    }
    Ok(())
}

fn call(name: &str, arguments: &[i64]) -> String {
    let types = FUNCTIONS.iter().find(|(of, ..)| *of == name).map_or("", |(_, types, _)| types);
    let arguments: String = types
        .split_whitespace()
        .zip(arguments)
        .map(|(ty, argument)| format!(" ({ty}.const {argument})"))
        .collect();
    format!("(drop (call ${name}{arguments}))")
}

/// Nanoseconds of one callback that does this many times.
fn in_a_loop(engine: &Engine, body: &str) -> Result<f64, Box<dyn Error>> {
    let text = format!(
        "(local $left i32) (local.set $left (i32.const {CALLS}))
         (loop $next {body}
           (local.set $left (i32.sub (local.get $left) (i32.const 1))) (br_if $next (local.get $left)))"
    );
    fastest(engine, &text)
}

/// Nanoseconds of one callback that does this.
fn fastest(engine: &Engine, body: &str) -> Result<f64, Box<dyn Error>> {
    let (mut plugin, id) = start(engine, body)?;
    let callbacks = if body.contains("loop") { CALLBACKS / CALLS } else { CALLBACKS };
    let mut fastest = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..callbacks {
            plugin.on_request_headers(id, 4, true)?;
            while plugin.next_effect().is_some() {}
        }
        fastest = fastest.min(start.elapsed().as_nanos() as f64 / f64::from(callbacks));
    }
    Ok(fastest)
}

fn start(engine: &Engine, body: &str) -> Result<(Plugin, ContextId), Box<dyn Error>> {
    let mut imports = String::new();
    for (name, types, _) in FUNCTIONS {
        imports.push_str(&format!(
            "(import \"env\" \"proxy_{name}\" (func ${name} (param {types}) (result i32)))\n"
        ));
    }
    let text = format!(
        r#"(module {imports}
          (import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 2) (func (export "proxy_abi_version_0_2_1"))
          (func (export "malloc") (param i32) (result i32) (i32.const 65536))
          (data (i32.const 100) "x-a") (data (i32.const 110) "value") (data (i32.const 120) "x-n")
          (data (i32.const 130) "request\00path") (data (i32.const 150) "mine") (data (i32.const 160) "k")
          (data (i32.const 170) "clear_route_cache")
          (data (i32.const 200) "\01\00\00\00\03\00\00\00\05\00\00\00x-a\00value\00")
          (func (export "proxy_on_configure") (param i32 i32) (result i32)
            (drop (call $define (i32.const 0) (i32.const 100) (i32.const 3) (i32.const 64)))
            (drop (call $register_shared_queue (i32.const 160) (i32.const 1) (i32.const 64)))
            (drop (call $set_shared_data (i32.const 160) (i32.const 1) (i32.const 110) (i32.const 5) (i32.const 0)))
            (i32.const 1))
          (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) {body} (i32.const 0)))"#
    );
    let module = Module::compile(engine, &wat::parse_str(&text)?)?;
    let services = Rc::new(FakeServices::default());
    // Lines below this level are not taken: what is measured is the call.
    services.log_level.set(Some(proxy_wasm_host::LogLevel::Warn));
    let mut plugin = Plugin::start(&module, Arc::new(PluginConfig::default()), services)?;
    let mut stream = FakeStream::with_request_headers(&[
        (":authority", "shop.example"),
        (":path", "/"),
        (":method", "GET"),
        ("user-agent", "bench/1"),
        ("x-a", "value"),
    ]);
    stream.bodies[StreamBuffer::RequestBody as usize] = Some(vec![b'b'; 100]);
    stream.properties.insert("request.path".to_owned(), b"/".to_vec());
    let id = plugin.create_stream(Rc::new(RefCell::new(stream)))?;
    Ok((plugin, id))
}
