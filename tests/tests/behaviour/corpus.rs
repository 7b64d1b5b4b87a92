//! Heads that servers read in different ways, by the hundred and by the thousand: each is refused, or goes on in the one form that
//! it has. Judged by the bytes that the upstream gets, read as strictly as can be.

#[path = "corpus/heads.rs"]
mod heads;
#[path = "corpus/strict.rs"]
mod strict;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};

use gateway_tests::{Gateway, LIMIT};
use heads::{CLEAN, REFUSED, REFUSED_ALONE};
use strict::{StrictOrigin, dashed, field, split_crlf};

const WORKERS: usize = 4;
/// Of what the upstream got, if it should not have.
const SHOWN_BYTES: usize = 400;
/// What follows each message: an answer to it says that the connection was in step.
const LAST: &[u8] = b"GET /last HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

/// What became of one message and what follows it on its connection.
#[derive(Debug)]
struct Outcome {
    /// Answers of the upstream, and others.
    served: usize,
    refused: usize,
    /// Requests that the upstream had meanwhile.
    heard: usize,
}

/// An origin and a gateway to it that one client has to itself.
struct Lane {
    origin: StrictOrigin,
    gateway: Gateway,
    heard: usize,
}

impl Lane {
    fn new() -> Self {
        let origin = StrictOrigin::start();
        let config = "accessLog: off\nroutes: [{to: origin, timeout: 5s}]\nupstreams: {origin: 'ORIGIN'}";
        let gateway = Gateway::with(config).set("ORIGIN", origin.address()).start();
        Self { origin, gateway, heard: 0 }
    }

    /// Sends bytes and [`LAST`] over a connection of their own, which ends one way or the other.
    fn send(&mut self, bytes: &[u8]) -> Outcome {
        let mut client = TcpStream::connect(self.gateway.address()).expect("a connection");
        client.set_read_timeout(Some(LIMIT)).expect("not zero");
        // It may be closed before the end.
        let _ = client.write_all(&[bytes, LAST].concat());
        let mut answers = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match client.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => answers.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
                Err(error) => panic!("{}: {error}", show(bytes)),
            }
        }
        let answers = String::from_utf8_lossy(&answers);
        let served = answers.matches(" 200 OK\r\n").count();
        let refused = answers.matches("HTTP/1.").count() - served;
        let connections = self.origin.heard();
        for heard in &connections {
            let end = &heard.bytes[heard.bytes.len().saturating_sub(SHOWN_BYTES)..];
            assert_eq!(heard.fault, None, "{} reached the upstream as .. {}", show(bytes), show(end));
        }
        let heard = connections.iter().map(|connection| connection.targets.len()).sum::<usize>();
        let outcome = Outcome { served, refused, heard: heard - self.heard };
        self.heard = heard;
        assert_eq!(outcome.heard, outcome.served, "{}: {outcome:?}", show(bytes));
        outcome
    }
}

fn show(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

#[test]
fn heads_with_several_readings_are_refused_and_those_with_one_go_on_in_it() {
    let mut lane = Lane::new();
    let mut wrong = Vec::new();
    for (groups, served, refused) in [(REFUSED, 0, 1), (REFUSED_ALONE, 1, 1), (CLEAN, 2, 0)] {
        for head in groups.iter().flat_map(heads::written) {
            let outcome = lane.send(&head);
            // A connection of HTTP/1.0 ends with its first answer.
            let ends = head.ends_with(b" HTTP/1.0\r\nhost: a\r\n\r\n");
            let expected = (if ends { served / 2 } else { served }, refused);
            if (outcome.served, outcome.refused) != expected {
                wrong.push(format!("{} {outcome:?}", show(&head)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let [refused, alone, clean] =
        [REFUSED, REFUSED_ALONE, CLEAN].map(|groups| groups.iter().flat_map(heads::written).count());
    println!("{} heads refused, {clean} passed on in one form, 0 ambiguous", refused + alone);
    assert!(refused + alone + clean >= 218);
}

/// Where a byte is put into a header that one server takes for `transfer-encoding: chunked` and another does not.
const GADGETS: &[(&[u8], &[u8])] = &[
    (b"Transfer-Encoding:", b"chunked"),
    (b"Transfer-Encoding", b": chunked"),
    (b"", b"Transfer-Encoding: chunked"),
    (b"Transfer-Encoding: chunked", b""),
    (b"Transfer", b"Encoding: chunked"),
    (b"X: X", b"Transfer-Encoding: chunked"),
    (b"Transfer-Encoding: chunked", b"X: X"),
    (b"X: X\r", b"Transfer-Encoding: chunked"),
    (b"X: X", b"\nTransfer-Encoding: chunked"),
    (b"Transfer-Encoding: chunked\r", b"X: X"),
    (b"Transfer-Encoding: chunked", b"\nX: X"),
    (b"Transfer-Encoding: ch", b"nked"),
];

/// The same header with a length beside it, before and after it: one that goes to the end of what is sent, and one that
/// ends before the request that is hidden in it.
fn messages(gadget: &[u8]) -> [Vec<u8>; 4] {
    let hidden = b"GET /hidden HTTP/1.1\r\nhost: a\r\n\r\n";
    let last_chunk = [b"0\r\n\r\n", &hidden[..]].concat();
    let chunk = [format!("{:x}\r\n", hidden.len()).as_bytes(), hidden, b"\r\n0\r\n\r\n"].concat();
    let size_line = chunk.len() - hidden.len() - 7;
    [
        (&last_chunk, last_chunk.len(), true),
        (&last_chunk, last_chunk.len(), false),
        (&chunk, size_line, true),
        (&chunk, size_line, false),
    ]
    .map(|(body, length, is_first)| {
        let length = format!("Content-Length: {length}");
        let fields = if is_first { [length.as_bytes(), gadget] } else { [gadget, length.as_bytes()] };
        [b"POST / HTTP/1.1\r\nhost: a\r\n", fields[0], b"\r\n", fields[1], b"\r\n\r\n", body].concat()
    })
}

/// Whether a gadget is nothing but fields that say nothing of the length, and have one reading.
fn says_nothing(gadget: &[u8]) -> bool {
    split_crlf(gadget)
        .iter()
        .all(|line| field(line).is_some_and(|(name, _)| dashed(name) != b"transfer-encoding"))
}

#[test]
fn no_byte_in_a_coding_makes_two_servers_read_two_lengths() {
    let gadgets: Vec<Vec<u8>> = GADGETS
        .iter()
        .flat_map(|(before, after)| (0..=u8::MAX).map(move |byte| [before, &[byte][..], after].concat()))
        .collect();
    let (next, clean, refused) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                let mut lane = Lane::new();
                while let Some(gadget) = gadgets.get(next.fetch_add(1, Ordering::Relaxed)) {
                    for message in messages(gadget) {
                        let outcome = lane.send(&message);
                        let passes = says_nothing(gadget);
                        assert_eq!(outcome.served > 0, passes, "{}: {outcome:?}", show(&message));
                        let count = if passes { &clean } else { &refused };
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let (clean, refused) = (clean.into_inner(), refused.into_inner());
    println!("{refused} messages refused, {clean} passed on by their length alone, 0 ambiguous");
    assert_eq!(clean + refused, GADGETS.len() * 256 * 4);
    assert!(refused > 3536, "{refused}");
}
