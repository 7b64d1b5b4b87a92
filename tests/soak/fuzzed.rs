//! A million made-up requests through the shipped filters, in one chain and each alone.

use std::time::{Duration, Instant};

use gateway_tests::fuzzed::{FILTERS, FaultyOrigin, Plan, configuration, manifest, module, run, wrongs};
use gateway_tests::mortal::free_address;
use gateway_tests::pause;

use crate::gateway::{Gateway, mib, replace};

const REQUESTS: usize = 1_000_000;
const CLIENTS: usize = 16;
/// For compiling six modules on a machine that is busy elsewhere.
const COMPILED: Duration = Duration::from_secs(180);

/// A number of the environment, so that a run can be repeated, or made shorter.
fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is a number, not {value:?}")))
}

/// All of them, and waits until they serve.
fn put_filters(gateway: &Gateway) {
    let folder = gateway.directory().join("filters");
    for filter in FILTERS {
        replace(&folder.join(format!("{filter}.yaml")), manifest(filter).as_bytes());
        replace(&folder.join(format!("{filter}.wasm")), &module(filter));
    }
    let began = Instant::now();
    let live = || gateway.metrics().sum("gateway_filter_live", &[]);
    while live() < FILTERS.len() as f64 - 0.5 {
        assert!(began.elapsed() < COMPILED, "not all filters serve: {}", gateway.admin_get("/filters"));
        pause(Duration::from_millis(100));
    }
}

#[test]
#[ignore = "a long count, run by hand"]
fn a_million_fuzzed_requests() {
    let (origin, address) = (FaultyOrigin::start(), free_address());
    let config = format!(
        "workers: 2\naccessLog: {{to: 'off'}}\nlisteners: [{{name: web, bind: '{address}'}}]\n{}\
         filters: {{directory: filters}}",
        configuration(origin.address())
    );
    let gateway = Gateway::start(Gateway::folder(), &config);
    put_filters(&gateway);
    let plan = Plan {
        address,
        seed: number("FUZZED_SEED").unwrap_or_else(|| u64::from(std::process::id())),
        requests: number("FUZZED_REQUESTS").map_or(REQUESTS, |number| number as usize),
        clients: CLIENTS,
        time: number("FUZZED_SECONDS").map(Duration::from_secs),
    };
    println!("{plan:?}; FUZZED_SEED={} repeats it", plan.seed);
    let began = Instant::now();
    let seen = run(&plan, &origin);
    let metrics = gateway.metrics();
    println!("{seen:#?}");
    for filter in FILTERS {
        let calls = metrics.sum("gateway_filter_calls_total", &[("filter", filter)]);
        println!("{filter}: {calls} calls");
    }
    println!(
        "{} requests in {:.0} s, {} whole at the origin; {} traps, {} deadlines; RSS {:.1} MiB",
        seen.requests,
        began.elapsed().as_secs_f64(),
        origin.requests(),
        metrics.sum("gateway_filter_traps_total", &[]),
        metrics.sum("gateway_filter_timeouts_total", &[]),
        mib(gateway.settled_rss())
    );
    let wrongs = wrongs(&seen, &origin, &metrics);
    assert!(wrongs.is_empty(), "{wrongs:#?}");
    gateway.stop();
}
