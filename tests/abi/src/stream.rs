//! A stream as the smallest embedder keeps it: maps that are there, or writable, in their phases, and bodies that are there
//! in their callbacks. Seeded bugs of the stream are in here, too.

use std::collections::HashMap;
use std::ops::Range;

use proxy_wasm_host::{Status, StreamAccess, StreamBuffer, StreamMap, pairs};

use crate::bugs::Bug;

type Lines = Vec<(Vec<u8>, Vec<u8>)>;

/// One stream.
#[derive(Default)]
pub(crate) struct KitStream {
    /// By the number of the map; `None` is not there.
    pub(crate) maps: [Option<Lines>; 4],
    /// By the number of the map.
    pub(crate) writable: [bool; 4],
    /// By the number of the buffer; `None` outside of its callbacks.
    pub(crate) bodies: [Option<Vec<u8>>; 2],
    pub(crate) properties: HashMap<Vec<u8>, Vec<u8>>,
    pub(crate) bug: Option<Bug>,
}

impl KitStream {
    pub(crate) fn lines(&self, map: StreamMap) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let lines = self.maps[map as usize].iter().flatten();
        lines.map(|(name, value)| (text(name), text(value))).collect()
    }

    pub(crate) fn value(&self, map: StreamMap, name: &str) -> Option<String> {
        self.lines(map).into_iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    fn map(&self, map: StreamMap) -> Result<&Lines, Status> {
        self.maps[map as usize].as_ref().ok_or(Status::BadArgument)
    }

    /// Trailers may be created where they may be written.
    fn map_mut(&mut self, map: StreamMap) -> Result<&mut Lines, Status> {
        if !self.writable[map as usize] {
            return Err(Status::BadArgument);
        }
        Ok(self.maps[map as usize].get_or_insert_default())
    }
}

/// Field names and values without bytes that end lines (RFC 9110, section 5.5).
pub(crate) fn check(name: &[u8], value: &[u8]) -> Result<(), Status> {
    let name = name.strip_prefix(b":").unwrap_or(name);
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let is_legal = !name.is_empty()
        && name.iter().all(is_token)
        && !value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
    if is_legal { Ok(()) } else { Err(Status::BadArgument) }
}

impl StreamAccess for KitStream {
    fn header(&self, map: StreamMap, name: &[u8]) -> Result<Option<&[u8]>, Status> {
        let mut lines = self.map(map)?.iter().filter(|(candidate, _)| candidate == name);
        let line = if self.bug == Some(Bug::LastValueOfAHeader) { lines.next_back() } else { lines.next() };
        Ok(line.map(|(_, value)| value.as_slice()))
    }

    fn visit_headers(&self, map: StreamMap, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), Status> {
        self.map(map)?.iter().for_each(|(name, value)| visit(name, value));
        Ok(())
    }

    fn set_headers(&mut self, map: StreamMap, entries: &[(&[u8], &[u8])]) -> Result<(), Status> {
        for (name, value) in entries {
            check(name, value)?;
        }
        *self.map_mut(map)? = entries.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        Ok(())
    }

    fn add_header(&mut self, map: StreamMap, name: &[u8], value: &[u8]) -> Result<(), Status> {
        if self.bug == Some(Bug::AddReplaces) {
            return self.replace_header(map, name, value);
        }
        check(name, value)?;
        self.map_mut(map)?.push((name.to_vec(), value.to_vec()));
        Ok(())
    }

    fn replace_header(&mut self, map: StreamMap, name: &[u8], value: &[u8]) -> Result<(), Status> {
        check(name, value)?;
        let lines = self.map_mut(map)?;
        match lines.iter_mut().find(|(candidate, _)| candidate == name) {
            // Pseudo-headers stay where they are.
            Some(line) if name.starts_with(b":") => line.1 = value.to_vec(),
            _ => {
                lines.retain(|(candidate, _)| candidate != name);
                lines.push((name.to_vec(), value.to_vec()));
            }
        }
        Ok(())
    }

    fn remove_header(&mut self, map: StreamMap, name: &[u8]) -> Result<(), Status> {
        let is_missing = self.bug == Some(Bug::RemovingNothingFails);
        let lines = self.map_mut(map)?;
        if is_missing && !lines.iter().any(|(candidate, _)| candidate == name) {
            return Err(Status::NotFound);
        }
        if name.starts_with(b":") {
            return Err(Status::BadArgument);
        }
        lines.retain(|(candidate, _)| candidate != name);
        Ok(())
    }

    fn body(&self, buffer: StreamBuffer) -> &[u8] {
        self.bodies[buffer as usize].as_deref().unwrap_or_default()
    }

    fn splice_body(&mut self, buffer: StreamBuffer, range: Range<usize>, data: &[u8]) -> Result<(), Status> {
        let body = self.bodies[buffer as usize].as_mut().ok_or(Status::BadArgument)?;
        let range = if self.bug == Some(Bug::SpliceReplacesAll) { 0..body.len() } else { range };
        body.splice(range, data.iter().copied());
        Ok(())
    }

    fn property(&self, path: &[&[u8]], out: &mut Vec<u8>) -> Result<(), Status> {
        if let Some(value) = self.properties.get(&path.join(&0)) {
            out.extend_from_slice(value);
            return Ok(());
        }
        let header = |name: &[u8]| self.header(StreamMap::RequestHeaders, name).ok().flatten();
        let value = match path {
            [b"request"] => return Err(Status::SerializationFailure),
            [b"request", b"headers"] => {
                let lines = self.map(StreamMap::RequestHeaders).map_err(|_| Status::NotFound)?;
                pairs::encode(out, lines.iter().map(|(name, value)| (&name[..], &value[..])));
                return Ok(());
            }
            [b"request", b"headers", name] => header(name),
            [b"request", b"path"] => header(b":path"),
            [b"request", b"method"] => header(b":method"),
            [b"request", b"host"] => header(b":authority"),
            [b"request", b"useragent"] => header(b"user-agent"),
            [b"request", b"protocol"] => Some(&b"HTTP/1.1"[..]),
            _ => None,
        };
        out.extend_from_slice(value.ok_or(Status::NotFound)?);
        Ok(())
    }

    fn set_property(&mut self, path: &[&[u8]], value: &[u8]) -> Result<(), Status> {
        self.properties.insert(path.join(&0), value.to_vec());
        Ok(())
    }
}
