//! An origin that changes protocols: it reads one head per connection and leaves the rest to a script, as bytes.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::eventually::{LIMIT, eventually};
use crate::wire::{Headers, Wire};

/// The answer that the head of [`Switcher::HANDSHAKE`] gets.
const SWITCHING: &str =
    "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";

type Script = dyn Fn(&str, Switching) -> io::Result<()> + Send + Sync;

/// A running origin of another protocol; stops when dropped.
pub struct Switcher {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    script: Box<Script>,
    heads: Mutex<Vec<(String, Headers)>>,
    connections: Mutex<Vec<TcpStream>>,
    stopped: AtomicBool,
}

/// What proves that a server has read `key` as that of a WebSocket handshake (RFC 6455, section 4.2.2).
#[must_use]
pub fn websocket_accept(key: &str) -> String {
    let digest = sha1(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").as_bytes());
    let bits: Vec<u8> = digest.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)).collect();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".as_bytes();
    let digit =
        |six: &[u8]| six.iter().chain([0; 5].iter()).take(6).fold(0, |sum, bit| sum << 1 | usize::from(*bit));
    let mut text: String = bits.chunks(6).map(|six| char::from(alphabet[digit(six)])).collect();
    text.push('=');
    text
}

/// RFC 3174; no code of the gateway's.
fn sha1(message: &[u8]) -> [u8; 20] {
    let mut padded = [message, &[0x80]].concat();
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    padded.extend((message.len() as u64 * 8).to_be_bytes());
    let mut state: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    for block in padded.chunks(64) {
        let mut words: Vec<u32> =
            block.chunks(4).map(|word| u32::from_be_bytes(word.try_into().expect("four bytes"))).collect();
        for at in 16..80 {
            words.push((words[at - 3] ^ words[at - 8] ^ words[at - 14] ^ words[at - 16]).rotate_left(1));
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (at, word) in words.iter().enumerate() {
            let (mix, constant) = match at {
                0..20 => (b & c | !b & d, 0x5a82_7999),
                20..40 => (b ^ c ^ d, 0x6ed9_eba1),
                40..60 => (b & c | b & d | c & d, 0x8f1b_bcdc_u32),
                _ => (b ^ c ^ d, 0xca62_c1d6),
            };
            let next =
                a.rotate_left(5).wrapping_add(mix).wrapping_add(e).wrapping_add(constant).wrapping_add(*word);
            (a, b, c, d, e) = (next, a, b.rotate_left(30), c, d);
        }
        for (sum, value) in state.iter_mut().zip([a, b, c, d, e]) {
            *sum = sum.wrapping_add(value);
        }
    }
    let mut digest = [0; 20];
    for (bytes, word) in digest.chunks_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    digest
}

/// A connection whose head was read.
pub struct Switching {
    wire: Wire,
    headers: Headers,
}

impl Switching {
    /// The headers of the request.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Answers `101` for WebSocket, and sends `early` in the same write.
    ///
    /// # Errors
    /// The gateway is gone.
    pub fn accept(&mut self, early: &[u8]) -> io::Result<()> {
        self.write(&[SWITCHING.as_bytes(), early].concat())
    }

    /// Bytes as they are.
    ///
    /// # Errors
    /// The gateway is gone.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.wire.stream.write_all(bytes)
    }

    /// The next `length` bytes.
    ///
    /// # Errors
    /// There are fewer.
    pub fn read(&mut self, length: usize) -> io::Result<Vec<u8>> {
        self.wire.exact(length)
    }

    /// Everything until the gateway ends its direction.
    ///
    /// # Errors
    /// It breaks.
    pub fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        self.wire.rest()
    }

    /// Ends this direction.
    ///
    /// # Errors
    /// The gateway is gone.
    pub fn finish(&mut self) -> io::Result<()> {
        self.wire.stream.shutdown(Shutdown::Write)
    }

    /// Sends back what comes, until the gateway ends its direction; then ends this one.
    ///
    /// # Errors
    /// The gateway is gone.
    pub fn echo(&mut self) -> io::Result<()> {
        let ahead = self.wire.take_ahead();
        self.write(&ahead)?;
        let mut chunk = [0; 16 * 1024];
        loop {
            match self.wire.stream.read(&mut chunk)? {
                0 => return self.finish(),
                read => self.wire.stream.write_all(&chunk[..read])?,
            }
        }
    }
}

impl Switcher {
    /// What a WebSocket client sends, up to the host.
    pub const HANDSHAKE: &str = "GET /chat HTTP/1.1\r\nhost: test.example\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    /// Leaves each connection to `script`, with the first line of its head.
    ///
    /// # Panics
    /// If there is no free port.
    pub fn start(script: impl Fn(&str, Switching) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let shared = Arc::new(Shared {
            script: Box::new(script),
            heads: Mutex::default(),
            connections: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let accepting = {
            let shared = shared.clone();
            std::thread::spawn(move || shared.accept(&listener))
        };
        Self { address, shared, accepting: Some(accepting) }
    }

    /// Changes to WebSocket whenever asked, and sends back every byte.
    #[must_use]
    pub fn echoing() -> Self {
        Self::start(|_, mut connection| {
            connection.accept(b"")?;
            connection.echo()
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The heads so far: first line and headers.
    #[must_use]
    pub fn heads(&self) -> Vec<(String, Headers)> {
        self.shared.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for that many heads; all of them.
    #[must_use]
    pub fn await_heads(&self, number: usize) -> Vec<(String, Headers)> {
        eventually("heads at the origin", || self.heads().len() >= number);
        self.heads()
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming() {
            if self.stopped.load(Ordering::SeqCst) {
                return;
            }
            let Ok(stream) = stream else { continue };
            if let Ok(copy) = stream.try_clone() {
                self.connections.lock().unwrap_or_else(PoisonError::into_inner).push(copy);
            }
            let shared = self.clone();
            // What goes wrong here goes wrong at the client, too, which is where tests look.
            std::thread::spawn(move || shared.serve(stream));
        }
    }

    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LIMIT * 2))?;
        let closing = stream.try_clone()?;
        let mut wire = Wire::new(stream);
        if let Some(head) = wire.head()? {
            let entry = (head.first_line.clone(), head.headers.clone());
            self.heads.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
            // The copy that is kept for the end would keep the connection open.
            let outcome = (self.script)(&head.first_line, Switching { wire, headers: head.headers });
            closing.shutdown(Shutdown::Both)?;
            outcome?;
        }
        Ok(())
    }
}

impl Drop for Switcher {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
        for stream in self.shared.connections.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            // Most are closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::websocket_accept;

    #[test]
    fn the_proof_is_that_of_the_example_in_the_rfc() {
        // RFC 6455, section 1.3.
        assert_eq!(websocket_accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
