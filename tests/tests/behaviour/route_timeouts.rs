//! From when timeouts of a route count: a client that sends slowly gets its time, and not a moment of the upstream's.

use std::time::{Duration, Instant};

use gateway_tests::{Answer, Client, Gate, Gateway, Origin, pause};

const TIMEOUT: Duration = Duration::from_secs(2);
/// Less than a second timeout, or what was left of one, would be.
const SOON_AFTER: Duration = Duration::from_millis(3_400);

fn silent(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::start(move |_| Answer::text("late").behind(&gate))
}

fn to(origin: &Origin, route: &str) -> Gateway {
    let config = format!("routes: [{{to: origin, {route}}}]\nupstreams: {{origin: 'ORIGIN'}}");
    Gateway::with(&config).set("ORIGIN", origin.address()).start()
}

/// Sends `sent` of `length` bytes, evenly over `time`, and returns when the last one was sent.
fn uploading(gateway: &Gateway, length: u32, sent: u32, time: Duration) -> (Client, Instant) {
    let mut client = gateway.connect();
    client.write(format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n"));
    for _ in 0..sent {
        pause(time / sent);
        client.write("x");
    }
    (client, Instant::now())
}

fn assert_cut(gateway: &Gateway, client: &mut Client, since: Instant, (status, reason): (u16, &str)) {
    assert_eq!(client.read("POST").status, status);
    let took = since.elapsed();
    // The gateway may have seen the last byte a moment before its sender saw the time.
    assert!(took > TIMEOUT - Duration::from_millis(100), "{took:?}");
    assert!(took < SOON_AFTER, "{took:?}");
    assert_eq!(gateway.await_access_lines(1)[0]["response_code_details"], reason);
}

#[test]
fn the_route_timeout_counts_from_the_end_of_a_slow_upload() {
    let gate = Gate::closed();
    let origin = silent(&gate);
    let gateway = to(&origin, "timeout: 2s");
    let (mut client, sent) = uploading(&gateway, 22, 22, TIMEOUT * 11 / 10);
    assert_cut(&gateway, &mut client, sent, (504, "route_timeout"));
    gate.open();
}

#[test]
fn a_client_that_stalls_is_given_the_route_timeout_once() {
    let origin = Origin::echoing();
    let gateway = to(&origin, "timeout: 2s");
    let (mut client, sent) = uploading(&gateway, 10, 2, TIMEOUT / 10);
    assert_cut(&gateway, &mut client, sent, (408, "body_timeout"));
}

#[test]
fn the_timeout_of_a_try_counts_from_the_end_of_a_slow_upload() {
    let gate = Gate::closed();
    let origin = silent(&gate);
    let gateway = to(&origin, "retry: {on: reset, attempts: 1, perTryTimeout: 2s}");
    let (mut client, sent) = uploading(&gateway, 22, 22, TIMEOUT * 11 / 10);
    assert_cut(&gateway, &mut client, sent, (504, "per_try_timeout"));
    gate.open();
}
