//! How connections are spread over workers.

use gateway_tests::{Authority, Client, Gateway, Http2, Metrics, Origin, Request, TlsClient, eventually};

/// The kernel puts two connections onto one of two workers every other time: never, this often, is no accident.
const ROUNDS: usize = 12;

fn connections(metrics: &Metrics) -> [f64; 2] {
    ["0", "1"].map(|worker| metrics.sum("gateway_worker_connections_active", &[("worker", worker)]))
}

fn handed_over(gateway: &Gateway) -> f64 {
    gateway.metrics().sum("gateway_worker_connections_handed_over_total", &[])
}

/// Waits until each worker has so many connections.
fn await_connections(gateway: &Gateway, expected: f64) {
    let are = |counts: [f64; 2]| counts.iter().all(|count| (count - expected).abs() < 0.1);
    eventually(&format!("{expected} connections for each worker"), || are(connections(&gateway.metrics())));
}

#[test]
fn two_connections_go_to_two_workers() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::with("workers: 2\nroutes: [{to: origin}]\nupstreams: {origin: 'ORIGIN'}")
        .set("ORIGIN", origin.address());
    let gateway = gateway.start();
    for _ in 0..ROUNDS {
        let mut clients = [gateway.connect(), gateway.connect()];
        for client in &mut clients {
            assert_eq!((client.get("/a").status, client.get("/b").text().as_str()), (200, "ok"));
        }
        await_connections(&gateway, 1.0);
        drop(clients);
        await_connections(&gateway, 0.0);
    }
    assert!(handed_over(&gateway) >= 1.0);
    assert_eq!(origin.received().len(), ROUNDS * 4);
}

#[test]
fn tls_and_http2_connections_are_handed_over_too() {
    let authority = Authority::new("ca");
    let config = "
workers: 2
listeners:
  - {name: secure, bind: '127.0.0.1:0', tls: {certificates: [{cert: site.pem, key: site.key}]}}
  - {name: web, bind: '127.0.0.1:0'}
routes: [{respond: {status: 200, body: ok}}]
";
    let gateway = Gateway::with(config).certificate("site", &authority.issue(&["shop.test"])).start();
    let secure = gateway.listener("secure").expect("a listener");
    let client = TlsClient::trusting(&authority);
    for _ in 0..ROUNDS {
        let tunnel = client.connect(secure, "shop.test").expect("a handshake");
        let mut first = tunnel.client();
        assert_eq!(first.send(&Request::get("/").host("shop.test")).text(), "ok");
        let second = Http2::connect(gateway.address());
        assert_eq!(second.send(&Request::get("/")).text(), "ok");
        await_connections(&gateway, 1.0);
        drop((first, tunnel, second));
        await_connections(&gateway, 0.0);
    }
    assert!(handed_over(&gateway) >= 1.0);
}

#[test]
fn many_connections_end_within_the_bound_and_all_are_served() {
    const CONNECTIONS: usize = 200;
    let gateway = Gateway::with("workers: 2\nroutes: [{respond: {status: 204}}]").start();
    let mut clients: Vec<Client> = (0..CONNECTIONS).map(|_| gateway.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/").status, 204);
    }
    eventually("all connections counted", || {
        let counts = connections(&gateway.metrics());
        (counts[0] + counts[1] - CONNECTIONS as f64).abs() < 0.1
    });
    let counts = connections(&gateway.metrics());
    let least = counts[0].min(counts[1]);
    assert!((counts[0] - counts[1]).abs() <= 1.0 + (least / 4.0).floor(), "{counts:?}");
    let busy = |worker| gateway.metrics().sum("gateway_worker_busy_seconds_total", &[("worker", worker)]);
    assert!(["0", "1"].map(busy).iter().all(|seconds| *seconds > 0.0 && *seconds < 60.0));
    // Handed over or not, all are told to go and are gone in time.
    drop(clients);
    assert_eq!(gateway.stop().len(), CONNECTIONS);
}

#[test]
fn requests_on_both_workers_survive_a_stop() {
    for _ in 0..5 {
        let gateway = Gateway::with("workers: 2\nroutes: [{respond: {status: 204}}]").start();
        // Accepted or waiting to be: the request of each was there before the stop.
        let mut clients: Vec<Client> = (0..50).map(|_| gateway.connect()).collect();
        for client in &mut clients {
            client.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
        }
        gateway.begin_stop();
        for client in &mut clients {
            assert_eq!(client.read("GET").status, 204);
        }
        assert_eq!(gateway.ended().len(), clients.len());
    }
}
