//! Several properties, asked for at once: in one call where the host has the foreign function `get_properties`, and one by
//! one elsewhere.

use std::cell::Cell;

use super::{Span, foreign_function, property};

/// The argument has the length of each path (32 bits, little endian) and the path; the answer the length of each value and the
/// value, or [`ABSENT`] in place of the length.
const GET_PROPERTIES: &str = "get_properties";
const ABSENT: u32 = u32::MAX;

thread_local! {
    /// Until the host says that there is no such function.
    static IS_KNOWN: Cell<bool> = const { Cell::new(true) };
}

/// `N` properties to be asked for together, again and again.
#[derive(Clone, Debug)]
pub struct PropertyList<const N: usize> {
    paths: [&'static [&'static str]; N],
    /// Made once: for a filter that asks in each request it is most of the work.
    argument: Vec<u8>,
}

/// Values of `N` properties, by their places in the list.
#[derive(Clone, Debug)]
pub struct Properties<const N: usize> {
    bytes: Vec<u8>,
    spans: [Option<Span>; N],
}

impl<const N: usize> PropertyList<N> {
    /// Those with these paths, such as `["source", "address"]`.
    pub fn new(paths: [&'static [&'static str]; N]) -> Self {
        Self { argument: argument(&paths), paths }
    }

    /// Asks for them; those that cannot be had are absent.
    pub(crate) fn read(&self) -> Properties<N> {
        if IS_KNOWN.get() {
            match foreign_function(GET_PROPERTIES, &self.argument) {
                Ok(Some(bytes)) => {
                    if let Some(properties) = Properties::parse(bytes) {
                        return properties;
                    }
                }
                Ok(None) => IS_KNOWN.set(false),
                // Too much at once.
                Err(_) => {}
            }
        }
        let mut bytes = Vec::new();
        let spans = self.paths.map(|path| {
            let value = property(path).ok()??;
            bytes.extend_from_slice(&value);
            Some(Span::new(bytes.len() - value.len(), value.len()))
        });
        Properties { bytes, spans }
    }
}

impl<const N: usize> Properties<N> {
    /// The value of the property at this place of the list.
    pub fn get(&self, place: usize) -> Option<&[u8]> {
        Some(self.spans.get(place)?.as_ref()?.of(&self.bytes))
    }

    /// The same as text; `None` also if it is not text.
    pub fn get_str(&self, place: usize) -> Option<&str> {
        str::from_utf8(self.get(place)?).ok()
    }

    /// The same as a number; `None` also if it is not 8 bytes.
    pub fn get_number(&self, place: usize) -> Option<u64> {
        Some(u64::from_le_bytes(self.get(place)?.try_into().ok()?))
    }

    fn parse(bytes: Vec<u8>) -> Option<Self> {
        let mut start = 0;
        let mut spans = [None; N];
        for span in &mut spans {
            let len = u32::from_le_bytes(*bytes.get(start..)?.first_chunk()?);
            start += 4;
            if len != ABSENT {
                let len = usize::try_from(len).ok()?;
                bytes.get(start..)?.get(..len)?;
                *span = Some(Span::new(start, len));
                start += len;
            }
        }
        (start == bytes.len()).then_some(Self { bytes, spans })
    }
}

fn argument(paths: &[&[&str]]) -> Vec<u8> {
    let path_len =
        |path: &[&str]| path.iter().map(|segment| segment.len() + 1).sum::<usize>().saturating_sub(1);
    let mut argument = Vec::with_capacity(paths.iter().map(|path| 4 + path_len(path)).sum());
    for path in paths {
        argument.extend(u32::try_from(path_len(path)).unwrap_or(u32::MAX).to_le_bytes());
        for (index, segment) in path.iter().enumerate() {
            argument.extend((index > 0).then_some(0));
            argument.extend_from_slice(segment.as_bytes());
        }
    }
    argument
}

#[cfg(test)]
#[path = "properties_tests.rs"]
mod tests;
