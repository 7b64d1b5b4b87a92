//! An origin that does with each request what its header `x-act` says, and keeps nothing but counts.

use std::io::{self, ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use socket2::SockRef;

use super::dice::Dice;
use crate::wire::{Head, Wire, bad};

/// Clients that can be told of arrivals.
const MAX_CLIENTS: usize = 64;
/// For a gateway that gives up a request whose client has left. Longer than a route may take.
const RELEASE: Duration = Duration::from_secs(30);
/// More than all buffers on the way hold.
const LARGE_BYTES: usize = 300_000;
/// Complaints that are kept.
const MAX_MALFORMED: usize = 20;

/// What the origin does with a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Act {
    Plain,
    Chunked,
    Empty,
    /// Any status, any octets in its headers.
    Odd,
    Large,
    /// After an interim response.
    Interim,
    /// Answers before it has read the body.
    Early,
    /// Ends its connection in place of an answer.
    Close,
    Reset,
    CutHead,
    /// Ends its connection within the body.
    CutBody,
    CutChunk,
    /// Does not answer, until the gateway leaves.
    Hold,
    /// Goes no further than the beginning of a body, until the gateway leaves.
    HoldBody,
}

const NAMES: [(Act, &str); 14] = [
    (Act::Plain, "plain"),
    (Act::Chunked, "chunked"),
    (Act::Empty, "empty"),
    (Act::Odd, "odd"),
    (Act::Large, "large"),
    (Act::Interim, "interim"),
    (Act::Early, "early"),
    (Act::Close, "close"),
    (Act::Reset, "reset"),
    (Act::CutHead, "cut-head"),
    (Act::CutBody, "cut-body"),
    (Act::CutChunk, "cut-chunk"),
    (Act::Hold, "hold"),
    (Act::HoldBody, "hold-body"),
];

impl Act {
    pub(super) fn name(self) -> &'static str {
        NAMES.iter().find(|(act, _)| *act == self).map_or("", |(_, name)| name)
    }

    fn of(name: &str) -> Option<Self> {
        NAMES.iter().find(|(_, known)| *known == name).map(|(act, _)| *act)
    }
}

/// A running origin; stops when dropped.
pub struct FaultyOrigin {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    arrived: [AtomicU64; MAX_CLIENTS],
    requests: AtomicU64,
    stuck: AtomicU64,
    malformed: Mutex<Vec<String>>,
    stopped: AtomicBool,
}

/// How many requests of one client have arrived.
pub(super) struct Arrivals {
    shared: Arc<Shared>,
    client: usize,
}

impl Arrivals {
    pub(super) fn count(&self) -> u64 {
        self.shared.arrived[self.client].load(Ordering::SeqCst)
    }
}

impl FaultyOrigin {
    /// # Panics
    /// If there is no free port.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let shared = Arc::new(Shared {
            arrived: std::array::from_fn(|_| AtomicU64::new(0)),
            requests: AtomicU64::new(0),
            stuck: AtomicU64::new(0),
            malformed: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let accepting = shared.clone();
        std::thread::spawn(move || accepting.accept(&listener));
        Self { address, shared }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests that arrived whole.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Requests that the gateway did not give up although their clients had left.
    #[must_use]
    pub fn stuck(&self) -> u64 {
        self.shared.stuck.load(Ordering::SeqCst)
    }

    /// What arrived and was no request.
    #[must_use]
    pub fn malformed(&self) -> Vec<String> {
        self.shared.malformed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn arrivals(&self, client: usize) -> Arrivals {
        assert!(client < MAX_CLIENTS, "at most {MAX_CLIENTS} clients");
        Arrivals { shared: self.shared.clone(), client }
    }
}

impl Drop for FaultyOrigin {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for (index, stream) in listener.incoming().enumerate() {
            if self.stopped.load(Ordering::SeqCst) {
                return;
            }
            let Ok(stream) = stream else { continue };
            let shared = self.clone();
            std::thread::spawn(move || {
                if let Err(error) = shared.serve(stream, Dice::new(0, index))
                    && error.kind() == ErrorKind::InvalidData
                {
                    let mut malformed = shared.malformed.lock().unwrap_or_else(PoisonError::into_inner);
                    if malformed.len() < MAX_MALFORMED {
                        malformed.push(format!("at the origin: {error}"));
                    }
                }
            });
        }
    }

    fn serve(&self, stream: TcpStream, mut dice: Dice) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut wire = Wire::new(stream);
        while let Some(head) = wire.head()? {
            let (Some(act), Some(client)) = (act(&head), client(&head)) else {
                return Err(bad(format!("x-act or x-client is gone: {:?}", head.headers)));
            };
            let is_head = head.first_line.starts_with("HEAD ");
            let act = match act {
                // An answer without a body is whole when its head is, and its connection is used again.
                Act::CutBody | Act::CutChunk | Act::HoldBody if is_head => Act::Plain,
                act => act,
            };
            if act == Act::Early {
                wire.stream.write_all(&answer(act, is_head, &mut dice))?;
            }
            read_body(&mut wire, &head)?;
            self.requests.fetch_add(1, Ordering::SeqCst);
            self.arrived[client].fetch_add(1, Ordering::SeqCst);
            if act != Act::Early {
                wire.stream.write_all(&answer(act, is_head, &mut dice))?;
            }
            match act {
                Act::Close | Act::CutHead | Act::CutBody => return Ok(()),
                Act::Reset | Act::CutChunk => return reset(&wire.stream),
                Act::Hold | Act::HoldBody => return self.wait_for_the_end(&mut wire),
                _ => {}
            }
        }
        Ok(())
    }

    fn wait_for_the_end(&self, wire: &mut Wire) -> io::Result<()> {
        wire.stream.set_read_timeout(Some(RELEASE))?;
        let ended = wire.rest();
        if ended.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)) {
            self.stuck.fetch_add(1, Ordering::SeqCst);
        }
        reset(&wire.stream)
    }
}

/// The connection is reset when it is dropped, and leaves nothing behind.
fn reset(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_linger(Some(Duration::ZERO))
}

fn act(head: &Head) -> Option<Act> {
    Act::of(head.headers.get("x-act")?)
}

fn client(head: &Head) -> Option<usize> {
    head.headers.get("x-client")?.parse().ok().filter(|client| *client < MAX_CLIENTS)
}

fn read_body(wire: &mut Wire, head: &Head) -> io::Result<()> {
    match (head.headers.all("transfer-encoding").as_slice(), head.headers.all("content-length").as_slice()) {
        ([], []) => Ok(()),
        (["chunked"], []) => wire.chunked().map(drop),
        ([], [length]) => {
            let length = length.parse().map_err(|_| bad(format!("content-length {length:?}")))?;
            wire.exact(length).map(drop)
        }
        framing => Err(bad(format!("ambiguous framing {framing:?}"))),
    }
}

/// All that is sent before what the act says of the connection.
fn answer(act: Act, is_head: bool, dice: &mut Dice) -> Vec<u8> {
    let sized = |body: &[u8], sent: usize| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        [head.as_bytes(), if is_head { b"" } else { &body[..sent] }].concat()
    };
    let chunked = |chunks: &str| {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        format!("{head}{}", if is_head { "" } else { chunks }).into_bytes()
    };
    match act {
        Act::Plain | Act::Early => sized(b"ok", 2),
        Act::Large => sized(&[b'x'; LARGE_BYTES], LARGE_BYTES),
        Act::Chunked => chunked("2\r\nok\r\n0\r\nx-trailer: t\r\n\r\n"),
        Act::Empty => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        Act::Interim => {
            [b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".as_slice(), &sized(b"ok", 2)].concat()
        }
        Act::Odd => odd(is_head, dice),
        Act::CutHead => b"HTTP/1.1 200 OK\r\ncontent-le".to_vec(),
        Act::CutBody => sized(&[b'x'; 1000], 400),
        Act::CutChunk => chunked("3e8\r\nbeginning"),
        Act::HoldBody => sized(&[b'x'; LARGE_BYTES], 1000),
        Act::Close | Act::Reset | Act::Hold => Vec::new(),
    }
}

fn odd(is_head: bool, dice: &mut Dice) -> Vec<u8> {
    const STATUSES: [u16; 9] = [200, 201, 206, 301, 404, 418, 451, 499, 500];
    const KNOWN: [&str; 8] = [
        "content-type",
        "grpc-status",
        "ratelimit-limit",
        "server",
        "set-cookie",
        "cache-control",
        "location",
        "x-consumer",
    ];
    let body = dice.bytes(3_000);
    let mut bytes =
        format!("HTTP/1.1 {} Odd\r\ncontent-length: {}\r\n", dice.one_of(&STATUSES), body.len()).into_bytes();
    for _ in 0..dice.below(8) {
        bytes.extend(dice.one_of(&KNOWN).bytes());
        bytes.extend(b": ");
        bytes.extend(if dice.percent(10) { b"application/grpc".to_vec() } else { dice.value(200) });
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"\r\n");
    if !is_head {
        bytes.extend(body);
    }
    bytes
}
