//! Owns reading and editing one header map. Values are bytes, because peers may send any (RFC 9110, section 5.5);
//! text is asked for by name. Illegal names and values are refused here, since some hosts let them pass and then fail
//! the whole request.

use std::cell::OnceCell;

use crate::error::{Error, HostError, Status};
use crate::host::{self, MapType, Span};

/// The headers, or trailers, of one message: read from the host at the first look, and edited as a whole when the phase
/// is over. Until then the message is as it came, for everybody else.
#[derive(Debug)]
pub struct Headers {
    map: MapType,
    original: OnceCell<Original>,
    changes: Vec<Change>,
}

/// As the message came.
#[derive(Debug, Default)]
struct Original {
    bytes: Vec<u8>,
    spans: Vec<(Span, Span)>,
    /// Why nothing could be read. The phase fails with it, whatever the filter made of an empty map.
    failure: Option<HostError>,
}

/// What becomes of one name.
#[derive(Debug)]
struct Change {
    name: String,
    /// Whether the original values go.
    replaces: bool,
    /// In place of, or behind, the original ones.
    values: Vec<Vec<u8>>,
}

impl Headers {
    pub(crate) const fn new(map: MapType) -> Self {
        Self { map, original: OnceCell::new(), changes: Vec::new() }
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
        let change = self.changes.iter().find(|change| change.name.eq_ignore_ascii_case(name));
        let keeps = change.is_none_or(|change| !change.replaces);
        let kept = keeps.then(|| self.originals(name)).into_iter().flatten();
        kept.chain(change.into_iter().flat_map(|change| change.values.iter().map(Vec::as_slice)))
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
        let kept = pairs.filter(|(name, _)| {
            let replaced =
                |change: &Change| change.replaces && change.name.as_bytes().eq_ignore_ascii_case(name);
            !self.changes.iter().any(replaced)
        });
        kept.chain(
            self.changes.iter().flat_map(|change| {
                change.values.iter().map(|value| (change.name.as_bytes(), value.as_slice()))
            }),
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
        let change = self.change(name);
        change.replaces = true;
        change.values = vec![value.to_vec()];
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
        self.change(name).values.push(value.to_vec());
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
        let change = self.change(name);
        change.replaces = true;
        change.values.clear();
        Ok(())
    }

    /// Why the map could not be read, if it was looked at and could not.
    pub(crate) fn failure(&self) -> Option<HostError> {
        self.original.get().and_then(|original| original.failure)
    }

    /// Tells the host what changed, and nothing else.
    pub(crate) fn flush(&mut self) -> Result<(), HostError> {
        for change in std::mem::take(&mut self.changes) {
            self.send(&change)?;
        }
        self.original = OnceCell::new();
        Ok(())
    }

    fn send(&self, change: &Change) -> Result<(), HostError> {
        let mut added = change.values.iter();
        if change.replaces {
            let known = self.original.get().is_some();
            let now = change.values.iter().map(Vec::as_slice);
            if known && self.originals(&change.name).eq(now) {
                return Ok(());
            }
            match added.next() {
                None => host::remove_header(self.map, &change.name)?,
                Some(first) => host::replace_header(self.map, &change.name, first)?,
            }
        }
        added.try_for_each(|value| host::add_header(self.map, &change.name, value))
    }

    fn change(&mut self, name: &str) -> &mut Change {
        let known = self.changes.iter().position(|change| change.name.eq_ignore_ascii_case(name));
        let index = known.unwrap_or(self.changes.len());
        if known.is_none() {
            let name = name.to_ascii_lowercase();
            self.changes.push(Change { name, replaces: false, values: Vec::new() });
        }
        &mut self.changes[index]
    }

    fn originals<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let original = self.original();
        let bytes = &original.bytes;
        let named = move |&&(other, _): &&(Span, Span)| {
            other.len() == name.len() && other.of(bytes).eq_ignore_ascii_case(name.as_bytes())
        };
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
