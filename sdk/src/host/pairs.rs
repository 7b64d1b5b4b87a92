//! The ABI's byte form of a header map: a count, the sizes of all names and values, then each name and each value
//! followed by a zero byte; numbers are 32 bits little-endian (Proxy-Wasm ABI 0.2.1, "Serialization").

use super::Pairs;

/// The most headers that are believed; a host sends far fewer.
const MAX_PAIRS: usize = 10_000;

pub(super) fn encode<N: AsRef<[u8]>, V: AsRef<[u8]>>(pairs: &[(N, V)]) -> Vec<u8> {
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

/// `None` if the bytes are not a header map. No bytes at all, and a single zero byte, are an empty map.
pub(super) fn decode(bytes: &[u8]) -> Option<Pairs> {
    if matches!(bytes, [] | [0]) {
        return Some(Pairs::new());
    }
    let mut rest = bytes;
    let count = take_size(&mut rest)?;
    if count > MAX_PAIRS {
        return None;
    }
    let mut sizes = Vec::with_capacity(count);
    for _ in 0..count {
        sizes.push((take_size(&mut rest)?, take_size(&mut rest)?));
    }
    let mut pairs = Pairs::with_capacity(count);
    for (name_bytes, value_bytes) in sizes {
        pairs.push((take_text(&mut rest, name_bytes)?, take_text(&mut rest, value_bytes)?));
    }
    rest.is_empty().then_some(pairs)
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

fn take_text(rest: &mut &[u8], bytes: usize) -> Option<Vec<u8>> {
    let (text, tail) = rest.split_at_checked(bytes)?;
    *rest = tail.strip_prefix(&[0])?;
    Some(text.to_vec())
}

#[cfg(test)]
#[path = "pairs_tests.rs"]
mod tests;
