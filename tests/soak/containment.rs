//! What filters that panic, loop, take memory and leak cost others: nothing but what their manifests say.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use gateway_tests::mortal::free_address;
use gateway_tests::{Client, Origin, Request, eventually, wasm};

use crate::gateway::{Gateway, mib, replace};

/// Of two workers, as in production.
const CLIENTS: usize = 4;
/// The default of `callbackCpu`, and what it may be exceeded by.
const BUDGET: Duration = Duration::from_millis(10);
const OVERRUN: Duration = Duration::from_millis(10);
/// For the admin interface and the signal to stop.
const PROMPTLY: Duration = Duration::from_millis(100);

struct Setup {
    gateway: Gateway,
    address: SocketAddr,
    origin: Origin,
}

/// Looks at requests alone and does what the first letter of `x-do` says: panic, loop, take memory.
fn harmful() -> Vec<u8> {
    let imports = r#"
        (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))"#;
    let parts = r#"
        (data (i32.const 16) "x-do")
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (local $letter i32)
          (if (call $get (i32.const 0) (i32.const 16) (i32.const 4) (i32.const 64) (i32.const 68))
            (then (return (i32.const 0))))
          (local.set $letter (i32.load8_u (i32.load (i32.const 64))))
          (if (i32.eq (local.get $letter) (i32.const 112)) (then unreachable))
          (if (i32.eq (local.get $letter) (i32.const 108)) (then (loop $ever (br $ever))))
          (if (i32.eq (local.get $letter) (i32.const 109)) (then
            (loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable))
          (i32.const 0))"#;
    wasm::small(imports, parts)
}

fn start(filter: &str, module: &[u8], manifest: &str) -> Setup {
    let (origin, address) = (Origin::answering("ok"), free_address());
    let directory = Gateway::folder();
    let folder = directory.path().join("filters");
    replace(&folder.join(format!("{filter}.yaml")), manifest.as_bytes());
    replace(&folder.join(format!("{filter}.wasm")), module);
    let config = format!(
        "workers: 2\nlisteners: [{{name: web, bind: '{address}'}}]\nfilters: {{directory: filters, expect: [{filter}]}}\n\
         routes: [{{to: origin}}]\nupstreams: {{origin: '{}'}}",
        origin.address()
    );
    Setup { gateway: Gateway::start(directory, &config), address, origin }
}

/// One in a hundred is harmful.
const fn is_harmful(number: usize) -> bool {
    number % 100 == 50
}

fn request(harm: Option<&str>) -> Request {
    let request = Request::get("/");
    match harm {
        Some(harm) => request.header("x-do", harm),
        None => request,
    }
}

/// Sends `requests` over as many connections as there are clients; how many got the policy, and the worst of the others.
fn send(address: SocketAddr, requests: usize, harm: &'static str) -> (usize, usize) {
    let client = move |own: usize| {
        let (mut client, mut refused, mut wrong) = (Client::connect(address), 0, 0);
        client.set_patience(Duration::from_secs(30));
        for number in (own..requests).step_by(CLIENTS) {
            let harmful = is_harmful(number);
            let status = client.send(&request(harmful.then_some(harm))).status;
            match (harmful, status) {
                (true, 503) => refused += 1,
                (false, 200) => {}
                _ => wrong += 1,
            }
        }
        (refused, wrong)
    };
    let threads: Vec<_> = (0..CLIENTS).map(|own| std::thread::spawn(move || client(own))).collect();
    let ended = threads.into_iter().map(|thread| thread.join().expect("a client that ends"));
    ended.fold((0, 0), |sum, (refused, wrong)| (sum.0 + refused, sum.1 + wrong))
}

/// `requests` with one harm in a hundred: exactly those get the policy, and they are counted. With a machine for each worker,
/// which the others have left when it fails, and with one for each request, by a filter that waits for responses.
fn one_in_a_hundred(requests: usize, harm: &'static str, reason: &str, counter: &str) {
    one_in_a_hundred_of(start("harmful", &harmful(), ""), requests, harm, reason, counter);
    let each = start("hostile", &wasm::guest("hostile"), "isolation: stream");
    one_in_a_hundred_of(each, requests, harm, reason, counter);
}

fn one_in_a_hundred_of(setup: Setup, requests: usize, harm: &'static str, reason: &str, counter: &str) {
    let Setup { gateway, address, origin } = setup;
    let cpu_before = gateway.cpu_ticks();
    let clean = send(address, requests / 10, "nothing");
    assert_eq!(clean, (0, requests / 1_000), "what does no harm is served");
    let clean_ms = (gateway.cpu_ticks() - cpu_before) as f64 * 10.0 * 10.0;
    let (began, cpu_before, seen) = (Instant::now(), gateway.cpu_ticks(), origin.received().len());
    let (refused, wrong) = send(address, requests, harm);
    let used_ms = (gateway.cpu_ticks() - cpu_before) as f64 * 10.0;
    let harms = requests / 100;
    let per_harm_ms = (used_ms - clean_ms) / harms as f64;
    let metrics = gateway.metrics();
    let counted = metrics.sum(counter, &[]);
    let by_reason = metrics.sum("gateway_filter_failed_streams_total", &[("reason", reason)]);
    println!(
        "{harm}: {requests} requests in {:.1} s, {refused} got the policy, {wrong} others failed; {counter} {counted}, \
         {reason} {by_reason}; {per_harm_ms:.2} ms of CPU each; RSS {:.1} MiB",
        began.elapsed().as_secs_f64(),
        mib(gateway.settled_rss())
    );
    assert_eq!((refused, wrong), (harms, 0));
    assert!((counted - harms as f64).abs() < 0.5 && (by_reason - harms as f64).abs() < 0.5);
    assert_eq!(origin.received().len() - seen, requests - harms);
    assert!(metrics.sum("gateway_filter_quarantines_total", &[]) < 0.5);
    assert!(Duration::from_secs_f64(per_harm_ms.max(0.0) / 1e3) <= BUDGET + OVERRUN, "{per_harm_ms} ms");
    gateway.stop();
}

#[test]
#[ignore = "a long count, run by hand"]
fn one_in_a_hundred_panics() {
    one_in_a_hundred(100_000, "panic", "filter_trap", "gateway_filter_traps_total");
}

#[test]
#[ignore = "a long count, run by hand"]
fn one_in_a_hundred_loops() {
    one_in_a_hundred(100_000, "loop", "filter_deadline", "gateway_filter_timeouts_total");
}

#[test]
#[ignore = "a long count, run by hand"]
fn one_in_a_hundred_takes_memory() {
    one_in_a_hundred(100_000, "memory", "filter_memory", "gateway_filter_traps_total");
}

#[allow(clippy::disallowed_methods, reason = "the pace of a client on a thread of its own")]
fn wait(duration: Duration) {
    std::thread::sleep(duration);
}

/// Latencies of clean requests at 1,000 requests/s for half a minute, the harmful ones among them.
fn paced(address: SocketAddr, harm: Option<&'static str>) -> Vec<Duration> {
    const RATE: u32 = 1_000;
    const THREADS: u32 = 8;
    const SECONDS: u32 = 30;
    let client = move |own: u32| {
        let mut client = Client::connect(address);
        let interval = Duration::from_secs(1) * THREADS / RATE;
        let start = Instant::now() + interval * own / THREADS;
        let mut latencies = Vec::new();
        for number in 0..RATE / THREADS * SECONDS {
            let due = start + interval * number;
            wait(due.saturating_duration_since(Instant::now()));
            let harmful = harm.filter(|_| is_harmful((number * THREADS + own) as usize));
            let began = Instant::now();
            let status = client.send(&request(harmful)).status;
            match harmful {
                None => {
                    assert_eq!(status, 200);
                    latencies.push(began.elapsed());
                }
                Some(_) => assert_eq!(status, 503),
            }
        }
        latencies
    };
    let threads: Vec<_> = (0..THREADS).map(|own| std::thread::spawn(move || client(own))).collect();
    let all = threads.into_iter().flat_map(|thread| thread.join().expect("no request failed"));
    let mut all: Vec<_> = all.collect();
    all.sort_unstable();
    all
}

#[test]
#[ignore = "a long count, run by hand"]
fn clean_requests_hardly_wait_for_loops() {
    let Setup { gateway, address, origin: _origin } = start("harmful", &harmful(), "");
    let p99 = |latencies: &[Duration]| latencies[latencies.len() * 99 / 100];
    let alone = paced(address, None);
    let beside = paced(address, Some("loop"));
    let moved = p99(&beside).saturating_sub(p99(&alone));
    println!(
        "1,000 requests/s: p99 {:?} alone, {:?} beside 10 loops per second (+{moved:?}); worst {:?} and {:?}",
        p99(&alone),
        p99(&beside),
        alone.last(),
        beside.last()
    );
    assert!(moved < BUDGET, "{moved:?}");
    gateway.stop();
}

#[test]
#[ignore = "a long count, run by hand"]
fn a_million_requests_of_a_filter_that_leaks() {
    const REQUESTS: usize = 1_000_000;
    const ROUNDS: usize = 10;
    let Setup { gateway, address, origin: _origin } =
        start("unbounded", &wasm::guest("unbounded"), "limits: {memory: 32MiB, memorySoft: 16MiB}");
    let began = Instant::now();
    let rss: Vec<u64> = (0..ROUNDS)
        .map(|round| {
            let client = move || {
                let mut client = Client::connect(address);
                let request = request(Some("leak 1"));
                (0..REQUESTS / ROUNDS / CLIENTS).filter(|_| client.send(&request).status != 200).count()
            };
            let threads: Vec<_> = (0..CLIENTS).map(|_| std::thread::spawn(client)).collect();
            let failed: usize = threads.into_iter().map(|thread| thread.join().expect("it ends")).sum();
            assert_eq!(failed, 0, "round {round}");
            gateway.settled_rss()
        })
        .collect();
    let metrics = gateway.metrics();
    let replaced = metrics.sum("gateway_filter_limit_hits_total", &[("limit", "memorySoft")]);
    let shown: Vec<_> = rss.iter().map(|bytes| format!("{:.1}", mib(*bytes))).collect();
    println!(
        "{REQUESTS} requests in {:.0} s, 0 failed; {replaced} machines replaced; RSS in MiB after each tenth: {}",
        began.elapsed().as_secs_f64(),
        shown.join(" ")
    );
    assert!(metrics.sum("gateway_filter_traps_total", &[]) < 0.5);
    let (low, high) = rss[1..].iter().fold((u64::MAX, 0), |(low, high), now| (low.min(*now), high.max(*now)));
    // Two machines that end and two that begin make the difference.
    assert!(high - low <= 64 << 20, "{shown:?}");
    gateway.stop();
}

#[test]
#[ignore = "a long count, run by hand"]
fn a_filter_that_always_fails_is_quarantined_and_harms_nobody() {
    let Setup { gateway, address, origin: _origin } = start("hostile", &wasm::guest("hostile"), "");
    let over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let client = {
        let over = over.clone();
        move || {
            let mut client = Client::connect(address);
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                match client.try_send(&request(Some("loop"))) {
                    Ok(response) => assert_eq!(response.status, 503),
                    // The gateway stops.
                    Err(_) => return,
                }
            }
        }
    };
    let threads: Vec<_> = (0..CLIENTS).map(|_| std::thread::spawn(client.clone())).collect();
    let began = Instant::now();
    eventually("quarantined", || gateway.metrics().sum("gateway_filter_quarantined", &[]) > 0.5);
    println!("quarantined after {:?}", began.elapsed());
    let mut worst = Duration::ZERO;
    for _ in 0..100 {
        let began = Instant::now();
        gateway.metrics();
        worst = worst.max(began.elapsed());
        wait(Duration::from_millis(50));
    }
    let metrics = gateway.metrics();
    let answered = metrics.sum("gateway_filter_failed_streams_total", &[("reason", "filter_quarantined")]);
    println!(
        "admin: {worst:?} at most; {answered} requests answered by the policy of a filter in quarantine"
    );
    assert!(worst < PROMPTLY, "{worst:?}");
    let began = Instant::now();
    gateway.begin_stop();
    eventually("draining", || !gateway.is_ready());
    println!("SIGTERM: not ready after {:?}", began.elapsed());
    assert!(began.elapsed() < PROMPTLY, "{:?}", began.elapsed());
    over.store(true, std::sync::atomic::Ordering::Relaxed);
    gateway.ended();
    for thread in threads {
        thread.join().expect("a client that ends");
    }
}
