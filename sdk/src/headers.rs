//! Owns reading and editing one header map. Values are bytes, because peers may send any (RFC 9110, section 5.5);
//! text is asked for by name. Illegal names and values are refused here, since some hosts let them pass and then fail
//! the whole request.

use std::borrow::Cow;
use std::cell::OnceCell;

use crate::error::{Error, HostError, Status};
use crate::host::{self, MapType, Span};

/// The headers, or trailers, of one message: read from the host at the first look, and edited as a whole when the phase
/// is over. Until then the message is as it came, for everybody else.
#[derive(Debug)]
pub struct Headers {
    map: MapType,
    original: OnceCell<Original>,
    changes: Changes,
}

/// As the message came.
#[derive(Debug, Default)]
struct Original {
    bytes: Vec<u8>,
    spans: Vec<(Span, Span)>,
    /// Why nothing could be read. The phase fails with it, whatever the filter made of an empty map.
    failure: Option<HostError>,
}

/// What becomes of the message, in the order in which it was asked for. Names and values stand one behind the other: most
/// filters change a few headers of each request.
#[derive(Debug, Default)]
struct Changes {
    text: Vec<u8>,
    all: Vec<Change>,
}

/// One of them. At most one of each name replaces what was there, and comes before the others of that name.
#[derive(Debug)]
struct Change {
    /// In lower case.
    name: Span,
    /// Whether the original values go.
    replaces: bool,
    /// In place of the original values, or behind them.
    value: Option<Span>,
}

/// Room for the changes that most filters make.
const USUAL_CHANGES: usize = 4;
const USUAL_CHANGED_BYTES: usize = 128;

impl Headers {
    pub(crate) const fn new(map: MapType) -> Self {
        Self { map, original: OnceCell::new(), changes: Changes::new() }
    }

    /// The first value of `name`. To decide on credentials use [`Self::get_all`]: a sender may repeat a header.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.get_all(name).next()
    }

    /// The first value of `name` as text.
    ///
    /// # Errors
    /// The value is there and is not UTF-8.
    pub fn get_str(&self, name: &str) -> Result<Option<&str>, Error> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let not_text = |_| Error::NotUtf8 { map: self.map, name: name.to_owned() };
        std::str::from_utf8(value).map(Some).map_err(not_text)
    }

    /// All values of `name`, in order.
    pub fn get_all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let kept = (!self.changes.replaces(name.as_bytes())).then(|| self.originals(name.as_bytes()));
        kept.into_iter().flatten().chain(self.changes.values_of(name.as_bytes()))
    }

    /// The first value of `name`, asked of the host alone if nothing else of the message has been looked at. For filters that
    /// need one or two headers of many; others read all of them at once, which [`Self::get`] does at the first look.
    ///
    /// # Errors
    /// The message cannot be read.
    pub fn get_alone(&self, name: &str) -> Result<Option<Cow<'_, [u8]>>, HostError> {
        match self.original.get() {
            None if self.changes.of(name.as_bytes()).next().is_none() => {
                Ok(host::header_value(self.map, name)?.map(Cow::Owned))
            }
            _ => Ok(self.get(name).map(Cow::Borrowed)),
        }
    }

    /// Whether there is a value of `name`.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Every header, names in lower case; pseudo-headers (`:path`, `:status`) come first, edited and new ones last.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let original = self.original();
        let pairs =
            original.spans.iter().map(|(name, value)| (name.of(&original.bytes), value.of(&original.bytes)));
        let changes = &self.changes;
        let kept = pairs.filter(|(name, _)| !changes.replaces(name));
        kept.chain(
            changes.all.iter().filter_map(|change| Some((changes.name(change), changes.value(change)?))),
        )
    }

    /// The same in the `http` crate's type, without pseudo-headers and what that type does not take.
    pub fn to_map(&self) -> http::HeaderMap {
        let mut map = http::HeaderMap::new();
        for (name, value) in self.iter() {
            let name = http::HeaderName::from_bytes(name);
            if let (Ok(name), Ok(value)) = (name, http::HeaderValue::from_bytes(value)) {
                map.append(name, value);
            }
        }
        map
    }

    /// Makes `value` the only value of `name`.
    ///
    /// # Errors
    /// Name or value is illegal.
    pub fn set(&mut self, name: impl AsRef<str>, value: impl AsRef<[u8]>) -> Result<(), HostError> {
        let (name, value) = (name.as_ref(), value.as_ref());
        if !(is_legal_name(name) || is_pseudo(name)) || !is_legal_value(value) {
            return Err(HostError::new("proxy_replace_header_map_value", Status::BadArgument));
        }
        self.changes.replace(name.as_bytes(), Some(value));
        Ok(())
    }

    /// Adds one more value of `name` behind the others. Pseudo-headers are single and can only be [`Self::set`].
    ///
    /// # Errors
    /// Name or value is illegal.
    pub fn add(&mut self, name: impl AsRef<str>, value: impl AsRef<[u8]>) -> Result<(), HostError> {
        let (name, value) = (name.as_ref(), value.as_ref());
        if !is_legal_name(name) || !is_legal_value(value) {
            return Err(HostError::new("proxy_add_header_map_value", Status::BadArgument));
        }
        self.changes.push(name.as_bytes(), false, Some(value));
        Ok(())
    }

    /// Removes all values of `name`; none is fine.
    ///
    /// # Errors
    /// `name` is a pseudo-header, without which there is no message, or no name at all.
    pub fn remove(&mut self, name: impl AsRef<str>) -> Result<(), HostError> {
        let name = name.as_ref();
        if !is_legal_name(name) {
            return Err(HostError::new("proxy_remove_header_map_value", Status::BadArgument));
        }
        self.changes.replace(name.as_bytes(), None);
        Ok(())
    }

    /// Removes every header with such a name, pseudo-headers apart.
    pub fn remove_where(&mut self, is_meant: impl Fn(&[u8]) -> bool) {
        let changes = &mut self.changes;
        let text = &changes.text;
        changes
            .all
            .retain(|change| !is_meant(change.name.of(text)) || change.name.of(text).starts_with(b":"));
        self.original();
        let Some(original) = self.original.get() else { return };
        let names = original.spans.iter().map(|(name, _)| name.of(&original.bytes));
        for name in names.filter(|name| !name.starts_with(b":") && is_meant(name)) {
            if !self.changes.replaces(name) {
                self.changes.push(name, true, None);
            }
        }
    }

    /// Why the map could not be read, if it was looked at and could not.
    pub(crate) fn failure(&self) -> Option<HostError> {
        self.original.get().and_then(|original| original.failure)
    }

    /// Tells the host what changed, and nothing else.
    pub(crate) fn flush(&mut self) -> Result<(), HostError> {
        let changes = std::mem::take(&mut self.changes);
        for change in &changes.all {
            let name = changes.name(change);
            let is_as_it_was = || changes.replaces(name) && self.originals(name).eq(changes.values_of(name));
            if self.original.get().is_some() && is_as_it_was() {
                continue;
            }
            match (changes.value(change), change.replaces) {
                (None, _) => host::remove_header(self.map, name)?,
                (Some(value), true) => host::replace_header(self.map, name, value)?,
                (Some(value), false) => host::add_header(self.map, name, value)?,
            }
        }
        self.original = OnceCell::new();
        Ok(())
    }

    fn originals<'a>(&'a self, name: &[u8]) -> impl Iterator<Item = &'a [u8]> {
        let original = self.original();
        let bytes = &original.bytes;
        // Most are of another length.
        let named =
            move |&&(other, _): &&(Span, Span)| other.len() == name.len() && is_same(other.of(bytes), name);
        original.spans.iter().filter(named).map(|(_, value)| value.of(bytes))
    }

    fn original(&self) -> &Original {
        self.original.get_or_init(|| {
            let malformed = HostError::new("proxy_get_header_map_pairs", Status::ParseFailure);
            let read = host::header_bytes(self.map)
                .and_then(|bytes| Ok((host::index_pairs(&bytes).ok_or(malformed)?, bytes)));
            match read {
                Ok((spans, bytes)) => Original { bytes, spans, failure: None },
                Err(error) => Original { failure: Some(error), ..Original::default() },
            }
        })
    }
}

impl Changes {
    const fn new() -> Self {
        Self { text: Vec::new(), all: Vec::new() }
    }

    fn name(&self, change: &Change) -> &[u8] {
        change.name.of(&self.text)
    }

    fn value(&self, change: &Change) -> Option<&[u8]> {
        Some(change.value?.of(&self.text))
    }

    fn of<'a>(&'a self, name: &[u8]) -> impl Iterator<Item = &'a Change> {
        self.all.iter().filter(move |change| is_same(self.name(change), name))
    }

    /// Whether the original values of `name` go.
    fn replaces(&self, name: &[u8]) -> bool {
        self.of(name).any(|change| change.replaces)
    }

    fn values_of<'a>(&'a self, name: &[u8]) -> impl Iterator<Item = &'a [u8]> {
        self.of(name).filter_map(|change| self.value(change))
    }

    /// What was asked for of `name` before counts no more.
    fn replace(&mut self, name: &[u8], value: Option<&[u8]>) {
        let text = &self.text;
        self.all.retain(|change| !is_same(change.name.of(text), name));
        self.push(name, true, value);
    }

    fn push(&mut self, name: &[u8], replaces: bool, value: Option<&[u8]>) {
        if self.all.is_empty() {
            self.all.reserve(USUAL_CHANGES);
            self.text.reserve(USUAL_CHANGED_BYTES);
        }
        let start = self.text.len();
        self.text.extend(name.iter().map(u8::to_ascii_lowercase));
        let name = Span::new(start, name.len());
        let value = value.map(|value| {
            self.text.extend_from_slice(value);
            Span::new(self.text.len() - value.len(), value.len())
        });
        self.all.push(Change { name, replaces, value });
    }
}

fn is_same(name: &[u8], other: &[u8]) -> bool {
    // Their beginnings are alike more often than their ends.
    let mut pairs = name.iter().rev().zip(other.iter().rev());
    name.len() == other.len() && pairs.all(|(a, b)| a.eq_ignore_ascii_case(b))
}

/// Whether a header may have this name: a token of RFC 9110, section 5.6.2.
pub fn is_legal_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| IS_TOKEN[usize::from(b)])
}

/// By octet. Every name that is edited is looked at.
const IS_TOKEN: [bool; 256] = {
    let (mut table, mut octet) = ([false; 256], 0_u8);
    while octet < 128 {
        table[octet as usize] = octet.is_ascii_alphanumeric();
        octet += 1;
    }
    let mut others: &[u8] = b"!#$%&'*+-.^_`|~";
    while let [octet, rest @ ..] = others {
        table[*octet as usize] = true;
        others = rest;
    }
    table
};

/// Whether a header may have this value: no control characters but tab (RFC 9110, section 5.5).
pub fn is_legal_value(value: &[u8]) -> bool {
    value.iter().all(|&b| b == b'\t' || (b >= b' ' && b != 0x7f))
}

fn is_pseudo(name: &str) -> bool {
    name.strip_prefix(':').is_some_and(is_legal_name)
}

#[cfg(test)]
#[path = "headers_tests.rs"]
mod tests;
