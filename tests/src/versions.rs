//! Guests that are versions of one filter, good and bad, and the load that tells them apart.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::{Client, Gateway, Origin, Received, Request, pause, wasm};

/// A version of a filter that tells the origin its letter in `x-version`. `body` is run first, for each request.
#[must_use]
pub fn version(letter: char, body: &str) -> Vec<u8> {
    let imports = r#"
        (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_send_local_response"
          (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_get_current_time_nanoseconds" (func $time (param i32) (result i32)))"#;
    let parts = format!(
        r#"
        (data (i32.const 16) "x-version{letter}")
        (global $count (mut i32) (i32.const 0))
        (func $now (result i64)
          (drop (call $time (i32.const 64)))
          (i64.load (i32.const 64)))
        (func (export "proxy_on_request_headers") (param $id i32) (param i32 i32) (result i32)
          (local $until i64)
          (global.set $count (i32.add (global.get $count) (i32.const 1)))
          {body}
          (drop (call $add (i32.const 0) (i32.const 16) (i32.const 9) (i32.const 25) (i32.const 1)))
          (i32.const 0))"#
    );
    wasm::small(imports, &parts)
}

/// The letters that an origin was told, in the order of its requests; "-" for none.
#[must_use]
pub fn versions_seen(origin: &Origin) -> Vec<String> {
    let of = |request: &Received| request.header("x-version").unwrap_or("-").to_owned();
    origin.received().iter().map(of).collect()
}

/// Traps on each hundredth request.
pub const TRAPS: &str = "(if (i32.eqz (i32.rem_u (global.get $count) (i32.const 100))) (then unreachable))";
/// Is busy for 20 ms.
pub const SLOW: &str = "(local.set $until (i64.add (call $now) (i64.const 20000000)))
    (loop $on (br_if $on (i64.lt_u (call $now) (local.get $until))))";
/// Keeps 64 KiB of each request.
pub const LEAKS: &str = "(drop (memory.grow (i32.const 1)))";
/// Refuses each request.
pub const REFUSES: &str = "(drop (call $reply (i32.const 403) (i32.const 0) (i32.const 0) (i32.const 0)
    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const -1)))
    (return (i32.const 1))";

/// Versions that fail at a gate, with the gate.
#[must_use]
pub fn bad_at_load() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let good = version('a', "");
    let callback =
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))"#;
    let module = |parts: &str| wasm::small("", &format!("{callback}{parts}"));
    let configure = |body: &str| {
        module(&format!(
            r#"(func (export "proxy_on_configure") (param i32 i32) (result i32) {body} (i32.const 0))"#
        ))
    };
    let other_abi = r#"(module
        (memory (export "memory") 1)
        (func (export "proxy_abi_version_9_9_9"))
        (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 0)))"#;
    let mut oversized = good.clone();
    oversized.resize(33 << 20, 0);
    vec![
        ("truncated", good[..good.len() / 2].to_vec(), "parse"),
        ("wrong ABI", wasm::wat(other_abi), "abi"),
        ("missing import", wasm::small(r#"(import "env" "no_such_function" (func))"#, callback), "imports"),
        ("trap in start", module("(func $f unreachable) (start $f)"), "start"),
        ("configure false", configure(""), "configure"),
        ("configure loops", configure("(loop $on (br $on))"), "configure"),
        ("oversized", oversized, "size"),
    ]
}

/// Clients that send requests until it is over, each of another user, and never repeat one.
#[derive(Default)]
pub struct Load {
    failures: Mutex<Vec<String>>,
    sent: AtomicUsize,
    over: AtomicBool,
}

impl Load {
    /// Sends `per_second` requests from each of `clients` connections while `during` runs.
    ///
    /// # Panics
    /// If `during` does.
    pub fn run(gateway: &Gateway, clients: usize, per_second: u32, during: impl FnOnce(&Self)) -> Self {
        let load = Self::default();
        std::thread::scope(|scope| {
            for _ in 0..clients {
                scope.spawn(|| load.client(gateway.connect(), Duration::from_secs(1) / per_second));
            }
            // Also when it panics: the clients must end.
            struct Over<'l>(&'l AtomicBool);
            impl Drop for Over<'_> {
                fn drop(&mut self) {
                    self.0.store(true, Ordering::SeqCst);
                }
            }
            let _over = Over(&load.over);
            during(&load);
        });
        load
    }

    /// Requests that did not get a 200 since this was asked last.
    ///
    /// # Panics
    /// If a client did.
    pub fn failures(&self) -> Vec<String> {
        std::mem::take(&mut self.failures.lock().expect("no client panics"))
    }

    fn client(&self, mut client: Client, interval: Duration) {
        let mut due = Instant::now();
        while !self.over.load(Ordering::SeqCst) {
            pause(due.saturating_duration_since(Instant::now()));
            due += interval;
            let user = self.sent.fetch_add(1, Ordering::SeqCst);
            match client.try_send(&Request::get("/").header("x-user", &user.to_string())) {
                Ok(response) if response.status == 200 => {}
                Ok(response) => self.fail(response.status.to_string()),
                Err(error) => return self.fail(error.to_string()),
            }
        }
    }

    fn fail(&self, what: String) {
        self.failures.lock().expect("no client panics").push(what);
    }
}
