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
    let Some((before, query)) = path.split_once('?') else { return Taken::default() };
    let is_wanted = |part: &str| is_decoded(name_and_value(part).0.as_bytes(), parameter.as_bytes());
    let wanted = query.split('&').filter(|part| is_wanted(part));
    let values: Vec<_> = wanted.map(|part| percent_decoded(name_and_value(part).1.as_bytes())).collect();
    let path = (!values.is_empty()).then(|| {
        let kept: Vec<_> = query.split('&').filter(|part| !is_wanted(part)).collect();
        if kept.is_empty() { before.to_owned() } else { format!("{before}?{}", kept.join("&")) }
    });
    Taken { values, path }
}

fn name_and_value(part: &str) -> (&str, &str) {
    part.split_once('=').unwrap_or((part, ""))
}

fn is_decoded(text: &[u8], wanted: &[u8]) -> bool {
    // Most names have nothing to decode, and decoding makes nothing longer.
    text == wanted || (text.len() > wanted.len() && text.contains(&b'%') && percent_decoded(text) == wanted)
}

/// Bytes with `%XX` decoded (RFC 3986, section 2.1). A `%` without two hexadecimal digits behind it stands for itself.
pub fn percent_decoded(text: &[u8]) -> Vec<u8> {
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
