//! What stands in `host`, in `:authority` and in a target of the absolute form (RFC 3986, section 3.2; RFC 9110, section 7.2).

/// Whether this is `HOST` or `HOST:PORT` with nothing that one reader takes for a separator and another does not: no user
/// information, no percent-encoding, no empty host or port.
#[must_use]
pub fn is_valid(authority: &[u8]) -> bool {
    let (host_is_valid, rest) = match authority {
        [b'[', rest @ ..] => match rest.iter().position(|byte| *byte == b']') {
            Some(end) => (is_ipv6(&rest[..end]), &rest[end + 1..]),
            None => return false,
        },
        _ => {
            let end = authority.iter().position(|byte| !is_name_byte(*byte)).unwrap_or(authority.len());
            (end > 0, &authority[end..])
        }
    };
    host_is_valid
        && match rest {
            [] => true,
            [b':', port @ ..] => is_port(port),
            _ => false,
        }
}

/// Letters, digits and what RFC 3986 calls unreserved and sub-delims, without the comma: it separates the members of lists.
const fn is_name_byte(byte: u8) -> bool {
    matches!(byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~'
        | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'=')
}

fn is_ipv6(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok())
}

fn is_port(digits: &[u8]) -> bool {
    const MAX_PORT_DIGITS: usize = 5;
    let value =
        |digits: &[u8]| digits.iter().fold(0_u32, |value, digit| value * 10 + u32::from(digit - b'0'));
    (1..=MAX_PORT_DIGITS).contains(&digits.len())
        && digits.iter().all(u8::is_ascii_digit)
        && value(digits) <= u32::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::is_valid;

    #[test]
    fn hosts_with_and_without_port() {
        for authority in ["a", "a.example", "a_b.example:80", "127.0.0.1", "[::1]", "[::1]:65535", "x:0"] {
            assert!(is_valid(authority.as_bytes()), "{authority}");
        }
        for authority in [
            "",
            ":80",
            "a:",
            "a:65536",
            "a:123456",
            "a:8o",
            "u@a",
            "u:p@a",
            "a/b",
            "a b",
            "a\t",
            "a,b",
            "a%2fb",
            "[::1",
            "[::1]x",
            "[]",
            "[fe80::1%25eth0]",
            "a:80:80",
            "a?b",
            "a#b",
            "a\\b",
            "[a]",
            "\u{e4}",
        ] {
            assert!(!is_valid(authority.as_bytes()), "{authority}");
        }
    }
}
