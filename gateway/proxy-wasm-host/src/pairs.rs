//! The wire format of header maps, and of properties that are maps or lists.
//!
//! `u32` count, then for each entry two `u32` lengths, then for each entry name, NUL, value, NUL; all little endian,
//! lengths without the NULs (Proxy-Wasm ABI 0.2.1, "serialized map"). An empty map may also be no bytes or one zero byte.
//! Knows nothing of what names and values mean.

/// Why bytes are not a map.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MalformedMap {
    /// Cut short, with bytes left over, or without a NUL where one belongs.
    #[error("the bytes are not a serialized map")]
    Format,
    /// More entries or bytes than allowed.
    #[error("the map has more entries or bytes than allowed")]
    TooLarge,
}

/// The entries of a decoded map, borrowed from its bytes.
pub type Entries<'a> = Vec<(&'a [u8], &'a [u8])>;

/// Reads a map.
///
/// # Errors
/// See [`MalformedMap`]; a map is never read in part.
pub fn decode(bytes: &[u8], max_pairs: usize, max_bytes: usize) -> Result<Entries<'_>, MalformedMap> {
    if bytes.is_empty() || bytes == [0] {
        return Ok(Vec::new());
    }
    if bytes.len() > max_bytes {
        return Err(MalformedMap::TooLarge);
    }
    let (count, rest) = take_u32(bytes)?;
    if count > max_pairs {
        return Err(MalformedMap::TooLarge);
    }
    let lengths_bytes = count.checked_mul(8).ok_or(MalformedMap::Format)?;
    let (mut lengths, mut data) = rest.split_at_checked(lengths_bytes).ok_or(MalformedMap::Format)?;
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let (name_len, after_name) = take_u32(lengths)?;
        let (value_len, after_value) = take_u32(after_name)?;
        lengths = after_value;
        let (name, after) = take_terminated(data, name_len)?;
        let (value, after) = take_terminated(after, value_len)?;
        data = after;
        entries.push((name, value));
    }
    if data.is_empty() { Ok(entries) } else { Err(MalformedMap::Format) }
}

/// Appends a map to `out`; the iterator is walked twice.
pub fn encode<'a>(out: &mut Vec<u8>, entries: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone) {
    let Ok(()) = encode_visited(out, |visit| {
        entries.clone().for_each(|(name, value)| visit(name, value));
        Ok::<(), std::convert::Infallible>(())
    });
}

/// Appends a list to `out`: a map whose values are empty.
pub fn encode_list<'a>(out: &mut Vec<u8>, items: impl Iterator<Item = &'a [u8]> + Clone) {
    encode(out, items.map(|item| (item, &[][..])));
}

/// As [`encode`], for entries that can only be visited. `visit_all` is called twice and must show the same both times.
///
/// # Errors
/// What `visit_all` answers.
pub fn encode_visited<E>(
    out: &mut Vec<u8>,
    visit_all: impl Fn(&mut dyn FnMut(&[u8], &[u8])) -> Result<(), E>,
) -> Result<(), E> {
    let start = out.len();
    let mut count = 0_usize;
    out.extend_from_slice(&[0; 4]);
    visit_all(&mut |name, value| {
        count += 1;
        out.extend_from_slice(&length(name.len()));
        out.extend_from_slice(&length(value.len()));
    })?;
    out[start..start + 4].copy_from_slice(&length(count));
    visit_all(&mut |name, value| {
        out.extend_from_slice(name);
        out.push(0);
        out.extend_from_slice(value);
        out.push(0);
    })
}

/// Guest memory is 32 bits wide; what does not fit cannot be handed over anyway and is refused when it is copied there.
fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes()
}

fn take_u32(bytes: &[u8]) -> Result<(usize, &[u8]), MalformedMap> {
    let (number, rest) = bytes.split_first_chunk::<4>().ok_or(MalformedMap::Format)?;
    Ok((u32::from_le_bytes(*number) as usize, rest))
}

fn take_terminated(bytes: &[u8], len: usize) -> Result<(&[u8], &[u8]), MalformedMap> {
    let (taken, rest) = bytes.split_at_checked(len).ok_or(MalformedMap::Format)?;
    match rest.split_first() {
        Some((0, rest)) => Ok((taken, rest)),
        _ => Err(MalformedMap::Format),
    }
}

#[cfg(test)]
#[path = "pairs_tests.rs"]
mod tests;
