//! A client of HTTP/2 that writes header blocks as bytes, legal or not: no library would send what this sends.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::eventually::LIMIT;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
/// HPACK: literal, never to be indexed.
const LITERAL: u8 = 0x10;

/// One connection with prior knowledge.
pub struct Http2Raw {
    stream: TcpStream,
    next_stream: u32,
}

/// What became of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It was answered, with this status.
    Answered(u16),
    /// Its stream was reset with this code.
    Reset(u32),
    /// The connection was ended with this code.
    GoAway(u32),
    /// The connection ended without a word.
    Closed,
}

impl Http2Raw {
    /// # Panics
    /// If nobody listens.
    #[must_use]
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a listener");
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(LIMIT)).expect("not zero");
        let mut client = Self { stream, next_stream: 1 };
        client.stream.write_all(PREFACE).expect("the gateway reads");
        client.frame(SETTINGS, 0, 0, &[]);
        client
    }

    /// Sends a header list as it is, then `body` if there is one, and says what became of it.
    ///
    /// # Panics
    /// If nothing does.
    pub fn send(&mut self, fields: &[(&[u8], &[u8])], body: Option<&[u8]>) -> Outcome {
        self.send_in_steps(fields, body, 0)
    }

    /// The same; the body after so many pings have come back, so that the peer had time to act on the head.
    ///
    /// # Panics
    /// If nothing becomes of it.
    pub fn send_in_steps(&mut self, fields: &[(&[u8], &[u8])], body: Option<&[u8]>, pings: usize) -> Outcome {
        let id = self.next_stream;
        self.next_stream += 2;
        let mut block = Vec::new();
        for (name, value) in fields {
            block.push(LITERAL);
            string(&mut block, name);
            string(&mut block, value);
        }
        let ends = if body.is_none() { END_STREAM } else { 0 };
        self.frame(HEADERS, END_HEADERS | ends, id, &block);
        for _ in 0..pings {
            self.frame(PING, 0, 0, &[0; 8]);
            match self.outcome(id) {
                Ok(None) => {}
                Ok(Some(outcome)) => return outcome,
                Err(_) => return Outcome::Closed,
            }
        }
        if let Some(body) = body {
            self.frame(DATA, END_STREAM, id, body);
        }
        self.outcome(id).ok().flatten().unwrap_or(Outcome::Closed)
    }

    /// `None` when a ping came back first.
    fn outcome(&mut self, id: u32) -> io::Result<Option<Outcome>> {
        loop {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head)?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let mut payload = vec![0; length as usize];
            self.stream.read_exact(&mut payload)?;
            let code = |at: usize| {
                payload.get(at..at + 4).map_or(0, |code| u32::from_be_bytes(code.try_into().expect("four")))
            };
            match head[3] {
                HEADERS if stream == id => return Ok(Some(Outcome::Answered(status(&payload)))),
                RST_STREAM if stream == id => return Ok(Some(Outcome::Reset(code(0)))),
                GOAWAY => return Ok(Some(Outcome::GoAway(code(4)))),
                SETTINGS if head[4] & ACK == 0 => self.frame(SETTINGS, ACK, 0, &[]),
                PING if head[4] & ACK == 0 => self.frame(PING, ACK, 0, &payload),
                PING => return Ok(None),
                _ => {}
            }
        }
    }

    fn frame(&mut self, kind: u8, flags: u8, id: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).expect("small").to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend_from_slice(&id.to_be_bytes());
        frame.extend_from_slice(payload);
        // A connection that is gone shows when it is read.
        let _ = self.stream.write_all(&frame);
    }
}

/// RFC 7541, section 5.2, without Huffman coding.
fn string(block: &mut Vec<u8>, text: &[u8]) {
    const PREFIX: usize = 127;
    if text.len() < PREFIX {
        block.push(u8::try_from(text.len()).expect("small"));
    } else {
        block.push(127);
        let mut rest = text.len() - PREFIX;
        while rest >= 128 {
            block.push(u8::try_from(rest % 128 + 128).expect("a byte"));
            rest /= 128;
        }
        block.push(u8::try_from(rest).expect("a byte"));
    }
    block.extend_from_slice(text);
}

/// The status that a header block of the gateway begins with: from HPACK's static table, or as three digits.
fn status(block: &[u8]) -> u16 {
    const INDEXED: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    match block {
        [index @ 0x88..=0x8e, ..] => INDEXED[usize::from(index - 0x88)],
        // A literal with the name of an indexed status: 4 or 6 bits of index, then the value, mostly in Huffman's code.
        [_, 0x03, a, b, c, ..] => {
            [a, b, c].iter().fold(0, |status, digit| status * 10 + u16::from(*digit - b'0'))
        }
        [_, 0x82, first, second, ..] => huffman_status(*first, *second),
        _ => 0,
    }
}

/// Three digits in RFC 7541's code: `0`, `1` and `2` have five bits, the other digits six.
fn huffman_status(first: u8, second: u8) -> u16 {
    let bits = u16::from_be_bytes([first, second]);
    let (mut at, mut status) = (0, 0);
    for _ in 0..3 {
        let window = (bits << at) >> 10;
        let (digit, length) = match window {
            0b00_0000..=0b00_0101 => (window >> 1, 5),
            0b01_1001..=0b01_1111 => (window - 0b01_1001 + 3, 6),
            _ => return 0,
        };
        status = status * 10 + digit;
        at += length;
    }
    status
}
