//! What comes out of a gated stream, however the bytes arrive.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use gateway_wire::Refusal;
use gateway_wire::gate::{Limits, Next, RequestGate, Scan};
use tokio::io::{AsyncRead, ReadBuf};

use super::{Door, Gated};

const LIMITS: Limits = Limits { head_bytes: 4096, headers: 10 };
const HEAD: &[u8] = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n";

/// Gives one piece per read, then nothing.
struct Pieces(VecDeque<Vec<u8>>);

impl AsyncRead for Pieces {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut().0.pop_front() {
            Some(piece) => {
                buffer.put_slice(&piece);
                Poll::Ready(Ok(()))
            }
            None => Poll::Pending,
        }
    }
}

/// Puts a word in the place of a refused head.
struct TestDoor {
    gate: RequestGate,
    decided: bool,
    keeps: bool,
}

impl Door for TestDoor {
    fn scan(&mut self, bytes: &[u8]) -> Scan {
        self.gate.scan(bytes)
    }

    fn stays(&mut self) -> bool {
        if self.decided {
            self.gate.stays();
        }
        self.decided
    }

    fn refused(&mut self, _: Refusal, _: &[u8]) -> Option<Vec<u8>> {
        (!self.gate.is_in_body()).then(|| b"REFUSED".to_vec())
    }

    fn keeps_head(&mut self, keeps: bool) {
        self.keeps = keeps;
    }
}

fn gated(bytes: &[u8], size: usize) -> Gated<Pieces, TestDoor> {
    let pieces = bytes.chunks(size).map(<[u8]>::to_vec).collect();
    Gated::new(Pieces(pieces), TestDoor { gate: RequestGate::new(LIMITS), decided: false, keeps: false })
}

/// Reads until there is nothing, into buffers of `room` bytes; whether it failed then.
fn read(stream: &mut Gated<Pieces, TestDoor>, room: usize) -> (Vec<u8>, bool) {
    let mut all = Vec::new();
    loop {
        let mut space = vec![0; room];
        let mut buffer = ReadBuf::new(&mut space);
        match Pin::new(&mut *stream).poll_read(&mut Context::from_waker(Waker::noop()), &mut buffer) {
            Poll::Ready(Ok(())) => all.extend_from_slice(buffer.filled()),
            Poll::Ready(Err(error)) => {
                assert_eq!(error.kind(), io::ErrorKind::InvalidData);
                return (all, true);
            }
            Poll::Pending => return (all, false),
        }
    }
}

#[test]
fn what_passes_is_the_same_however_it_arrives() {
    let message = [HEAD, b"hello", HEAD, b"again"].concat();
    for size in [1, 7, 50, 64] {
        let mut stream = gated(&message, size);
        assert_eq!(read(&mut stream, 64), (message.clone(), false), "pieces of {size}");
        assert!(!stream.door.keeps);
    }
}

#[test]
fn a_head_goes_on_when_it_is_whole() {
    let mut stream = gated(&HEAD[..HEAD.len() - 1], 10);
    assert_eq!(read(&mut stream, 64), (Vec::new(), false));
    assert!(stream.door.keeps);
    stream.stream.0.push_back(b"\nhel".to_vec());
    assert_eq!(read(&mut stream, 9), ([HEAD, b"hel"].concat(), false));
    assert!(!stream.door.keeps);
    assert_eq!(stream.kept.capacity(), 0, "memory of connections that have nothing to keep");
}

#[test]
fn in_the_place_of_a_refused_head_goes_what_the_door_says_and_nothing_after_it() {
    let message = [HEAD, b"hello", b"GET / HTTP/1.1\nhost: a\r\n\r\n", HEAD, b"again"].concat();
    for size in [1, 20, 50, 64] {
        let mut stream = gated(&message, size);
        assert_eq!(read(&mut stream, 64), ([HEAD, b"helloREFUSED"].concat(), false), "pieces of {size}");
        assert_eq!(read(&mut stream, 64), (Vec::new(), false));
    }
}

#[test]
fn reading_fails_at_the_fault_in_a_body() {
    let head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    let message = [&head[..], b"3\r\nabc\r\n0x"].concat();
    for size in [1, 20, 64] {
        let mut stream = gated(&message, size);
        assert_eq!(read(&mut stream, 64), (message[..message.len() - 1].to_vec(), true), "pieces of {size}");
        assert!(read(&mut stream, 64).1, "for good");
    }
}

#[test]
fn what_follows_a_request_for_another_protocol_waits_for_its_answer() {
    let ask = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
    let message = [&ask[..], HEAD, b"hello"].concat();
    let mut stream = gated(&message, 100);
    assert_eq!(read(&mut stream, 128), (ask.to_vec(), false));
    assert_eq!(stream.door.scan(b"x").next, Next::Hold);
    stream.door.decided = true;
    assert_eq!(read(&mut stream, 128), ([HEAD, b"hello"].concat(), false));

    let message = [&ask[..], b"\0\n no HTTP"].concat();
    let mut stream = gated(&message, 100);
    assert_eq!(read(&mut stream, 128).0, ask);
    assert_eq!(read(&mut stream.open(), 128), (b"\0\n no HTTP".to_vec(), false));
}
