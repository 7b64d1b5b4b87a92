//! The one form of a path that routing, filters, policy and upstreams all go by.
//!
//! What RFC 3986, section 6.2.2, calls equal gets one form: unreserved characters are not escaped, hex digits are upper
//! case, dot segments are resolved. What one server reads differently from the next (a path above the root, an escape that
//! is none, control characters, `..;`, letters in more bytes than they need) has no such form and is refused. Where
//! servers differ and neither is wrong (`//`, `%2F`, `\`), a [`Policy`] decides. Knows paths only: never a query, a
//! fragment or the request around them.

use std::borrow::Cow;

/// What is done about what servers read differently.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// `//`.
    pub duplicate_slashes: DuplicateSlashes,
    /// `%2F`.
    pub encoded_slashes: EncodedSlashes,
    /// `\` and `%5C`.
    pub backslashes: Backslashes,
}

/// What is done about `//`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DuplicateSlashes {
    /// They become one.
    Merge,
    /// They stay: an empty segment is a segment.
    Keep,
    /// The path is refused.
    Refuse,
}

/// What is done about `%2F`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EncodedSlashes {
    /// The path is refused.
    Refuse,
    /// They stay, and separate nothing here; where one would make a dot segment, the path is refused.
    Keep,
    /// They become slashes.
    Decode,
}

/// What is done about `\` and `%5C`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Backslashes {
    /// The path is refused.
    Refuse,
    /// They stay, escaped; where one would make a dot segment, the path is refused.
    Keep,
    /// They become slashes.
    Slash,
}

impl Policy {
    /// Slashes are merged, and what hides one is refused.
    pub const STRICT: Self = Self {
        duplicate_slashes: DuplicateSlashes::Merge,
        encoded_slashes: EncodedSlashes::Refuse,
        backslashes: Backslashes::Refuse,
    };

    /// Nothing is refused or changed that may stay.
    pub const LENIENT: Self = Self {
        duplicate_slashes: DuplicateSlashes::Keep,
        encoded_slashes: EncodedSlashes::Keep,
        backslashes: Backslashes::Keep,
    };
}

/// Why a path has no canonical form.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refusal {
    /// It does not begin with a slash.
    NotAbsolute,
    /// `..` leads above the root.
    AboveRoot,
    /// A percent sign without two hex digits.
    BadEscape,
    /// A control character or a space, escaped or not (a space may be escaped).
    Control,
    /// `?` or `#`, which end a path.
    NotPath,
    /// A character in more bytes than it needs: some decoders see another one (RFC 3629, section 10).
    Overlong,
    /// A dot segment with parameters, as in `/..;x/`: some servers drop those first.
    DotParameters,
    /// `//`, where the policy refuses it.
    DuplicateSlash,
    /// `%2F`, where the policy refuses it.
    EncodedSlash,
    /// `\` or `%5C`, where the policy refuses it.
    Backslash,
    /// A dot segment that an escaped slash or backslash would make.
    HiddenDotSegment,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotAbsolute => "does not begin with `/`",
            Self::AboveRoot => "leads above the root",
            Self::BadEscape => "has a `%` without two hex digits",
            Self::Control => "has a control character or a space",
            Self::NotPath => "has a `?` or `#`, which paths do not have",
            Self::Overlong => "has a character in more bytes than it needs",
            Self::DotParameters => "has a dot segment with parameters",
            Self::DuplicateSlash => "has a duplicate slash",
            Self::EncodedSlash => "has an encoded slash",
            Self::Backslash => "has a backslash",
            Self::HiddenDotSegment => "has a dot segment behind an encoded slash or backslash",
        })
    }
}

/// The canonical form of a path (without query); the path itself if it is canonical already, which is seen at a glance.
///
/// # Errors
/// What it is that has no canonical form, or none that `policy` allows.
pub fn canonical(path: &str, policy: Policy) -> Result<Cow<'_, str>, Refusal> {
    if is_plain(path.as_bytes()) {
        return Ok(Cow::Borrowed(path));
    }
    if !path.starts_with('/') {
        return Err(Refusal::NotAbsolute);
    }
    let escaped = one_escaping(path.as_bytes(), policy)?;
    let resolved = resolve_dots(&escaped, policy.duplicate_slashes)?;
    // Only ASCII is written; the fallback keeps this total.
    let resolved = String::from_utf8(resolved).map_err(|_| Refusal::BadEscape)?;
    Ok(if resolved == path { Cow::Borrowed(path) } else { Cow::Owned(resolved) })
}

/// Whether a path has `.` or `..` among its segments.
pub fn has_dot_segments(path: &str) -> bool {
    path.split('/').any(is_dots)
}

/// Characters that need no second look, and those that may.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        plain[byte] = is_path_character(byte as u8);
        byte += 1;
    }
    plain
};

/// True for what is surely canonical under every policy. Without an early exit, so that it takes the same short time for
/// nearly every path there is.
fn is_plain(path: &[u8]) -> bool {
    let mut before = 0;
    let mut plain = path.first() == Some(&b'/');
    for &byte in path {
        plain &= PLAIN[usize::from(byte)] & !(before == b'/' && (byte == b'/' || byte == b'.'));
        before = byte;
    }
    plain
}

/// What stands for itself in a path (RFC 3986, section 3.3), and the slash.
const fn is_path_character(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'/' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@'
        )
}

/// Escaped or not, these mean the same (RFC 3986, section 2.3).
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Every character escaped if it has to be, and not otherwise.
fn one_escaping(path: &[u8], policy: Policy) -> Result<Vec<u8>, Refusal> {
    let mut out = Vec::with_capacity(path.len() + 16);
    let mut before = None;
    let mut rest = path;
    while let [first, tail @ ..] = rest {
        let (byte, is_escaped) = match first {
            b'%' => {
                let [high, low, ..] = tail else { return Err(Refusal::BadEscape) };
                rest = &tail[2..];
                (hex(*high)? << 4 | hex(*low)?, true)
            }
            byte => {
                rest = tail;
                (*byte, false)
            }
        };
        refuse_overlong(before, byte)?;
        before = Some(byte);
        match byte {
            0..=0x1f | 0x7f => return Err(Refusal::Control),
            b' ' if !is_escaped => return Err(Refusal::Control),
            b'?' | b'#' if !is_escaped => return Err(Refusal::NotPath),
            b'/' if is_escaped => match policy.encoded_slashes {
                EncodedSlashes::Refuse => return Err(Refusal::EncodedSlash),
                EncodedSlashes::Keep => escape(byte, &mut out),
                EncodedSlashes::Decode => out.push(b'/'),
            },
            b'\\' => match policy.backslashes {
                Backslashes::Refuse => return Err(Refusal::Backslash),
                Backslashes::Keep => escape(byte, &mut out),
                Backslashes::Slash => out.push(b'/'),
            },
            byte if is_unreserved(byte) => out.push(byte),
            byte if !is_escaped && is_path_character(byte) => out.push(byte),
            byte => escape(byte, &mut out),
        }
    }
    Ok(out)
}

/// Two, three and four bytes for what fits into fewer (RFC 3629, section 3): `%C0%AF` is a slash to careless decoders.
fn refuse_overlong(before: Option<u8>, byte: u8) -> Result<(), Refusal> {
    match (before, byte) {
        (Some(0xc0 | 0xc1), 0x80..=0xbf) | (Some(0xe0), 0x80..=0x9f) | (Some(0xf0), 0x80..=0x8f) => {
            Err(Refusal::Overlong)
        }
        _ => Ok(()),
    }
}

fn hex(digit: u8) -> Result<u8, Refusal> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(Refusal::BadEscape),
    }
}

fn escape(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(&[b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}

/// Removes dot segments (RFC 3986, section 5.2.4), and empty ones where that is the policy.
fn resolve_dots(path: &[u8], duplicate_slashes: DuplicateSlashes) -> Result<Vec<u8>, Refusal> {
    let mut out: Vec<u8> = Vec::with_capacity(path.len());
    let mut segments = path.get(1..).unwrap_or_default().split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            b"." => {}
            b".." => {
                let parent = out.iter().rposition(|byte| *byte == b'/').ok_or(Refusal::AboveRoot)?;
                out.truncate(parent);
            }
            b"" if is_last => {}
            b"" => match duplicate_slashes {
                DuplicateSlashes::Merge => {}
                DuplicateSlashes::Keep => out.push(b'/'),
                DuplicateSlashes::Refuse => return Err(Refusal::DuplicateSlash),
            },
            segment => {
                refuse_hidden_dots(segment)?;
                out.push(b'/');
                out.extend_from_slice(segment);
                continue;
            }
        }
        // Whatever else is last ends with a slash: it names a folder.
        if is_last {
            out.push(b'/');
        }
    }
    Ok(out)
}

/// Refuses segments that are dot segments to those who drop parameters, or decode first and split then.
fn refuse_hidden_dots(segment: &[u8]) -> Result<(), Refusal> {
    let Ok(segment) = std::str::from_utf8(segment) else { return Err(Refusal::BadEscape) };
    if segment.split_once(';').is_some_and(|(name, _)| is_dots(name)) {
        return Err(Refusal::DotParameters);
    }
    let is_split_elsewhere = segment.contains("%2F") || segment.contains("%5C");
    let mut parts = segment.split("%2F").flat_map(|part| part.split("%5C"));
    match is_split_elsewhere && parts.any(|part| is_dots(part.split(';').next().unwrap_or(part))) {
        true => Err(Refusal::HiddenDotSegment),
        false => Ok(()),
    }
}

fn is_dots(segment: &str) -> bool {
    segment == "." || segment == ".."
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;
