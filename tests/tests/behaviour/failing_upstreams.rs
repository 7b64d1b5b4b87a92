//! Upstreams that come and go under load. The clients never retry: what fails here failed for a user.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gateway_tests::{Answer, Client, Gateway, Origin, Received, Request, eventually, noise, pause};

/// How long the load goes on; `SOAK_SECONDS=120` for the long version.
fn load_time(default: Duration) -> Duration {
    let asked = std::env::var("SOAK_SECONDS").ok().and_then(|text| text.parse().ok());
    asked.map_or(default, Duration::from_secs)
}

/// Longer than any test.
const LONG: Duration = Duration::from_secs(600);

/// An origin in a process of its own, which can be killed as a machine that goes away is: no goodbye, no draining.
struct Mortal {
    address: SocketAddr,
    process: Child,
}

/// Arguments: the port, and how long an unused connection is kept, in seconds. Counts what it got per target.
const SCRIPT: &str = "
import collections, http.server, json, socketserver, sys
seen = collections.Counter()
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    timeout = float(sys.argv[2])
    wbufsize = -1
    disable_nagle_algorithm = True
    def do_GET(self):
        self.rfile.read(int(self.headers.get('content-length', 0)))
        body = b'ok'
        if self.path == '/most':
            body = json.dumps(max(seen.values(), default=0)).encode()
        elif self.command == 'POST':
            seen[self.path] += 1
        self.send_response(200)
        self.send_header('content-length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_PUT = do_POST = do_GET
    def log_message(self, *_):
        pass
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128
Server(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()
";

impl Mortal {
    fn start(address: SocketAddr, keep_alive: Duration) -> Self {
        let mut command = Command::new("python3");
        let keep_alive = keep_alive.as_secs_f64().to_string();
        command.args(["-c", SCRIPT, &address.port().to_string(), &keep_alive]).stderr(Stdio::null());
        let process = command.spawn().expect("python3");
        let mortal = Self { address, process };
        eventually("the origin listens", || Client::try_connect(address).is_ok());
        mortal
    }

    fn kill(mut self) -> SocketAddr {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ends");
        self.address
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound socket")
}

/// Clients that send what `request` says until told to stop; how many requests ended with which status (0: none).
fn load(
    gateway: &Gateway,
    clients: usize,
    request: impl Fn(usize) -> Request + Clone + Send + 'static,
) -> (Arc<AtomicBool>, Vec<JoinHandle<HashMap<u16, usize>>>) {
    let stop = Arc::new(AtomicBool::new(false));
    let run = |_| {
        let (stop, request, address) = (stop.clone(), request.clone(), gateway.address());
        std::thread::spawn(move || {
            let mut statuses = HashMap::new();
            let mut client = Client::connect(address);
            for n in 0.. {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                let status = client.try_send(&request(n)).map_or(0, |response| response.status);
                *statuses.entry(status).or_insert(0) += 1;
                if status == 0 {
                    client = Client::connect(address);
                }
            }
            statuses
        })
    };
    let running = (0..clients).map(run).collect();
    (stop, running)
}

fn ended(running: Vec<JoinHandle<HashMap<u16, usize>>>) -> HashMap<u16, usize> {
    let mut total = HashMap::new();
    for client in running {
        for (status, count) in client.join().expect("a client that ends") {
            *total.entry(status).or_insert(0) += count;
        }
    }
    total
}

#[test]
fn one_of_three_upstreams_is_killed_and_restarted_and_no_client_notices() {
    let mut origins: Vec<_> = (0..3).map(|_| Mortal::start(free_address(), LONG)).collect();
    let addresses: Vec<_> = origins.iter().map(|origin| format!("'{}'", origin.address)).collect();
    let gateway = Gateway::with(
        "workers: 2\nroutes: [{to: up, retry: {attempts: 3, backoff: {base: 5ms}}}]\n\
         upstreams: {up: {endpoints: [ADDRESSES], outlier: {baseEjection: 500ms}, retryBudget: {minConcurrency: 20}}}",
    )
    .set("ADDRESSES", addresses.join(", "))
    .start();
    let document = noise(3_000);
    let (stop, running) = load(&gateway, 8, move |n| match n % 3 {
        0 => Request::new("PUT", "/document").body(&document),
        _ => Request::get("/page"),
    });
    let until = Instant::now() + load_time(Duration::from_secs(3));
    let mut kills = 0;
    while Instant::now() < until {
        pause(Duration::from_millis(200));
        let address = origins.remove(kills % 3).kill();
        pause(Duration::from_millis(200));
        origins.insert(kills % 3, Mortal::start(address, LONG));
        kills += 1;
    }
    stop.store(true, Ordering::SeqCst);
    let statuses = ended(running);
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
    let posts = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = posts.clone();
    let (stop_gets, gets) = load(&gateway, 4, |_| Request::get("/page"));
    let (stop_posts, posting) = load(&gateway, 4, move |_| {
        let number = counter.fetch_add(1, Ordering::SeqCst);
        Request::post(&format!("/post/{number}"), "order")
    });
    let until = Instant::now() + load_time(Duration::from_secs(2));
    while Instant::now() < until {
        pause(Duration::from_millis(100));
        origin.close_connections();
    }
    stop_gets.store(true, Ordering::SeqCst);
    stop_posts.store(true, Ordering::SeqCst);
    let (gets, posting) = (ended(gets), ended(posting));
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
    // As long as the pauses of the clients: connections are closed just when they are used again.
    const KEEP_ALIVE: Duration = Duration::from_millis(100);
    let origin = Mortal::start(free_address(), KEEP_ALIVE);
    let gateway = Gateway::with("workers: 2\nroutes: [{to: up}]\nupstreams: {up: {endpoints: ['ORIGIN']}}")
        .set("ORIGIN", origin.address)
        .start();
    let pausing = |n: usize| pause(KEEP_ALIVE.mul_f64(0.98 + 0.005 * (n % 8) as f64));
    let (stop_gets, gets) = load(&gateway, 8, move |n| {
        pausing(n);
        Request::get("/page")
    });
    let numbers = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let (stop_posts, posts) = load(&gateway, 8, move |n| {
        pausing(n);
        Request::post(&format!("/post/{}", numbers.fetch_add(1, Ordering::SeqCst)), "order")
    });
    pause(load_time(Duration::from_secs(3)));
    stop_gets.store(true, Ordering::SeqCst);
    stop_posts.store(true, Ordering::SeqCst);
    let (gets, posts) = (ended(gets), ended(posts));
    assert_eq!(gets.keys().copied().collect::<Vec<_>>(), [200], "{gets:?}");
    assert!(posts.keys().all(|status| matches!(status, 200 | 502)), "{posts:?}");
    assert!(posts[&200] > 20, "{posts:?}");
    assert_eq!(Client::connect(origin.address).get("/most").text(), "1", "a POST was seen twice");
}
