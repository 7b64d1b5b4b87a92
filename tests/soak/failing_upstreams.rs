//! What the behaviour tests of the same names do for seconds, for minutes and at the sizes of production.

use std::time::Duration;

use gateway_tests::mortal::{
    Load, Mortal, free_address, kill_one_after_the_other, pause_as_long_as_connections_are_kept,
};
use gateway_tests::{Request, pause};

use crate::gateway::Gateway;

const TIME: Duration = Duration::from_secs(120);

#[test]
#[ignore = "takes two minutes"]
fn a_keep_alive_of_five_seconds_costs_no_get_and_no_post_is_seen_twice() {
    const KEEP_ALIVE: Duration = Duration::from_secs(5);
    const CLIENTS: usize = 100;
    let origin = Mortal::start(free_address(), KEEP_ALIVE);
    let web = free_address();
    let config = format!(
        "workers: 2\nlisteners: [{{name: web, bind: '{web}'}}]\nroutes: [{{to: up}}]\nupstreams: {{up: '{}'}}\naccessLog: off",
        origin.address()
    );
    let gateway = Gateway::start(Gateway::folder(), &config);
    // Beside those who wait as long as connections are kept, some who keep connections busy.
    let steady = |request: Request| {
        Load::start(web, 4, move |_| {
            pause(Duration::from_millis(20));
            request.clone()
        })
    };
    let steady_gets = steady(Request::get("/page"));
    let steady_puts = steady(Request::new("PUT", "/page").body("document"));
    let (gets, posts) = pause_as_long_as_connections_are_kept(web, KEEP_ALIVE, CLIENTS, TIME);
    let (steady_gets, steady_puts) = (steady_gets.end(), steady_puts.end());
    let most = origin.most_often_seen();
    println!("{CLIENTS} + {CLIENTS} clients that pause, for {TIME:?}: GET {gets:?}, POST {posts:?}");
    println!("4 + 4 clients that do not: GET {steady_gets:?}, PUT {steady_puts:?}");
    println!("the POST seen most often was seen {most} time(s)");
    assert_eq!(gets.keys().copied().collect::<Vec<_>>(), [200], "{gets:?}");
    assert_eq!(steady_gets.keys().copied().collect::<Vec<_>>(), [200], "{steady_gets:?}");
    // Without a retry policy a body is not kept: one that met a connection that was just closed is lost, and said to be.
    assert!(steady_puts.keys().all(|status| matches!(status, 200 | 502)), "{steady_puts:?}");
    assert!(posts.keys().all(|status| matches!(status, 200 | 502)), "{posts:?}");
    assert!(posts[&200] > 1_000, "{posts:?}");
    assert_eq!(most, 1, "a POST was seen twice");
    gateway.stop();
}

#[test]
#[ignore = "takes two minutes"]
fn one_of_three_upstreams_is_killed_and_restarted_for_two_minutes_and_no_client_notices() {
    let origins: Vec<_> = (0..3).map(|_| Mortal::anywhere()).collect();
    let addresses: Vec<_> = origins.iter().map(|origin| format!("'{}'", origin.address())).collect();
    let web = free_address();
    let config = format!(
        "workers: 2\nlisteners: [{{name: web, bind: '{web}'}}]\naccessLog: off\n\
         routes: [{{to: up, retry: {{attempts: 3, backoff: {{base: 5ms}}}}}}]\n\
         upstreams: {{up: {{endpoints: [{}], outlier: {{baseEjection: 500ms}}, retryBudget: {{minConcurrency: 20}}}}}}",
        addresses.join(", ")
    );
    let gateway = Gateway::start(Gateway::folder(), &config);
    let (statuses, kills) = kill_one_after_the_other(web, origins, TIME);
    println!("{kills} kills in {TIME:?}: {statuses:?}");
    assert!(kills >= 60, "{kills}");
    assert_eq!(statuses.keys().copied().collect::<Vec<_>>(), [200], "{statuses:?} over {kills} kills");
    gateway.stop();
}
