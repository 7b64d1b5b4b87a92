//! An origin that speaks HTTP/2 frame by frame, as no library would: it goes away in the middle of everything, and
//! refuses streams. It reads no header block; requests are known by their bodies. A thread per connection.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

const PREFACE_BYTES: usize = 24;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const REFUSED_STREAM: u32 = 7;
/// `:status: 200` in HPACK's static table.
const STATUS_200: &[u8] = &[0x88];

/// What it does on each connection.
#[derive(Clone, Copy, Debug)]
pub enum Manner {
    /// Answers this many requests, then says that it looks at no later one, and closes.
    GoesAwayAfter(usize),
    /// Refuses every stream but each n-th.
    RefusesAllBut(usize),
}

/// A running origin; its threads end with the process.
pub struct FrameOrigin {
    address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    unanswered: AtomicUsize,
    bodies: Mutex<Vec<String>>,
}

impl FrameOrigin {
    /// # Panics
    /// If there is no free port.
    #[must_use]
    pub fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let seen = Arc::new(Seen::default());
        let accepting = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                accepting.connections.fetch_add(1, Ordering::SeqCst);
                let seen = accepting.clone();
                // The other end closes in its own time; what is missing then, the client sees.
                std::thread::spawn(move || seen.serve(stream, manner));
            }
        });
        Self { address, seen }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// Requests that it did nothing with.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.seen.unanswered.load(Ordering::SeqCst)
    }

    /// The bodies of the requests that it answered.
    #[must_use]
    pub fn bodies(&self) -> Vec<String> {
        self.seen.bodies.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Seen {
    fn serve(&self, mut stream: TcpStream, manner: Manner) -> io::Result<()> {
        stream.set_nodelay(true)?;
        stream.read_exact(&mut [0; PREFACE_BYTES])?;
        write(&mut stream, SETTINGS, 0, 0, &[])?;
        let (mut answered, mut streams, mut last) = (0, 0, None);
        let mut bodies = HashMap::new();
        loop {
            let (kind, flags, id, payload) = read(&mut stream)?;
            match kind {
                SETTINGS if flags & ACK == 0 => write(&mut stream, SETTINGS, ACK, 0, &[])?,
                PING if flags & ACK == 0 => write(&mut stream, PING, ACK, 0, &payload)?,
                HEADERS if last.is_some_and(|last| id > last) => {
                    self.unanswered.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                HEADERS => {
                    streams += 1;
                    if let Manner::RefusesAllBut(nth) = manner
                        && streams % nth != 0
                    {
                        self.unanswered.fetch_add(1, Ordering::SeqCst);
                        write(&mut stream, RST_STREAM, 0, id, &REFUSED_STREAM.to_be_bytes())?;
                        continue;
                    }
                    bodies.insert(id, String::new());
                }
                DATA => {
                    if let Some(body) = bodies.get_mut(&id) {
                        body.push_str(&String::from_utf8_lossy(&payload));
                    }
                    if !payload.is_empty() {
                        let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
                        write(&mut stream, WINDOW_UPDATE, 0, 0, &length)?;
                    }
                }
                _ => {}
            }
            if !matches!(kind, HEADERS | DATA) || flags & END_STREAM == 0 {
                continue;
            }
            let Some(body) = bodies.remove(&id) else { continue };
            self.bodies.lock().unwrap_or_else(PoisonError::into_inner).push(body);
            answered += 1;
            write(&mut stream, HEADERS, END_STREAM | END_HEADERS, id, STATUS_200)?;
            if let Manner::GoesAwayAfter(most) = manner
                && answered == most
            {
                // Earlier streams are still answered; later ones are not, although their heads may be here.
                last = Some(id);
                bodies.retain(|stream, _| {
                    *stream < id || {
                        self.unanswered.fetch_add(1, Ordering::SeqCst);
                        false
                    }
                });
                let mut payload = id.to_be_bytes().to_vec();
                payload.extend_from_slice(&0_u32.to_be_bytes());
                write(&mut stream, GOAWAY, 0, 0, &payload)?;
            }
        }
    }
}

fn read(stream: &mut TcpStream) -> io::Result<(u8, u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head)?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload)?;
    Ok((head[3], head[4], id, payload))
}

fn write(stream: &mut TcpStream, kind: u8, flags: u8, id: u32, payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&id.to_be_bytes());
    frame.extend_from_slice(payload);
    stream.write_all(&frame)
}
