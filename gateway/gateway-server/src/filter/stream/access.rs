//! Header maps and bodies through the Proxy-Wasm seam.

use std::ops::Range;

use gateway_config::PathPolicy;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use proxy_wasm_host::{Status, StreamAccess, StreamBuffer, StreamMap};

use crate::target;

use super::{MAX_STORED_PROPERTY_BYTES, StreamState, legal, properties};

/// Header lines that a guest may leave in one map.
const MAX_HEADERS: usize = 1024;

impl StreamAccess for StreamState {
    fn header(&self, map: StreamMap, name: &[u8]) -> Result<Option<&[u8]>, Status> {
        match (map, name) {
            (StreamMap::RequestHeaders, b":method") => Ok(Some(self.method.as_str().as_bytes())),
            (StreamMap::RequestHeaders, b":path") => Ok(Some(self.path.as_str().as_bytes())),
            (StreamMap::RequestHeaders, b":scheme") => Ok(Some(self.facts.scheme().as_bytes())),
            (StreamMap::RequestHeaders, b":authority" | b"host") => {
                Ok(self.host().map(HeaderValue::as_bytes))
            }
            (StreamMap::ResponseHeaders, b":status") => {
                self.status.as_ref().map(|status| Some(status.as_str().as_bytes())).ok_or(Status::BadArgument)
            }
            _ => {
                let headers = self.map(map).ok_or(Status::BadArgument)?;
                // A name that is no header name cannot be in the map.
                let Ok(name) = HeaderName::from_bytes(name) else { return Ok(None) };
                Ok(headers.get(name).map(HeaderValue::as_bytes))
            }
        }
    }

    fn visit_headers(&self, map: StreamMap, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), Status> {
        let headers = self.map(map).ok_or(Status::BadArgument)?;
        match map {
            StreamMap::RequestHeaders => {
                visit(b":authority", self.host().map_or(b"", HeaderValue::as_bytes));
                visit(b":path", self.path.as_str().as_bytes());
                visit(b":method", self.method.as_str().as_bytes());
                visit(b":scheme", self.facts.scheme().as_bytes());
            }
            StreamMap::ResponseHeaders => {
                if let Some(status) = &self.status {
                    visit(b":status", status.as_str().as_bytes());
                }
            }
            StreamMap::RequestTrailers | StreamMap::ResponseTrailers => {}
        }
        for (name, value) in headers {
            if map != StreamMap::RequestHeaders || name != HOST {
                visit(name.as_str().as_bytes(), value.as_bytes());
            }
        }
        Ok(())
    }

    fn set_headers(&mut self, map: StreamMap, entries: &[(&[u8], &[u8])]) -> Result<(), Status> {
        if entries.len() > MAX_HEADERS {
            return Err(Status::BadArgument);
        }
        // Checked as a whole first, so that a refused call changes nothing.
        let mut headers = HeaderMap::with_capacity(entries.len());
        let mut pseudo = Vec::new();
        for &(name, value) in entries {
            if is_pseudo(map, name) {
                pseudo.push((name, value));
            } else {
                let (name, value) = match legal::line(map.into(), name, value) {
                    Err(status) => self.kept_entry(map, name, value).ok_or(status)?,
                    Ok(entry) => entry,
                };
                // Two lengths are none.
                if name == CONTENT_LENGTH && headers.contains_key(&name) {
                    return Err(Status::BadArgument);
                }
                headers.append(name, value);
            }
        }
        let host = self.host().cloned();
        let mut staged = self.pseudo();
        for (name, value) in pseudo {
            staged.set(map, name, value, self.facts.paths)?;
        }
        staged.check()?;
        if self.writable_map(map).is_none() {
            return Err(Status::BadArgument);
        }
        if map == StreamMap::RequestHeaders
            && let Some(host) = staged.host.clone().or(host)
        {
            headers.insert(HOST, host);
        }
        if map == StreamMap::RequestHeaders {
            self.routing_changed = true;
        }
        self.commit(staged);
        if let Some(target) = self.writable_map(map) {
            *target = headers;
        }
        Ok(())
    }

    fn add_header(&mut self, map: StreamMap, name: &[u8], value: &[u8]) -> Result<(), Status> {
        // A second value of a pseudo-header would be two requests in one; adding one means setting it.
        if is_pseudo(map, name) {
            return self.replace_header(map, name, value);
        }
        let (name, value) = legal::line(map.into(), name, value)?;
        self.note_routing(map, &name);
        let headers = self.writable_map(map).ok_or(Status::BadArgument)?;
        // Two lengths are none.
        if name == CONTENT_LENGTH && headers.contains_key(&name) {
            return Err(Status::BadArgument);
        }
        if headers.len() >= MAX_HEADERS {
            return Err(Status::InternalFailure);
        }
        headers.append(name, value);
        Ok(())
    }

    fn replace_header(&mut self, map: StreamMap, name: &[u8], value: &[u8]) -> Result<(), Status> {
        if is_pseudo(map, name) {
            self.writable_map(map).ok_or(Status::BadArgument)?;
            let mut staged = self.pseudo();
            staged.set(map, name, value, self.facts.paths)?;
            staged.check()?;
            self.routing_changed |= map == StreamMap::RequestHeaders;
            self.commit(staged);
            return Ok(());
        }
        let (name, value) = legal::line(map.into(), name, value)?;
        self.note_routing(map, &name);
        let headers = self.writable_map(map).ok_or(Status::BadArgument)?;
        if headers.len() >= MAX_HEADERS {
            return Err(Status::InternalFailure);
        }
        headers.insert(name, value);
        Ok(())
    }

    fn remove_header(&mut self, map: StreamMap, name: &[u8]) -> Result<(), Status> {
        if is_pseudo(map, name) {
            // Without it there is no message left to send.
            return Err(Status::BadArgument);
        }
        let parsed = HeaderName::from_bytes(name);
        if let Ok(name) = &parsed {
            self.note_routing(map, name);
        }
        let headers = self.writable_map(map).ok_or(Status::BadArgument)?;
        if let Ok(name) = parsed {
            headers.remove(name);
        }
        Ok(())
    }

    fn body(&self, buffer: StreamBuffer) -> &[u8] {
        match buffer {
            StreamBuffer::RequestBody => self.request_body.as_slice(),
            StreamBuffer::ResponseBody => self.response_body.as_slice(),
        }
    }

    fn splice_body(&mut self, buffer: StreamBuffer, range: Range<usize>, data: &[u8]) -> Result<(), Status> {
        let body = match buffer {
            StreamBuffer::RequestBody => &mut self.request_body,
            StreamBuffer::ResponseBody => &mut self.response_body,
        };
        if body.splice(range, data) { Ok(()) } else { Err(Status::BadArgument) }
    }

    fn property(&self, path: &[&[u8]], out: &mut Vec<u8>) -> Result<(), Status> {
        match properties::write(self, path, out) {
            // Only then: what a filter stores must never stand for what the gateway knows.
            Err(Status::NotFound) => {
                out.extend_from_slice(self.stored_property(path).ok_or(Status::NotFound)?);
                Ok(())
            }
            known => known,
        }
    }

    fn clear_route_cache(&mut self) {
        if self.writable.request_head {
            self.routing_changed = true;
        }
    }

    fn set_property(&mut self, path: &[&[u8]], value: &[u8]) -> Result<(), Status> {
        let key = path.join(&0);
        if key.is_empty() {
            return Err(Status::BadArgument);
        }
        // A name that the gateway owns cannot be shadowed; like Envoy, this is no error.
        match properties::write(self, path, &mut Vec::new()) {
            Err(Status::NotFound) => {}
            _ => return Ok(()),
        }
        let known = self.stored.iter().position(|(stored, _)| *stored == key);
        let freed = known.map_or(0, |at| key.len() + self.stored[at].1.len());
        let stored_bytes = self.stored_bytes - freed + key.len() + value.len();
        if stored_bytes > MAX_STORED_PROPERTY_BYTES {
            return Err(Status::InternalFailure);
        }
        self.stored_bytes = stored_bytes;
        match known {
            Some(at) => self.stored[at].1 = value.to_vec(),
            None => self.stored.push((key, value.to_vec())),
        }
        Ok(())
    }
}

/// Pseudo-headers on their way into a stream: checked one by one, taken over all at once.
struct Pseudo {
    method: Method,
    path: http::uri::PathAndQuery,
    host: Option<HeaderValue>,
    status: Option<StatusCode>,
}

impl Pseudo {
    fn set(&mut self, map: StreamMap, name: &[u8], value: &[u8], paths: PathPolicy) -> Result<(), Status> {
        if (name == b":status") != (map == StreamMap::ResponseHeaders) {
            return Err(Status::BadArgument);
        }
        match name {
            b":method" => self.method = legal::method(value)?,
            b":path" => {
                let path = http::uri::PathAndQuery::try_from(value).map_err(|_| Status::BadArgument)?;
                // Whether the method goes with an asterisk is known when all is set.
                let form = target::canonical(&path, &Method::OPTIONS, paths);
                self.path = form.map_err(|_| Status::BadArgument)?.unwrap_or(path);
            }
            b":authority" | b"host" => self.host = Some(legal::host(value)?),
            b":scheme" if matches!(value, b"http" | b"https") => {}
            b":status" => self.status = Some(legal::status(value)?),
            _ => return Err(Status::BadArgument),
        }
        Ok(())
    }

    /// What holds for all of them together: only OPTIONS asks about the server as a whole.
    fn check(&self) -> Result<(), Status> {
        let fits = self.path != "*" || self.method == Method::OPTIONS;
        if fits { Ok(()) } else { Err(Status::BadArgument) }
    }
}

impl StreamState {
    fn map(&self, map: StreamMap) -> Option<&HeaderMap> {
        match map {
            StreamMap::RequestHeaders => Some(&self.request_headers),
            StreamMap::RequestTrailers => self.request_trailers.as_ref(),
            StreamMap::ResponseHeaders => self.status.map(|_| &self.response_headers),
            StreamMap::ResponseTrailers => self.response_trailers.as_ref(),
        }
    }

    /// Asked for before each change, so that it can be taken back.
    fn writable_map(&mut self, map: StreamMap) -> Option<&mut HeaderMap> {
        self.keep(map);
        match map {
            StreamMap::RequestHeaders => self.writable.request_head.then_some(&mut self.request_headers),
            StreamMap::ResponseHeaders => self.writable.response_head.then_some(&mut self.response_headers),
            // Guests may create trailers from the last body callback.
            StreamMap::RequestTrailers => {
                self.writable.request_trailers.then(|| self.request_trailers.get_or_insert_default())
            }
            StreamMap::ResponseTrailers => {
                self.writable.response_trailers.then(|| self.response_trailers.get_or_insert_default())
            }
        }
    }

    /// What asks for another protocol, or for trailers, may be left out by a guest, and otherwise has to stay as it is.
    fn kept_entry(&self, map: StreamMap, name: &[u8], value: &[u8]) -> Option<(HeaderName, HeaderValue)> {
        let name = [CONNECTION, UPGRADE, TE].into_iter().find(|own| own.as_str().as_bytes() == name)?;
        let own = self.map(map)?.get(&name).filter(|own| own.as_bytes() == value)?.clone();
        Some((name, own))
    }

    /// What filters stored. As in Envoy, it is there under its path and, as one word, beneath `filter_state.wasm.`.
    pub(crate) fn stored_property(&self, path: &[&[u8]]) -> Option<&[u8]> {
        if self.stored.is_empty() {
            return None;
        }
        let find = |key: &[u8]| self.stored.iter().find(|(stored, _)| stored == key);
        let stored = find(&path.join(&0)).or_else(|| match path {
            [b"filter_state", rest @ ..] => find(rest.join(&0).strip_prefix(b"wasm.")?),
            _ => None,
        });
        stored.map(|(_, value)| &value[..])
    }

    /// What filters stored, by its name in one word: `wasm.` and the path with its segments joined by dots, or the whole path
    /// beneath `filter_state`.
    pub(crate) fn filter_state(&self, name: &str) -> Option<&[u8]> {
        let is_named = |key: &[u8]| match (key.strip_prefix(b"filter_state\0"), name.strip_prefix("wasm.")) {
            (Some(own), _) => own == name.as_bytes(),
            (None, Some(path)) => {
                let dotted = key.iter().map(|byte| if *byte == 0 { b'.' } else { *byte });
                dotted.eq(path.bytes())
            }
            (None, None) => false,
        };
        self.stored.iter().find(|(key, _)| is_named(key)).map(|(_, value)| &value[..])
    }

    fn note_routing(&mut self, map: StreamMap, name: &HeaderName) {
        if map == StreamMap::RequestHeaders && self.facts.state.snapshot.routes.looks_at(name) {
            self.routing_changed = true;
        }
    }

    fn pseudo(&self) -> Pseudo {
        Pseudo { method: self.method.clone(), path: self.path.clone(), host: None, status: self.status }
    }

    fn commit(&mut self, staged: Pseudo) {
        self.method = staged.method;
        self.path = staged.path;
        self.status = staged.status;
        if let Some(host) = staged.host {
            self.request_headers.insert(HOST, host);
        }
    }
}

fn is_pseudo(map: StreamMap, name: &[u8]) -> bool {
    match map {
        StreamMap::RequestHeaders => name.starts_with(b":") || name.eq_ignore_ascii_case(b"host"),
        StreamMap::ResponseHeaders => name.starts_with(b":"),
        StreamMap::RequestTrailers | StreamMap::ResponseTrailers => false,
    }
}
