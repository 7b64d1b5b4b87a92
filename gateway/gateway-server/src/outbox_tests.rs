use std::future::Future;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};

use super::{MAX_HELD_BYTES, MAX_LETTERS, Outbox, Posted};

/// Runs `work` on a runtime like a worker's, with an outbox that is carried.
fn on_worker<F: Future<Output = ()>>(work: impl FnOnce(Rc<Outbox>) -> F) {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
    runtime.block_on(async {
        let outbox = Rc::new(Outbox::default());
        tokio::task::spawn_local(outbox.clone().carry());
        tokio::task::yield_now().await;
        work(outbox).await;
    });
}

/// A stream, and its peer, whose reads do not wait.
async fn pair() -> (TcpStream, std::net::TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (peer, _) = listener.accept().unwrap();
    peer.set_nonblocking(true).unwrap();
    (stream, peer)
}

/// What has arrived by now.
fn arrived(peer: &mut std::net::TcpStream) -> Vec<u8> {
    let mut bytes = vec![0; 64 * 1024];
    match peer.read(&mut bytes) {
        Ok(read) => bytes.truncate(read),
        Err(error) => {
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            bytes.clear();
        }
    }
    bytes
}

/// As many bytes, as soon as they are there: the system may take a moment.
fn received(peer: &mut std::net::TcpStream, count: usize) -> Vec<u8> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut bytes = Vec::new();
    while bytes.len() < count {
        assert!(Instant::now() < deadline, "not in time: {count} bytes, there are {}", bytes.len());
        bytes.extend(arrived(peer));
    }
    bytes
}

#[test]
fn what_is_small_leaves_at_the_end_of_the_turn_in_one_piece() {
    on_worker(|outbox| async move {
        let (stream, mut peer) = pair().await;
        let mut stream = Posted::new(stream, outbox);
        stream.write_all(b"head ").await.unwrap();
        stream.write_all(b"body").await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(arrived(&mut peer), b"", "nothing is sent before the turn is over");
        tokio::task::yield_now().await;
        assert_eq!(received(&mut peer, 9), b"head body");
    });
}

#[test]
fn many_do_not_wait_for_the_end_of_a_turn() {
    on_worker(|outbox| async move {
        let mut streams = Vec::new();
        for _ in 0..MAX_LETTERS {
            let (stream, peer) = pair().await;
            streams.push((Posted::new(stream, outbox.clone()), peer));
        }
        for (stream, _) in &mut streams {
            stream.write_all(b"one").await.unwrap();
        }
        for (_, peer) in &mut streams {
            assert_eq!(received(peer, 3), b"one");
        }
    });
}

#[test]
fn what_is_large_goes_at_once_and_after_what_was_held() {
    on_worker(|outbox| async move {
        let (stream, mut peer) = pair().await;
        let mut stream = Posted::new(stream, outbox);
        stream.write_all(b"head ").await.unwrap();
        stream.write_all(&[b'x'; MAX_HELD_BYTES]).await.unwrap();
        let sent = received(&mut peer, 5 + MAX_HELD_BYTES);
        assert!(sent.starts_with(b"head xxx"));
        assert_eq!(sent.len(), 5 + MAX_HELD_BYTES);
    });
}

#[test]
fn a_peer_that_reads_slowly_gets_every_byte_and_stops_the_writer_meanwhile() {
    on_worker(|outbox| async move {
        let (stream, mut peer) = pair().await;
        let mut stream = Posted::new(stream, outbox);
        let pieces: Vec<[u8; 1000]> = (0..20_000_u32).map(|n| [n.to_be_bytes()[3]; 1000]).collect();
        let expected = pieces.concat();
        let writer = tokio::task::spawn_local(async move {
            for piece in pieces {
                stream.write_all(&piece).await.unwrap();
                stream.flush().await.unwrap();
                tokio::task::yield_now().await;
            }
            stream.shutdown().await.unwrap();
        });
        // Until the buffers of the system are full.
        let mut turns = 0;
        while turns < 40_000 && !writer.is_finished() {
            tokio::task::yield_now().await;
            turns += 1;
        }
        assert!(!writer.is_finished(), "the writer has to wait");
        let mut received = Vec::new();
        while received.len() < expected.len() {
            received.extend(arrived(&mut peer));
            tokio::task::yield_now().await;
        }
        assert!(received == expected, "something was lost, doubled or changed");
        writer.await.unwrap();
    });
}

#[test]
fn what_was_taken_over_leaves_even_if_the_stream_is_dropped() {
    on_worker(|outbox| async move {
        let (stream, mut peer) = pair().await;
        let mut stream = Posted::new(stream, outbox);
        stream.write_all(b"last words").await.unwrap();
        drop(stream);
        assert_eq!(received(&mut peer, 10), b"last words");
        tokio::task::yield_now().await;
        peer.set_nonblocking(false).unwrap();
        assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0, "and it is closed");
    });
}

#[test]
fn a_peer_that_is_gone_is_noticed_by_the_writes_that_follow() {
    on_worker(|outbox| async move {
        let (stream, mut peer) = pair().await;
        let mut stream = Posted::new(stream, outbox);
        peer.write_all(b"unread").unwrap();
        // Closing with something unread resets the connection.
        drop(peer);
        let failed = async {
            loop {
                if let Err(error) = stream.write_all(b"more").await {
                    return error;
                }
                tokio::task::yield_now().await;
            }
        };
        let error = failed.await;
        assert!(
            matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset),
            "{error}"
        );
    });
}

#[test]
fn nothing_is_held_where_nobody_carries() {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
    runtime.block_on(async {
        let (stream, mut peer) = pair().await;
        let mut stream = Posted::new(stream, Rc::default());
        stream.write_all(b"now").await.unwrap();
        assert_eq!(received(&mut peer, 3), b"now");
    });
}
