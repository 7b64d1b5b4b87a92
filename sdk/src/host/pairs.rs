//! The ABI's byte form of a header map: a count, the sizes of all names and values, then each name and each value
//! followed by a zero byte; numbers are 32 bits little-endian (Proxy-Wasm ABI 0.2.1, "Serialization").

use super::Pairs;

/// The most headers that are believed; a host sends far fewer.
const MAX_PAIRS: usize = 10_000;

pub(crate) fn encode<N: AsRef<[u8]>, V: AsRef<[u8]>>(pairs: &[(N, V)]) -> Vec<u8> {
    let sizes = pairs.iter().map(|(name, value)| 10 + name.as_ref().len() + value.as_ref().len());
    let mut bytes = Vec::with_capacity(4 + sizes.sum::<usize>());
    bytes.extend(size(pairs.len()));
    for (name, value) in pairs {
        bytes.extend(size(name.as_ref().len()));
        bytes.extend(size(value.as_ref().len()));
    }
    for (name, value) in pairs {
        for text in [name.as_ref(), value.as_ref()] {
            bytes.extend_from_slice(text);
            bytes.push(0);
        }
    }
    bytes
}

/// Where one name, or value, stands in the byte form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    start: usize,
    len: usize,
}

impl Span {
    pub(crate) const fn new(start: usize, len: usize) -> Self {
        Self { start, len }
    }

    /// In bytes.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The bytes, of the map that was indexed.
    pub(crate) fn of<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(self.start..).and_then(|rest| rest.get(..self.len)).unwrap_or_default()
    }
}

/// Where names and values stand; `None` if the bytes are not a header map. No bytes at all, and a single zero byte, are
/// an empty map.
pub(crate) fn index(bytes: &[u8]) -> Option<Vec<(Span, Span)>> {
    if matches!(bytes, [] | [0]) {
        return Some(Vec::new());
    }
    let mut sizes = bytes;
    let count = take_size(&mut sizes)?;
    if count > MAX_PAIRS {
        return None;
    }
    let mut start = count.checked_mul(8)?.checked_add(4)?;
    let mut take_text = |len: usize| {
        let span = Span { start, len };
        let end = start.checked_add(len)?;
        start = end + 1;
        (*bytes.get(end)? == 0).then_some(span)
    };
    let mut spans = Vec::with_capacity(count);
    for _ in 0..count {
        let (name_len, value_len) = (take_size(&mut sizes)?, take_size(&mut sizes)?);
        spans.push((take_text(name_len)?, take_text(value_len)?));
    }
    (start == bytes.len()).then_some(spans)
}

/// `None` if the bytes are not a header map.
pub(crate) fn decode(bytes: &[u8]) -> Option<Pairs> {
    let owned = |span: Span| span.of(bytes).to_vec();
    Some(index(bytes)?.into_iter().map(|(name, value)| (owned(name), owned(value))).collect())
}

/// Sizes beyond 32 bits cannot exist in a 32-bit guest; saturating keeps the native build total.
fn size(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes()
}

fn take_size(rest: &mut &[u8]) -> Option<usize> {
    let (number, tail) = rest.split_first_chunk::<4>()?;
    *rest = tail;
    usize::try_from(u32::from_le_bytes(*number)).ok()
}

#[cfg(test)]
#[path = "pairs_tests.rs"]
mod tests;
