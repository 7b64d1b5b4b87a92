//! Whose request it is, by what proxies say about it: `x-forwarded-for` and `Forwarded` (RFC 7239).
//!
//! Every proxy adds to the end of these lists whom it got the request from. So they are read from the end, and only as far
//! as those who wrote them are trusted: what stands further left was claimed by somebody unknown. Knows the text of the
//! lists only; that the sender of the request is trusted at all is for the caller to know.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr};

/// Whom a list is believed about.
#[derive(Clone, Copy, Debug)]
pub enum Trust<F> {
    /// As long as the address that was written is one of these, whoever is there wrote the next one.
    Addresses(F),
    /// So many proxies, the sender of the request being the first.
    Hops(usize),
}

/// Who asked, as far as a list is believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin<'a> {
    /// The client's address; one of IPv4 is never in its IPv6 form.
    pub address: IpAddr,
    /// The client's port, if a proxy has written it.
    pub port: Option<u16>,
    /// The part of the list that is believed: from the client on.
    pub believed: &'a str,
}

/// Reads the value of `x-forwarded-for`; several lines are joined with commas first.
///
/// `None` if not even the last entry is an address: then the sender is all that is known.
pub fn x_forwarded_for<'a, F: Fn(IpAddr) -> bool>(list: &'a str, trust: &Trust<F>) -> Option<Origin<'a>> {
    let mut walk = Walk::new(trust);
    let mut end = list.len();
    loop {
        let start = list[..end].rfind(',').map_or(0, |comma| comma + 1);
        let entry = list[start..end].trim_matches(BLANKS);
        let is_known = node(entry).is_some_and(|node| walk.take(node, start));
        if !is_known || start == 0 {
            return walk.origin(list);
        }
        end = start - 1;
    }
}

/// Reads the value of `Forwarded`; several lines are joined with commas first.
///
/// `None` if its last element names no address: then the sender is all that is known.
///
/// # Errors
/// The list is malformed. Where its elements end then depends on who reads, and whoever wrote the first of them may have meant
/// to hide the last ones: such a request is nobody's.
pub fn forwarded<'a, F: Fn(IpAddr) -> bool>(
    list: &'a str,
    trust: &Trust<F>,
) -> Result<Option<Origin<'a>>, Malformed> {
    // From the beginning, since a comma may stand in quotes.
    let elements = elements(list).ok_or(Malformed)?;
    let mut walk = Walk::new(trust);
    for Element { start, node: text } in elements.iter().rev() {
        let is_known = text.and_then(node).is_some_and(|node| walk.take(node, *start));
        if !is_known {
            break;
        }
    }
    Ok(walk.origin(list))
}

/// A list that is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

/// Blanks around the elements of a list (RFC 9110, section 5.6.3).
const BLANKS: [char; 2] = [' ', '\t'];

/// Elements of one `Forwarded` list that are looked at, the last ones: chains of proxies are shorter.
const MAX_ELEMENTS: usize = 64;

/// From the last entry to the first one that is not believed.
struct Walk<'t, F> {
    trust: &'t Trust<F>,
    taken: usize,
    last: Option<(Node, usize)>,
    is_over: bool,
}

type Node = (IpAddr, Option<u16>);

impl<'t, F: Fn(IpAddr) -> bool> Walk<'t, F> {
    fn new(trust: &'t Trust<F>) -> Self {
        Self { trust, taken: 0, last: None, is_over: false }
    }

    /// Takes the next entry to the left; false when none is believed any more.
    fn take(&mut self, node: Node, start: usize) -> bool {
        if self.is_over {
            return false;
        }
        self.taken += 1;
        self.last = Some((node, start));
        self.is_over = match self.trust {
            Trust::Addresses(are_trusted) => !are_trusted(node.0),
            Trust::Hops(hops) => self.taken >= *hops,
        };
        !self.is_over
    }

    fn origin(self, list: &str) -> Option<Origin<'_>> {
        let ((address, port), start) = self.last?;
        Some(Origin { address, port, believed: list[start..].trim_matches(BLANKS) })
    }
}

/// An address as proxies write it: alone, with a port, IPv6 with or without brackets. Names, `unknown` and `_hidden` are
/// nobody's address.
fn node(text: &str) -> Option<Node> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some((address.to_canonical(), None));
    }
    let (address, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once(']')?;
            let address = IpAddr::V6(address.parse::<Ipv6Addr>().ok()?);
            (address, rest.strip_prefix(':').or(rest.is_empty().then_some("")))
        }
        None => {
            let (address, port) = text.split_once(':')?;
            (IpAddr::V4(address.parse().ok()?), Some(port))
        }
    };
    // An obfuscated port (RFC 7239, section 6) is none.
    let port = port?;
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_number.then(|| port.parse::<u16>().ok());
    match number {
        Some(None) => None,
        Some(number) => Some((address.to_canonical(), number)),
        None if port.is_empty() || is_obfuscated(port) => Some((address.to_canonical(), None)),
        None => None,
    }
}

fn is_obfuscated(text: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    text.len() > 1 && text.starts_with('_') && text.bytes().all(is_legal)
}

/// One element of `Forwarded`.
struct Element<'a> {
    start: usize,
    /// The value of `for`, without quotes. One with a backslash in it is no address.
    node: Option<&'a str>,
}

/// The last elements, or `None` if the list is malformed (RFC 7239, section 4).
fn elements(list: &str) -> Option<VecDeque<Element<'_>>> {
    let mut elements = VecDeque::new();
    let mut at = 0;
    while at <= list.len() {
        let (element, end) = element(list, at)?;
        if elements.len() == MAX_ELEMENTS {
            elements.pop_front();
        }
        elements.push_back(element);
        at = end + 1;
    }
    Some(elements)
}

/// The element that begins at `start`, and where its comma is, or the end of the list.
fn element(list: &str, start: usize) -> Option<(Element<'_>, usize)> {
    let mut element = Element { start, node: None };
    let mut at = start;
    loop {
        at = skip_blanks(list, at);
        let name_end = at + list[at..].bytes().take_while(|byte| is_token(*byte)).count();
        let name = &list[at..name_end];
        if name.is_empty() || list.as_bytes().get(name_end) != Some(&b'=') {
            return None;
        }
        let (value, end) = value(list, name_end + 1)?;
        if name.eq_ignore_ascii_case("for") && element.node.replace(value).is_some() {
            // Each parameter once.
            return None;
        }
        at = skip_blanks(list, end);
        match list.as_bytes().get(at) {
            None | Some(b',') => return Some((element, at)),
            Some(b';') => at += 1,
            Some(_) => return None,
        }
    }
}

/// A token or a quoted string, without the quotes, and where it ends.
fn value(list: &str, start: usize) -> Option<(&str, usize)> {
    let rest = &list[start..];
    match rest.strip_prefix('"') {
        None => {
            let length = rest.bytes().take_while(|byte| is_token(*byte)).count();
            (length > 0).then(|| (&rest[..length], start + length))
        }
        Some(quoted) => {
            let mut is_escaped = false;
            let end = quoted.bytes().position(|byte| {
                let ends = byte == b'"' && !is_escaped;
                is_escaped = byte == b'\\' && !is_escaped;
                ends
            })?;
            Some((&quoted[..end], start + end + 2))
        }
    }
}

fn skip_blanks(list: &str, at: usize) -> usize {
    at + list[at..].bytes().take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
#[path = "forwarded_tests.rs"]
mod tests;
