//! A message that is there as a whole, with trailers after its body.

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;

/// A message that is there as a whole.
pub(crate) struct TrailedBody {
    bytes: Bytes,
    trailers: Option<HeaderMap>,
}

impl TrailedBody {
    pub(crate) const fn new(bytes: Bytes, trailers: HeaderMap) -> Self {
        Self { bytes, trailers: Some(trailers) }
    }

    pub(super) fn next_frame(&mut self) -> Option<Frame<Bytes>> {
        let bytes = std::mem::take(&mut self.bytes);
        if !bytes.is_empty() {
            return Some(Frame::data(bytes));
        }
        self.trailers.take().map(Frame::trailers)
    }

    pub(super) const fn is_end_stream(&self) -> bool {
        self.trailers.is_none()
    }
}
