//! Bytes both ways after a change of protocol, until both sides have ended, one breaks, or both are silent for too long.
//!
//! What one side sends is read only when the other has taken what came before: at most [`CHUNK_BYTES`] per direction are
//! held, and none while a tunnel is silent. The end of one direction is passed on, and the other goes on by itself.

use std::future::{Future, poll_fn};
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

use super::{Exchange, Reason};
use crate::body::UploadProgress;
use crate::upstream::Switched;

/// Bytes read at once, and the most that is held per direction.
const CHUNK_BYTES: usize = 16 * 1024;
/// In place of a limit where there is none.
const NEVER: Duration = Duration::from_secs(u32::MAX as u64);

/// An exchange that has become a tunnel. However it ends, the exchange is finished once.
pub(crate) struct Tunnel {
    exchange: Box<Exchange>,
    upstream: Switched,
    idle: Option<Duration>,
}

impl Tunnel {
    pub(super) fn new(mut exchange: Box<Exchange>, upstream: Switched) -> Box<Self> {
        let route = exchange.record.route.map(|route| &exchange.state.snapshot.config.routes[route.0]);
        let idle = route.and_then(|route| route.upgrades.idle);
        exchange.upload = Some(UploadProgress::default().into());
        exchange.tunnel_began();
        Box::new(Self { exchange, upstream, idle })
    }

    /// Runs over a stream of HTTP/2, once the client was told of it.
    pub(super) async fn over_stream(self: Box<Self>, stream: OnUpgrade) {
        // Without a stream the client is gone, and the exchange ends as such.
        if let Ok(stream) = stream.await {
            self.run(TokioIo::new(stream), Bytes::new()).await;
        }
    }

    /// Runs to the end. `early` came from the client before anything else.
    pub(crate) async fn run(mut self: Box<Self>, client: impl AsyncRead + AsyncWrite + Unpin, early: Bytes) {
        let reason = self.carry(client, early).await;
        self.exchange.tunnel_ended(reason);
    }

    async fn carry(&mut self, client: impl AsyncRead + AsyncWrite + Unpin, early: Bytes) -> Option<Reason> {
        let Self { exchange, upstream, idle } = self;
        let from_upstream = std::mem::take(&mut upstream.early);
        let note = |up, down| exchange.tunnel_carried(up, down);
        carry(client, &mut upstream.io, [early, from_upstream], *idle, note).await
    }
}

/// Carries bytes between the two; `early` of each comes before what is read from it. `note` learns how many each side has taken.
/// Returns why it ended, unless both sides just ended.
async fn carry(
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    mut upstream: impl AsyncRead + AsyncWrite + Unpin,
    early: [Bytes; 2],
    idle: Option<Duration>,
    mut note: impl FnMut(u64, u64),
) -> Option<Reason> {
    let [mut up, mut down] = early.map(Direction::starting_with);
    let mut last_byte = Instant::now();
    let deadline = |last_byte: Instant| last_byte + idle.unwrap_or(NEVER);
    let mut silence = pin!(sleep_until(deadline(last_byte)));
    poll_fn(|context| {
        let before = up.bytes + down.bytes;
        let up_ended = up.poll(context, &mut client, &mut upstream);
        let down_ended = down.poll(context, &mut upstream, &mut client);
        if up.bytes + down.bytes > before {
            note(up.bytes, down.bytes);
            last_byte = Instant::now();
        }
        if let Some(reason) = outcome(up_ended, down_ended) {
            return Poll::Ready(reason);
        }
        // Moved only when it is over: bytes are more frequent than silence.
        while silence.as_mut().poll(context).is_ready() {
            if idle.is_some() && deadline(last_byte) <= Instant::now() {
                return Poll::Ready(Some(Reason::UpgradeIdle));
            }
            silence.as_mut().reset(deadline(last_byte));
        }
        Poll::Pending
    })
    .await
}

/// `None` while there is something to wait for.
fn outcome(up: Poll<Ended>, down: Poll<Ended>) -> Option<Option<Reason>> {
    match (up, down) {
        (Poll::Ready(Ended::SenderBroke), _) => Some(Some(Reason::ClientClosed)),
        (_, Poll::Ready(Ended::SenderBroke)) => Some(Some(Reason::UpstreamReset)),
        (Poll::Ready(Ended::ReceiverBroke), Poll::Ready(_)) => Some(Some(Reason::UpstreamReset)),
        (Poll::Ready(_), Poll::Ready(Ended::ReceiverBroke)) => Some(Some(Reason::ClientClosed)),
        (Poll::Ready(_), Poll::Ready(_)) => Some(None),
        _ => None,
    }
}

/// One direction of a tunnel.
struct Direction {
    /// Read and not yet taken by the receiver.
    held: Bytes,
    /// Taken by the receiver.
    bytes: u64,
    phase: Phase,
}

#[derive(Clone, Copy)]
enum Phase {
    Carrying,
    /// The sender has ended, well or not; the receiver is being told.
    Ending(Ended),
    Over(Ended),
}

/// How a direction ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ended {
    /// The sender said so.
    Whole,
    /// The sender can no longer be read.
    SenderBroke,
    /// The receiver takes no more; what it still sends is carried.
    ReceiverBroke,
}

impl Direction {
    fn starting_with(early: Bytes) -> Self {
        Self { held: early, bytes: 0, phase: Phase::Carrying }
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
        sender: &mut (impl AsyncRead + Unpin + ?Sized),
        receiver: &mut (impl AsyncWrite + Unpin + ?Sized),
    ) -> Poll<Ended> {
        loop {
            match self.phase {
                Phase::Over(ended) => return Poll::Ready(ended),
                Phase::Ending(ended) => {
                    // If it cannot be told, it knows already.
                    let _ = ready!(Pin::new(&mut *receiver).poll_shutdown(context));
                    self.phase = Phase::Over(ended);
                }
                Phase::Carrying => match ready!(self.poll_carry(context, sender, receiver)) {
                    Ended::ReceiverBroke => self.phase = Phase::Over(Ended::ReceiverBroke),
                    ended => self.phase = Phase::Ending(ended),
                },
            }
        }
    }

    fn poll_carry(
        &mut self,
        context: &mut Context<'_>,
        sender: &mut (impl AsyncRead + Unpin + ?Sized),
        receiver: &mut (impl AsyncWrite + Unpin + ?Sized),
    ) -> Poll<Ended> {
        loop {
            while !self.held.is_empty() {
                match ready!(Pin::new(&mut *receiver).poll_write(context, &self.held)) {
                    Ok(0) | Err(_) => return Poll::Ready(Ended::ReceiverBroke),
                    Ok(taken) => self.took(taken),
                }
            }
            let mut space = [MaybeUninit::uninit(); CHUNK_BYTES];
            let mut chunk = ReadBuf::uninit(&mut space);
            match Pin::new(&mut *sender).poll_read(context, &mut chunk) {
                Poll::Pending => {
                    // Each time: what was flushed may have come back, if the system would not take it after all.
                    if ready!(Pin::new(&mut *receiver).poll_flush(context)).is_err() {
                        return Poll::Ready(Ended::ReceiverBroke);
                    }
                    return Poll::Pending;
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Ended::SenderBroke),
                Poll::Ready(Ok(())) if chunk.filled().is_empty() => return Poll::Ready(Ended::Whole),
                Poll::Ready(Ok(())) => {}
            }
            // Most is taken at once and need not be kept.
            let taken = match Pin::new(&mut *receiver).poll_write(context, chunk.filled()) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Ended::ReceiverBroke),
                Poll::Ready(Ok(taken)) => taken,
                Poll::Pending => 0,
            };
            self.held = Bytes::copy_from_slice(&chunk.filled()[taken..]);
            self.bytes += taken as u64;
        }
    }

    fn took(&mut self, taken: usize) {
        self.held.advance(taken);
        self.bytes += taken as u64;
    }
}

#[cfg(test)]
#[path = "tunnel_tests.rs"]
mod tests;
