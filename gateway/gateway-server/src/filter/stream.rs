//! One stream as its filters see it: heads, trailers, the body bytes of the current callback, and properties.
//!
//! The only place where guests' names and values are checked for legality. Framing and hop-by-hop headers belong to the
//! gateway: a guest may remove or set `content-length` (the gateway works out the true one), nothing else of them.

mod access;
mod legal;
mod properties;
mod undo;

pub(crate) use legal::list as check_list;
pub(super) use properties::node;
pub(crate) use properties::protocol;
pub(crate) use undo::Held;

#[cfg(test)]
#[path = "stream/tests.rs"]
mod tests;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use gateway_config::{PathPolicy, Scheme};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use proxy_wasm_host::Direction;

use crate::tls::ConnectionTls;
use crate::upstream::ConnectionEnds;
use crate::worker::WorkerState;

/// Bytes of properties that the filters of one stream may store.
const MAX_STORED_PROPERTY_BYTES: usize = 64 * 1024;

/// What does not change during a stream.
#[derive(Clone)]
pub(crate) struct StreamFacts {
    pub(crate) state: Rc<WorkerState>,
    pub(crate) started: SystemTime,
    pub(crate) version: Version,
    /// Who asks, by one address for everybody.
    pub(crate) client: SocketAddr,
    pub(crate) scheme: Scheme,
    pub(crate) local: SocketAddr,
    pub(crate) connection_id: u64,
    pub(crate) listener: Arc<str>,
    /// What is done about paths that servers read differently.
    pub(crate) paths: PathPolicy,
    /// `None` on a plain connection.
    pub(crate) tls: Option<Rc<ConnectionTls>>,
}

impl StreamFacts {
    pub(crate) fn scheme(&self) -> &'static str {
        self.scheme.as_str()
    }
}

/// Which maps a guest may change at the moment; reading is more generous.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Writable {
    pub(crate) request_head: bool,
    pub(crate) request_trailers: bool,
    pub(crate) response_head: bool,
    pub(crate) response_trailers: bool,
}

/// One stream as its filters see it.
pub(crate) struct StreamState {
    pub(crate) facts: StreamFacts,
    pub(crate) method: Method,
    pub(crate) path: PathAndQuery,
    /// `host` is in here; guests know it as `:authority`, too.
    pub(crate) request_headers: HeaderMap,
    pub(crate) request_trailers: Option<HeaderMap>,
    pub(crate) status: Option<StatusCode>,
    pub(crate) response_headers: HeaderMap,
    pub(crate) response_trailers: Option<HeaderMap>,
    pub(crate) request_body: BodyBuffer,
    pub(crate) response_body: BodyBuffer,
    pub(crate) writable: Writable,
    /// A guest changed something that routing looks at.
    pub(crate) routing_changed: bool,
    pub(crate) route_name: Option<Arc<str>>,
    pub(crate) upstream_name: Option<Arc<str>>,
    pub(crate) upstream_address: Option<SocketAddr>,
    pub(crate) upstream_ends: Option<Rc<ConnectionEnds>>,
    /// Why there was no connection to the upstream.
    pub(crate) upstream_failure: Option<String>,
    /// Times that the request was sent to the upstream.
    pub(crate) attempts: u32,
    /// From sending the request to the upstream's response head.
    pub(crate) upstream_time: Option<Duration>,
    /// Known when the exchange is over.
    pub(crate) end: Option<StreamEnd>,
    stored: Vec<(Vec<u8>, Vec<u8>)>,
    stored_bytes: usize,
    undo: undo::Undo,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamEnd {
    /// Body bytes from the client.
    pub(crate) bytes_received: u64,
    /// Body bytes to the client.
    pub(crate) bytes_sent: u64,
    /// Why the response is not the upstream's, in one word; `via_upstream` if it is.
    pub(crate) details: &'static str,
    /// Envoy's response flag; `-` if there is none.
    pub(crate) flag: &'static str,
    /// From the first byte of the request to the last of the response.
    pub(crate) duration: Duration,
}

/// The body bytes of the callback under way. Copied only when a guest changes them.
#[derive(Default)]
pub(crate) struct BodyBuffer {
    bytes: Bytes,
    changed: Option<BytesMut>,
    /// Between callbacks there is no body to change.
    open: bool,
}

impl StreamState {
    pub(crate) fn new(facts: StreamFacts, method: Method, path: PathAndQuery, headers: HeaderMap) -> Self {
        Self {
            facts,
            method,
            path,
            request_headers: headers,
            request_trailers: None,
            status: None,
            response_headers: HeaderMap::new(),
            response_trailers: None,
            request_body: BodyBuffer::default(),
            response_body: BodyBuffer::default(),
            writable: Writable::default(),
            routing_changed: false,
            route_name: None,
            upstream_name: None,
            upstream_address: None,
            upstream_ends: None,
            upstream_failure: None,
            attempts: 0,
            upstream_time: None,
            end: None,
            stored: Vec::new(),
            stored_bytes: 0,
            undo: undo::Undo::default(),
        }
    }

    /// The bytes of the callback under way.
    /// Headers as a guest counts them: with the pseudo-headers, of which `host` is one.
    pub(crate) fn header_count(&self, direction: Direction) -> usize {
        match direction {
            Direction::Request => self.request_headers.len() + 3,
            Direction::Response => self.response_headers.len() + 1,
        }
    }

    pub(crate) const fn body_mut(&mut self, direction: Direction) -> &mut BodyBuffer {
        match direction {
            Direction::Request => &mut self.request_body,
            Direction::Response => &mut self.response_body,
        }
    }

    pub(crate) const fn trailers(&self, direction: Direction) -> Option<&HeaderMap> {
        match direction {
            Direction::Request => self.request_trailers.as_ref(),
            Direction::Response => self.response_trailers.as_ref(),
        }
    }

    pub(crate) const fn trailers_mut(&mut self, direction: Direction) -> &mut Option<HeaderMap> {
        match direction {
            Direction::Request => &mut self.request_trailers,
            Direction::Response => &mut self.response_trailers,
        }
    }

    fn host(&self) -> Option<&HeaderValue> {
        self.request_headers.get(http::header::HOST)
    }
}

impl BodyBuffer {
    /// Puts the bytes of one callback in.
    pub(crate) fn open(&mut self, bytes: Bytes) {
        *self = Self { bytes, changed: None, open: true };
    }

    /// Takes the bytes out after the callback; true when the guest changed them.
    pub(crate) fn close(&mut self) -> (Bytes, bool) {
        self.open = false;
        match self.changed.take() {
            Some(changed) => {
                self.bytes = Bytes::new();
                (changed.freeze(), true)
            }
            None => (std::mem::take(&mut self.bytes), false),
        }
    }

    fn as_slice(&self) -> &[u8] {
        self.changed.as_deref().unwrap_or(&self.bytes)
    }

    fn splice(&mut self, range: std::ops::Range<usize>, data: &[u8]) -> bool {
        if !self.open || range.start > range.end || range.end > self.as_slice().len() {
            return false;
        }
        let old = self.as_slice();
        let mut new = BytesMut::with_capacity(old.len() - range.len() + data.len());
        new.extend_from_slice(&old[..range.start]);
        new.extend_from_slice(data);
        new.extend_from_slice(&old[range.end..]);
        self.changed = Some(new);
        true
    }
}
