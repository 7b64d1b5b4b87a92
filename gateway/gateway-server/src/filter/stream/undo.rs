//! What a filter that fails open has changed of a head or of trailers, to be taken back when it fails.
//!
//! Each map is copied before its first change, and only while the filter holds it: what it let go on stays as it is.

use gateway_config::FailurePolicy;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode};
use proxy_wasm_host::StreamMap;

use super::StreamState;

/// What one filter holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Held {
    Head,
    Trailers,
}

/// What would be taken back.
#[derive(Default)]
pub(super) struct Undo {
    head: bool,
    trailers: bool,
    routing_changed: bool,
    saved: Option<Box<Saved>>,
}

#[derive(Default)]
struct Saved {
    request_head: Option<(Method, PathAndQuery, HeaderMap)>,
    response_head: Option<(Option<StatusCode>, HeaderMap)>,
    request_trailers: Option<Option<HeaderMap>>,
    response_trailers: Option<Option<HeaderMap>>,
}

impl Undo {
    const fn covers(&self, map: StreamMap) -> bool {
        match map {
            StreamMap::RequestHeaders | StreamMap::ResponseHeaders => self.head,
            StreamMap::RequestTrailers | StreamMap::ResponseTrailers => self.trailers,
        }
    }

    fn set(&mut self, held: Held, covered: bool) {
        match held {
            Held::Head => self.head = covered,
            Held::Trailers => self.trailers = covered,
        }
    }
}

impl StreamState {
    /// A filter begins with a head or with trailers.
    pub(crate) fn enter(&mut self, held: Held, policy: FailurePolicy) {
        if policy == FailurePolicy::Open {
            self.undo.set(held, true);
            self.undo.routing_changed = self.routing_changed;
        }
    }

    /// The filter is through with it; what it changed is taken back if it failed.
    pub(crate) fn leave(&mut self, held: Held, has_failed: bool) {
        self.undo.set(held, false);
        let Some(saved) = &mut self.undo.saved else { return };
        let (request_head, response_head, request_trailers, response_trailers) = match held {
            Held::Head => (saved.request_head.take(), saved.response_head.take(), None, None),
            Held::Trailers => (None, None, saved.request_trailers.take(), saved.response_trailers.take()),
        };
        if !has_failed {
            return;
        }
        if let Some((method, path, headers)) = request_head {
            (self.method, self.path, self.request_headers) = (method, path, headers);
            self.routing_changed = self.undo.routing_changed;
        }
        if let Some((status, headers)) = response_head {
            (self.status, self.response_headers) = (status, headers);
        }
        if let Some(trailers) = request_trailers {
            self.request_trailers = trailers;
        }
        if let Some(trailers) = response_trailers {
            self.response_trailers = trailers;
        }
    }

    /// To be called before a guest changes a map.
    pub(super) fn keep(&mut self, map: StreamMap) {
        if self.undo.covers(map) {
            self.save(map);
        }
    }

    #[cold]
    fn save(&mut self, map: StreamMap) {
        let saved = self.undo.saved.get_or_insert_default();
        match map {
            StreamMap::RequestHeaders => {
                saved.request_head.get_or_insert_with(|| {
                    (self.method.clone(), self.path.clone(), self.request_headers.clone())
                });
            }
            StreamMap::ResponseHeaders => {
                saved.response_head.get_or_insert_with(|| (self.status, self.response_headers.clone()));
            }
            StreamMap::RequestTrailers => {
                saved.request_trailers.get_or_insert_with(|| self.request_trailers.clone());
            }
            StreamMap::ResponseTrailers => {
                saved.response_trailers.get_or_insert_with(|| self.response_trailers.clone());
            }
        }
    }
}
