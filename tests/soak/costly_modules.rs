//! Does anybody notice that modules are compiled, or refused, which were made to be costly?

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use gateway_tests::mortal::free_address;
use gateway_tests::{Client, Origin, Request, bombs, pause, wasm};

use crate::gateway::{Gateway, mib, replace};

/// Clients, each with a connection of its own, and the time between two requests of each.
const CLIENTS: usize = 16;
const INTERVAL: Duration = Duration::from_millis(16);
/// How long the load runs alone, and how long beside each compilation.
const ALONE: Duration = Duration::from_secs(20);
/// Between two questions whether it is over.
const ASK_INTERVAL: Duration = Duration::from_millis(200);
const MAX_RATIO: f64 = 1.2;
const ROUNDS: usize = 5;
const CPU_SECONDS: u64 = 20;

/// Milliseconds of every request so far. Panics if one fails.
struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<Vec<f64>>>,
}

impl Load {
    fn start(address: SocketAddr) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let client = |_| {
            let stop = stop.clone();
            thread::spawn(move || {
                let mut client = Client::connect(address);
                let mut times = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let sent = Instant::now();
                    let response = client.try_send(&Request::get("/")).expect("a response");
                    assert_eq!(response.status, 200);
                    times.push(sent.elapsed().as_secs_f64() * 1e3);
                    pause(INTERVAL.saturating_sub(sent.elapsed()));
                }
                times
            })
        };
        Self { threads: (0..CLIENTS).map(client).collect(), stop }
    }

    /// The number of requests, and the median and 99th percentile of their times.
    fn stop(self) -> (usize, f64, f64) {
        self.stop.store(true, Ordering::Relaxed);
        let mut times: Vec<f64> =
            self.threads.into_iter().flat_map(|client| client.join().expect("no failure")).collect();
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        (times.len(), at(0.5), at(0.99))
    }
}

/// A gateway that compiles for at most [`CPU_SECONDS`], and where it listens.
fn site() -> (Gateway, SocketAddr, Origin) {
    let origin = Origin::answering("ok");
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_address().port()));
    let config = format!(
        "listeners: [{{bind: '{address}'}}]\naccessLog: off\nroutes: [{{to: origin}}]\nupstreams: {{origin: '{}'}}\n\
         filters: {{directory: filters, cache: off, state: off, compile: {{cpu: {CPU_SECONDS}s}}}}",
        origin.address()
    );
    let gateway = Gateway::start(Gateway::folder(), &config);
    // Once, so that all is warm.
    pause(Duration::from_secs(2));
    (gateway, address, origin)
}

/// Modules of each round, others each time, since what was refused is not tried again. Made beforehand: that takes processor
/// time, too.
struct Prepared(Vec<Vec<(PathBuf, PathBuf)>>);

impl Prepared {
    fn new(gateway: &Gateway, of_round: impl Fn(usize) -> Vec<(&'static str, Vec<u8>)>) -> Self {
        let filters = gateway.directory().join("filters");
        let prepared = |round, (name, module): (&str, Vec<u8>)| {
            let beside = gateway.directory().join(format!("{name}-{round}"));
            std::fs::write(&beside, module).expect("a writable folder");
            (beside, filters.join(format!("{name}.wasm")))
        };
        let rounds = (0..ROUNDS)
            .map(|round| of_round(round).into_iter().map(|module| prepared(round, module)).collect());
        Self(rounds.collect())
    }

    fn drop_in(&self, round: usize) {
        for (beside, place) in &self.0[round] {
            std::fs::rename(beside, place).expect("on the same file system");
        }
    }
}

/// Versions of a filter that were refused at a gate.
fn refused(gateway: &Gateway, filter: &str, gate: &str) -> usize {
    let labels = [("filter", filter), ("gate", gate)];
    gateway.metrics().sum("gateway_filter_load_failures_total", &labels) as usize
}

/// Does something costly several times, beside load and after a time of load alone, and waits each time until it is over. Asserts
/// what clients notice of it; seconds of processor time that the gateway itself used each time, beyond those that the load did.
fn beside_load(
    gateway: &Gateway,
    address: SocketAddr,
    begin: impl Fn(usize),
    is_over: impl Fn(usize) -> bool,
) -> Vec<f64> {
    let (mut ratios, mut used) = (Vec::new(), Vec::new());
    let seconds = |ticks: u64| ticks as f64 / 100.0;
    // Answering takes processor time, too: it is asked as often without anything costly as with it.
    let ask_until = |end: Instant, round| {
        while Instant::now() < end {
            is_over(round);
            pause(ASK_INTERVAL);
        }
    };
    for round in 0..ROUNDS {
        let (load, ticks, begun) = (Load::start(address), gateway.cpu_ticks(), Instant::now());
        ask_until(begun + ALONE, round);
        let per_second = seconds(gateway.cpu_ticks() - ticks) / begun.elapsed().as_secs_f64();
        let (count, median, alone) = load.stop();
        println!("alone: {count} requests, median {median:.2} ms, p99 {alone:.2} ms");

        let (load, ticks, begun) = (Load::start(address), gateway.cpu_ticks(), Instant::now());
        begin(round);
        while !is_over(round) {
            let limit = Duration::from_secs(CPU_SECONDS * 61);
            assert!(begun.elapsed() < limit, "it is not over after {limit:?}");
            pause(ASK_INTERVAL);
        }
        let took = begun.elapsed();
        let own = seconds(gateway.cpu_ticks() - ticks) - per_second * took.as_secs_f64();
        // As long as alone at least: few requests have no 99th percentile.
        ask_until(begun + ALONE, round);
        let (count, median, beside) = load.stop();
        println!(
            "beside: {count} requests, median {median:.2} ms, p99 {beside:.2} ms; over after {took:.1?}, {own:.1} s of the gateway's own time"
        );
        ratios.push(beside / alone);
        used.push(own);
    }
    ratios.sort_by(f64::total_cmp);
    println!("p99 beside it, by that alone: {ratios:.2?}");
    assert!(ratios[ROUNDS / 2] < MAX_RATIO, "the median of {ratios:.2?}");
    used
}

#[test]
#[ignore = "takes minutes, and measures"]
fn compile_bombs_are_refused_and_nobody_notices() {
    let (gateway, address, _origin) = site();
    let bomb = bombs::additions(6_000, 1_000);
    let made = Prepared::new(&gateway, |round| {
        vec![("bomb", wasm::annotated(&bomb, &round.to_string())), ("large", vec![round as u8; 50 << 20])]
    });
    let begin = |round: usize| made.drop_in(round);
    let is_over =
        |round| refused(&gateway, "bomb", "compile") > round && refused(&gateway, "large", "size") > 0;
    beside_load(&gateway, address, begin, is_over);
    gateway.stop();
}

/// What is aimed at the rewriting that images need, and not at the compiler.
#[test]
#[ignore = "takes minutes, and measures"]
fn image_bombs_cost_the_gateway_nothing_and_nobody_notices() {
    const MAX_OWN_SECONDS: f64 = 3.0;
    let (gateway, address, _origin) = site();
    let filters = gateway.directory().join("filters");
    let (branches, scattered) = (bombs::branches(), bombs::scattered());
    replace(&filters.join("scattered.yaml"), b"limits: {memory: 200MiB}");
    let made = Prepared::new(&gateway, |round| {
        let of_round = |module| wasm::annotated(module, &round.to_string());
        vec![("branches", of_round(&branches)), ("scattered", of_round(&scattered))]
    });
    let begin = |round: usize| made.drop_in(round);
    // Two modules, and an image: made if it fits into the limits, and else given up.
    let ended = || gateway.metrics().sum("gateway_filter_compilations_total", &[]) as usize;
    let used = beside_load(&gateway, address, begin, |round| {
        refused(&gateway, "branches", "compile") > round && ended() >= 3 * (round + 1)
    });
    let live = gateway.admin_get("/filters/scattered/history");
    assert!(live.contains("\"live\": \""), "{live}");
    println!("largest RSS so far: {:.0} MiB", mib(gateway.largest_rss()));
    assert!(used.iter().all(|seconds| *seconds < MAX_OWN_SECONDS), "{used:.1?}");
    gateway.stop();
}

/// How soon does a gateway serve with twenty filters that it knows from before?
#[test]
#[ignore = "measures"]
fn twenty_known_filters_are_ready_soon() {
    const FILTERS: usize = 20;
    const LIMIT: Duration = Duration::from_millis(300);
    const COLD: Duration = Duration::from_secs(240);
    let cache = tempfile::tempdir().expect("a temporary folder");
    let module = wasm::shipped("request-stats");
    let start = || {
        let folder = Gateway::folder();
        for number in 0..FILTERS {
            // Each has bytes of its own, and so code of its own.
            let module = wasm::annotated(&module, &number.to_string());
            let path = folder.path().join("filters").join(format!("filter-{number}.wasm"));
            std::fs::write(&path, module).expect("a writable folder");
            std::fs::write(path.with_extension("yaml"), "required: true").expect("a writable folder");
        }
        // What was written a moment ago may not be whole yet.
        pause(Duration::from_millis(200));
        let config = format!(
            "listeners: [{{bind: '127.0.0.1:0'}}]\naccessLog: off\nroutes: [{{respond: {{status: 204}}}}]\n\
             filters: {{directory: filters, state: off, cache: '{}'}}",
            cache.path().join("code").display()
        );
        let begun = Instant::now();
        let gateway = Gateway::start(folder, &config);
        let took = begun.elapsed();
        let codes = |outcome: &str| {
            gateway.metrics().sum("gateway_filter_compilations_total", &[("outcome", outcome)]).round()
                as usize
        };
        // Of each, its module and its image, which may come later.
        let deadline = Instant::now() + COLD;
        while codes("compiled") + codes("cached") < 2 * FILTERS {
            assert!(Instant::now() < deadline, "not all code is there after {COLD:?}");
            pause(Duration::from_millis(50));
        }
        let known = (codes("compiled"), codes("cached"));
        gateway.stop();
        (took, known)
    };
    let (took, known) = start();
    println!("{FILTERS} filters, not known: ready after {took:?}");
    assert_eq!(known, (2 * FILTERS, 0));
    let mut times: Vec<Duration> = (0..5)
        .map(|_| {
            let (took, known) = start();
            println!("{FILTERS} filters, known: ready after {took:?}");
            assert_eq!(known, (0, 2 * FILTERS));
            took
        })
        .collect();
    times.sort();
    assert!(times[2] < LIMIT, "the median of {times:?}");
}
