//! Over real sockets, with a gateway in this process; a header of the requests says where to panic.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use http::StatusCode;

use super::caught;
use crate::{ConfigSource, Options, Running};

const CONFIG: &str = "
workers: 1
admin: {bind: '127.0.0.1:0'}
accessLog: {to: access.log, format: json}
listeners: [{name: web, bind: '127.0.0.1:0'}]
routes: [{respond: {status: 200, body: ok}}]
";
const PATIENCE: Duration = Duration::from_secs(10);

struct Gateway {
    directory: tempfile::TempDir,
    running: Running,
}

impl Gateway {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gateway.yaml");
        std::fs::write(&path, CONFIG).unwrap();
        let options = Options::new(ConfigSource::File(path));
        let running = crate::start(options).unwrap();
        Self { directory, running }
    }

    fn address(&self) -> SocketAddr {
        self.running.listeners()[0].address
    }

    fn panics(&self) -> String {
        let metrics = get(self.running.admin().unwrap(), "/metrics", "");
        let line = metrics.lines().find(|line| line.starts_with("gateway_worker_panics_total "));
        line.and_then(|line| line.split(' ').nth(1)).unwrap_or("0").to_owned()
    }

    fn internal_errors(&self) -> Vec<String> {
        lines(&self.directory.path().join("access.log"))
            .into_iter()
            .filter(|line| line.contains("internal_error"))
            .collect()
    }
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// The whole answer to one request over a connection of its own.
fn get(address: SocketAddr, path: &str, header: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: a.example\r\n{header}connection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_request_that_panics_gets_500_and_is_counted_and_logged_with_its_id() {
    let gateway = Gateway::start();
    let answer = get(gateway.address(), "/broken", "x-panic: request\r\n");
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
    assert!(get(gateway.address(), "/", "").starts_with("HTTP/1.1 200 "));
    eventually("an access line", || gateway.internal_errors().len() == 1);
    let line = gateway.internal_errors().remove(0);
    assert!(line.contains("/broken") && line.contains("500"), "{line}");
    let id = line.split("\"request_id\":\"").nth(1).and_then(|rest| rest.split('"').next());
    assert!(id.is_some_and(|id| id.len() == 36), "{line}");
    assert_eq!(gateway.panics(), "1");
}

#[test]
fn the_other_requests_of_its_connection_go_on() {
    let gateway = Gateway::start();
    let address = gateway.address();
    let ask = async {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
        drop(tokio::runtime::Handle::current().spawn(connection));
        let mut statuses = Vec::new();
        for moment in ["none", "request", "none", "request", "none"] {
            let request = http::Request::builder().uri("http://a.example/").header("x-panic", moment);
            let (response, _) = sender.send_request(request.body(()).unwrap(), true).unwrap();
            statuses.push(response.await.unwrap().status());
            sender = sender.ready().await.unwrap();
        }
        statuses
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let statuses = runtime.block_on(ask);
    let (ok, failed) = (StatusCode::OK, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(statuses, [ok, failed, ok, failed, ok]);
    eventually("access lines", || gateway.internal_errors().len() == 2);
    assert_eq!(gateway.panics(), "2");
}

#[test]
fn a_panic_is_caught_also_while_another_one_unwinds() {
    struct Clumsy;
    impl Drop for Clumsy {
        fn drop(&mut self) {
            assert_eq!(caught(|| panic!("the second")), None::<()>);
        }
    }
    let outcome = caught(|| {
        let _clumsy = Clumsy;
        panic!("the first");
    });
    assert_eq!(outcome, None::<()>);
}
