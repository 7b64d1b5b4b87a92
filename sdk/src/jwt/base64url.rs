//! Owns base64url without padding (RFC 7515, section 2), strictly: one text for one sequence of bytes.

/// `None` for anything else.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    if text.len() % 4 == 1 {
        return None;
    }
    let mut decoded = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for chunk in text.chunks(4) {
        let bits = chunk.iter().try_fold(0_u32, |bits, byte| Some(bits << 6 | sextet(*byte)?))?;
        // Fewer than four characters leave bits over, which must be zero.
        let bits = bits << (6 * (4 - chunk.len()));
        let [_, bytes @ ..] = bits.to_be_bytes();
        let (whole, rest) = bytes.split_at(chunk.len() - 1);
        if rest.iter().any(|byte| *byte != 0) {
            return None;
        }
        decoded.extend_from_slice(whole);
    }
    Some(decoded)
}

fn sextet(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        _ => return None,
    }))
}

#[cfg(test)]
#[path = "base64url_tests.rs"]
mod tests;
