//! One line of a head or of trailers, byte by byte.

use crate::Refusal;

/// What a byte is in the name of a header.
const TOKEN: u8 = 1;
/// It may also be read as `-`.
const UNDERSCORE: u8 = 2;

/// RFC 9110, section 5.6.2.
static NAME_BYTES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        if is_token_byte(byte as u8) {
            table[byte] = if byte as u8 == b'_' { UNDERSCORE | TOKEN } else { TOKEN };
        }
        byte += 1;
    }
    table
};

const fn is_token_byte(byte: u8) -> bool {
    matches!(byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.'
        | b'^' | b'_' | b'`' | b'|' | b'~')
}

/// Whether these are one or more bytes of names and methods.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| NAME_BYTES[usize::from(*byte)] != 0)
}

/// A header or trailer line. The value still has the space around it.
pub(super) struct Field<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
    pub(super) has_underscore: bool,
}

/// Takes a line apart, which has no CR and no LF. The bytes of its value are looked at elsewhere.
pub(super) fn field(line: &[u8]) -> Result<Field<'_>, Refusal> {
    let mut seen = TOKEN;
    let mut end = 0;
    for byte in line {
        let class = NAME_BYTES[usize::from(*byte)];
        if class == 0 {
            break;
        }
        seen |= class;
        end += 1;
    }
    match (end, line.get(end)) {
        (0, Some(b' ' | b'\t')) => Err(Refusal::FoldedLine),
        (1.., Some(b':')) => {
            let (name, value) = (&line[..end], &line[end + 1..]);
            Ok(Field { name, value, has_underscore: seen & UNDERSCORE != 0 })
        }
        (_, Some(b' ' | b'\t')) if line[end..].trim_ascii_start().first() == Some(&b':') => {
            Err(Refusal::SpaceBeforeColon)
        }
        _ => Err(Refusal::HeaderName),
    }
}

/// Without the space and tabs around it (RFC 9110, section 5.5).
pub(super) fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Whether there is a byte that may stand nowhere in a head: any control byte but tab and those that end lines.
///
/// No early exit: so written, the compiler looks at many bytes at once.
pub(super) fn has_control_byte(bytes: &[u8]) -> bool {
    bytes.iter().fold(false, |any, byte| any | is_control(*byte))
}

/// The same, of a value alone: no line ends in it.
pub(crate) fn has_any_control(value: &[u8]) -> bool {
    value.iter().fold(false, |any, byte| any | ((*byte < 0x20) & (*byte != b'\t')) | (*byte == 0x7f))
}

const fn is_control(byte: u8) -> bool {
    (byte < 0x20) & (byte != b'\t') & (byte != b'\r') & (byte != b'\n') | (byte == 0x7f)
}

/// A plain decimal number, as `content-length` has it: no sign, no list, no leading zero, which some read as octal.
pub(crate) fn length(value: &[u8]) -> Option<u64> {
    /// Of which there is no number that does not fit.
    const MAX_DIGITS: usize = 19;
    let digits = (1..=MAX_DIGITS).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    if !digits || (value[0] == b'0' && value.len() > 1) {
        return None;
    }
    Some(value.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

/// Whether a list has this member, in any case.
pub(super) fn lists(value: &[u8], member: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|one| trimmed(one).eq_ignore_ascii_case(member))
}

/// Whether two names are one to whoever reads `_` as `-`, and not to others.
pub(crate) fn collide(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && !one.eq_ignore_ascii_case(other)
        && one.iter().zip(other).all(|(one, other)| folded(*one) == folded(*other))
}

/// Whether a name with `_` is one that says where a message ends or where it goes.
pub(crate) fn mimics_framing(name: &[u8]) -> bool {
    [&b"content-length"[..], b"transfer-encoding"].iter().any(|framing| collide(name, framing))
}

const fn folded(byte: u8) -> u8 {
    if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() }
}

#[cfg(test)]
mod tests {
    use super::{field, is_token_byte};

    #[test]
    fn a_name_ends_at_the_first_byte_that_is_none_wherever_that_is() {
        for byte in 0..=u8::MAX {
            for at in 0..20 {
                let mut line = b"aZ-abcdefgh-ABCDEFGH".to_vec();
                line[at] = byte;
                line.extend_from_slice(b": x");
                let whole = field(&line).is_ok_and(|field| field.name.len() == 20);
                assert_eq!(whole, is_token_byte(byte), "{byte:#x} at {at}");
            }
        }
    }
}
