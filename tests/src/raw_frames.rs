//! A client of cleartext HTTP/2 that sends whatever frames a test likes, as no library would. What comes back is read by a
//! thread of its own and known by kinds and streams alone: header blocks are not decoded.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::eventually::{eventually, eventually_some};

/// Frame types (RFC 9113, section 6).
pub mod kind {
    #![allow(missing_docs, reason = "the names of the RFC")]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flags of DATA and HEADERS, and `ACK` of PING.
pub mod flag {
    #![allow(missing_docs, reason = "the names of the RFC")]
    pub const NONE: u8 = 0;
    pub const ACK: u8 = 1;
    pub const END_STREAM: u8 = 1;
    pub const END_HEADERS: u8 = 4;
    pub const PADDED: u8 = 8;
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One connection.
pub struct RawHttp2 {
    stream: TcpStream,
    seen: Arc<Mutex<Seen>>,
    pings: u64,
}

/// How the server takes its leave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Farewell {
    /// The error code.
    pub code: u32,
    /// What it says besides.
    pub debug: String,
}

#[derive(Default)]
struct Seen {
    frames: HashMap<(u8, u32), usize>,
    resets: HashMap<u32, u32>,
    ended: Vec<u32>,
    data: HashMap<u32, usize>,
    /// The greatest payload of a ping that came back.
    pings: u64,
    farewell: Option<Farewell>,
    is_over: bool,
}

/// A frame as bytes.
#[must_use]
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A header block, nothing in it compressed.
#[must_use]
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| literal(0, name, value)).collect()
}

/// A field that the receiver keeps: `[0xbe]` stands for the newest such field from then on (RFC 7541, section 6.2.1).
#[must_use]
pub fn remembered(name: &str, value: &str) -> Vec<u8> {
    literal(0x40, name, value)
}

/// The fields of a request.
#[must_use]
pub fn request<'a>(method: &'a str, path: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![(":method", method), (":scheme", "http"), (":path", path), (":authority", "a.example")]
}

fn literal(first: u8, name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![first];
    for text in [name, value] {
        integer(text.len(), &mut bytes);
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

/// With a prefix of seven bits (RFC 7541, section 5.1).
fn integer(value: usize, out: &mut Vec<u8>) {
    if value < 127 {
        out.push(value.to_le_bytes()[0]);
        return;
    }
    out.push(127);
    let mut rest = value - 127;
    while rest >= 128 {
        out.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    out.push(rest.to_le_bytes()[0]);
}

impl RawHttp2 {
    /// A connection that has begun; `settings` is the payload of its SETTINGS.
    ///
    /// # Panics
    /// If there is no connection.
    #[must_use]
    pub fn connect(address: SocketAddr, settings: &[u8]) -> Self {
        let mut stream = TcpStream::connect(address).expect("a listener");
        stream.set_nodelay(true).expect("an open socket");
        let mut bytes = PREFACE.to_vec();
        bytes.extend(frame(kind::SETTINGS, flag::NONE, 0, settings));
        bytes.extend(frame(kind::SETTINGS, flag::ACK, 0, &[]));
        stream.write_all(&bytes).expect("an open socket");
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (mut reader, noting) = (stream.try_clone().expect("a descriptor"), seen.clone());
        std::thread::spawn(move || {
            // That it ends is what counts; how, the frames before that say.
            let _ = note_frames(&mut reader, &noting);
            lock(&noting).is_over = true;
        });
        Self { stream, seen, pings: 0 }
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// The server has closed the connection.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a request without a body.
    ///
    /// # Errors
    /// The server has closed the connection.
    pub fn ask(&mut self, stream: u32, fields: &[(&str, &str)]) -> io::Result<()> {
        let flags = flag::END_HEADERS | flag::END_STREAM;
        self.send(&frame(kind::HEADERS, flags, stream, &block(fields)))
    }

    /// Whether the server is still there, having looked at all that was sent.
    ///
    /// # Panics
    /// If it says nothing.
    pub fn is_served(&mut self) -> bool {
        self.pings += 1;
        let payload = self.pings.to_be_bytes();
        if self.send(&frame(kind::PING, flag::NONE, 0, &payload)).is_err() {
            return false;
        }
        eventually("an answer to a ping, or the end", || {
            let seen = lock(&self.seen);
            seen.pings == self.pings || seen.farewell.is_some() || seen.is_over
        });
        let seen = lock(&self.seen);
        seen.farewell.is_none() && !seen.is_over
    }

    /// Frames of a kind that came for a stream so far.
    #[must_use]
    pub fn frames(&self, kind: u8, stream: u32) -> usize {
        lock(&self.seen).frames.get(&(kind, stream)).copied().unwrap_or(0)
    }

    /// Waits for the whole response of a stream.
    pub fn await_end(&self, stream: u32) {
        eventually("the end of a stream", || lock(&self.seen).ended.contains(&stream));
    }

    /// Waits until a stream is reset; the code.
    #[must_use]
    pub fn await_reset(&self, stream: u32) -> u32 {
        eventually_some("a reset", || lock(&self.seen).resets.get(&stream).copied())
    }

    /// Bytes of a response so far.
    #[must_use]
    pub fn data(&self, stream: u32) -> usize {
        lock(&self.seen).data.get(&stream).copied().unwrap_or(0)
    }

    /// Waits until the connection has ended; how the server took its leave, if it did.
    #[must_use]
    pub fn await_end_of_all(&self) -> Option<Farewell> {
        eventually("the end of the connection", || lock(&self.seen).is_over);
        lock(&self.seen).farewell.clone()
    }
}

impl Drop for RawHttp2 {
    fn drop(&mut self) {
        // The reader has a descriptor of its own. A connection that is gone is what is wanted.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

fn note_frames(stream: &mut TcpStream, noting: &Mutex<Seen>) -> io::Result<()> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let (kind, flags) = (head[3], head[4]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload)?;
        let word = |at: usize| {
            payload
                .get(at..at + 4)
                .map_or(0, |word| word.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
        };
        let mut seen = lock(noting);
        *seen.frames.entry((kind, id)).or_default() += 1;
        match kind {
            kind::PING if flags & flag::ACK != 0 => {
                seen.pings = seen.pings.max(u64::from(word(0)) << 32 | u64::from(word(4)));
            }
            kind::RST_STREAM => {
                seen.resets.insert(id, word(0));
            }
            kind::GOAWAY => {
                let debug = String::from_utf8_lossy(payload.get(8..).unwrap_or_default()).into_owned();
                seen.farewell = Some(Farewell { code: word(4), debug });
            }
            kind::DATA => *seen.data.entry(id).or_default() += payload.len(),
            _ => {}
        }
        if matches!(kind, kind::DATA | kind::HEADERS) && flags & flag::END_STREAM != 0 {
            seen.ended.push(id);
        }
    }
}

fn lock(mutex: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
