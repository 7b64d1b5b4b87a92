use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::Waker;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

use super::*;

type Counts = Rc<Cell<(u64, u64)>>;

/// Both outer ends of a tunnel that runs, and what it comes to.
struct Ends {
    client: DuplexStream,
    upstream: DuplexStream,
    counts: Counts,
    tunnel: JoinHandle<Option<Reason>>,
}

fn tunnel(early: [&'static str; 2], idle: Option<Duration>) -> Ends {
    let ((client, near_client), (upstream, near_upstream)) = (duplex(64), duplex(64));
    let counts = Counts::default();
    let noted = counts.clone();
    let early = early.map(|text| Bytes::from_static(text.as_bytes()));
    let note = move |up, down| noted.set((up, down));
    let tunnel = tokio::task::spawn_local(carry(near_client, near_upstream, early, idle, note));
    Ends { client, upstream, counts, tunnel }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(tokio::task::LocalSet::new().run_until(test));
}

async fn read(from: &mut DuplexStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes).await.unwrap();
    bytes
}

#[test]
fn what_was_read_ahead_comes_first() {
    run(async {
        let mut ends = tunnel(["up ", "down "], None);
        ends.client.write_all(b"more").await.unwrap();
        ends.upstream.write_all(b"less").await.unwrap();
        assert_eq!(read(&mut ends.upstream, 7).await, b"up more");
        assert_eq!(read(&mut ends.client, 9).await, b"down less");
        assert_eq!(ends.counts.get(), (7, 9));
    });
}

#[test]
fn one_direction_outlives_the_other() {
    run(async {
        let mut ends = tunnel([""; 2], None);
        ends.client.shutdown().await.unwrap();
        assert_eq!(ends.upstream.read(&mut [0; 1]).await.unwrap(), 0, "the end is passed on");
        ends.upstream.write_all(b"still here").await.unwrap();
        assert_eq!(read(&mut ends.client, 10).await, b"still here");
        ends.upstream.shutdown().await.unwrap();
        assert_eq!(ends.client.read(&mut [0; 1]).await.unwrap(), 0);
        assert_eq!(ends.tunnel.await.unwrap(), None);
    });
}

#[test]
fn a_receiver_that_does_not_read_holds_up_the_sender() {
    run(async {
        let mut ends = tunnel([""; 2], None);
        let much = vec![7; CHUNK_BYTES * 4];
        let mut sent = 0;
        while let Ok(written) =
            tokio::time::timeout(Duration::from_millis(200), ends.client.write(&much[sent..])).await
        {
            sent += written.unwrap();
        }
        assert!(sent <= CHUNK_BYTES + 3 * 64, "{sent} bytes were taken of a sender whose receiver sleeps");
        assert_eq!(read(&mut ends.upstream, sent).await, &much[..sent]);
    });
}

#[test]
fn silence_ends_it_and_bytes_in_either_direction_do_not() {
    run(async {
        let (idle, pause) = (Duration::from_millis(400), Duration::from_millis(150));
        let mut ends = tunnel([""; 2], Some(idle));
        for _ in 0..4 {
            tokio::time::sleep(pause).await;
            ends.client.write_all(b"a").await.unwrap();
            tokio::time::sleep(pause).await;
            ends.upstream.write_all(b"b").await.unwrap();
        }
        let last_byte = Instant::now();
        assert!(!ends.tunnel.is_finished(), "three times as long as the silence that ends it");
        assert_eq!((&mut ends.tunnel).await.unwrap(), Some(Reason::UpgradeIdle));
        assert!(last_byte.elapsed() + Duration::from_millis(50) >= idle, "{:?}", last_byte.elapsed());
        assert_eq!(ends.counts.get(), (4, 4));
    });
}

#[test]
fn what_the_upstream_said_before_it_left_arrives() {
    run(async {
        let mut ends = tunnel([""; 2], None);
        ends.upstream.write_all(b"goodbye").await.unwrap();
        drop(ends.upstream);
        ends.client.write_all(b"into the void").await.unwrap();
        assert_eq!(read(&mut ends.client, 7).await, b"goodbye");
        assert_eq!(ends.client.read(&mut [0; 1]).await.unwrap(), 0);
        assert_eq!(ends.tunnel.await.unwrap(), Some(Reason::UpstreamReset));
    });
}

/// A receiver that says it has flushed, and then finds that it has not.
#[derive(Clone, Default)]
struct Hesitant {
    has_something: Rc<Cell<bool>>,
    came_back: Rc<Cell<bool>>,
    sent: Rc<Cell<bool>>,
    user: Rc<RefCell<Option<Waker>>>,
}

impl AsyncRead for Hesitant {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        *self.user.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }
}

impl AsyncWrite for Hesitant {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.has_something.set(true);
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.sent.set(self.came_back.get());
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn what_comes_back_after_it_was_flushed_is_flushed_again() {
    run(async {
        let (mut upstream, near_upstream) = duplex(64);
        let client = Hesitant::default();
        let early = [Bytes::new(), Bytes::new()];
        tokio::task::spawn_local(carry(client.clone(), near_upstream, early, None, |_, _| {}));
        upstream.write_all(b"last for now").await.unwrap();
        while !client.has_something.get() {
            tokio::task::yield_now().await;
        }
        tokio::task::yield_now().await;
        client.came_back.set(true);
        client.user.borrow().as_ref().unwrap().wake_by_ref();
        tokio::task::yield_now().await;
        assert!(client.sent.get(), "nobody sees to what came back");
    });
}
