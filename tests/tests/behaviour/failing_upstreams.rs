//! Upstreams that come and go under load. The clients never retry: what fails here failed for a user. The same for longer is
//! in `tests/soak`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use gateway_tests::mortal::{
    Load, Mortal, free_address, kill_one_after_the_other, pause_as_long_as_connections_are_kept,
};
use gateway_tests::{Answer, Gateway, Origin, Received, Request, pause};

#[test]
fn one_of_three_upstreams_is_killed_and_restarted_and_no_client_notices() {
    let origins: Vec<_> = (0..3).map(|_| Mortal::anywhere()).collect();
    let addresses: Vec<_> = origins.iter().map(|origin| format!("'{}'", origin.address())).collect();
    let gateway = Gateway::with(
        "workers: 2\nroutes: [{to: up, retry: {attempts: 3, backoff: {base: 5ms}}}]\n\
         upstreams: {up: {endpoints: [ADDRESSES], outlier: {baseEjection: 500ms}, retryBudget: {minConcurrency: 20}}}",
    )
    .set("ADDRESSES", addresses.join(", "))
    .start();
    let (statuses, kills) = kill_one_after_the_other(gateway.address(), origins, Duration::from_secs(3));
    assert!(kills >= 3, "{kills}");
    assert_eq!(statuses.keys().copied().collect::<Vec<_>>(), [200], "{statuses:?} over {kills} kills");
    assert!(statuses[&200] > 300, "{statuses:?}");
}

#[test]
fn connections_that_are_closed_at_any_moment_cost_no_get_and_no_post_is_seen_twice() {
    let origin = Origin::start(|_| Answer::text("ok"));
    // All connections are closed at once, so that all requests under way are sent again at once.
    let gateway = Gateway::with(
        "workers: 2\nroutes: [{to: up, retry: {attempts: 5}}]\n\
         upstreams: {up: {endpoints: ['ORIGIN'], retryBudget: {minConcurrency: 20}}}",
    )
    .set("ORIGIN", origin.address())
    .start();
    let posts = Arc::new(AtomicUsize::new(0));
    let counter = posts.clone();
    let gets = Load::start(gateway.address(), 4, |_| Request::get("/page"));
    let posting = Load::start(gateway.address(), 4, move |_| {
        let number = counter.fetch_add(1, Ordering::SeqCst);
        Request::post(&format!("/post/{number}"), "order")
    });
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        pause(Duration::from_millis(100));
        origin.close_connections();
    }
    let (gets, posting) = (gets.end(), posting.end());
    assert_eq!(gets.keys().copied().collect::<Vec<_>>(), [200], "{gets:?}");
    assert!(posting.keys().all(|status| matches!(status, 200 | 502)), "{posting:?}");
    let mut seen: HashMap<String, usize> = HashMap::new();
    for Received { target, method, .. } in origin.received() {
        if method == "POST" {
            *seen.entry(target).or_default() += 1;
        }
    }
    assert!(seen.len() > 50 && seen.values().all(|times| *times == 1), "a POST was seen twice");
    assert!(seen.len() >= posting[&200], "every answered POST was seen");
}

#[test]
fn a_short_keep_alive_costs_no_get_and_no_post_is_seen_twice() {
    const KEEP_ALIVE: Duration = Duration::from_millis(100);
    let origin = Mortal::start(free_address(), KEEP_ALIVE);
    let gateway = Gateway::with("workers: 2\nroutes: [{to: up}]\nupstreams: {up: {endpoints: ['ORIGIN']}}")
        .set("ORIGIN", origin.address())
        .start();
    let time = Duration::from_secs(3);
    let (gets, posts) = pause_as_long_as_connections_are_kept(gateway.address(), KEEP_ALIVE, 8, time);
    assert_eq!(gets.keys().copied().collect::<Vec<_>>(), [200], "{gets:?}");
    assert!(posts.keys().all(|status| matches!(status, 200 | 502)), "{posts:?}");
    assert!(posts[&200] > 20, "{posts:?}");
    assert_eq!(origin.most_often_seen(), 1, "a POST was seen twice");
}
