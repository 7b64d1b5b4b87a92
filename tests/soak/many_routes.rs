//! A table of ten thousand routes costs a request no more than one of ten, and a changed route is soon live.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use gateway_tests::mortal::free_address;
use gateway_tests::{Client, Request, pause};

use crate::gateway::Gateway;

const HOSTS: usize = 1_000;
const ROUTES_PER_HOST: usize = 10;
const CHANGES: usize = 20;
const MAX_DELAY: Duration = Duration::from_millis(200);
const MAX_COST_RATIO: f64 = 1.5;
/// Per measurement of what a request costs.
const REQUESTS: usize = 40_000;
const MEASUREMENTS: usize = 5;

/// All routes answer by themselves, or all but `marked` lead to an upstream of their host.
#[derive(Clone, Copy)]
enum Action {
    Respond,
    Forward,
}

fn config(web: SocketAddr, hosts: usize, action: Action, mark: &str) -> String {
    let mut text =
        format!("workers: 1\naccessLog: off\nlisteners: [{{name: web, bind: '{web}'}}]\nroutes:\n");
    for host in 0..hosts {
        for route in 0..ROUTES_PER_HOST {
            let action = match action {
                Action::Respond => format!("respond: {{status: 200, body: h{host}-r{route}}}"),
                Action::Forward => format!("to: up-{host}"),
            };
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "- {{name: h{host}-r{route}, hosts: [host-{host}.example], match: {{path: {{prefix: /part-{route}/api}}}}, {action}}}"
            );
        }
    }
    let _ =
        writeln!(text, "- {{name: marked, hosts: [marked.example], respond: {{status: 200, body: {mark}}}}}");
    if let Action::Forward = action {
        text.push_str("upstreams:\n");
        (0..hosts).for_each(|host| {
            let _ = writeln!(text, "  up-{host}: {{endpoints: ['127.0.0.1:{}']}}", 20_000 + host);
        });
    }
    text
}

/// From the change of the file to the first response that shows it, over a connection that is already there.
fn delay(gateway: &Gateway, client: &mut Client, config: &str, mark: &str, hangs_up: bool) -> Duration {
    let request = Request::get("/").host("marked.example");
    gateway.configure(config);
    let changed = Instant::now();
    if hangs_up {
        gateway.hang_up();
    }
    while client.send(&request).text() != mark {
        assert!(changed.elapsed() < Duration::from_secs(30), "{mark} is not live: {:?}", gateway.errors());
        pause(Duration::from_millis(1));
    }
    changed.elapsed()
}

#[test]
#[ignore = "takes half a minute"]
fn one_of_ten_thousand_routes_is_soon_changed() {
    let web = free_address();
    let gateway = Gateway::start(Gateway::folder(), &config(web, HOSTS, Action::Forward, "mark-0"));
    let mut client = Client::connect(web);
    let mut slow = Vec::new();
    for (how, hangs_up) in [("the file alone", false), ("the file and SIGHUP", true)] {
        let mut delays: Vec<_> = (1..=CHANGES)
            .map(|number| {
                // What settles from one change must not be taken for part of the next.
                pause(Duration::from_millis(700));
                let mark = format!("mark-{number}-{hangs_up}");
                delay(&gateway, &mut client, &config(web, HOSTS, Action::Forward, &mark), &mark, hangs_up)
            })
            .collect();
        delays.sort_unstable();
        let (median, slowest) = (delays[delays.len() / 2], delays[delays.len() - 1]);
        println!(
            "{} routes, {how}: live after {median:.0?} (median), {slowest:.0?} (slowest)",
            HOSTS * ROUTES_PER_HOST
        );
        slow.extend((median >= MAX_DELAY).then_some((how, median)));
    }
    assert!(slow.is_empty(), "{slow:?}");
    gateway.stop();
}

/// Processor time of the gateway per request, in microseconds: hosts and paths in an order that no cache guesses.
fn cost_us(gateway: &Gateway, web: SocketAddr, hosts: usize) -> f64 {
    let mut client = Client::connect(web);
    let before = gateway.cpu_ticks();
    for number in 0..REQUESTS {
        let (host, route) = (number * 7_919 % hosts, number % ROUTES_PER_HOST);
        let request = Request::get(&format!("/part-{route}/api/x")).host(&format!("host-{host}.example"));
        assert_eq!(client.send(&request).text(), format!("h{host}-r{route}"));
    }
    (gateway.cpu_ticks() - before) as f64 * 10_000.0 / REQUESTS as f64
}

#[test]
#[ignore = "takes a minute"]
fn a_request_costs_the_same_with_ten_routes_and_with_ten_thousand() {
    let start = |hosts| {
        let web = free_address();
        (Gateway::start(Gateway::folder(), &config(web, hosts, Action::Respond, "mark")), web)
    };
    let (few, many) = (start(1), start(HOSTS));
    let mut costs = [Vec::new(), Vec::new()];
    for _ in 0..MEASUREMENTS {
        for (costs, ((gateway, web), hosts)) in costs.iter_mut().zip([(&few, 1), (&many, HOSTS)]) {
            costs.push(cost_us(gateway, *web, hosts));
        }
    }
    for costs in &mut costs {
        costs.sort_by(f64::total_cmp);
    }
    let [few, many] = costs.map(|costs| costs[costs.len() / 2]);
    println!(
        "processor time of a request: {few:.2} µs with 10 routes, {many:.2} µs with 10,000: ratio {:.2}",
        many / few
    );
    assert!(many / few < MAX_COST_RATIO);
}
