//! How requests are spread over the endpoints of an upstream.

use std::time::Duration;

use gateway_tests::{Answer, Gateway, Origin, Request};

/// The share of requests, in percent, that the slow one of three endpoints gets from busy clients.
fn share_of_the_slow_one(balancer: &str) -> usize {
    const CLIENTS: usize = 8;
    const EACH: usize = 40;
    let slow = Origin::start(|_| Answer::text("").after(Duration::from_millis(100)));
    let quick = [(); 2].map(|()| Origin::start(|_| Answer::text("").after(Duration::from_millis(5))));
    let gateway = Gateway::with(
        "routes: [{to: up}]\nupstreams: {up: {endpoints: ['SLOW', 'ONE', 'TWO'], balancer: BALANCER}}",
    )
    .set("BALANCER", balancer)
    .set("SLOW", slow.address())
    .set("ONE", quick[0].address())
    .set("TWO", quick[1].address())
    .start();
    let clients = [(); CLIENTS].map(|()| {
        let mut client = gateway.connect();
        std::thread::spawn(move || (0..EACH).all(|_| client.send(&Request::get("/")).status == 200))
    });
    assert!(clients.into_iter().all(|client| client.join().expect("a client that ends")));
    slow.received().len() * 100 / (CLIENTS * EACH)
}

#[test]
fn least_request_spares_a_slow_endpoint() {
    let share = share_of_the_slow_one("least-request");
    assert!(share < 15, "{share} %");
}

#[test]
fn round_robin_does_not() {
    let share = share_of_the_slow_one("round-robin");
    assert!((30..=36).contains(&share), "{share} %");
}
