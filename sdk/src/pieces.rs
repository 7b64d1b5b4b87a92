//! Owns reading a body in units that the pieces of the transport do not respect: lines, JSON lines, server-sent events.

use serde::de::DeserializeOwned;

use crate::body::BodyStream;
use crate::error::{Error, Result};

/// The longest unit that is held; a sender that never ends one must not fill the memory.
pub const MAX_UNIT_BYTES: usize = 1024 * 1024;

/// A body line by line. Lines that were read do not go on by themselves: write them, changed or as they are.
pub struct Lines<'a> {
    body: &'a mut BodyStream,
    held: Vec<u8>,
    ended: bool,
}

impl<'a> Lines<'a> {
    /// The lines of a body that the filter rewrites.
    pub const fn new(body: &'a mut BodyStream) -> Self {
        Self { body, held: Vec::new(), ended: false }
    }

    /// The next line with its line end, if it has one; `None` at the end.
    ///
    /// # Errors
    /// The line is too long, or the filter did not declare that it rewrites this body.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        self.unit(|held| held.iter().position(|byte| *byte == b'\n').map(|place| place + 1)).await
    }

    /// Sends bytes on, behind everything before.
    ///
    /// # Errors
    /// The filter did not declare that it rewrites this body.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        self.body.write(bytes)
    }

    /// The next line that is not empty, from JSON; `None` at the end.
    ///
    /// # Errors
    /// It is not JSON, or not of this type.
    pub async fn next_json<T: DeserializeOwned>(&mut self) -> Result<Option<T>> {
        while let Some(line) = self.next().await? {
            if !line.trim_ascii().is_empty() {
                let problem = |error: serde_json::Error| {
                    Error::new(format!(
                        "not the expected JSON: {}",
                        crate::config::without_value(&error.to_string())
                    ))
                };
                return serde_json::from_slice(&line).map(Some).map_err(problem);
            }
        }
        Ok(None)
    }

    /// The next server-sent event (HTML standard, section 9.2); `None` at the end. What comes before the first field, and
    /// an event that its sender did not end, is no event.
    ///
    /// # Errors
    /// The event is too long, or the filter did not declare that it rewrites this body.
    pub async fn next_event(&mut self) -> Result<Option<Event>> {
        while let Some(block) = self.unit(end_of_block).await? {
            if end_of_block(&block).is_none() {
                return Ok(None);
            }
            let event = Event::parse(block);
            if event.name.is_some() || event.id.is_some() || event.data.is_some() {
                return Ok(Some(event));
            }
            // A comment, which keeps connections open.
            self.write(&event.raw)?;
        }
        Ok(None)
    }

    async fn unit(&mut self, end_of: impl Fn(&[u8]) -> Option<usize>) -> Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = end_of(&self.held) {
                let rest = self.held.split_off(end);
                return Ok(Some(std::mem::replace(&mut self.held, rest)));
            }
            if self.held.len() > MAX_UNIT_BYTES {
                return Err(Error::new(format!("a line or event is longer than {MAX_UNIT_BYTES} bytes")));
            }
            if self.ended {
                let last = std::mem::take(&mut self.held);
                return Ok((!last.is_empty()).then_some(last));
            }
            match self.body.take().await? {
                Some(piece) => self.held.extend(piece),
                None => self.ended = true,
            }
        }
    }
}

/// A server-sent event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Its type.
    pub name: Option<String>,
    /// Its id.
    pub id: Option<String>,
    /// Its data, lines joined by line feeds.
    pub data: Option<String>,
    /// As it came, with the empty line behind it: write this to send it on as it is.
    pub raw: Vec<u8>,
}

impl Event {
    /// The event as it goes over the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = String::new();
        for (field, value) in [("event", &self.name), ("id", &self.id)] {
            if let Some(value) = value {
                text.push_str(&format!("{field}: {value}\n"));
            }
        }
        for line in self.data.iter().flat_map(|data| data.split('\n')) {
            text.push_str(&format!("data: {line}\n"));
        }
        text.push('\n');
        text.into_bytes()
    }

    fn parse(raw: Vec<u8>) -> Self {
        let mut event = Self::default();
        for line in String::from_utf8_lossy(&raw).split(['\n', '\r']) {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => event.name = Some(value.to_owned()),
                "id" => event.id = Some(value.to_owned()),
                "data" => match &mut event.data {
                    Some(data) => data.extend(["\n", value]),
                    None => event.data = Some(value.to_owned()),
                },
                _ => {}
            }
        }
        event.raw = raw;
        event
    }
}

/// Behind the empty line that ends a block; lines end in any of three ways.
fn end_of_block(held: &[u8]) -> Option<usize> {
    let ends = [&b"\r\n\r\n"[..], b"\n\n", b"\r\r"].into_iter().filter_map(|end| {
        held.windows(end.len()).position(|window| window == end).map(|place| place + end.len())
    });
    ends.min()
}
