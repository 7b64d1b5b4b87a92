//! Runs cases through a proxy that serves on a port, between a client and an origin of the kit.
//!
//! Any proxy will do that can be started with a module: [`Command`] is how.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gateway_tests::{Answer, Client, Origin, Received, RefusingAddress, Request};

use crate::case::{self, Case, Exchange};
use crate::outcome::{AtOrigin, Outcome, Seen, Verdict};

/// Longest wait for a record to become what it should be: ends of streams, ticks and answers come when they come.
const PATIENCE: Duration = Duration::from_secs(3);
/// Longest wait for one response.
const RESPONSE_PATIENCE: Duration = Duration::from_secs(4);
/// Longest wait for a proxy to serve, or to say that it will not.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// Longest wait for a proxy to end that was about to.
const ENDING: Duration = Duration::from_secs(2);
/// Characters of a proxy's complaint that are recorded.
const COMPLAINT_CHARS: usize = 200;

/// The kit's origin: upstream `origin` of the proxy. It also answers callouts, by path.
pub struct Upstreams {
    origin: Origin,
    refused: RefusingAddress,
    next: Arc<Mutex<case::Answer>>,
}

impl Default for Upstreams {
    fn default() -> Self {
        Self::new()
    }
}

impl Upstreams {
    /// Starts it.
    #[must_use]
    pub fn new() -> Self {
        let next = Arc::new(Mutex::new(case::Answer::default()));
        let planned = next.clone();
        let origin = Origin::start(move |request| {
            callout(request)
                .unwrap_or_else(|| answer(&planned.lock().unwrap_or_else(PoisonError::into_inner)))
        });
        Self { origin, refused: RefusingAddress::new(), next }
    }

    /// Where upstream `origin` listens.
    #[must_use]
    pub fn origin(&self) -> SocketAddr {
        self.origin.address()
    }

    /// An address that refuses connections: upstream `refused`.
    #[must_use]
    pub fn refused(&self) -> SocketAddr {
        self.refused.address()
    }
}

/// What callouts get; `None` for a forwarded request.
fn callout(request: &Received) -> Option<Answer> {
    let answer = match request.target.as_str() {
        "/callout" => Answer::text("called"),
        "/callout-slow" => Answer::text("late").after(Duration::from_secs(2)),
        "/callout-trailers" => Answer::chunked([&b"called"[..]]).trailer("x-end", "last"),
        "/callout-cut" => Answer::cut("called", 3),
        "/callout-echo-trailers" => {
            let lines = request.trailers.0.iter();
            Answer::text(
                lines.map(|(name, value)| format!("{}={value};", name.to_lowercase())).collect::<String>(),
            )
        }
        "/callout-echo" => Answer::text(format!("{} {}", request.method, request.text())),
        _ => return None,
    };
    Some(answer.header("x-call", "yes"))
}

fn answer(planned: &case::Answer) -> Answer {
    let chunks = planned.body.iter().map(String::as_bytes);
    let mut answer = match planned.body.as_slice() {
        _ if !planned.trailers.is_empty() => Answer::chunked(chunks),
        // Without a body a length would still be told.
        [] if planned.status == 204 || planned.status == 304 => Answer::head(planned.status),
        [] => Answer::text(""),
        [whole] => Answer::text(whole),
        _ => Answer::slowly(chunks, Duration::from_millis(60)),
    };
    answer = answer.status(planned.status);
    for (name, value) in &planned.headers {
        answer = answer.header(name, value);
    }
    for (name, value) in &planned.trailers {
        answer = answer.trailer(name, value);
    }
    answer
}

/// Runs a case through the proxy at `address`.
#[must_use]
pub fn run(case: &Case, address: SocketAddr, upstreams: &Upstreams) -> Outcome {
    let mut outcome = Outcome::default();
    for exchange in &case.exchanges {
        *upstreams.next.lock().unwrap_or_else(PoisonError::into_inner) = exchange.answer.clone();
        let before = upstreams.origin.received().len();
        let mut seen = send(exchange, address);
        let received = upstreams.origin.received();
        let forwarded = received[before..].iter().filter(|request| !request.target.starts_with("/callout"));
        seen.origin = forwarded.map(at_origin).collect();
        outcome.exchanges.push(seen);
    }
    let start = Instant::now();
    while !case.record.is_empty() {
        outcome.record = read_record(address);
        if outcome.record == case.record || start.elapsed() > PATIENCE {
            break;
        }
        gateway_tests::pause(Duration::from_millis(20));
    }
    outcome
}

fn send(exchange: &Exchange, address: SocketAddr) -> Seen {
    let mut request = Request::new(&exchange.method, &exchange.path);
    for (name, value) in &exchange.headers {
        request = request.header(name, value);
    }
    request = match exchange.body.as_slice() {
        [] if exchange.trailers.is_empty() => request,
        [whole] if exchange.trailers.is_empty() => request.body(whole),
        chunks => request.chunked(chunks.iter().map(String::as_bytes)),
    };
    for (name, value) in &exchange.trailers {
        request = request.trailer(name, value);
    }
    let Ok(mut client) = Client::try_connect(address) else { return Seen::default() };
    client.set_patience(RESPONSE_PATIENCE);
    let Ok(response) = client.try_send(&request) else { return Seen::default() };
    let lower = |lines: &[(String, String)]| {
        lines.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect::<Vec<_>>()
    };
    Seen {
        status: response.status,
        body: response.text(),
        headers: lower(&response.headers.0),
        trailers: lower(&response.trailers.0),
        origin: Vec::new(),
    }
}

fn read_record(address: SocketAddr) -> Vec<String> {
    let request = Exchange { method: "GET".into(), path: "/record".into(), ..Exchange::default() };
    send(&request, address).body.lines().map(str::to_owned).collect()
}

fn at_origin(request: &Received) -> AtOrigin {
    let lower = |lines: &[(String, String)]| {
        lines.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect::<Vec<_>>()
    };
    AtOrigin {
        target: format!("{} {}", request.method, request.target),
        headers: lower(&request.headers.0),
        body: request.text(),
        trailers: lower(&request.trailers.0),
    }
}

/// A command that starts a proxy and keeps running. It finds in its environment: `ABI_MODULE` (a file), `ABI_PORT` (to
/// listen on, loopback), `ABI_ORIGIN` and `ABI_REFUSED` (`HOST:PORT` of the upstreams of these names; requests go to
/// `origin`), `ABI_CONFIG`, `ABI_VM_CONFIG`, `ABI_ENV` (`NAME=VALUE` lines), `ABI_BODY_WHILE_PAUSED` (`1` or empty) and
/// `ABI_BESIDE` (`=` and the configuration of a second plugin in the same VM, or empty).
pub struct Command {
    words: Vec<String>,
}

impl Command {
    /// A program and its arguments, separated by spaces.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self { words: text.split_whitespace().map(str::to_owned).collect() }
    }

    /// Starts the proxy for a case, runs it and stops the proxy.
    ///
    /// # Panics
    /// If the command cannot be started.
    #[must_use]
    pub fn run(&self, case: &Case) -> Verdict {
        let upstreams = Upstreams::new();
        let mut proxy = self.start(case, upstreams.origin(), upstreams.refused());
        let outcome = if proxy.serves() {
            run(case, proxy.address, &upstreams)
        } else {
            Outcome { refused: Some("the proxy did not start".to_owned()), ..Outcome::default() }
        };
        match Verdict::of(case, &outcome) {
            Verdict::Fails(how) => Verdict::Fails([vec![how], proxy.testimony()].concat().join("; ")),
            verdict => verdict,
        }
    }

    pub(crate) fn start(&self, case: &Case, origin: SocketAddr, refused: SocketAddr) -> Running {
        let folder = tempfile::tempdir().expect("a place for temporary files");
        let module = folder.path().join("abi.wasm");
        std::fs::write(&module, crate::guest::module(case)).expect("a writable folder");
        let (port, log) = (free_port(), folder.path().join("log"));
        let (program, arguments) = self.words.split_first().expect("a command has a program");
        let env: Vec<_> = case.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let variables = HashMap::from([
            ("ABI_MODULE", module.display().to_string()),
            ("ABI_PORT", port.to_string()),
            ("ABI_ORIGIN", origin.to_string()),
            ("ABI_REFUSED", refused.to_string()),
            ("ABI_CONFIG", case.config.clone()),
            ("ABI_BESIDE", case.beside.as_ref().map_or(String::new(), |config| format!("={config}"))),
            ("ABI_VM_CONFIG", case.vm_config.clone()),
            ("ABI_ENV", env.join("\n")),
            ("ABI_BODY_WHILE_PAUSED", if case.body_while_paused { "1".to_owned() } else { String::new() }),
        ]);
        let mut command = std::process::Command::new(program);
        command
            .args(arguments)
            .envs(variables)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).expect("a writable folder"));
        // A process group of its own: whatever the command starts ends with it.
        let child = command.process_group(0).spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
        Running { child, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), log, _folder: folder }
    }
}

/// A proxy with the module of a case; it ends when this is dropped.
pub(crate) struct Running {
    child: Child,
    pub(crate) address: SocketAddr,
    /// What it writes to standard error.
    log: PathBuf,
    _folder: tempfile::TempDir,
}

impl Running {
    /// Waits until it answers, or ended.
    pub(crate) fn serves(&mut self) -> bool {
        let start = Instant::now();
        while start.elapsed() < START_PATIENCE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return false;
            }
            if Client::try_connect(self.address).is_ok() {
                return true;
            }
            gateway_tests::pause(Duration::from_millis(20));
        }
        false
    }

    /// How it ended, if it did, and what it complained of first.
    fn testimony(&mut self) -> Vec<String> {
        let start = Instant::now();
        let mut ended = None;
        while ended.is_none() && start.elapsed() < ENDING {
            ended = self.child.try_wait().ok().flatten();
            gateway_tests::pause(Duration::from_millis(20));
        }
        let said = std::fs::read_to_string(&self.log).unwrap_or_default();
        let is_complaint =
            |line: &&str| ["[critical]", "[error]", "[warning]"].iter().any(|level| line.contains(level));
        // What stands in brackets before it is of this run alone.
        let first =
            said.lines().find(is_complaint).and_then(|line| line.rsplit_once("] ").map(|(_, said)| said));
        let first = first.map(|said| said.chars().take(COMPLAINT_CHARS).collect::<String>());
        let ended = ended.map(|status| format!("it ended with {status}"));
        ended.into_iter().chain(first.map(|said| format!("it said: {said}"))).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        let _ =
            std::process::Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    socket.local_addr().expect("it is bound").port()
}
