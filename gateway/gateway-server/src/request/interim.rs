//! Interim responses (1xx, RFC 9110, section 15.2; `103 Early Hints`, RFC 8297) on their way past the final one.
//!
//! The HTTP/1.1 library hands them out on the upstream's side and takes none on the client's, so they are written between the
//! messages of the client's connection, where nothing else is under way until the final response begins. `100` is between two
//! neighbours and `101` ends HTTP: neither is passed on here. A library for HTTP/2 that could send them is not in use.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use gateway_wire::{Refusal, gate};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Request, StatusCode};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::head::strip_connection_headers;
use super::{Reason, RequestError};
use crate::body::UpstreamBody;
use crate::worker::ClientConnection;

/// Interim responses to one request; with a further one the upstream breaks the protocol.
const MAX_INTERIM_RESPONSES: usize = gate::MAX_INTERIM_RESPONSES;

/// Where interim responses to one request go, however often it is sent. Bounded by [`MAX_INTERIM_RESPONSES`].
#[derive(Clone)]
pub(crate) struct InterimSink {
    sender: UnboundedSender<Interim>,
    count: Arc<AtomicUsize>,
}

/// Interim responses as they come.
pub(super) struct InterimSource(UnboundedReceiver<Interim>);

enum Interim {
    Response(StatusCode, HeaderMap),
    TooMany,
}

/// A way for the interim responses to one request.
pub(super) fn channel() -> (InterimSink, InterimSource) {
    let (sender, receiver) = unbounded_channel();
    (InterimSink { sender, count: Arc::default() }, InterimSource(receiver))
}

impl InterimSink {
    /// Listens for the interim responses to `request`.
    pub(super) fn listen(self, request: &mut Request<UpstreamBody>) {
        hyper::ext::on_informational(request, move |response| {
            self.take(response.status(), response.headers())
        });
    }

    fn take(&self, status: StatusCode, headers: &HeaderMap) {
        let interim = match self.count.fetch_add(1, Ordering::Relaxed) {
            MAX_INTERIM_RESPONSES => Interim::TooMany,
            0..MAX_INTERIM_RESPONSES if status == StatusCode::CONTINUE => return,
            0..MAX_INTERIM_RESPONSES => Interim::Response(status, headers.clone()),
            _ => return,
        };
        // Without a receiver nobody waits for the response any more.
        let _ = self.sender.send(interim);
    }
}

/// Waits for `sending`, and passes on what comes before it. The final response begins when the last of those is written.
pub(super) async fn passing<T>(
    connection: &ClientConnection,
    mut source: InterimSource,
    mut sending: Pin<&mut impl Future<Output = Result<T, RequestError>>>,
) -> Result<T, RequestError> {
    let mut sent = None;
    poll_fn(|context| {
        if sent.is_none()
            && let Poll::Ready(outcome) = sending.as_mut().poll(context)
        {
            sent = Some(outcome);
        }
        while let Poll::Ready(Some(interim)) = source.0.poll_recv(context) {
            match interim {
                Interim::Response(status, headers) => connection.say_between(&message(status, headers)),
                Interim::TooMany => {
                    return Poll::Ready(Err(RequestError::upstream(Reason::UpstreamRefused(
                        Refusal::TooManyInterim,
                    ))));
                }
            }
        }
        match sent.take_if(|_| connection.has_said_everything()) {
            Some(outcome) => Poll::Ready(outcome),
            None => Poll::Pending,
        }
    })
    .await
}

/// As HTTP/1.1 writes it; nothing where its `connection` header cannot be understood.
fn message(status: StatusCode, mut headers: HeaderMap) -> Vec<u8> {
    if strip_connection_headers(&mut headers).is_err() {
        return Vec::new();
    }
    headers.remove(CONTENT_LENGTH);
    let reason = status.canonical_reason().unwrap_or_default();
    let mut bytes = format!("HTTP/1.1 {} {reason}\r\n", status.as_str()).into_bytes();
    for (name, value) in &headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}
