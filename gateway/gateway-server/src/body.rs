//! Bodies as the gateway streams them: a request body on its way upstream, a response body on its way to the client.
//!
//! Owns counting and knowing when a message ended. Bytes flow only when the receiving side asks (back-pressure is the
//! receiver's poll); what filters do with them is `filter::body`'s.

mod client;
mod compressed;
mod replay;
mod upload;

pub(crate) use client::ClientUpload;
pub(crate) use compressed::CompressedBody;
pub(crate) use replay::Replay;
pub(crate) use upload::{SharedBody, SharedUpload};

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use gateway_wire::Refusal;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use crate::filter::FilteredBody;
use crate::request::{Exchange, Reason, drop_forbidden_trailers, grpc_trailers};
use crate::upstream::{Driver, poll_driven};
use crate::worker::Patience;
use replay::ReplayedBody;
use upload::Resent;

/// Why a body stopped before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The peer that sends it stopped.
    #[error("the sender stopped: {0}")]
    Sender(#[from] hyper::Error),
    /// A filter, a limit or the gateway stopped it.
    #[error("stopped: {}", .0.code())]
    Stopped(Reason),
}

impl BodyError {
    /// What it means when the client sends the body.
    pub(crate) fn upload_reason(&self) -> Reason {
        match self {
            Self::Stopped(reason) => *reason,
            Self::Sender(error) => {
                let io =
                    std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
                if let Some(refusal) = io.and_then(refusal) {
                    return Reason::of_refusal(refusal);
                }
                match io.map(io::Error::kind) {
                    // What arrived is no legal body, as opposed to a client that went away.
                    Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => Reason::BadRequest,
                    _ => Reason::ClientClosed,
                }
            }
        }
    }
}

impl BodyError {
    /// What it means when the upstream sends the body.
    pub(crate) fn download_reason(&self) -> Reason {
        match self {
            Self::Sender(error) => {
                let io =
                    std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
                io.and_then(refusal).map_or(Reason::UpstreamReset, Reason::UpstreamRefused)
            }
            Self::Stopped(reason) => *reason,
        }
    }

    /// Whether the sender gave up this one stream of HTTP/2, with a code that the receiver is told as well.
    fn is_reset(&self) -> bool {
        let Self::Sender(error) = self else { return false };
        let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>());
        source.is_some_and(|error| error.is_reset() && error.is_remote())
    }
}

/// What the gate of the connection said of the bytes that it did not let through.
pub(crate) fn refusal(error: &io::Error) -> Option<Refusal> {
    error.get_ref()?.downcast_ref().copied()
}

/// Where the bytes of a message come from.
#[derive(Default)]
pub(crate) enum BodySource {
    #[default]
    Empty,
    Full(Bytes),
    /// A response, with the I/O of its connection unless that has a task of its own.
    Upstream(Incoming, Option<Box<Driver>>),
    /// A request's, as the client sends it.
    Client(Box<ClientUpload>),
    Filtered(Box<FilteredBody>),
    /// A request body of which some was sent in vain.
    Resent(Box<Resent>),
    /// One try of a body that may be sent again.
    Replayed(ReplayedBody),
    Compressed(Box<CompressedBody>),
}

impl BodySource {
    /// The same body with another limit, or with none. For a body of which nothing was read yet.
    pub(crate) fn limited(mut self, limit_bytes: Option<u64>) -> Self {
        if let Self::Client(upload) = &mut self {
            upload.limit(limit_bytes);
        }
        self
    }

    pub(crate) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Self::Upstream(incoming, driver) => {
                let ask = |context: &mut Context<'_>| Pin::new(&mut *incoming).poll_frame(context);
                poll_driven(driver, context, ask).map(|frame| frame.map(|frame| frame.map_err(Into::into)))
            }
            Self::Client(upload) => upload.poll_frame(context),
            Self::Filtered(filtered) => filtered.poll_frame(context),
            Self::Resent(resent) => resent.poll_frame(context),
            Self::Replayed(replayed) => replayed.poll_frame(context),
            Self::Compressed(compressed) => compressed.poll_frame(context),
        }
    }

    /// The I/O of the upstream connection, when the response was read to its end.
    pub(crate) fn take_driver(&mut self) -> Option<Box<Driver>> {
        match self {
            Self::Upstream(_, driver) => driver.take(),
            Self::Filtered(filtered) => filtered.take_driver(),
            Self::Compressed(compressed) => compressed.take_driver(),
            Self::Empty | Self::Full(_) | Self::Client(..) | Self::Resent(_) | Self::Replayed(_) => None,
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Client(upload) => upload.is_end_stream(),
            Self::Upstream(incoming, _) => incoming.is_end_stream(),
            Self::Filtered(filtered) => filtered.is_end_stream(),
            Self::Resent(resent) => resent.is_end_stream(),
            Self::Replayed(replayed) => replayed.is_end_stream(),
            Self::Compressed(compressed) => compressed.is_end_stream(),
        }
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Client(upload) => upload.size_hint(),
            Self::Upstream(incoming, _) => incoming.size_hint(),
            Self::Filtered(filtered) => filtered.size_hint(),
            Self::Resent(resent) => resent.size_hint(),
            Self::Replayed(replayed) => replayed.size_hint(),
            Self::Compressed(_) => SizeHint::default(),
        }
    }
}

/// How far a request body got; shared between the body and the request that owns it.
#[derive(Default)]
pub(crate) struct UploadProgress {
    pub(crate) bytes: Cell<u64>,
    /// When the last of them came, or the end.
    moved_at: Cell<Option<Instant>>,
    has_ended: Cell<bool>,
}

impl UploadProgress {
    /// So many bytes more, `at_end` the last ones; or the end alone.
    fn came(&self, bytes: usize, at_end: bool) {
        self.bytes.set(self.bytes.get() + bytes as u64);
        self.moved_at.set(Some(Instant::now()));
        self.has_ended.set(at_end);
    }

    /// All of it was read.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.get()
    }

    /// When the last byte or the end came.
    pub(crate) fn moved_at(&self) -> Option<Instant> {
        self.moved_at.get()
    }
}

/// A request body on its way upstream. Boxed inside: most requests have none, and all pass from hand to hand.
#[derive(Default)]
pub(crate) struct UpstreamBody(Option<Box<Upload>>);

struct Upload {
    source: BodySource,
    /// Absent for one try of several, which are counted together.
    progress: Option<Rc<UploadProgress>>,
}

impl UpstreamBody {
    pub(crate) const fn empty() -> Self {
        Self(None)
    }

    pub(crate) fn new(source: BodySource, progress: Rc<UploadProgress>) -> Self {
        Self(Some(Box::new(Upload { source, progress: Some(progress) })))
    }

    /// One try of a body that may be sent more than once.
    fn replayed(body: ReplayedBody) -> Self {
        Self(Some(Box::new(Upload { source: BodySource::Replayed(body), progress: None })))
    }

    /// The body from its beginning: what was sent of it once more, then the rest.
    fn rewound(mut self, sent: VecDeque<Bytes>) -> Self {
        if let Some(upload) = &mut self.0 {
            if let Some(progress) = &upload.progress {
                let bytes: usize = sent.iter().map(Bytes::len).sum();
                progress.bytes.set(progress.bytes.get().saturating_sub(bytes as u64));
                progress.has_ended.set(false);
            }
            let rest = std::mem::take(&mut upload.source);
            upload.source = BodySource::Resent(Box::new(Resent::new(sent, rest)));
        }
        self
    }

    /// The same, to be sent more than once if it has no more than `limit_bytes`; `None` when there is no body.
    pub(crate) fn into_replay(self, limit_bytes: usize) -> Option<Rc<Replay>> {
        let Upload { source, progress } = *self.0?;
        progress.map(|progress| Replay::new(source, progress, limit_bytes))
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(upload) = &mut self.get_mut().0 else { return Poll::Ready(None) };
        let mut frame = std::task::ready!(upload.source.poll_frame(context));
        clean_trailers(&mut frame);
        if let Some(progress) = &upload.progress {
            match &frame {
                Some(Ok(frame)) => {
                    progress.came(frame.data_ref().map_or(0, Bytes::len), upload.source.is_end_stream());
                }
                Some(Err(_)) => {}
                None if !progress.has_ended() => progress.came(0, true),
                None => {}
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|upload| upload.source.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), |upload| upload.source.size_hint())
    }
}

/// A response body on its way to the client. Finishes the exchange when it ends or is dropped.
pub(crate) struct ClientBody {
    source: BodySource,
    /// Taken when the exchange is finished.
    exchange: Option<Box<Exchange>>,
    /// Runs out when a gRPC call has to be over.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl ClientBody {
    /// A body that belongs to no exchange (refusals before a request exists).
    pub(crate) fn new(source: BodySource, exchange: Box<Exchange>) -> Self {
        let deadline = exchange.deadline.map(|at| Box::pin(tokio::time::sleep_until(at.into())));
        Self { source, exchange: Some(exchange), deadline }
    }

    /// Ends a gRPC call whose response has begun: its client learns why from trailers.
    fn end_call(&mut self, reason: Reason) -> Frame<Bytes> {
        let trailers = grpc_trailers(reason);
        if let Some(mut exchange) = self.exchange.take() {
            exchange.capture_trailers(&trailers);
            exchange.response_stopped(reason);
        }
        self.source = BodySource::Empty;
        Frame::trailers(trailers)
    }

    /// Of a response that turns its connection into a tunnel: the exchange goes on there.
    pub(crate) const fn of_tunnel() -> Self {
        Self::alone(BodySource::Empty)
    }

    /// Of a response whose exchange is over, or goes on elsewhere.
    pub(crate) const fn alone(source: BodySource) -> Self {
        Self { source, exchange: None, deadline: None }
    }

    fn room(&self) -> Option<&Patience> {
        self.exchange.as_ref()?.room.as_deref()
    }

    fn finish(&mut self) {
        if let Some(mut exchange) = self.exchange.take() {
            exchange.response_ended(self.source.take_driver());
        }
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Some(room) = this.room() {
            // Asked for more, so there is room.
            room.progressed(u64::MAX);
        }
        let mut frame = match this.source.poll_frame(context) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                let Some(deadline) = &mut this.deadline else { return Poll::Pending };
                std::task::ready!(deadline.as_mut().poll(context));
                return Poll::Ready(Some(Ok(this.end_call(Reason::GrpcDeadline))));
            }
        };
        clean_trailers(&mut frame);
        match &frame {
            Some(Ok(frame)) => {
                match (frame.data_ref(), &mut this.exchange) {
                    (Some(data), Some(exchange)) => exchange.record.bytes_sent += data.len() as u64,
                    (None, Some(exchange)) => {
                        if let Some(trailers) = frame.trailers_ref() {
                            exchange.capture_trailers(trailers);
                        }
                    }
                    (_, None) => {}
                }
                // hyper does not poll again after the last byte of a known length, nor after trailers.
                if this.source.is_end_stream() || frame.is_trailers() {
                    this.finish();
                }
            }
            Some(Err(error)) => {
                let is_call = this.exchange.as_ref().is_some_and(|exchange| exchange.record.is_grpc);
                if is_call && !error.is_reset() {
                    return Poll::Ready(Some(Ok(this.end_call(error.download_reason()))));
                }
                if let Some(exchange) = &mut this.exchange {
                    if error.is_reset() {
                        exchange.resets_for_upstream();
                    }
                    exchange.response_failed(error);
                }
            }
            None => this.finish(),
        }
        if let Some(room) = this.room() {
            room.wait();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.source.size_hint()
    }
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        // Bodies that are never polled (HEAD, 204, empty) end here, and complete.
        if self.source.is_end_stream() {
            self.finish();
        }
    }
}

/// Trailers go on without those that would be read as something else.
fn clean_trailers(frame: &mut Option<Result<Frame<Bytes>, BodyError>>) {
    if let Some(Ok(frame)) = frame
        && let Some(trailers) = frame.trailers_mut()
    {
        drop_forbidden_trailers(trailers);
    }
}

/// The trailers of a frame, if it has any.
pub(crate) fn into_trailers(frame: Frame<Bytes>) -> Option<HeaderMap> {
    frame.into_trailers().ok()
}
