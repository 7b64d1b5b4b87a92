//! What a decision costs in a large table, compared with a small one. By hand: see tests/soak/README.md.

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Instant;

use super::*;

const ROUTES_PER_HOST: usize = 10;
const DECISIONS: usize = 200_000;
const ROUNDS: usize = 15;
const MAX_RATIO: f64 = 1.5;

fn table(hosts: usize) -> RouteTable {
    let mut text = "listeners: [{bind: ':0'}]\nroutes:\n".to_owned();
    for host in 0..hosts {
        for route in 0..ROUTES_PER_HOST {
            writeln!(
                text,
                "- {{hosts: [host-{host:04}.example], match: {{path: {{prefix: /part-{route}/api}}}}, respond: {{status: 200}}}}"
            )
            .expect("a string takes everything");
        }
    }
    let config = gateway_config::parse_text(&text, "gateway.yaml", Path::new("")).expect("a configuration");
    RouteTable::new(&config.routes)
}

/// Nanoseconds per decision, less those for making up the request: hosts and paths in an order that no cache guesses. A
/// request is in the cache when it is decided on, so it is written anew each time.
fn cost_ns(table: &RouteTable, hosts: usize) -> f64 {
    let headers = http::HeaderMap::new();
    let (mut host, mut path) = (String::new(), String::new());
    let mut run = |decides: bool| {
        let begun = Instant::now();
        for number in 0..DECISIONS {
            let number = number * 7_919 % (hosts * ROUTES_PER_HOST);
            host.clear();
            path.clear();
            write!(host, "host-{:04}.example", number / ROUTES_PER_HOST).expect("a string takes everything");
            write!(path, "/part-{}/api/items/4711", number % ROUTES_PER_HOST)
                .expect("a string takes everything");
            let input = RouteInput {
                host: black_box(&host),
                path: black_box(&path),
                query: None,
                method: "GET",
                preflight_method: None,
                headers: &headers,
                client: IpAddr::V4(Ipv4Addr::LOCALHOST),
            };
            if decides {
                let decision = table.decide(&input);
                assert_eq!(decision.map(|decision| decision.route.0), Some(number));
            } else {
                black_box(&input);
            }
        }
        begun.elapsed().as_nanos() as f64 / DECISIONS as f64
    };
    run(true) - run(false)
}

#[test]
#[ignore = "a measurement, for an optimised build and a quiet machine"]
fn ten_thousand_routes_are_decided_on_as_soon_as_ten() {
    let sizes = [1, 1_000].map(|hosts| (table(hosts), hosts));
    let mut costs = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (costs, (table, hosts)) in costs.iter_mut().zip(&sizes) {
            costs.push(cost_ns(table, *hosts));
        }
    }
    let [few, many] = costs.map(|mut costs| {
        costs.sort_by(f64::total_cmp);
        costs[ROUNDS / 2]
    });
    println!("{few:.0} ns in a table of 10 routes, {many:.0} ns in one of 10,000: ratio {:.2}", many / few);
    assert!(many / few < MAX_RATIO, "{few:.0} ns and {many:.0} ns");
}
