//! `Cache` of the SDK: one fetch for all requests of all workers.

use std::time::Duration;

use gateway_tests::{Answer, Client, Gateway, Origin, Request, wasm};

/// Requests that miss at the same time.
const REQUESTS: usize = 1_000;

/// A thousand connections at once may take the origin a while to accept.
const CONFIG: &str = "
workers: 2
routes: [{to: origin, timeout: 60s}]
upstreams:
  origin: {endpoints: ['ORIGIN'], connectTimeout: 30s}
  plans: 'PLANS'
";

#[test]
fn a_thousand_misses_of_one_key_make_one_call() {
    let origin = Origin::answering("ok");
    let plans = Origin::start(|_| Answer::text("gold").after(Duration::from_millis(800)));
    let gateway = Gateway::with(CONFIG)
        .set("ORIGIN", origin.address())
        .set("PLANS", plans.address())
        .filter("lookup", &wasm::guest("lookup"), "capabilities: {callouts: [plans]}")
        .start();
    let request = Request::get("/").header("x-user", "ann").bytes();
    let mut clients: Vec<Client> = (0..REQUESTS).map(|_| gateway.connect()).collect();
    clients.iter_mut().for_each(|client| client.write(&request));
    let statuses: Vec<u16> = clients.iter_mut().map(|client| client.read("GET").status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), REQUESTS);
    assert_eq!(plans.received().len(), 1);
    let received = origin.received();
    assert_eq!(
        received.iter().filter(|received| received.header("x-plan") == Some("gold")).count(),
        REQUESTS
    );
}
