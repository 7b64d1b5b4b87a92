//! Origins that are killed, and loads that go on meanwhile. What fails for these clients failed for a user: they never retry.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::{Client, Request, Response, eventually, noise, pause};

/// Longer than any test.
const LONG: Duration = Duration::from_secs(600);

/// An origin in a process of its own, which can be killed as a machine that goes away is: no goodbye, no draining.
pub struct Mortal {
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
    request_queue_size = 1024
Server(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()
";

impl Mortal {
    /// Keeps unused connections for so long.
    ///
    /// # Panics
    /// If there is no `python3`, or the port is taken.
    #[must_use]
    pub fn start(address: SocketAddr, keep_alive: Duration) -> Self {
        let mut command = Command::new("python3");
        let keep_alive = keep_alive.as_secs_f64().to_string();
        command.args(["-c", SCRIPT, &address.port().to_string(), &keep_alive]).stderr(Stdio::null());
        let process = command.spawn().expect("python3");
        let mortal = Self { address, process };
        eventually("the origin listens", || Client::try_connect(address).is_ok());
        mortal
    }

    /// One that keeps its connections, on a free port.
    #[must_use]
    pub fn anywhere() -> Self {
        Self::start(free_address(), LONG)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How often it saw the POST that it saw most often.
    ///
    /// # Panics
    /// If it does not answer.
    #[must_use]
    pub fn most_often_seen(&self) -> usize {
        Client::connect(self.address).get("/most").text().parse().expect("a number")
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

/// An address that was free a moment ago.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound socket")
}

/// How many requests ended with which status; 0 is none.
pub type Statuses = HashMap<u16, usize>;

/// Clients that send one request after the other.
pub struct Load {
    stop: Arc<AtomicBool>,
    running: Vec<JoinHandle<Statuses>>,
}

impl Load {
    /// So many clients, each with a connection of its own, send what `request` says, given how many they have sent.
    pub fn start(
        gateway: SocketAddr,
        clients: usize,
        request: impl Fn(usize) -> Request + Clone + Send + 'static,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let run = |_| {
            let (stop, request) = (stop.clone(), request.clone());
            std::thread::spawn(move || {
                let mut statuses = Statuses::new();
                let mut client = Client::connect(gateway);
                for n in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let response = client.try_send(&request(n));
                    let status = response.as_ref().map_or(0, |response| response.status);
                    *statuses.entry(status).or_insert(0) += 1;
                    // An answer to a request whose body was not read may be the last of its connection.
                    let is_last = |response: &Response| response.header("connection") == Some("close");
                    if response.is_ok_and(|response| !is_last(&response)) {
                        continue;
                    }
                    client = Client::connect(gateway);
                }
                statuses
            })
        };
        let running = (0..clients).map(run).collect();
        Self { stop, running }
    }

    /// Stops it, and waits for the last responses.
    ///
    /// # Panics
    /// If a client cannot connect.
    #[must_use]
    pub fn end(self) -> Statuses {
        self.stop.store(true, Ordering::SeqCst);
        let mut total = Statuses::new();
        for client in self.running {
            for (status, count) in client.join().expect("a client that ends") {
                *total.entry(status).or_insert(0) += count;
            }
        }
        total
    }
}

/// Idempotent requests, by 8 clients, while one of `origins` after the other is killed and started again.
/// What became of the requests, and the number of kills.
///
/// # Panics
/// If an origin cannot be started.
pub fn kill_one_after_the_other(
    gateway: SocketAddr,
    mut origins: Vec<Mortal>,
    time: Duration,
) -> (Statuses, usize) {
    let document = noise(3_000);
    let load = Load::start(gateway, 8, move |n| match n % 3 {
        0 => Request::new("PUT", "/document").body(&document),
        _ => Request::get("/page"),
    });
    let until = Instant::now() + time;
    let mut kills = 0;
    while Instant::now() < until {
        pause(Duration::from_millis(200));
        let which = kills % origins.len();
        let address = origins.remove(which).kill();
        pause(Duration::from_millis(200));
        origins.insert(which, Mortal::start(address, LONG));
        kills += 1;
    }
    (load.end(), kills)
}

/// As many clients that send GET as clients that send POST, each waiting about as long between two requests as the origin
/// keeps its connections: they are closed just when they are used again. What became of the GETs and of the POSTs, none
/// of which is sent twice by its client.
pub fn pause_as_long_as_connections_are_kept(
    gateway: SocketAddr,
    keep_alive: Duration,
    clients: usize,
    time: Duration,
) -> (Statuses, Statuses) {
    let pausing = move |n: usize| pause(keep_alive.mul_f64(0.98 + 0.005 * (n % 8) as f64));
    let gets = Load::start(gateway, clients, move |n| {
        pausing(n);
        Request::get("/page")
    });
    let numbers = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let posts = Load::start(gateway, clients, move |n| {
        pausing(n);
        Request::post(&format!("/post/{}", numbers.fetch_add(1, Ordering::SeqCst)), "order")
    });
    pause(time);
    (gets.end(), posts.end())
}
