//! What goes over the wire, byte by byte, when a case runs through a proxy: evidence for what a client or an origin that
//! understands HTTP cannot tell.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gateway_tests::RefusingAddress;

use crate::case::{Answer, Case, Exchange};
use crate::over_port::Command;

/// The origin answers what came before a silence of this length.
const SILENCE: Duration = Duration::from_millis(300);
/// The client stops reading after a silence of this length.
const PATIENCE: Duration = Duration::from_millis(2500);

/// Runs a case and tells what client and origin received.
///
/// # Panics
/// If there is no socket to be had, or the proxy does not start.
#[must_use]
pub fn seen(command: &Command, case: &Case) -> String {
    let origin = Origin::start();
    let refused = RefusingAddress::new();
    let mut proxy = command.start(case, origin.address, refused.address());
    assert!(proxy.serves(), "{}: the proxy did not start", case.id());
    let mut text = format!("== {}\n", case.id());
    for exchange in &case.exchanges {
        *origin.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer(&exchange.answer);
        let received = ask(proxy.address, exchange);
        let _ =
            write!(text, "-- the client sent {} {} and received\n{received}", exchange.method, exchange.path);
    }
    let connections = origin.received.lock().unwrap_or_else(PoisonError::into_inner);
    for (at, bytes) in connections.iter().enumerate() {
        let _ = write!(text, "-- the origin received, on connection {}\n{}", at + 1, shown(bytes));
    }
    text
}

struct Origin {
    address: SocketAddr,
    answer: Arc<Mutex<Vec<u8>>>,
    /// By connection.
    received: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Origin {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (answer, received) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let (planned, kept) = (answer.clone(), received.clone());
        std::thread::spawn(move || {
            for (at, socket) in listener.incoming().flatten().enumerate() {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(Vec::new());
                let (planned, kept) = (planned.clone(), kept.clone());
                std::thread::spawn(move || serve(socket, at, &planned, &kept));
            }
        });
        Self { address, answer, received }
    }
}

fn serve(mut socket: TcpStream, at: usize, answer: &Mutex<Vec<u8>>, kept: &Mutex<Vec<Vec<u8>>>) {
    let _ = socket.set_read_timeout(Some(SILENCE));
    let (mut chunk, mut is_asked) = ([0; 4096], false);
    loop {
        match socket.read(&mut chunk) {
            Ok(0) => return,
            Ok(len) => {
                is_asked = true;
                kept.lock().unwrap_or_else(PoisonError::into_inner)[at].extend_from_slice(&chunk[..len]);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let answer = answer.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if is_asked && socket.write_all(&answer).is_err() {
                    return;
                }
                is_asked = false;
            }
            Err(_) => return,
        }
    }
}

fn answer(planned: &Answer) -> Vec<u8> {
    let body = planned.body.concat();
    let mut head = format!("HTTP/1.1 {} Planned\r\ncontent-length: {}\r\n", planned.status, body.len());
    for (name, value) in &planned.headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    format!("{head}\r\n{body}").into_bytes()
}

fn ask(address: SocketAddr, exchange: &Exchange) -> String {
    let mut request = format!("{} {} HTTP/1.1\r\nhost: test.example\r\n", exchange.method, exchange.path);
    for (name, value) in &exchange.headers {
        let _ = write!(request, "{name}: {value}\r\n");
    }
    let body = match exchange.body.as_slice() {
        [] => String::new(),
        [whole] => {
            let _ = write!(request, "content-length: {}\r\n", whole.len());
            whole.clone()
        }
        chunks => {
            request.push_str("transfer-encoding: chunked\r\n");
            let chunk = |chunk: &String| format!("{:x}\r\n{chunk}\r\n", chunk.len());
            chunks.iter().map(chunk).collect::<String>() + "0\r\n\r\n"
        }
    };
    let mut socket = TcpStream::connect(address).expect("the proxy serves");
    let _ = socket.set_read_timeout(Some(PATIENCE));
    let (mut received, mut chunk) = (Vec::new(), [0; 4096]);
    let sent = socket.write_all(format!("{request}\r\n{body}").as_bytes());
    let end = loop {
        match sent
            .as_ref()
            .map_err(|error| error.kind())
            .and(socket.read(&mut chunk).map_err(|error| error.kind()))
        {
            Ok(0) => break "the connection was closed",
            Ok(len) => received.extend_from_slice(&chunk[..len]),
            Err(ErrorKind::WouldBlock) => break "nothing more came",
            Err(_) => break "the connection was reset",
        }
    };
    format!("{}({end})\n", shown(&received))
}

/// Text as it is, line ends as `\r\n`, and a line end of its own after each line.
fn shown(bytes: &[u8]) -> String {
    let text = bytes.escape_ascii().to_string().replace("\\r\\n", "\\r\\n\n").replace("\\\"", "\"");
    if text.is_empty() || text.ends_with('\n') { text } else { text + "\n" }
}
