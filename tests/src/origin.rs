//! An origin server over plain sockets: records what it receives and answers by a script. A thread per connection.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::eventually::eventually;
use crate::script::{Answer, Gate};
use crate::wire::{Head, Headers, Wire, bad};

type Script = dyn Fn(&Received) -> Answer + Send + Sync;

/// One request as the origin received it.
#[derive(Clone, Debug)]
pub struct Received {
    /// Which connection it came on, from 0.
    pub connection: usize,
    /// Which request of its connection it is, from 0.
    pub nth: usize,
    /// Method.
    pub method: String,
    /// Target as sent.
    pub target: String,
    /// Headers as received.
    pub headers: Headers,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// Trailers as received.
    pub trailers: Headers,
}

impl Received {
    /// The only value of a header; see [`Headers::get`].
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A running origin; stops when dropped.
pub struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    script: Box<Script>,
    /// Bodies are read once this is open.
    reads_bodies: Option<Gate>,
    received: Mutex<Vec<Received>>,
    /// What could not be read as requests, in the words of the reader.
    malformed: Mutex<Vec<String>>,
    connections: Mutex<Vec<TcpStream>>,
    bytes_sent: AtomicU64,
    stopped: AtomicBool,
}

impl Origin {
    /// Answers every request by `script`.
    ///
    /// # Panics
    /// If there is no free port.
    pub fn start(script: impl Fn(&Received) -> Answer + Send + Sync + 'static) -> Self {
        Self::launch(Box::new(script), None)
    }

    /// Answers every request with 200 and this body.
    ///
    /// # Panics
    /// If there is no free port.
    pub fn answering(body: &str) -> Self {
        let body = body.to_owned();
        Self::start(move |_| Answer::text(&body))
    }

    /// Answers every request with its own body.
    ///
    /// # Panics
    /// If there is no free port.
    pub fn echoing() -> Self {
        Self::start(|request| Answer::text(&request.body))
    }

    /// Reads heads, but no body before `gate` is open.
    ///
    /// # Panics
    /// If there is no free port.
    pub fn reading_bodies_behind(
        gate: &Gate,
        script: impl Fn(&Received) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::launch(Box::new(script), Some(gate.clone()))
    }

    fn launch(script: Box<Script>, reads_bodies: Option<Gate>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let shared = Arc::new(Shared {
            script,
            reads_bodies,
            received: Mutex::default(),
            malformed: Mutex::default(),
            connections: Mutex::default(),
            bytes_sent: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        });
        let accepting = {
            let shared = shared.clone();
            std::thread::spawn(move || shared.accept(&listener))
        };
        Self { address, shared, accepting: Some(accepting) }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All requests so far, in the order in which their last byte arrived.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        lock(&self.shared.received).clone()
    }

    /// The only request so far.
    ///
    /// # Panics
    /// If there is none, or more than one.
    #[must_use]
    pub fn only_request(&self) -> Received {
        let mut received = self.received();
        assert_eq!(received.len(), 1, "requests at the origin: {received:#?}");
        received.remove(0)
    }

    /// The last request.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn last_request(&self) -> Received {
        self.received().pop().expect("a request at the origin")
    }

    /// How many requests arrived with this target.
    #[must_use]
    pub fn count(&self, target: &str) -> usize {
        lock(&self.shared.received).iter().filter(|request| request.target == target).count()
    }

    /// Waits until `number` requests have arrived.
    pub fn await_requests(&self, number: usize) {
        eventually("requests at the origin", || lock(&self.shared.received).len() >= number);
    }

    /// What arrived and was no request; bytes left over from one are the start of the next.
    #[must_use]
    pub fn malformed(&self) -> Vec<String> {
        lock(&self.shared.malformed).clone()
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        lock(&self.shared.connections).len()
    }

    /// Body bytes of [`Answer::zeros`] that the network took.
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        self.shared.bytes_sent.load(Ordering::SeqCst)
    }

    /// Closes every connection, used or not; new ones are accepted.
    pub fn close_connections(&self) {
        for stream in lock(&self.shared.connections).iter() {
            // Most are closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
        self.close_connections();
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for (index, stream) in listener.incoming().enumerate() {
            if self.stopped.load(Ordering::SeqCst) {
                return;
            }
            let Ok(stream) = stream else { continue };
            if let Ok(copy) = stream.try_clone() {
                lock(&self.connections).push(copy);
            }
            let shared = self.clone();
            std::thread::spawn(move || {
                if let Err(error) = shared.serve(index, stream)
                    && error.kind() == io::ErrorKind::InvalidData
                {
                    lock(&shared.malformed).push(error.to_string());
                }
            });
        }
    }

    fn serve(&self, connection: usize, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut wire = Wire::new(stream);
        let mut requests = 0..;
        while let Some(head) = wire.head()? {
            if let Some(gate) = &self.reads_bodies {
                gate.wait();
            }
            let mut request = read_request(&mut wire, head)?;
            (request.connection, request.nth) = (connection, requests.next().unwrap_or_default());
            lock(&self.received).push(request.clone());
            let answer = (self.script)(&request);
            if !answer.play(&mut wire.stream, request.method == "HEAD", &self.bytes_sent)? {
                // The clone kept for shutting down would keep the connection open.
                return wire.stream.shutdown(Shutdown::Both);
            }
        }
        Ok(())
    }
}

fn read_request(wire: &mut Wire, head: Head) -> io::Result<Received> {
    let words: Vec<_> = head.first_line.split(' ').map(str::to_owned).collect();
    let [method, target, version] = words.try_into().map_err(|_| bad(format!("{:?}", head.first_line)))?;
    if version != "HTTP/1.1" || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err(bad(format!("{:?}", head.first_line)));
    }
    let lengths = head.headers.all("content-length");
    let (body, trailers) = match (head.headers.all("transfer-encoding").as_slice(), lengths.as_slice()) {
        ([], []) => Default::default(),
        (["chunked"], []) => wire.chunked()?,
        ([], [length]) => {
            let length = length.parse().map_err(|_| bad(format!("content-length {length:?}")))?;
            (wire.exact(length)?, Headers::default())
        }
        framing => return Err(bad(format!("ambiguous framing {framing:?}"))),
    };
    Ok(Received { connection: 0, nth: 0, method, target, headers: head.headers, body, trailers })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An address at which connections are refused for as long as this lives.
pub struct RefusingAddress {
    address: SocketAddr,
    _bound: tokio::net::TcpSocket,
}

impl RefusingAddress {
    /// # Panics
    /// If there is no free port.
    #[must_use]
    pub fn new() -> Self {
        // Bound, so that nobody else gets the port, and never listening.
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
        Self { address: socket.local_addr().expect("a bound socket"), _bound: socket }
    }

    /// Where nobody listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Default for RefusingAddress {
    fn default() -> Self {
        Self::new()
    }
}
