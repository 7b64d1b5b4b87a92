//! What a copy of a configured filter costs: a request with a machine to itself (`isolation: stream`), a machine that takes
//! the place of one that failed (`isolation: worker`), and the memory of idle ones.
//!
//!     cargo bench -p micro-benches --bench copies                    with a filter of a few lines
//!     cargo bench -p micro-benches --bench copies -- FILTER.wasm     with any filter that needs no configuration
//!
//! Processor time of this thread, medians over rounds. Fails when a request is over its limit, but not under `cargo test`.

use std::cell::RefCell;
use std::error::Error;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use proxy_wasm_host::fake::{FakeServices, FakeStream, Ticker};
use proxy_wasm_host::{
    Engine, Image, Limits, Module, Plugin, PluginConfig, SharedRandomness, Started, StreamMap, Template,
};
use rustix::time::{ClockId, clock_gettime};

/// A whole request of six callbacks in a copy of its own may cost as much.
const LIMIT_US: f64 = 15.0;
/// A new machine in place of a failed one.
const REPLACEMENT_LIMIT_US: f64 = 1_000.0;
const ROUNDS: usize = 31;
const REQUESTS_PER_ROUND: u32 = 500;
const SLOTS: u32 = 1_024;
/// As on two workers with twenty filters.
const IDLE_MACHINES: usize = 40;

const SMALL: &str = r#"(module
  (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 17)
  (data (i32.const 1048576) "x-copiedyes")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1050000))
  (func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.store (i32.const 1049000) (i32.const 7)) (i32.const 1))
  (func (export "proxy_on_context_create") (param i32 i32) (i32.store (i32.const 1049000) (i32.const 8)))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (drop (call $add (i32.const 0) (i32.const 1048576) (i32.const 8) (i32.const 1048584) (i32.const 3))) (i32.const 0))
  (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (i32.const 0)))"#;

fn main() -> ExitCode {
    match measure() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<bool, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test` runs benches too, to see that they run.
    let is_judged = arguments.iter().any(|argument| argument == "--bench");
    let wasm = match arguments.iter().find(|argument| argument.ends_with(".wasm")) {
        Some(path) => std::fs::read(path)?,
        None => wat::parse_str(SMALL)?,
    };
    let engine = Engine::with_slots(SLOTS)?;
    let _ticker = Ticker::start(&engine);
    let module = Module::compile(&engine, &wasm)?;
    let config = Arc::new(PluginConfig { limits: Limits::default(), ..PluginConfig::default() });
    let mut started = Started::start(&module, config, Rc::new(FakeServices::default()))?;
    let image = Image::freeze(&engine, &mut started, &module, &wasm, SharedRandomness::Accept)?;
    let template = Template::new(image, Rc::new(FakeServices::default()))?;
    println!("filter: {} bytes, {} of memory", wasm.len(), started.memory_bytes());

    let bare = median(|| drop(template.plugin_for_stream()));
    let whole = median(|| request(&mut copy(&template)));
    let mut shared = copy(&template);
    let callbacks = median(|| request(&mut shared));
    let replacement = median(|| drop(template.plugin()));
    println!("a copy made and thrown away:         {bare:7.2} us");
    println!("a request in a copy of its own:      {whole:7.2} us (limit {LIMIT_US})");
    println!("the same in a machine that is there: {callbacks:7.2} us");
    println!("a machine in place of a failed one:  {replacement:7.2} us (limit {REPLACEMENT_LIMIT_US})");

    let before = resident_bytes()?;
    let idle: Vec<Plugin> = (0..IDLE_MACHINES).map(|_| copy(&template)).collect();
    let each = resident_bytes()?.saturating_sub(before) / IDLE_MACHINES;
    println!("resident memory of an idle machine:  {} KiB", each / 1024);
    drop(idle);
    Ok(!is_judged || (whole <= LIMIT_US && replacement <= REPLACEMENT_LIMIT_US))
}

#[expect(clippy::expect_used, reason = "a bench that cannot copy has nothing to measure")]
fn copy(template: &Template) -> Plugin {
    template.plugin_for_stream().expect("a copy")
}

fn request(plugin: &mut Plugin) {
    let mut stream =
        FakeStream::with_request_headers(&[(":method", "GET"), (":path", "/"), (":authority", "a")]);
    stream.set_map(StreamMap::ResponseHeaders, &[(":status", "200")]);
    let Ok(id) = plugin.create_stream(Rc::new(RefCell::new(stream))) else { return };
    // A filter that fails shows in the figures: its machine is of no use any more.
    let _ = plugin.on_request_headers(id, 3, true);
    let _ = plugin.on_response_headers(id, 1, true);
    let _ = plugin.finish_stream(id);
    while plugin.next_effect().is_some() {}
}

/// Microseconds of processor time.
fn median(mut run: impl FnMut()) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let began = thread_ns();
            (0..REQUESTS_PER_ROUND).for_each(|_| run());
            (thread_ns() - began) / f64::from(REQUESTS_PER_ROUND) / 1_000.0
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

fn thread_ns() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

fn resident_bytes() -> Result<usize, Box<dyn Error>> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: usize = statm.split_whitespace().nth(1).ok_or("no resident pages")?.parse()?;
    Ok(pages * rustix::param::page_size())
}
