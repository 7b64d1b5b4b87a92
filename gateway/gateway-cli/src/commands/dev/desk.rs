//! One request at a time, through the gateway: what the client got, and what the origin saw of it.
//!
//! Remembers the last request, so that it can be sent again when the filter has changed.

use std::io::{self, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use crate::commands::demo::wire::{Head, WithoutLength, read_body, read_head};

/// How long one connect, one read or one write may take; longer than the gateway waits for a filter.
const TIMEOUT: Duration = Duration::from_secs(90);
/// Headers that belong to a connection: the desk has connections of its own.
const OF_CONNECTION: [&str; 4] = ["connection", "content-length", "transfer-encoding", "keep-alive"];

/// A request as the author sent it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Recorded {
    pub(super) head: Head,
    pub(super) body: Vec<u8>,
}

/// What became of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Seen {
    pub(super) response: Head,
    pub(super) body: Vec<u8>,
    /// The requests that reached the origin, callouts to it among them, in order.
    pub(super) received: Vec<Head>,
    pub(super) took: Duration,
}

pub(super) struct Desk {
    gateway: SocketAddr,
    /// What the origin reports; `None` with an origin of the author's own.
    received: Option<Receiver<Head>>,
    last: Recorded,
    seen: Option<Seen>,
}

impl Desk {
    pub(super) fn new(gateway: SocketAddr, received: Option<Receiver<Head>>) -> Self {
        let head = Head { text: "GET / HTTP/1.1\r\nhost: localhost\r\n".to_owned() };
        Self { gateway, received, last: Recorded { head, body: Vec::new() }, seen: None }
    }

    /// Sends a request of the author, and remembers both.
    pub(super) fn send(&mut self, request: Recorded) -> io::Result<Seen> {
        let seen = self.exchange(&request)?;
        self.last = request;
        self.seen = Some(seen.clone());
        Ok(seen)
    }

    /// Sends the last request again: the request, what was seen before, and what is seen now.
    pub(super) fn replay(&mut self) -> io::Result<(&Recorded, Option<Seen>, Seen)> {
        let now = self.exchange(&self.last)?;
        let before = self.seen.replace(now.clone());
        Ok((&self.last, before, now))
    }

    fn exchange(&self, request: &Recorded) -> io::Result<Seen> {
        if let Some(received) = &self.received {
            received.try_iter().for_each(drop);
        }
        let begun = Instant::now();
        let mut stream = TcpStream::connect_timeout(&self.gateway, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.write_all(&framed(&request.head, &request.body))?;
        let mut reader = BufReader::new(stream);
        let mut response = head(&mut reader)?;
        // Interim responses come before the one that counts.
        while response.start_line().split(' ').nth(1).is_some_and(|status| status.starts_with('1')) {
            response = head(&mut reader)?;
        }
        let is_head = request.head.start_line().starts_with("HEAD ");
        let body =
            if is_head { Vec::new() } else { read_body(&mut reader, &response, WithoutLength::UntilClose)? };
        let took = begun.elapsed();
        let received = self.received.iter().flat_map(Receiver::try_iter).collect();
        Ok(Seen { response, body, received, took })
    }
}

fn head(reader: &mut BufReader<TcpStream>) -> io::Result<Head> {
    read_head(reader)?.ok_or_else(|| {
        io::Error::new(ErrorKind::UnexpectedEof, "the connection was closed without an answer")
    })
}

/// A message that ends with its connection, of a known length.
pub(super) fn framed(head: &Head, body: &[u8]) -> Vec<u8> {
    let mut text = format!("{}\r\n", head.start_line());
    for line in head.text.lines().skip(1) {
        let name = line.split(':').next().unwrap_or_default().trim();
        if !OF_CONNECTION.iter().any(|of_connection| name.eq_ignore_ascii_case(of_connection)) {
            text += &format!("{line}\r\n");
        }
    }
    let has_length =
        !body.is_empty() || head.value("content-length").is_some() || head.start_line().starts_with("HTTP/");
    if has_length {
        text += &format!("content-length: {}\r\n", body.len());
    }
    text += "connection: close\r\n\r\n";
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}
