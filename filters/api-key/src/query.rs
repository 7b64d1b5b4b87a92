//! Owns finding a parameter in the query of a path and taking it out. Everything else in the path stays byte for byte.

/// What [`take`] found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// The parameter's values, percent-decoded, in order.
    pub(crate) values: Vec<Vec<u8>>,
    /// The path without the parameter; `None` if the parameter was not there.
    pub(crate) path: Option<String>,
}

/// Names and values are percent-decoded (RFC 3986, section 2.1). A `+` stays a plus: keys have no spaces, and many have
/// pluses.
pub(crate) fn take(path: &str, parameter: &str) -> Taken {
    let Some((before, query)) = path.split_once('?') else { return Taken::default() };
    let mut values = Vec::new();
    let mut kept = Vec::new();
    for part in query.split('&') {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        if percent_decoded(name) == parameter.as_bytes() {
            values.push(percent_decoded(value));
        } else {
            kept.push(part);
        }
    }
    let path = (!values.is_empty()).then(|| match kept.as_slice() {
        [] => before.to_owned(),
        kept => format!("{before}?{}", kept.join("&")),
    });
    Taken { values, path }
}

/// A `%` without two hexadecimal digits behind it stands for itself.
fn percent_decoded(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
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
