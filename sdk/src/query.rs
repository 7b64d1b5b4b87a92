//! Owns finding a parameter in the query of a path and taking it out. Everything else in the path stays byte for byte.

/// What [`take`] found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// The parameter's values, percent-decoded, in order.
    pub values: Vec<Vec<u8>>,
    /// The path without the parameter; `None` if the parameter was not there.
    pub path: Option<String>,
}

/// Takes a parameter out of the query. Names and values are percent-decoded (RFC 3986, section 2.1). A `+` stays a plus: keys have no spaces, and many have
/// pluses.
pub fn take(path: &str, parameter: &str) -> Taken {
    // By bytes: a search for a character in text costs several times as much.
    let Some(before) = path.bytes().position(|byte| byte == b'?') else { return Taken::default() };
    let query = &path.as_bytes()[before + 1..];
    let parts = || query.split(|byte| *byte == b'&');
    let is_wanted = |part: &[u8]| is_decoded(name_and_value(part).0, parameter.as_bytes());
    let wanted = parts().filter(|part| is_wanted(part));
    let values: Vec<_> = wanted.map(|part| percent_decoded(name_and_value(part).1)).collect();
    let path = (!values.is_empty()).then(|| {
        let kept: Vec<_> = parts().filter(|part| !is_wanted(part)).collect();
        let query = if kept.is_empty() { Vec::new() } else { [b"?", &kept.join(&b'&')[..]].concat() };
        // Taken apart at ASCII characters, text stays text.
        [&path[..before], &String::from_utf8_lossy(&query)].concat()
    });
    Taken { values, path }
}

fn name_and_value(part: &[u8]) -> (&[u8], &[u8]) {
    let end = part.iter().position(|byte| *byte == b'=').unwrap_or(part.len());
    (&part[..end], part.get(end + 1..).unwrap_or_default())
}

fn is_decoded(text: &[u8], wanted: &[u8]) -> bool {
    // Most names have nothing to decode, and decoding makes nothing longer.
    text == wanted || (text.len() > wanted.len() && text.contains(&b'%') && percent_decoded(text) == wanted)
}

/// Bytes with `%XX` decoded (RFC 3986, section 2.1). A `%` without two hexadecimal digits behind it stands for itself.
pub fn percent_decoded(text: &[u8]) -> Vec<u8> {
    // Most texts.
    if !text.contains(&b'%') {
        return text.to_vec();
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'%', [high, low, behind @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                decoded.push(hex(*high) << 4 | hex(*low));
                rest = behind;
            }
            _ => decoded.push(*first),
        }
    }
    decoded
}

const fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}
