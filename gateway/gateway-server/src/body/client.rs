//! A request body as a client sends it: how much of it, how slowly, and to whom the rest goes when nobody wants it.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::BodyError;
use crate::request::Reason;
use crate::worker::{ClientConnection, Patience};

/// A request body as a client sends it.
pub(crate) struct ClientUpload {
    /// Taken when this is dropped.
    incoming: Option<Incoming>,
    /// At most this many bytes more; over it the body stops with [`Reason::BodyTooLarge`].
    left: Option<u64>,
    /// When it is over, the body stops with [`Reason::BodyTimeout`].
    patience: Option<Rc<Patience>>,
    /// Over HTTP/1 the next request stands behind this body: what is left of it is the connection's.
    connection: Option<Rc<ClientConnection>>,
}

impl ClientUpload {
    pub(crate) const fn new(incoming: Incoming, connection: Option<Rc<ClientConnection>>) -> Self {
        Self { incoming: Some(incoming), left: None, patience: None, connection }
    }

    /// Waits with this for more.
    pub(crate) fn paced(mut self, patience: Option<Rc<Patience>>) -> Self {
        self.patience = patience;
        self
    }

    /// Only so many bytes, or as many as there are. For a body of which nothing was read yet.
    pub(super) const fn limit(&mut self, limit_bytes: Option<u64>) {
        self.left = limit_bytes;
    }

    pub(super) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        match Pin::new(incoming).poll_frame(context) {
            Poll::Pending => match self.is_awaited(context) {
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(Some(Err(error))),
            },
            Poll::Ready(frame) => Poll::Ready(frame.map(|frame| {
                let frame = frame?;
                self.came(frame.data_ref().map_or(0, Bytes::len) as u64)?;
                Ok(frame)
            })),
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map(Body::size_hint).unwrap_or_default()
    }

    fn came(&mut self, bytes: u64) -> Result<(), BodyError> {
        if let Some(patience) = &self.patience {
            patience.progressed(bytes);
        }
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(bytes).ok_or(BodyError::Stopped(Reason::BodyTooLarge))?;
        }
        Ok(())
    }

    /// Nothing is there. Asked after the body: what came too late and is there after all is welcome.
    fn is_awaited(&self, context: &Context<'_>) -> Result<(), BodyError> {
        let Some(patience) = &self.patience else { return Ok(()) };
        if patience.is_over() {
            return Err(BodyError::Stopped(Reason::BodyTimeout));
        }
        patience.wake_by(context);
        patience.wait();
        Ok(())
    }
}

impl Drop for ClientUpload {
    fn drop(&mut self) {
        if let (Some(connection), Some(incoming)) = (self.connection.take(), self.incoming.take())
            && !incoming.is_end_stream()
        {
            connection.leaves_unread(incoming);
        }
    }
}
