//! A small count of made-up requests through the shipped filters; the large one is in `tests/soak`.

use std::time::{Duration, Instant};

use gateway_tests::fuzzed::{FILTERS, FaultyOrigin, Plan, configuration, manifest, module, run, wrongs};
use gateway_tests::{Gateway, Request, pause};

const REQUESTS: usize = 500;
/// For compiling six modules beside everything else that is tested.
const COMPILED: Duration = Duration::from_secs(120);
const SEED: u64 = 20_261_121;

/// All of them, and waits until they serve.
fn put_filters(gateway: &Gateway) {
    for filter in FILTERS {
        gateway.drop_filter(filter, &module(filter), &manifest(filter));
    }
    let began = Instant::now();
    let is_live = |filter: &str| gateway.filter(filter).is_some_and(|status| status.state == "live");
    while !FILTERS.iter().all(|filter| is_live(filter)) {
        assert!(
            began.elapsed() < COMPILED,
            "not all filters serve: {}",
            gateway.admin_get("/filters").text()
        );
        pause(Duration::from_millis(50));
    }
}

#[test]
fn no_shipped_filter_fails_whatever_clients_and_origins_do() {
    let origin = FaultyOrigin::start();
    let gateway = Gateway::with(&format!("workers: 2\n{}", configuration(origin.address()))).start();
    put_filters(&gateway);
    let plan = Plan { address: gateway.address(), seed: SEED, requests: REQUESTS, clients: 4, time: None };
    let seen = run(&plan, &origin);
    println!("{plan:?}\n{seen:#?}\n{} arrived at the origin", origin.requests());
    let wrongs = wrongs(&seen, &origin, &gateway.metrics());
    assert!(wrongs.is_empty(), "{plan:?}: {wrongs:#?}");
    assert_eq!(seen.requests, REQUESTS);
    // Neither were all refused, nor were all let through.
    for status in [200, 401, 403] {
        assert!(seen.answered.get(&status).is_some_and(|count| *count > 5), "{status} in {seen:#?}");
    }
    assert_eq!(
        gateway
            .send(&Request::get("/").host("deny-list.test").header("x-act", "plain").header("x-client", "0"))
            .status,
        200
    );
}
