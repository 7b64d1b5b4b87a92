//! A kept connection that the upstream closed in the meantime is nobody's error, and repeats nothing.

use gateway_tests::{Answer, Client, Gateway, Origin, Received, Request};

const REQUESTS: usize = 300;

/// Closes each connection right after its answer, without having said so.
fn closes_after_each() -> Origin {
    Origin::start(|_| Answer::text("ok").then_close())
}

/// Answers the first request of a connection; reads the next one and closes without an answer.
fn closes_on_reuse() -> Origin {
    Origin::start(|request: &Received| if request.nth == 0 { Answer::text("ok") } else { Answer::close() })
}

fn retries(gateway: &Gateway) -> usize {
    // A count of at most a few hundred.
    gateway.metrics().sum("envoy_cluster_upstream_rq_retry", &[]) as usize
}

fn send_all(client: &mut Client, method: &str) -> Vec<u16> {
    (0..REQUESTS).map(|n| client.send(&Request::new(method, &format!("/{n}"))).status).collect()
}

fn most_often_seen(origin: &Origin) -> usize {
    (0..REQUESTS).map(|n| origin.count(&format!("/{n}"))).max().unwrap_or_default()
}

#[test]
fn gets_over_connections_that_close_after_each_answer_all_succeed() {
    let origin = closes_after_each();
    let gateway = Gateway::to(&origin).start();
    let statuses = send_all(&mut gateway.connect(), "GET");
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    assert_eq!(origin.received().len(), REQUESTS, "the origin had closed before each resend");
    assert_eq!(most_often_seen(&origin), 1);
}

#[test]
fn gets_that_meet_the_closing_itself_are_sent_again_once() {
    let origin = closes_on_reuse();
    let gateway = Gateway::to(&origin).start();
    let statuses = send_all(&mut gateway.connect(), "GET");
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    let retries = retries(&gateway);
    assert!(retries > 0, "no connection was used again");
    assert_eq!(origin.received().len(), REQUESTS + retries);
    assert_eq!(most_often_seen(&origin), 2);
}

/// Not idempotent, or with a body that is gone once it was sent (RFC 9110, section 9.2.2).
const UNREPEATABLE: [fn(&str) -> Request; 3] = [
    |target| Request::post(target, "payment"),
    |target| Request::new("POST", target),
    |target| Request::new("PUT", target).body("document"),
];

#[test]
fn what_may_not_be_repeated_is_never_seen_twice() {
    for request in UNREPEATABLE {
        for origin in [closes_after_each(), closes_on_reuse()] {
            let gateway = Gateway::to(&origin).start();
            let mut client = gateway.connect();
            let statuses: Vec<_> =
                (0..REQUESTS).map(|n| client.send(&request(&format!("/{n}"))).status).collect();
            assert!(statuses.iter().all(|status| matches!(status, 200 | 502)), "{statuses:?}");
            assert_eq!(most_often_seen(&origin), 1);
            let answered = statuses.iter().filter(|status| **status == 200).count();
            assert!(origin.received().len() >= answered && answered > 0);
        }
    }
}

#[test]
fn what_may_not_be_repeated_fails_when_it_meets_the_closing() {
    for request in UNREPEATABLE {
        let origin = closes_on_reuse();
        let gateway = Gateway::to(&origin).start();
        let mut client = gateway.connect();
        let statuses: Vec<_> = (0..4).map(|n| client.send(&request(&format!("/{n}"))).status).collect();
        assert_eq!(statuses, [200, 502, 200, 502], "each connection is used twice");
        assert_eq!(origin.received().len(), 4);
    }
}

#[test]
fn connections_are_kept_while_the_upstream_keeps_them() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).start();
    let statuses = send_all(&mut gateway.connect(), "GET");
    assert!(statuses.iter().all(|status| *status == 200));
    assert_eq!((origin.connections(), retries(&gateway)), (1, 0));
    origin.close_connections();
    assert_eq!(gateway.get("/").status, 200);
}
