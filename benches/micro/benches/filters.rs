//! What a shipped filter adds to a request: processor time of this thread in the gateway's own host, with the filter and
//! without it. The five that look at heads alone; `jwt-auth` is about signatures.
//!
//!     cargo bench -p micro-benches --bench filters                              the modules that the tests have built
//!     cargo bench -p micro-benches --bench filters -- DIR                       those in another directory
//!     cargo bench -p micro-benches --bench filters -- --count 10000 api-key     as many requests, for a counter of instructions
//!
//! A request is a stream from its beginning to its deletion: every callback that the filter has, every host call, the
//! guest's allocations, edits of the head. The stream and the services are those of `proxy_wasm_host::fake`. Medians
//! over rounds; fails when a filter is over its limit, but not under `cargo test`.

use std::cell::RefCell;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use proxy_wasm_host::fake::{FakeServices, FakeStream, Ticker};
use proxy_wasm_host::{Callback, ContextId, Effect, Engine, Module, Plugin, PluginConfig, StreamMap};
use rustix::time::{ClockId, clock_gettime};

/// The gateway's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a filter of heads may add to a request.
const LIMIT_US: f64 = 2.0;
const ROUNDS: usize = 15;
const REQUESTS_PER_ROUND: u32 = 2_000;

/// A filter, its configuration, and whether it is to let the request pass.
const FILTERS: [(&str, &str); 5] = [
    (
        "api-key",
        r#"{"query": "api_key", "consumers": [
            {"name": "acme", "keys": ["2fb1c3d0a9e84a17", "77aa01c5d2f94be6"]},
            {"name": "big-corp", "keys": ["9d0c7e51b3a64f28"]}]}"#,
    ),
    (
        "deny-list",
        r#"{"deny": [
            {"addresses": ["198.51.100.0/24", "2001:db8::/32"]}, {"path": {"prefix": "/admin"}}, {"path": {"suffix": ".php"}},
            {"header": {"name": "user-agent", "contains": "badbot"}},
            {"methods": ["DELETE"], "header": {"name": "x-confirmed", "present": false}}]}"#,
    ),
    ("rate-limit", r#"{"limits": [{"requests": 1000000, "per": "1s", "burst": 1000000}]}"#),
    ("quota", r#"{"limit": 1000000000, "window": "24h"}"#),
    ("request-stats", r#"{"labels": {"destination_workload": "reviews-v1", "destination_version": "v1"}}"#),
];
/// What a browser sends, and what the filters look for.
const REQUEST: [(&str, &str); 12] = [
    (":method", "GET"),
    (":path", "/products/42?lang=en"),
    (":authority", "shop.example.com"),
    (":scheme", "https"),
    ("accept", "text/html,application/xhtml+xml"),
    ("accept-encoding", "gzip, br"),
    ("accept-language", "en"),
    ("cookie", "session=0123456789abcdef"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)"),
    ("x-api-key", "2fb1c3d0a9e84a17"),
    ("x-consumer", "acme"),
    ("x-request-id", "8f14e45f-ceea-467f-a83d-8cfb0f8e4b2c"),
];
const RESPONSE: [(&str, &str); 4] =
    [(":status", "200"), ("content-type", "text/html"), ("content-length", "1024"), ("server", "origin")];

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
    let mut arguments = std::env::args().skip(1).peekable();
    let (mut directory, mut count, mut only, mut is_judged) = (built(), None, None, false);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            // `cargo test` runs benches too, to see that they run.
            "--bench" => is_judged = true,
            "--count" => count = arguments.next().map(|number| number.parse()).transpose()?,
            name if FILTERS.iter().any(|(filter, _)| *filter == name) => only = Some(argument),
            _ => directory = PathBuf::from(argument),
        }
    }
    if !is_judged && !directory.is_dir() {
        println!("skipped: no modules in {}; the tests of gateway-tests build them", directory.display());
        return Ok(true);
    }
    let engine = Engine::new()?;
    let _ticker = Ticker::start(&engine);
    let mut is_good = true;
    println!("| filter | µs added (smallest and largest round) |\n|---|---|");
    for (name, config) in FILTERS.iter().filter(|(name, _)| only.as_deref().is_none_or(|only| only == *name))
    {
        let mut bench = Bench::start(&engine, &directory, name, config)?;
        if let Some(count) = count {
            (0..count).for_each(|_| bench.request(true));
            bench.check(name)?;
            continue;
        }
        // The first rounds make what is made on first use.
        let rounds = if is_judged { ROUNDS } else { 1 };
        let mut added: Vec<f64> =
            (0..=rounds).map(|_| bench.round(true) - bench.round(false)).skip(1).collect();
        added.sort_by(f64::total_cmp);
        let median = added[added.len() / 2];
        println!("| `{name}` | {median:.2} ({:.2} to {:.2}) |", added[0], added[added.len() - 1]);
        bench.check(name)?;
        is_good &= median <= LIMIT_US;
    }
    Ok(!is_judged || is_good)
}

/// Where the tests build the shipped filters.
fn built() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(target).join("guests/wasm32-wasip1/filter")
}

struct Bench {
    plugin: Plugin,
    services: Rc<FakeServices>,
    requests: u64,
    /// Requests that the filter ended itself, or failed.
    not_passed: u64,
}

impl Bench {
    fn start(engine: &Engine, directory: &Path, name: &str, config: &str) -> Result<Self, Box<dyn Error>> {
        let path = directory.join(format!("{}.wasm", name.replace('-', "_")));
        let wasm = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let module = Module::compile(engine, &wasm)?;
        let services = Rc::new(FakeServices::default());
        let config = PluginConfig {
            configuration: config.as_bytes().to_vec(),
            name: name.to_owned(),
            ..PluginConfig::default()
        };
        let plugin = Plugin::start(&module, Arc::new(config), services.clone())?;
        Ok(Self { plugin, services, requests: 0, not_passed: 0 })
    }

    /// Microseconds of processor time for each request.
    fn round(&mut self, filtered: bool) -> f64 {
        let began = thread_ns();
        (0..REQUESTS_PER_ROUND).for_each(|_| self.request(filtered));
        (thread_ns() - began) / f64::from(REQUESTS_PER_ROUND) / 1_000.0
    }

    /// One request, or all of it but the filter.
    fn request(&mut self, filtered: bool) {
        self.requests += 1;
        // A millisecond apart.
        self.services.now_ns.set(1_767_225_600_000_000_000 + self.requests * 1_000_000);
        let mut stream = FakeStream::with_request_headers(&REQUEST);
        stream.properties.insert("source.address".to_owned(), b"192.0.2.7:40000".to_vec());
        let stream = Rc::new(RefCell::new(stream));
        let id = if filtered { self.on_the_way_there(&stream) } else { None };
        stream.borrow_mut().set_map(StreamMap::ResponseHeaders, &RESPONSE);
        if let Some(id) = id {
            self.on_the_way_back(id);
        }
    }

    fn on_the_way_there(&mut self, stream: &Rc<RefCell<FakeStream>>) -> Option<ContextId> {
        let id = self.plugin.create_stream(stream.clone()).ok()?;
        if self.plugin.handles(Callback::RequestHeaders) {
            let passed = self.plugin.on_request_headers(id, REQUEST.len(), true);
            self.not_passed += u64::from(passed.is_err());
        }
        self.drain();
        Some(id)
    }

    fn on_the_way_back(&mut self, id: ContextId) {
        if self.plugin.handles(Callback::ResponseHeaders) {
            let passed = self.plugin.on_response_headers(id, RESPONSE.len(), true);
            self.not_passed += u64::from(passed.is_err());
        }
        self.not_passed += u64::from(self.plugin.finish_stream(id).is_err());
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(effect) = self.plugin.next_effect() {
            self.not_passed += u64::from(matches!(effect, Effect::LocalReply { .. }));
        }
    }

    /// That what was measured is a request that passes.
    fn check(&self, name: &str) -> Result<(), String> {
        if self.not_passed > 0 {
            return Err(format!("{name}: {} of {} requests did not pass", self.not_passed, self.requests));
        }
        Ok(())
    }
}

fn thread_ns() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
